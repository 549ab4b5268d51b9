//! `jtype: Deployment`: an executor that is served without a flow around it.
//!
//! Jina writes the executor's keys and those of its port into one `with:`. Here a deployment is a flow of one stage: the
//! tree is turned into that of a flow before it is read, so every key means what it means there, and every mistake is
//! told in the same words. Entries of `executors:` may be deployments as well; their own port has no meaning then.

#[cfg(test)]
mod tests;

use lockgate_domain::FlowName;

use super::errors::FlowError;
use super::keys::{self, Rule};
use super::reader::Reader;
use super::tree::{Key, Node, Value};

/// What Jina calls a deployment without a name.
const DEFAULT_NAME: &str = "executor";

/// Keys that are about the port where both an executor and a gateway have them.
const SERVED: &[&str] = &["port", "host", "protocol", "env", "tls"];

type Entry = (Key, Node);

/// Turns a deployment into a flow, and entries that are deployments into plain ones. Whatever else it is stays as it is.
pub(super) fn to_flow(tree: &mut Node, reader: &mut Reader) {
    if is_deployment(tree) {
        return read_alone(tree, reader);
    }
    let Some(Value::List(items)) = tree.get_mut("executors").map(|node| &mut node.value) else { return };
    for item in items.iter_mut().filter(|item| is_deployment(item)) {
        flatten(item, reader);
    }
}

fn is_deployment(node: &Node) -> bool {
    let kind = node.get("jtype").map(|kind| &kind.value);
    matches!(kind, Some(Value::Text(kind)) if kind == "Deployment")
}

/// A whole file.
fn read_alone(tree: &mut Node, reader: &mut Reader) {
    let place = tree.place;
    let _checked = reader.section(tree, "the deployment".to_owned(), keys::DEPLOYMENT);
    let (mut root, mut settings) = (Vec::new(), None);
    for (key, node) in take_map(tree) {
        match key.text.as_str() {
            "with" => settings = Some((key, node)),
            "version" | "fuel" | "timeout" => root.push((key, node)),
            // The kind is known by now, and what else there is has been reported.
            _ => {}
        }
    }
    let made = |text: &str| Key { place, text: text.to_owned() };
    root.push((made("jtype"), Node::text(place, "Flow")));
    let Some((with, mut settings)) = settings.filter(|(_, node)| matches!(node.value, Value::Map(_))) else {
        reader.report(
            FlowError::new(Some(place), "the deployment does not say what it runs")
                .with_hint("write `with:` and under it `uses:` with a `.wasm` file or a source folder"),
        );
        tree.value = Value::Null;
        return;
    };
    let with_place = settings.place;
    let (served, mut executor): (Vec<Entry>, Vec<Entry>) =
        take_map(&mut settings).into_iter().partition(|(key, _)| is_served(&key.text));
    let mut gateway = served;
    match executor.iter().find(|(key, node)| key.text == "name" && !node.is_null()) {
        Some((key, Node { value: Value::Text(name), place, .. })) if name.parse::<FlowName>().is_ok() => {
            gateway.push((key.clone(), Node::text(*place, name)));
        }
        Some(_) => {}
        None => {
            executor.push((made("name"), Node::text(with.place, DEFAULT_NAME)));
            gateway.push((made("name"), Node::text(with.place, DEFAULT_NAME)));
        }
    }
    let stage = Node::of(with_place, Value::Map(executor));
    root.push((with, Node::of(with_place, Value::Map(gateway))));
    root.push((made("executors"), Node::of(with_place, Value::List(vec![stage]))));
    tree.value = Value::Map(root);
}

/// An entry of `executors:`: `{jtype: Deployment, with: {...}, needs: ...}`.
fn flatten(item: &mut Node, reader: &mut Reader) {
    let (mut entries, mut settings) = (Vec::new(), None);
    for (key, node) in take_map(item) {
        match key.text.as_str() {
            "jtype" | "version" => {}
            "with" => settings = Some(node),
            _ => entries.push((key, node)),
        }
    }
    match settings.map(|node| (node.place, node.value)) {
        Some((_, Value::Map(inner))) => entries.extend(inner),
        Some((place, _)) => reader.report_at(place, "`with` of a deployment must be a set of keys"),
        None => {}
    }
    item.value = Value::Map(entries);
}

/// Whether a key of `with:` is about the port, not about the executor.
pub(super) fn is_served(key: &str) -> bool {
    match (keys::rule(keys::WITH, key), keys::rule(keys::EXECUTOR, key)) {
        (Some(_), None) => true,
        (Some(Rule::Taken), Some(Rule::Refused(_))) => true,
        (Some(_), Some(_)) => SERVED.contains(&key),
        (None, _) => false,
    }
}

fn take_map(node: &mut Node) -> Vec<Entry> {
    match std::mem::replace(&mut node.value, Value::Null) {
        Value::Map(entries) => entries,
        _ => Vec::new(),
    }
}
