//! `request`: what is known about the call in progress, and what is given beside its documents. Everything is pulled,
//! so what no guest asks for costs nothing.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::LinkerInstance;

use super::records::AccessCase;
use super::{Host, charge, clocks};
use crate::journal::answered;
use crate::state::InstanceState;

pub(super) fn link(request: &mut LinkerInstance<'_, InstanceState>) -> wasmtime::Result<()> {
    request.func_wrap("id", |mut store: Host<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((store.data().call()?.context.id.as_str().to_owned(),))
    })?;
    request.func_wrap("header", |mut store: Host<'_>, (name,): (Box<str>,)| {
        let value = store.data().call()?.context.headers.get(&name).map(str::to_owned);
        charge(&mut store, value.as_ref().map_or(0, |value| value.len() as u64))?;
        Ok((value,))
    })?;
    request.func_wrap("parameters", |mut store: Host<'_>, (): ()| {
        let text = serde_json::to_string(store.data().call()?.parameters.map())?;
        // Writing JSON costs more than copying bytes.
        charge(&mut store, 4 * text.len() as u64)?;
        Ok((text,))
    })?;
    request.func_wrap("parameter", |mut store: Host<'_>, (name,): (Box<str>,)| {
        let value = store.data().call()?.parameters.get(&name).map(serde_json::to_string).transpose()?;
        charge(&mut store, value.as_ref().map_or(0, |value| 4 * value.len() as u64))?;
        Ok((value,))
    })?;
    request.func_wrap("remaining", |mut store: Host<'_>, (): ()| {
        charge(&mut store, 0)?;
        let (deadline, clock) = (store.data().deadline, store.data().setting.grants.clock);
        let remaining: u64 = answered!(
            store,
            "request.remaining",
            &[],
            Ok::<_, wasmtime::Error>(clocks::remaining(deadline, clock))
        );
        Ok((Some(remaining),))
    })?;
    request.func_wrap("cancelled", |mut store: Host<'_>, (): ()| {
        charge(&mut store, 0)?;
        let gone = store.data().call()?.emit.as_ref().is_some_and(|emit| emit.is_closed());
        let is_late = store.data().deadline <= Instant::now();
        let cancelled: bool =
            answered!(store, "request.cancelled", &[], Ok::<_, wasmtime::Error>(gone || is_late));
        Ok((cancelled,))
    })?;
    request.func_wrap("inputs", |mut store: Host<'_>, (): ()| {
        let inputs = &store.data().call()?.inputs;
        let inputs: Vec<(Arc<str>, u32, u32)> =
            inputs.iter().map(|(name, first, rows)| (Arc::from(name.as_str()), *first, *rows)).collect();
        charge(&mut store, 64 * inputs.len() as u64)?;
        Ok((inputs,))
    })?;
    request.func_wrap("set-results", |mut store: Host<'_>, (json,): (Box<str>,)| {
        // Reading JSON costs more than copying bytes, as writing it does.
        charge(&mut store, 4 * json.len() as u64)?;
        let set = store.data_mut().call_mut()?.documents.set_results(&json);
        Ok((set.map_err(AccessCase::from),))
    })
}
