//! Variables and references in values: `${{ ENV.NAME }}`, `$NAME`, `${{ root.with.name }}`.
//!
//! Works on parsed values, so what a variable holds can never become structure, and what was filled in is not read
//! again. A value that is nothing but one variable takes the type that its text has in YAML (a port stays a number);
//! inside other text it is text. Values from the environment are never shown in messages. References to other places of
//! the file may chain; the work of all of them together is bounded, because each could name the next one twice.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::Note;
use super::errors::FlowError;
use super::reader::Reader;
use super::tree::{Node, Value, shorten};

/// Longest text after substitution, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Text that all substitutions of a file may make together, in bytes.
const MAX_TOTAL_BYTES: usize = 1 << 20;
/// References that are followed for one file.
const MAX_REFERENCES: usize = 10_000;
/// References that may lead from one to the next.
const MAX_CHAIN: usize = 8;

/// Fills in variables: the environment's, else those of the file's own `with: env:`.
pub(super) fn substitute(tree: &mut Node, environment: &dyn Fn(&str) -> Option<String>, reader: &mut Reader) {
    let own = own_variables(tree);
    let lookup = |name: &str| environment(name).or_else(|| own.get(name).cloned());
    let original = tree.clone();
    let scope = Scope {
        lookup: &lookup,
        root: &original,
        references: Cell::new(0),
        bytes: Cell::new(0),
        unset: RefCell::default(),
    };
    walk(tree, &original, None, &scope, reader);
}

/// What values are filled from.
struct Scope<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// The file as it was written.
    root: &'a Node,
    references: Cell<usize>,
    bytes: Cell<usize>,
    /// Names after a `$` that no variable has, of the value that is being filled.
    unset: RefCell<Vec<String>>,
}

fn own_variables(tree: &Node) -> BTreeMap<String, String> {
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::Switch(value) => Some(value.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    };
    let sections = ["gateway", "with"].into_iter().filter_map(|key| tree.get(key)?.get("env"));
    sections
        .filter_map(|env| match &env.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        })
        .flatten()
        .filter_map(|(key, node)| Some((key.text.clone(), text(node)?)))
        .collect()
}

/// Fills in a node; `original` is the same node as it was written, `this` the map around it.
fn walk(node: &mut Node, original: &Node, this: Option<&Node>, scope: &Scope<'_>, reader: &mut Reader) {
    match (&mut node.value, &original.value) {
        (Value::List(items), Value::List(originals)) => {
            items.iter_mut().zip(originals).for_each(|(item, written)| {
                walk(item, written, this, scope, reader);
            });
        }
        (Value::Map(entries), Value::Map(originals)) => {
            entries.iter_mut().zip(originals).for_each(|((_, value), (_, written))| {
                walk(value, written, Some(original), scope, reader);
            });
        }
        (Value::Text(text), _) if text.contains('$') => {
            let written = text.clone();
            let filled = fill(&written, this, scope, 0);
            for name in scope.unset.take() {
                let message = format!("`${}` stays as it is: no such variable is set", shorten(&name));
                reader.notes.push(Note { line: node.place.line, message });
            }
            match filled {
                Ok(Value::Text(same)) if same == written => return,
                Ok(filled) => node.value = filled,
                Err((message, hint)) => {
                    reader.report(FlowError::new(Some(node.place), message).with_hint(hint));
                    // What follows would only complain about the same text again.
                    node.value = Value::Null;
                }
            }
            node.written = Some(written);
        }
        _ => {}
    }
}

/// A message and a hint.
type Refusal = (String, String);

fn fill(text: &str, this: Option<&Node>, scope: &Scope<'_>, depth: usize) -> Result<Value, Refusal> {
    let (mut filled, mut rest, mut only) = (String::new(), text, None);
    while let Some(start) = rest.find('$') {
        let (before, after) = rest.split_at(start);
        filled.push_str(before);
        let Some((value, after)) = substitution(after, text, this, scope, depth)? else {
            filled.push('$');
            rest = after.get(1..).unwrap_or_default();
            continue;
        };
        let is_whole = filled.is_empty() && before.is_empty() && after.is_empty();
        filled.push_str(&plain(&value)?);
        only = is_whole.then_some(value);
        spend(scope, &filled)?;
        rest = after;
    }
    filled.push_str(rest);
    Ok(only.unwrap_or(Value::Text(filled)))
}

/// The value of what stands behind a `$`, and the rest of the text; none if it is only a `$`.
fn substitution<'t>(
    after: &'t str,
    text: &str,
    this: Option<&Node>,
    scope: &Scope<'_>,
    depth: usize,
) -> Result<Option<(Value, &'t str)>, Refusal> {
    if let Some(inside) = after.strip_prefix("${{") {
        let Some((expression, rest)) = inside.split_once("}}") else {
            return Err((format!("`{}` is not closed", shorten(text)), "write `${{ ENV.NAME }}`".to_owned()));
        };
        return Ok(Some((evaluate(expression.trim(), this, scope, depth)?, rest)));
    }
    let braced = after.strip_prefix("${").and_then(|inside| inside.split_once('}'));
    let Some((name, rest)) = braced.or_else(|| {
        let inside = after.strip_prefix('$')?;
        let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
        inside.split_at_checked(end)
    }) else {
        return Ok(None);
    };
    if !is_name(name) || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(None);
    }
    let value = (scope.lookup)(name);
    if value.is_none() {
        scope.unset.borrow_mut().push(name.to_owned());
    }
    Ok(value.map(|value| (typed(value), rest)))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What stands between `${{` and `}}`.
fn evaluate(
    expression: &str,
    this: Option<&Node>,
    scope: &Scope<'_>,
    depth: usize,
) -> Result<Value, Refusal> {
    let (head, tail) = expression.split_once('.').unwrap_or(("", expression));
    match head {
        "root" => refer(expression, tail, Some(scope.root), scope, depth),
        "this" => refer(expression, tail, this, scope, depth),
        "" | "ENV" | "env" | "CONTEXT" | "context" if is_name(tail) => variable(head, tail, scope),
        _ => Err((
            format!("`${{{{ {} }}}}` is not supported", shorten(expression)),
            "only variables and places of this file are filled in: `${{ ENV.NAME }}`, `${{ root.with.name }}`"
                .to_owned(),
        )),
    }
}

fn variable(head: &str, name: &str, scope: &Scope<'_>) -> Result<Value, Refusal> {
    (scope.lookup)(name).map(typed).ok_or_else(|| {
        let kind = if matches!(head, "ENV" | "env") { "environment variable" } else { "variable" };
        (
            format!("the {kind} `{}` is not set", shorten(name)),
            "set it, or give it a value under `with:` `env:`".to_owned(),
        )
    })
}

/// The value at another place of the file, filled in as well.
fn refer(
    expression: &str,
    path: &str,
    from: Option<&Node>,
    scope: &Scope<'_>,
    depth: usize,
) -> Result<Value, Refusal> {
    let shown = || format!("`${{{{ {} }}}}`", shorten(expression));
    scope.references.set(scope.references.get() + 1);
    if depth >= MAX_CHAIN || scope.references.get() > MAX_REFERENCES {
        return Err((
            format!("{} leads from reference to reference without an end", shown()),
            "let it name a plain value".to_owned(),
        ));
    }
    let Some((node, this)) = from.and_then(|from| find(from, path)) else {
        return Err((
            format!("{} names nothing in this file", shown()),
            "start at the top with `root.`, or beside this key with `this.`".to_owned(),
        ));
    };
    match &node.value {
        Value::List(_) | Value::Map(_) => Err((
            format!("{} is {}, not a plain value", shown(), node.shown()),
            "name one of the values in it".to_owned(),
        )),
        Value::Text(text) if text.contains('$') => fill(text, Some(this), scope, depth + 1),
        value => Ok(value.clone()),
    }
}

/// The node at a path such as `executors[0].name`, and the map around it.
fn find<'n>(from: &'n Node, path: &str) -> Option<(&'n Node, &'n Node)> {
    let (mut node, mut around) = (from, from);
    for step in path.split('.') {
        let mut parts = step.split('[');
        let key = parts.next()?;
        around = node;
        node = node.get(key)?;
        for index in parts {
            let index: usize = index.strip_suffix(']')?.parse().ok()?;
            let Value::List(items) = &node.value else { return None };
            node = items.get(index)?;
        }
    }
    Some((node, around))
}

/// Counts what was made, and ends what makes too much.
fn spend(scope: &Scope<'_>, filled: &str) -> Result<(), Refusal> {
    scope.bytes.set(scope.bytes.get().saturating_add(filled.len()));
    if filled.len() <= MAX_BYTES && scope.bytes.get() <= MAX_TOTAL_BYTES {
        return Ok(());
    }
    let message = if filled.len() > MAX_BYTES {
        format!("a value is longer than {MAX_BYTES} bytes after substitution")
    } else {
        format!("the values of the file are longer than {MAX_TOTAL_BYTES} bytes after substitution")
    };
    Err((message, "pass it in another way, such as a document".to_owned()))
}

/// A value inside other text.
fn plain(value: &Value) -> Result<String, Refusal> {
    Ok(match value {
        Value::Null => String::new(),
        Value::Switch(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(text) => text.clone(),
        Value::List(_) | Value::Map(_) => {
            return Err(("a list is no text".to_owned(), "name one of the values in it".to_owned()));
        }
    })
}

/// The type that the text would have in YAML, if writing the value gives the text back.
fn typed(text: String) -> Value {
    match text.as_str() {
        "true" => return Value::Switch(true),
        "false" => return Value::Switch(false),
        _ => {}
    }
    if let Ok(value) = text.parse::<i64>()
        && value.to_string() == text
    {
        return Value::Integer(value);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value.to_string() == text => Value::Number(value),
        _ => Value::Text(text),
    }
}
