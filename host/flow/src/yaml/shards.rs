//! `shards:`, `polling:`, `uses_before:` and `uses_after:` of an executor.

use lockgate_domain::manifest::Manifest;
use lockgate_domain::spec::{Polling, PollingSpec, ShardSpec};
use lockgate_domain::{EndpointName, StageSpec};

use super::Note;
use super::errors::{FlowError, Place};
use super::executor::read_component;
use super::reader::{Range, Reader, Section};
use super::tree::{Node, Value, shorten};
use super::units::Unit;

/// Most shards of one executor.
const MAX_SHARDS: u64 = 64;

const POLLING_HINT: &str = "write `any`, `all`, or a set of keys such as `{ /search: all, '*': any }`";

/// How an executor is divided; what only divided ones have is told where there is one shard.
pub(super) fn read_shards(executor: &Section<'_>, reader: &mut Reader) -> ShardSpec {
    let count = reader.small(executor, "shards", Range::new(Unit::Count, 1, MAX_SHARDS)).unwrap_or(1);
    let polling = read_polling(executor, reader);
    let mut part = |key: &str| {
        let (place, _) = executor.entry(key)?;
        if count == 1 {
            let message = format!(
                "`{key}` in {} is ignored: only executors with several `shards` have one",
                executor.what
            );
            reader.notes.push(Note { line: place.place.line, message });
            return None;
        }
        // Jina's word for none.
        read_component(executor, key, reader).filter(|uses| uses != StageSpec::PASSING)
    };
    ShardSpec { before: part("uses_before"), after: part("uses_after"), count, polling }
}

fn read_polling(executor: &Section<'_>, reader: &mut Reader) -> PollingSpec {
    let mut polling = PollingSpec::default();
    let Some(node) = executor.get("polling") else { return polling };
    let wrong = |place: Place, message: String| FlowError::new(Some(place), message).with_hint(POLLING_HINT);
    let entries = match &node.value {
        Value::Text(text) if text.trim_start().starts_with('{') => match entries_of_json(text) {
            Some(entries) => entries,
            None => {
                reader.report(wrong(node.place, format!("`polling` of {} is not JSON", executor.what)));
                return polling;
            }
        },
        Value::Map(entries) => {
            entries.iter().map(|(key, value)| (key.text.clone(), key.place, polling_of(value))).collect()
        }
        _ => {
            match polling_of(node) {
                Some(usual) => polling.usual = usual,
                None => {
                    let message = format!(
                        "`polling` of {} must be `any` or `all`, not {}",
                        executor.what,
                        node.shown()
                    );
                    reader.report(wrong(node.place, message));
                }
            }
            return polling;
        }
    };
    if entries.len() > Manifest::MAX_ENDPOINTS {
        let message =
            format!("`polling` of {} names more than {} endpoints", executor.what, Manifest::MAX_ENDPOINTS);
        reader.report(wrong(node.place, message));
        return polling;
    }
    for (key, place, chosen) in entries {
        let place = if place.line == 0 { node.place } else { place };
        let Some(chosen) = chosen else {
            let message =
                format!("`{}` in `polling` of {} must be `any` or `all`", shorten(&key), executor.what);
            reader.report(wrong(place, message));
            continue;
        };
        match EndpointName::parse(&key) {
            _ if key == "*" => polling.usual = chosen,
            Ok(endpoint) => drop(polling.endpoints.insert(endpoint, chosen)),
            Err(error) => reader.report_at(place, format!("`polling` of {}: {error}", executor.what)),
        }
    }
    polling
}

/// A place of its own each key has only in YAML.
const NOWHERE: Place = Place { line: 0, column: 0, width: 0 };

/// Jina's own form: JSON in a text.
fn entries_of_json(text: &str) -> Option<Vec<(String, Place, Option<Polling>)>> {
    let map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let chosen = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => parse(&text),
        serde_json::Value::Number(number) => number.as_i64().and_then(numbered),
        _ => None,
    };
    Some(map.into_iter().map(|(key, value)| (key, NOWHERE, chosen(value))).collect())
}

fn polling_of(node: &Node) -> Option<Polling> {
    match &node.value {
        Value::Text(text) => parse(text),
        Value::Integer(number) => numbered(*number),
        _ => None,
    }
}

fn parse(text: &str) -> Option<Polling> {
    match text.to_ascii_lowercase().as_str() {
        "any" => Some(Polling::Any),
        "all" => Some(Polling::All),
        _ => None,
    }
}

/// Jina's numbers of them.
fn numbered(number: i64) -> Option<Polling> {
    match number {
        1 => Some(Polling::Any),
        2 => Some(Polling::All),
        _ => None,
    }
}
