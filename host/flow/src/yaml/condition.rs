//! `when:` of an executor: which documents it gets.

use lockgate_domain::Condition;
use lockgate_domain::condition::{Step, Written};

use super::errors::FlowError;
use super::executor::json;
use super::reader::{Reader, Section};
use super::tree::{Node, Value};

/// The condition; what is wrong with it is shown where it stands.
pub(super) fn read_condition(executor: &Section<'_>, reader: &mut Reader) -> Option<Condition> {
    let node = executor.get("when")?;
    match Condition::parse(&written(node)) {
        Ok(condition) => Some(condition),
        Err(error) => {
            let place = error.path.iter().try_fold(node, step).unwrap_or(node).place;
            let message = format!("`when` of {}: {}", executor.what, error.message);
            let report = FlowError::new(Some(place), message);
            reader.report(match error.hint {
                Some(hint) => report.with_hint(hint),
                None => report,
            });
            None
        }
    }
}

fn step<'a>(node: &'a Node, step: &Step) -> Option<&'a Node> {
    match (step, &node.value) {
        (Step::Key(key), _) => node.get(key),
        (Step::Item(index), Value::List(items)) => items.get(*index),
        (Step::Item(_), _) => None,
    }
}

fn written(node: &Node) -> Written {
    match &node.value {
        Value::List(items) => Written::List(items.iter().map(written).collect()),
        Value::Map(entries) => {
            Written::Map(entries.iter().map(|(key, value)| (key.text.clone(), written(value))).collect())
        }
        // A number that JSON cannot hold equals nothing.
        _ => Written::Plain(json(node).unwrap_or(serde_json::Value::Null)),
    }
}
