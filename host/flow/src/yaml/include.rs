//! Files that a flow file names: an executor's YAML under `uses:`, a deployment's as an entry of `executors:`.
//!
//! Reading them is the caller's affair ([`Include`]); a host that takes flows from strangers gives no reader and nothing
//! is opened. What such a file says becomes part of the entry that names it, which wins where both say something. Its
//! own mistakes are told at that entry with the line in that file.

#[cfg(test)]
mod tests;

use std::cell::Cell;

use super::FlowFile;
use super::errors::FlowError;
use super::keys;
use super::reader::Reader;
use super::tree::{self, Key, Node, Value, shorten};
use super::{Note, substitute};
use crate::graph::MAX_STAGES;

/// Reads a file that a flow names; paths are as written. The error is one sentence.
pub type Include<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Keys of an executor's file, and what they are called in an entry.
const MERGED: &[(&str, &str)] = &[
    ("with", "uses_with"),
    ("metas", "uses_metas"),
    ("requests", "uses_requests"),
    ("dynamic_batching", "uses_dynamic_batching"),
];

/// What is needed to read further files.
pub(super) struct Included<'a> {
    pub(super) include: Include<'a>,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    /// Files that may still be read.
    left: Cell<usize>,
}

impl<'a> Included<'a> {
    pub(super) fn new(include: Include<'a>, environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { include, environment, left: Cell::new(2 * MAX_STAGES) }
    }

    /// Replaces entries that are paths of deployments by what those files say.
    pub(super) fn deployments(&self, tree: &mut Node, reader: &mut Reader) {
        for item in entries(tree) {
            let Value::Text(path) = &item.value else { continue };
            if !is_yaml(path) {
                continue;
            }
            let path = path.clone();
            let Some(mut file) = self.read(&path, item, reader) else {
                let uses = Key { place: item.place, text: "uses".to_owned() };
                item.value = Value::Map(vec![(uses, unresolved(item, &path))]);
                continue;
            };
            let is_deployment = matches!(file.get("jtype").map(|kind| &kind.value), Some(Value::Text(kind)) if kind == "Deployment");
            if is_deployment {
                move_uses(&mut file, &path);
                *item = file;
            } else {
                let message = format!("{} is not a file with `jtype: Deployment`", shorten(&path));
                reader.report_at(item.place, message);
            }
        }
    }

    /// Replaces `uses` that name an executor's YAML by what it says.
    pub(super) fn executors(&self, tree: &mut Node, reader: &mut Reader) {
        for item in entries(tree) {
            let Some(uses) = item.get("uses") else { continue };
            let Value::Text(path) = &uses.value else { continue };
            if !is_yaml(path) || path.contains("://") {
                continue;
            }
            let (path, uses) = (path.clone(), uses.clone());
            match self.read(&path, &uses, reader) {
                Some(file) => merge(item, &file, &path, &uses, reader),
                None => item.set("uses", unresolved(&uses, &path)),
            }
        }
    }

    /// A file as a tree; all its places are those of the value that names it.
    fn read(&self, path: &str, named: &Node, reader: &mut Reader) -> Option<Node> {
        let shown = shorten(path);
        let Some(left) = self.left.get().checked_sub(1) else {
            reader.report_at(named.place, "the flow names too many files");
            return None;
        };
        self.left.set(left);
        let text = match (self.include)(path) {
            Ok(text) if text.len() <= FlowFile::MAX_BYTES => text,
            Ok(_) => {
                reader.report_at(named.place, format!("{shown} is too large for a YAML file"));
                return None;
            }
            Err(why) => {
                reader.report(
                    FlowError::new(Some(named.place), format!("cannot read {shown}: {}", shorten(&why)))
                        .with_hint("paths start at the folder of the flow file"),
                );
                return None;
            }
        };
        let mut inner = Reader::default();
        let tree = match tree::parse(&text) {
            Ok(mut tree) => {
                tree.check_duplicates(&mut inner);
                substitute::substitute(&mut tree, self.environment, &mut inner);
                Some(tree)
            }
            Err(error) => {
                inner.report(error);
                None
            }
        };
        let is_whole = inner.errors.is_empty();
        pass_on(inner, path, named, reader);
        tree.filter(|_| is_whole).map(|mut tree| {
            tree.place_at(named.place);
            tree
        })
    }
}

/// A value that is missing for a reason that was told.
fn unresolved(named: &Node, path: &str) -> Node {
    Node { written: Some(path.to_owned()), ..Node::of(named.place, Value::Null) }
}

/// Errors of another file, at the place that names it.
fn pass_on(inner: Reader, path: &str, named: &Node, reader: &mut Reader) {
    let shown = shorten(path);
    for error in inner.errors {
        let line = error.place.map(|place| format!(", line {}", place.line)).unwrap_or_default();
        let told = FlowError::new(Some(named.place), format!("{shown}{line}: {}", error.message));
        reader.report(match error.hint {
            Some(hint) => told.with_hint(hint),
            None => told,
        });
    }
    reader.notes.extend(inner.notes.into_iter().map(|note| Note {
        line: named.place.line,
        message: format!("{shown}, line {}: {}", note.line, note.message),
    }));
}

fn entries(tree: &mut Node) -> impl Iterator<Item = &mut Node> {
    let items = match tree.get_mut("executors").map(|node| &mut node.value) {
        Some(Value::List(items)) => items.as_mut_slice(),
        _ => &mut [],
    };
    items.iter_mut().take(MAX_STAGES)
}

pub(super) fn is_yaml(path: &str) -> bool {
    matches!(path.rsplit_once('.'), Some((_, "yml" | "yaml" | "jaml")))
}

/// A path in a file that another file names, as seen from that other file.
fn seen_from_outside(file: &str, inner: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) if !inner.starts_with('/') && !inner.contains("://") => {
            format!("{folder}/{}", inner.trim_start_matches("./"))
        }
        _ => inner.to_owned(),
    }
}

fn move_uses(deployment: &mut Node, path: &str) {
    if let Some(Node { value: Value::Text(uses), .. }) =
        deployment.get_mut("with").and_then(|with| with.get_mut("uses"))
    {
        // The name of a class is no path.
        if uses.contains(['.', '/']) {
            *uses = seen_from_outside(path, uses);
        }
    }
}

/// Puts what an executor's file says into the entry that names it.
fn merge(item: &mut Node, file: &Node, path: &str, named: &Node, reader: &mut Reader) {
    let what = format!("the executor's file {}", shorten(path));
    let Some(section) = reader.section(file, what.clone(), keys::EXECUTOR_FILE) else { return };
    let component = match section.get("uses").map(|node| &node.value) {
        Some(Value::Text(uses)) => seen_from_outside(path, uses),
        _ => {
            reader.report(
                FlowError::new(Some(named.place), format!("{what} does not name its component")).with_hint(
                    "build the executor as a component and add `uses: NAME.wasm` to that file; Jina does not mind the key",
                ),
            );
            item.set("uses", unresolved(named, path));
            return;
        }
    };
    item.set("uses", Node::text(named.place, &component));
    for (inner, outer) in MERGED {
        let Some(node) = section.get(inner) else { continue };
        let merged = match (&node.value, item.get(outer).map(|own| &own.value)) {
            // The entry wins, key by key.
            (Value::Map(theirs), Some(Value::Map(own))) => {
                let is_new = |(key, _): &&(Key, Node)| own.iter().all(|(known, _)| known.text != key.text);
                Value::Map(own.iter().chain(theirs.iter().filter(is_new)).cloned().collect())
            }
            (_, Some(own)) if !matches!(own, Value::Null) => continue,
            (theirs, _) => theirs.clone(),
        };
        item.set(outer, Node::of(named.place, merged));
    }
}
