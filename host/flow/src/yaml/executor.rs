//! One entry of `executors:`.

use std::collections::BTreeMap;

use lockgate_domain::spec::{ShardSpec, StageMetas};
use lockgate_domain::{EndpointName, ExecutorName, Manifest, StageSpec};
use serde_json::Map;

use super::Note;
use super::batching::read_batching;
use super::capabilities::read_capabilities;
use super::condition::read_condition;
use super::errors::{FlowError, Place};
use super::external;
use super::keys;
use super::pool::{MAX_TIME_MS, read_limits, read_pool};
use super::reader::{Range, Reader, Section};
use super::shards::read_shards;
use super::tree::{Node, Value, shorten};
use super::units::Unit;
use crate::graph::GATEWAY;

/// What Jina calls a join without a name.
const JOINER: &str = "joiner";

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

/// How an entry joins the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Add,
    /// Joins the executors that it names.
    Needs,
    /// Joins whatever nothing needs so far.
    NeedsAll,
}

/// Reads the entry at `index`; it needs the one above it unless it says otherwise.
pub(super) fn read(
    node: &Node,
    index: usize,
    earlier: &[ReadStage],
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
    let method = read_method(&section, reader);
    let name: Option<ExecutorName> = match written {
        Some(_) => reader.parsed(&section, "name"),
        None => usual_name(method, index, earlier).parse().ok(),
    };
    let external = external::read(&section, reader);
    let uses = match &external {
        Some(external) => Some(external.to_string()),
        None => read_uses(&section, reader),
    };
    let place = written.map_or(node.place, |name| name.place);
    let needs = read_needs(&section, method, earlier, place, reader);
    let is_silent = section.get("uses").is_none() && external.is_none();
    if is_silent && method == Method::Add && needs.len() < 2 {
        let message = format!("{} gives back what it gets: it does not say what it `uses`", section.what);
        reader.notes.push(Note { line: place.line, message });
    }
    let config = read_config(&section, reader);
    let limits = read_limits(&section, reader);
    let capabilities = read_capabilities(&section, reader);
    let pool = read_pool(&section, reader);
    let batching = read_batching(&section, reader);
    let timeout_ms = match section.get("timeout_send") {
        Some(_) => reader.number_or_default(&section, "timeout_send", SEND_TIME),
        None => defaults.timeout_ms,
    };
    let retries = match section.get("retries") {
        Some(_) => reader.number_or_default(&section, "retries", RETRIES),
        None => defaults.retries,
    };
    let reduce = read_reduce(&section, reader);
    let condition = read_condition(&section, reader);
    let floating = reader.switch(&section, "floating").unwrap_or(false);
    let shards = if external.is_some() { ShardSpec::default() } else { read_shards(&section, reader) };
    let requests = read_requests(&section, reader);
    let metas = read_metas(&section, reader);
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
            condition,
            floating,
            shards,
            requests,
            metas,
            external,
            batching,
        },
        place,
        needs,
    })
}

fn read_method(section: &Section<'_>, reader: &mut Reader) -> Method {
    let Some(node) = section.get("method") else { return Method::Add };
    let message = match &node.value {
        Value::Text(method) if method == "add" => return Method::Add,
        Value::Text(method) if method == "needs" => return Method::Needs,
        Value::Text(method) if method == "needs_all" => return Method::NeedsAll,
        Value::Text(method) if method == "inspect" => {
            let message = format!("{} inspects another one, which nothing does here", section.what);
            reader.report(FlowError::new(Some(node.place), message).with_hint(
                "write it as an executor of its own with `floating: true`: it gets the same documents, and nobody waits for it",
            ));
            return Method::Add;
        }
        _ => {
            format!(
                "`method` of {} must be `add`, `needs` or `needs_all`, not {}",
                section.what,
                node.shown()
            )
        }
    };
    reader.report_at(node.place, message);
    Method::Add
}

/// What Jina calls an entry without a name.
fn usual_name(method: Method, index: usize, earlier: &[ReadStage]) -> String {
    let is_taken = earlier.iter().any(|stage| stage.spec.name.as_str() == JOINER);
    match method {
        Method::Add => format!("executor{index}"),
        Method::Needs | Method::NeedsAll if is_taken => format!("{JOINER}{index}"),
        Method::Needs | Method::NeedsAll => JOINER.to_owned(),
    }
}

/// What an entry uses; one that says nothing gives back what it gets, as in Jina.
fn read_uses(section: &Section<'_>, reader: &mut Reader) -> Option<String> {
    if section.get("uses").is_none() {
        return (!section.is_unresolved("uses")).then(|| StageSpec::PASSING.to_owned());
    }
    read_component(section, "uses", reader)
}

/// What one of the keys that name a component names.
pub(super) fn read_component(section: &Section<'_>, key: &str, reader: &mut Reader) -> Option<String> {
    let text = reader.text(section, key)?;
    let node = section.get(key)?;
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
pub(super) fn uses_fault(uses: &str) -> Option<(&'static str, String)> {
    let build = "build the executor as a component and name its `.wasm` file or source folder".to_owned();
    let scheme = uses.split_once("://").map(|(scheme, _)| scheme);
    let extension = uses.rsplit_once('.').map(|(_, extension)| extension);
    let is_class = is_class(uses);
    match (scheme, extension) {
        _ if uses == StageSpec::PASSING => None,
        (Some("docker"), _) => Some(("which is a container", build)),
        (Some("jinahub" | "jinahub+docker" | "jinahub+sandbox" | "jinaai" | "jinaai+docker"), _) => {
            Some(("which is in Jina's hub", build))
        }
        (Some(_), _) => Some(("which is an address", "download the component and name the file".to_owned())),
        (None, Some("py")) => Some(("which is a Python file", build)),
        (None, Some(_)) if uses.contains(".py:") => Some(("which is a class in a Python file", build)),
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

/// `MyExecutor`, `package.module.MyExecutor`.
fn is_class(uses: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let class = uses.rsplit('.').next().unwrap_or(uses);
    class.starts_with(|first: char| first.is_ascii_uppercase())
        && !class.eq_ignore_ascii_case("wasm")
        && uses.split('.').all(is_word)
}

fn read_needs(
    section: &Section<'_>,
    method: Method,
    earlier: &[ReadStage],
    place: Place,
    reader: &mut Reader,
) -> Vec<(ExecutorName, Place)> {
    let Some((key, node)) = section.entry("needs") else {
        return usual_needs(section, method, earlier, place, reader);
    };
    if method == Method::NeedsAll {
        let message = format!("`needs` of {} says what `method: needs_all` finds by itself", section.what);
        reader.report(FlowError::new(Some(key.place), message).with_hint("keep one of them"));
        return Vec::new();
    }
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
    if method == Method::Needs && items.len() < 2 {
        let message = format!("{} joins a single executor, which changes nothing", section.what);
        reader.report(
            FlowError::new(Some(node.place), message)
                .with_hint("name several under `needs`, or leave the entry out"),
        );
    }
    needs
}

/// What an entry needs that does not say it.
fn usual_needs(
    section: &Section<'_>,
    method: Method,
    earlier: &[ReadStage],
    place: Place,
    reader: &mut Reader,
) -> Vec<(ExecutorName, Place)> {
    let is_needed = |name: &ExecutorName| earlier.iter().any(|stage| stage.spec.needs.contains(name));
    // Nobody waits for what floats.
    let mut awaited = earlier.iter().filter(|stage| !stage.spec.floating).map(|stage| &stage.spec.name);
    let names: Vec<&ExecutorName> = match method {
        Method::Add => awaited.next_back().into_iter().collect(),
        Method::Needs => Vec::new(),
        Method::NeedsAll => awaited.filter(|name| !is_needed(name)).collect(),
    };
    if method != Method::Add && names.is_empty() {
        let message = format!("{} joins nothing", section.what);
        reader.report(
            FlowError::new(Some(place), message)
                .with_hint("write it below the executors that it joins, with their names under `needs`"),
        );
    }
    names.into_iter().map(|name| (name.clone(), place)).collect()
}

/// Jina renamed the key; flows that were written before have the old one.
fn read_reduce(section: &Section<'_>, reader: &mut Reader) -> bool {
    let no_reduce = reader.switch(section, "no_reduce");
    let disabled = reader.switch(section, "disable_reduce");
    if let (Some(_), Some((key, _))) = (no_reduce, section.entry("disable_reduce")) {
        let message = format!("{} has `no_reduce` and `disable_reduce`, which say the same", section.what);
        reader.report(FlowError::new(Some(key.place), message).with_hint("keep one of them"));
    }
    !no_reduce.or(disabled).unwrap_or(false)
}

fn read_requests(section: &Section<'_>, reader: &mut Reader) -> BTreeMap<EndpointName, EndpointName> {
    let mut requests = BTreeMap::new();
    let Some(node) = section.get("uses_requests") else { return requests };
    let hint = "write `/endpoint: endpoint of the component`, such as `/find: /search`";
    let Value::Map(entries) = &node.value else {
        let message =
            format!("`uses_requests` of {} must be a set of keys, not {}", section.what, node.shown());
        reader.report(FlowError::new(Some(node.place), message).with_hint(hint));
        return requests;
    };
    if entries.len() > Manifest::MAX_ENDPOINTS {
        let message = format!(
            "`uses_requests` of {} has {} keys, at most {} are taken",
            section.what,
            entries.len(),
            Manifest::MAX_ENDPOINTS
        );
        reader.report_at(node.place, message);
        return requests;
    }
    for (key, value) in entries {
        let Value::Text(own) = &value.value else {
            let message = format!(
                "`{}` in `uses_requests` of {} must name an endpoint, not {}",
                shorten(&key.text),
                section.what,
                value.shown()
            );
            reader.report(FlowError::new(Some(value.place), message).with_hint(hint));
            continue;
        };
        match (EndpointName::parse(&key.text), EndpointName::parse(own)) {
            (Ok(name), Ok(own)) => {
                requests.insert(name, own);
            }
            (Err(error), _) => {
                reader.report_at(key.place, format!("`uses_requests` of {}: {error}", section.what))
            }
            (_, Err(error)) => {
                reader.report_at(value.place, format!("`uses_requests` of {}: {error}", section.what));
            }
        }
    }
    requests
}

fn read_metas(executor: &Section<'_>, reader: &mut Reader) -> StageMetas {
    let mut metas = StageMetas::default();
    let Some(node) = executor.get("uses_metas") else { return metas };
    let what = format!("`uses_metas` of {}", executor.what);
    let Some(section) = reader.section(node, what, keys::METAS) else { return metas };
    metas.name = reader.short_text(&section, "name");
    metas.description = reader.short_text(&section, "description");
    metas
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

/// A value as JSON; none if it has a number that JSON has not.
pub(super) fn json(node: &Node) -> Option<serde_json::Value> {
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
