//! `docs`: the documents of the call in progress. All rules are the overlay's; here values change types and fuel is
//! charged for the call and for the bytes that move.

use lockgate_domain::document::{AccessError, CommitError, Overlay, Tensor};
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower};

use super::records::{AccessCase, ColumnRecord, PackedIn, PackedOut, TensorRecord};
use super::{Host, charge};
use crate::journal::answered;
use crate::state::{InstanceState, NoCall};

type Docs<'a> = LinkerInstance<'a, InstanceState>;
type Access<T> = Result<T, AccessError>;

/// What a value weighs on its way over the boundary besides its bytes: the guest allocates for each.
const CELL_BYTES: u64 = 16;

pub(super) fn link(docs: &mut Docs<'_>) -> wasmtime::Result<()> {
    docs.func_wrap("len", |mut store: Host<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((overlay(&mut store)?.len(),))
    })?;
    docs.func_wrap("total", |mut store: Host<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((overlay(&mut store)?.total(),))
    })?;
    docs.func_wrap("columns", |mut store: Host<'_>, (): ()| {
        let columns = overlay(&mut store)?.columns();
        charge(&mut store, columns.iter().map(|(name, _)| CELL_BYTES + name.len() as u64).sum())?;
        let columns = columns.into_iter().map(|(name, kind)| ColumnRecord::new(name, kind));
        Ok((columns.collect::<Vec<_>>(),))
    })?;
    link_text(docs)?;
    link_values(docs)?;
    link_tensors(docs)?;
    link_rows(docs)
}

fn link_text(docs: &mut Docs<'_>) -> wasmtime::Result<()> {
    let texts = |values: &Vec<Option<String>>| cells(values, String::len);
    reader(docs, "get-text", Overlay::get_text, texts)?;
    writer(docs, "set-text", Overlay::set_text, texts)?;
    reader(docs, "get-json", Overlay::get_json, texts)?;
    writer(docs, "set-json", Overlay::set_json, texts)?;
    let packed = |overlay: &Overlay, column: &str, start: u32, count: u32| {
        overlay.get_text_packed(column, start, count).map(PackedOut::from)
    };
    reader(docs, "get-text-packed", packed, PackedOut::weight)?;
    let write = |overlay: &mut Overlay, column: &str, start: u32, text: PackedIn| {
        overlay.set_text_packed(column, start, text.data, text.ends, text.missing)
    };
    let weigh = |text: &PackedIn| (text.data.len() + 4 * (text.ends.len() + text.missing.len())) as u64;
    writer(docs, "set-text-packed", write, weigh)
}

fn link_values(docs: &mut Docs<'_>) -> wasmtime::Result<()> {
    reader(docs, "get-bytes", Overlay::get_bytes, |values| cells(values, bytes::Bytes::len))?;
    writer(docs, "set-bytes", Overlay::set_bytes, |values| cells(values, bytes::Bytes::len))?;
    docs.func_wrap(
        "get-bytes-range",
        |mut store: Host<'_>, (column, row, offset, count): (Box<str>, u32, u64, u32)| {
            let part = overlay(&mut store)?.get_bytes_range(&column, row, offset, count);
            charge(&mut store, part.as_ref().map_or(0, |part| part.len() as u64))?;
            Ok((part.map_err(AccessCase::from),))
        },
    )?;
    reader(docs, "get-integer", Overlay::get_integer, |values| cells(values, |_| 0))?;
    writer(docs, "set-integer", Overlay::set_integer, |values| cells(values, |_| 0))?;
    reader(docs, "get-number", Overlay::get_number, |values| cells(values, |_| 0))?;
    writer(docs, "set-number", Overlay::set_number, |values| cells(values, |_| 0))?;
    reader(docs, "get-boolean", Overlay::get_boolean, |values| cells(values, |_| 0))?;
    writer(docs, "set-boolean", Overlay::set_boolean, |values| cells(values, |_| 0))
}

fn link_tensors(docs: &mut Docs<'_>) -> wasmtime::Result<()> {
    let read = |overlay: &Overlay, column: &str, start: u32, count: u32| {
        let tensors = overlay.get_tensor(column, start, count)?;
        Ok(tensors.into_iter().map(|tensor| tensor.map(TensorRecord::from)).collect::<Vec<_>>())
    };
    let weigh = |values: &Vec<Option<TensorRecord>>| cells(values, |tensor| tensor.weight() as usize);
    reader(docs, "get-tensor", read, weigh)?;
    let write = |overlay: &mut Overlay, column: &str, start: u32, values: Vec<Option<TensorRecord>>| {
        let checked = values.into_iter().map(|tensor| tensor.map(TensorRecord::check).transpose());
        let tensors: Vec<Option<Tensor>> = checked.collect::<Access<_>>()?;
        overlay.set_tensor(column, start, tensors)
    };
    writer(docs, "set-tensor", write, weigh)?;
    let stacked = |overlay: &Overlay, column: &str, start: u32, count: u32| {
        overlay.get_stacked(column, start, count).map(TensorRecord::from)
    };
    reader(docs, "get-stacked", stacked, TensorRecord::weight)?;
    let write = |overlay: &mut Overlay, column: &str, start: u32, tensor: TensorRecord| {
        overlay.set_stacked(column, start, tensor.check()?)
    };
    writer(docs, "set-stacked", write, TensorRecord::weight)
}

fn link_rows(docs: &mut Docs<'_>) -> wasmtime::Result<()> {
    let lists = |lists: &Vec<Vec<u32>>| lists.iter().map(|list| CELL_BYTES + 4 * list.len() as u64).sum();
    reader(docs, "get-link", Overlay::get_link, lists)?;
    writer(docs, "set-link", Overlay::set_link, lists)?;
    docs.func_wrap("append", |mut store: Host<'_>, (count,): (u32,)| {
        let first = overlay(&mut store)?.append(count);
        charge(&mut store, if first.is_ok() { u64::from(count) * 4 * CELL_BYTES } else { 0 })?;
        Ok((first.map_err(AccessCase::from),))
    })?;
    docs.func_wrap("select", |mut store: Host<'_>, (rows,): (Vec<u32>,)| {
        charge(&mut store, 4 * rows.len() as u64)?;
        Ok((overlay(&mut store)?.select(rows).map_err(AccessCase::from),))
    })?;
    docs.func_wrap_async("emit", |store: Host<'_>, (rows,): (Vec<u32>,)| {
        Box::new(async move { Ok((emit(store, &rows).await?,)) })
    })
}

/// Sends the rows as they are now and waits while the receiver is behind. Only here does a guest wait for its caller.
async fn emit(mut store: Host<'_>, rows: &[u32]) -> wasmtime::Result<Result<bool, AccessCase>> {
    let call = store.data().call()?;
    let columns = call.documents.columns().len() as u64;
    let sender = call.emit.clone().filter(|sender| !sender.is_closed());
    let is_heard: bool = answered!(store, "docs.emit", &[], Ok::<_, wasmtime::Error>(sender.is_some()));
    if !is_heard {
        charge(&mut store, 0)?;
        return Ok(Ok(false));
    }
    charge(&mut store, (rows.len() as u64 + 1).saturating_mul(columns.saturating_mul(CELL_BYTES)))?;
    match overlay(&mut store)?.snapshot(rows) {
        Ok(documents) => {
            let sent = async {
                match &sender {
                    Some(sender) => sender.send(documents).await.is_ok(),
                    None => false,
                }
            };
            let sent: bool = answered!(store, "docs.emit.sent", &[], Ok::<_, wasmtime::Error>(sent.await));
            Ok(Ok(sent))
        }
        Err(CommitError::NoSuchRow { .. }) => Ok(Err(AccessCase::OutOfRange)),
        Err(
            CommitError::TooManyDocuments { .. }
            | CommitError::TooDeep { .. }
            | CommitError::TextTooLarge { .. }
            | CommitError::TooManyBytes { .. },
        ) => Ok(Err(AccessCase::TooLarge)),
    }
}

// === helpers ===

fn overlay<'a>(store: &'a mut Host<'_>) -> Result<&'a mut Overlay, NoCall> {
    Ok(&mut store.data_mut().call_mut()?.documents)
}

/// Bytes of a range of cells.
fn cells<T>(values: &[Option<T>], size: impl Fn(&T) -> usize) -> u64 {
    values.iter().map(|value| CELL_BYTES + value.as_ref().map_or(0, |value| size(value) as u64)).sum()
}

/// A function that reads a range of a column.
fn reader<T, R, W>(docs: &mut Docs<'_>, name: &str, read: R, weigh: W) -> wasmtime::Result<()>
where
    T: ComponentType + Lower + Send + Sync + 'static,
    R: Fn(&Overlay, &str, u32, u32) -> Access<T> + Send + Sync + 'static,
    W: Fn(&T) -> u64 + Send + Sync + 'static,
{
    docs.func_wrap(name, move |mut store: Host<'_>, (column, start, count): (Box<str>, u32, u32)| {
        let values = read(overlay(&mut store)?, &column, start, count);
        charge(&mut store, values.as_ref().map_or(0, &weigh))?;
        Ok((values.map_err(AccessCase::from),))
    })
}

/// A function that writes a range of a column.
fn writer<T, R, W>(docs: &mut Docs<'_>, name: &str, write: R, weigh: W) -> wasmtime::Result<()>
where
    T: ComponentType + Lift + Send + Sync + 'static,
    R: Fn(&mut Overlay, &str, u32, T) -> Access<()> + Send + Sync + 'static,
    W: Fn(&T) -> u64 + Send + Sync + 'static,
{
    docs.func_wrap(name, move |mut store: Host<'_>, (column, start, values): (Box<str>, u32, T)| {
        charge(&mut store, weigh(&values))?;
        let done = write(overlay(&mut store)?, &column, start, values);
        Ok((done.map_err(AccessCase::from),))
    })
}
