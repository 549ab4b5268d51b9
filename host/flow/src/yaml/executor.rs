//! One entry of `executors:`.

use lockgate_domain::{ExecutorName, StageSpec};
use serde_json::Map;

use super::capabilities::read_capabilities;
use super::errors::{FlowError, Place};
use super::keys;
use super::pool::{MAX_TIME_MS, read_limits, read_pool};
use super::reader::{Range, Reader, Section};
use super::tree::{Node, Value, shorten};
use super::units::Unit;
use crate::graph::GATEWAY;

/// Further tries that a file can ask for.
const MAX_RETRIES: u64 = 16;

pub(super) const SEND_TIME: Range = Range::new(Unit::Time, 1, MAX_TIME_MS);
pub(super) const RETRIES: Range = Range::new(Unit::Count, 0, MAX_RETRIES);

/// What the flow says for executors that say nothing themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Defaults {
    pub(super) timeout_ms: Option<u64>,
    pub(super) retries: Option<u64>,
}

/// A stage, and where to point when something is wrong with it.
pub(super) struct ReadStage {
    pub(super) spec: StageSpec,
    pub(super) place: Place,
    /// The needs as they stand in the file.
    pub(super) needs: Vec<(ExecutorName, Place)>,
}

/// Reads the entry at `index`. `before` is the executor above it, which it needs unless it says otherwise.
pub(super) fn read(
    node: &Node,
    index: usize,
    before: Option<&ExecutorName>,
    defaults: Defaults,
    reader: &mut Reader,
) -> Option<ReadStage> {
    let written = node.get("name").filter(|name| !name.is_null());
    let what = match written.map(|name| &name.value) {
        Some(Value::Text(name)) => format!("executor `{}`", shorten(name)),
        Some(Value::Integer(name)) => format!("executor `{name}`"),
        _ => format!("executor {}", index + 1),
    };
    let section = reader.section(node, what, keys::EXECUTOR)?;
    let name: Option<ExecutorName> = match written {
        Some(_) => reader.parsed(&section, "name"),
        None => format!("executor{index}").parse().ok(),
    };
    check_method(&section, reader);
    let uses = read_uses(&section, node.place, reader);
    let place = written.map_or(node.place, |name| name.place);
    let needs = read_needs(&section, before, place, reader);
    let config = read_config(&section, reader);
    let limits = read_limits(&section, reader);
    let capabilities = read_capabilities(&section, reader);
    let pool = read_pool(&section, reader);
    let timeout_ms = match section.get("timeout_send") {
        Some(_) => reader.number_or_default(&section, "timeout_send", SEND_TIME),
        None => defaults.timeout_ms,
    };
    let retries = match section.get("retries") {
        Some(_) => reader.number_or_default(&section, "retries", RETRIES),
        None => defaults.retries,
    };
    let reduce = !reader.switch(&section, "no_reduce").unwrap_or(false);
    let is_only_request = matches!(needs.as_slice(), [(need, _)] if need.as_str() == GATEWAY);
    let stage_needs =
        if is_only_request { Vec::new() } else { needs.iter().map(|(need, _)| need.clone()).collect() };
    Some(ReadStage {
        spec: StageSpec {
            name: name?,
            uses: uses?,
            needs: stage_needs,
            config,
            limits,
            capabilities,
            pool,
            timeout_ms,
            retries: u32::try_from(retries.unwrap_or(0)).unwrap_or(0),
            reduce,
        },
        place,
        needs,
    })
}

fn check_method(section: &Section<'_>, reader: &mut Reader) {
    if let Some(node) = section.get("method")
        && !matches!(&node.value, Value::Text(method) if method == "add" || method == "needs")
    {
        let message = format!("`method` of {} is not supported yet with {}", section.what, node.shown());
        reader.report(FlowError::new(Some(node.place), message).with_hint("remove it"));
    }
}

fn read_uses(section: &Section<'_>, place: Place, reader: &mut Reader) -> Option<String> {
    let Some(node) = section.get("uses") else {
        if section.is_unresolved("uses") {
            return None;
        }
        let message = format!("{} does not say what it `uses`", section.what);
        reader.report(FlowError::new(Some(place), message).with_hint(
            "name a `.wasm` file or a source folder; an executor that only joins others can be left out, the ends of a flow are joined anyway",
        ));
        return None;
    };
    let text = reader.text(section, "uses")?;
    match uses_fault(&text) {
        None => Some(text),
        Some((fault, hint)) => {
            let message = format!("{} uses {}, {fault}", section.what, node.shown());
            reader.report(FlowError::new(Some(node.place), message).with_hint(hint));
            None
        }
    }
}

/// Why a `uses` of Jina's cannot run here, and what to do.
fn uses_fault(uses: &str) -> Option<(&'static str, String)> {
    let build = "build the executor as a component and name its `.wasm` file or source folder".to_owned();
    let scheme = uses.split_once("://").map(|(scheme, _)| scheme);
    let extension = uses.rsplit_once('.').map(|(_, extension)| extension);
    let is_class = uses.starts_with(|first: char| first.is_ascii_uppercase())
        && uses.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match (scheme, extension) {
        (Some("docker"), _) => Some(("which is a container", build)),
        (Some("jinahub" | "jinahub+docker" | "jinahub+sandbox" | "jinaai" | "jinaai+docker"), _) => {
            Some(("which is in Jina's hub", build))
        }
        (Some(_), _) => Some(("which is an address", "download the component and name the file".to_owned())),
        (None, Some("py")) => Some(("which is a Python file", build)),
        (None, Some("yml" | "yaml")) => Some((
            "which is an executor's YAML file",
            "name the `.wasm` file or source folder, and write its `with:` as `uses_with:`".to_owned(),
        )),
        (None, _) if is_class => {
            Some(("which looks like a Python class", format!("{build}; if it is a folder, write `./{uses}`")))
        }
        (None, _) if uses.trim().is_empty() || uses.contains('\0') => Some(("which is no path", build)),
        (None, _) => None,
    }
}

fn read_needs(
    section: &Section<'_>,
    before: Option<&ExecutorName>,
    place: Place,
    reader: &mut Reader,
) -> Vec<(ExecutorName, Place)> {
    let Some(node) = section.get("needs") else {
        return before.map(|name| (name.clone(), place)).into_iter().collect();
    };
    let items = match &node.value {
        Value::List(items) if !items.is_empty() => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut needs = Vec::with_capacity(items.len());
    for item in items {
        match &item.value {
            Value::Text(name) => match name.parse() {
                Ok(name) => needs.push((name, item.place)),
                Err(error) => reader.report_at(item.place, format!("`needs` of {}: {error}", section.what)),
            },
            _ => {
                let message =
                    format!("`needs` of {} must name executors, not {}", section.what, item.shown());
                reader.report(
                    FlowError::new(Some(item.place), message)
                        .with_hint("write a name, a list of names, or `gateway` for the request itself"),
                );
            }
        }
    }
    needs
}

fn read_config(section: &Section<'_>, reader: &mut Reader) -> Map<String, serde_json::Value> {
    let Some(node) = section.get("uses_with") else { return Map::new() };
    match json(node) {
        Some(serde_json::Value::Object(map)) => map,
        _ => {
            let message =
                format!("`uses_with` of {} must be a set of keys, not {}", section.what, node.shown());
            reader.report_at(node.place, message);
            Map::new()
        }
    }
}

fn json(node: &Node) -> Option<serde_json::Value> {
    Some(match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Switch(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Number(value) => serde_json::Number::from_f64(*value)?.into(),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => serde_json::Value::Array(items.iter().map(json).collect::<Option<_>>()?),
        Value::Map(entries) => {
            let entry = |(key, value): &(super::tree::Key, Node)| Some((key.text.clone(), json(value)?));
            serde_json::Value::Object(entries.iter().map(entry).collect::<Option<_>>()?)
        }
    })
}
