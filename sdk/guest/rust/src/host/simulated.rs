//! The seam of native builds: the in-memory host of [`testing`](crate::testing).
//!
//! Outside of a call of [`TestHost`](crate::testing::TestHost) there are no documents, an empty
//! configuration, and log lines go nowhere.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Access, AccessError};
use crate::http::{Parts, Request, Response};
use crate::key_value::StoreError;
use crate::metrics::Metric;
use crate::testing::state::{State, with};
use crate::testing::table::Values;
use crate::{Code, Error, Kind, Level, Tensor};

/// Lists and objects within each other that results may have.
const MAX_RESULT_LEVELS: usize = 30;

/// A text column in one piece, as the contract has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PackedText {
    pub(crate) data: String,
    pub(crate) ends: Vec<u32>,
    pub(crate) missing: Vec<u32>,
}

macro_rules! pass {
    ($($get:ident $set:ident $variant:ident $type:ty,)*) => {
        $(
            pub(crate) fn $get(column: &str, start: u32, count: u32) -> Access<Vec<Option<$type>>> {
                documents(stringify!($get), |state| match state.table.get(column, start, count)? {
                    None => Ok(vec![None; count as usize]),
                    Some(Values::$variant(values)) => Ok(values),
                    Some(_) => Err(AccessError::WrongKind),
                })
            }

            pub(crate) fn $set(column: &str, start: u32, values: &[Option<$type>]) -> Access<()> {
                documents(stringify!($set), |state| state.table.set(column, start, Values::$variant(values.to_vec())))
            }
        )*
    };
}

pass! {
    get_bytes set_bytes Bytes Vec<u8>,
    get_integer set_integer Integer i64,
    get_number set_number Number f64,
    get_boolean set_boolean Boolean bool,
    get_json set_json Json String,
}

pub(crate) fn len() -> u32 {
    documents("len", |state| Ok(state.table.len())).unwrap_or_default()
}

pub(crate) fn total() -> u32 {
    documents("total", |state| Ok(state.table.total())).unwrap_or_default()
}

pub(crate) fn columns() -> Vec<(String, Kind)> {
    documents("columns", |state| Ok(state.table.columns())).unwrap_or_default()
}

pub(crate) fn get_text_packed(column: &str, start: u32, count: u32) -> Access<PackedText> {
    documents("get_text_packed", |state| {
        let values = match state.table.get(column, start, count)? {
            None => vec![None; count as usize],
            Some(Values::Text(values)) => values,
            Some(_) => return Err(AccessError::WrongKind),
        };
        let mut packed = PackedText::default();
        for (row, value) in (0..).zip(values) {
            match value {
                Some(text) => packed.data.push_str(&text),
                None => packed.missing.push(row),
            }
            packed.ends.push(u32::try_from(packed.data.len()).map_err(|_| AccessError::TooLarge)?);
        }
        Ok(packed)
    })
}

pub(crate) fn set_text_packed(column: &str, start: u32, values: &PackedText) -> Access<()> {
    documents("set_text_packed", |state| {
        let mut texts = Vec::with_capacity(values.ends.len());
        let mut begin = 0;
        for (row, end) in (0..).zip(&values.ends) {
            let text = values.data.get(begin..*end as usize).ok_or(AccessError::Invalid)?;
            begin = *end as usize;
            texts.push(if values.missing.contains(&row) { None } else { Some(text.to_owned()) });
        }
        let ascending = values.missing.is_sorted_by(|row, next| row < next);
        let within = values.missing.last().is_none_or(|row| (*row as usize) < texts.len());
        if begin != values.data.len() || !ascending || !within {
            return Err(AccessError::Invalid);
        }
        state.table.set(column, start, Values::Text(texts))
    })
}

pub(crate) fn get_bytes_range(column: &str, row: u32, offset: u64, count: u32) -> Access<Vec<u8>> {
    documents("get_bytes_range", |state| {
        let values = match state.table.get(column, row, 1)? {
            None => vec![],
            Some(Values::Bytes(values)) => values,
            Some(_) => return Err(AccessError::WrongKind),
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(values.into_iter().flatten().flatten().skip(skipped).take(count as usize).collect())
    })
}

pub(crate) fn get_tensor(column: &str, start: u32, count: u32) -> Access<Vec<Option<Tensor>>> {
    documents("get_tensor", |state| tensors(state, column, start, count))
}

pub(crate) fn set_tensor(column: &str, start: u32, values: Vec<Option<Tensor>>) -> Access<()> {
    documents("set_tensor", |state| state.table.set(column, start, Values::Tensor(values)))
}

pub(crate) fn get_stacked(column: &str, start: u32, count: u32) -> Access<Tensor> {
    documents("get_stacked", |state| {
        let values = tensors(state, column, start, count)?.into_iter().collect::<Option<Vec<_>>>();
        let values = values.filter(|values| !values.is_empty()).ok_or(AccessError::WrongKind)?;
        let first = values.first().ok_or(AccessError::WrongKind)?;
        if values.iter().any(|value| value.dtype() != first.dtype() || value.shape() != first.shape()) {
            return Err(AccessError::WrongKind);
        }
        let shape = [&[count], first.shape()].concat();
        let data = values.iter().flat_map(Tensor::data).copied().collect();
        Tensor::new(first.dtype(), shape, data).map_err(|_| AccessError::Invalid)
    })
}

pub(crate) fn set_stacked(column: &str, start: u32, values: Tensor) -> Access<()> {
    documents("set_stacked", |state| {
        let (count, shape) = values.shape().split_first().ok_or(AccessError::Invalid)?;
        let bytes = values.data().len().checked_div(*count as usize).unwrap_or_default();
        let row = |row: u32| {
            let start = row as usize * bytes;
            let data = values.data().get(start..start + bytes).unwrap_or_default().to_vec();
            Tensor::new(values.dtype(), shape.to_vec(), data).map(Some).map_err(|_| AccessError::Invalid)
        };
        let rows = (0..*count).map(row).collect::<Access<Vec<_>>>()?;
        state.table.set(column, start, Values::Tensor(rows))
    })
}

pub(crate) fn get_link(column: &str, start: u32, count: u32) -> Access<Vec<Vec<u32>>> {
    documents("get_link", |state| match state.table.get(column, start, count)? {
        None => Ok(vec![vec![]; count as usize]),
        Some(Values::Link(values)) => Ok(values),
        Some(_) => Err(AccessError::WrongKind),
    })
}

pub(crate) fn set_link(column: &str, start: u32, values: &[Vec<u32>]) -> Access<()> {
    documents("set_link", |state| state.table.set(column, start, Values::Link(values.to_vec())))
}

pub(crate) fn append(count: u32) -> Access<u32> {
    documents("append", |state| state.table.append(count))
}

pub(crate) fn select(rows: &[u32]) -> Access<()> {
    documents("select", |state| state.table.select(rows))
}

pub(crate) fn emit(rows: &[u32]) -> Access<bool> {
    documents("emit", |state| state.emit(rows))
}

pub(crate) fn http_send(request: &Request, _: &Parts<'_>) -> crate::Result<Response> {
    // Asked outside of the state: the double may look at it as well.
    match with("http", |state| state.http.clone()).flatten() {
        Some(answer) => answer(request),
        None => Err(Error::new(Code::PermissionDenied, "this host is not granted to the executor")),
    }
}

pub(crate) fn store_get(key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    store("store_get", key, |store| Ok(store.get(key).cloned()))
}

pub(crate) fn store_set(key: &str, value: &[u8]) -> Result<(), StoreError> {
    if value.len() > 1 << 20 {
        return Err(StoreError::Invalid(format!(
            "the value has {} bytes, at most 1048576 are taken",
            value.len()
        )));
    }
    store("store_set", key, |store| {
        store.insert(key.to_owned(), value.to_vec());
        Ok(())
    })
}

pub(crate) fn store_delete(key: &str) -> Result<bool, StoreError> {
    store("store_delete", key, |store| Ok(store.remove(key).is_some()))
}

pub(crate) fn store_keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, StoreError> {
    store("store_keys", "keys", |store| {
        let keys = store.keys().filter(|key| key.starts_with(prefix));
        let keys = keys.filter(|key| after.is_none_or(|after| key.as_str() > after));
        Ok(keys.take(limit.min(1000) as usize).cloned().collect())
    })
}

/// Asks the store, with the contract's rules on keys.
fn store<T>(
    name: &'static str,
    key: &str,
    ask: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let asked = with(name, |state| {
        let store = state.store.as_mut().ok_or(StoreError::Denied)?;
        match key.len() {
            0 => Err(StoreError::Invalid("the key is empty".into())),
            1..=1024 => ask(store),
            len => Err(StoreError::Invalid(format!("the key has {len} bytes, at most 1024 are taken"))),
        }
    });
    asked.unwrap_or(Err(StoreError::Denied))
}

pub(crate) fn request_id() -> String {
    with("id", |state| state.request.id.clone()).unwrap_or_default()
}

pub(crate) fn header(name: &str) -> Option<String> {
    with("header", |state| state.request.headers.get(name).cloned()).flatten()
}

pub(crate) fn parameters() -> String {
    with("parameters", |state| state.request.parameters.to_string()).unwrap_or_else(|| "{}".into())
}

pub(crate) fn parameter(name: &str) -> Option<String> {
    with("parameter", |state| state.request.parameters.get(name).map(ToString::to_string)).flatten()
}

pub(crate) fn remaining() -> Option<u64> {
    with("remaining", |state| state.request.remaining).flatten()
}

pub(crate) fn cancelled() -> bool {
    with("cancelled", |state| state.request.cancelled).unwrap_or_default()
}

pub(crate) fn inputs() -> Vec<(String, u32, u32)> {
    with("inputs", |state| state.request.inputs.clone()).unwrap_or_default()
}

pub(crate) fn set_results(json: &str) -> Access<()> {
    documents("set_results", |state| {
        let results: Value = serde_json::from_str(json).map_err(|_| AccessError::Invalid)?;
        if !results.is_object() {
            return Err(AccessError::Invalid);
        }
        if levels(&results) > MAX_RESULT_LEVELS {
            return Err(AccessError::TooLarge);
        }
        state.results = Some(results);
        Ok(())
    })
}

fn levels(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(levels).max(),
        Value::Object(entries) => entries.values().map(levels).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or_default()
}

pub(crate) fn log(level: Level, message: &str) {
    with("log", |state| state.logs.push((level, message.to_owned())));
}

pub(crate) fn record_metric(metric: Metric, name: &str, value: f64, _: &[(&str, &str)]) {
    with("record_metric", |state| state.record_metric(metric, name, value));
}

pub(crate) fn configuration() -> String {
    with("configuration", |state| state.configuration.to_string()).unwrap_or_else(|| "{}".into())
}

pub(crate) fn configured(name: &str) -> Option<String> {
    with("configured", |state| state.configuration.get(name).map(ToString::to_string)).flatten()
}

fn documents<T>(name: &'static str, work: impl FnOnce(&mut State) -> Access<T>) -> Access<T> {
    with(name, work).unwrap_or(Err(AccessError::OutOfRange))
}

fn tensors(state: &State, column: &str, start: u32, count: u32) -> Access<Vec<Option<Tensor>>> {
    match state.table.get(column, start, count)? {
        None => Ok(vec![None; count as usize]),
        Some(Values::Tensor(values)) => Ok(values),
        Some(_) => Err(AccessError::WrongKind),
    }
}
