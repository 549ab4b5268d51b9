//! `host`: log, metrics and the configuration of this deployment.

use wasmtime::component::LinkerInstance;

use super::records::{LevelCase, MetricCase};
use super::{Host, charge};
use crate::state::InstanceState;

/// Bytes that one log line or one metric costs besides its text: it is formatted and written somewhere.
const LINE_BYTES: u64 = 8 << 10;

pub(super) fn link(host: &mut LinkerInstance<'_, InstanceState>) -> wasmtime::Result<()> {
    host.func_wrap("log", |mut store: Host<'_>, (level, message): (LevelCase, Box<str>)| {
        charge(&mut store, LINE_BYTES + message.len() as u64)?;
        store.data().log.line(level.into(), &message);
        Ok(())
    })?;
    type Attributes = Vec<(String, String)>;
    host.func_wrap(
        "record-metric",
        |mut store: Host<'_>, (kind, name, value, attributes): (MetricCase, Box<str>, f64, Attributes)| {
            charge(&mut store, LINE_BYTES)?;
            let setting = &store.data().setting;
            if let Some(executor) = &setting.executor {
                setting.metrics.record(executor, kind.into(), &name, value, &attributes);
            }
            Ok(())
        },
    )?;
    host.func_wrap("configuration", |mut store: Host<'_>, (): ()| {
        let text = store.data().setting.configuration_text();
        charge(&mut store, text.len() as u64)?;
        Ok((text,))
    })?;
    host.func_wrap("configured", |mut store: Host<'_>, (name,): (Box<str>,)| {
        let configuration = &store.data().setting.configuration;
        let value = configuration.get(&*name).map(serde_json::to_string).transpose()?;
        charge(&mut store, value.as_ref().map_or(0, |value| 4 * value.len() as u64))?;
        Ok((value,))
    })
}
