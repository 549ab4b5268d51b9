//! `${{ ENV.NAME }}` in values.
//!
//! Works on parsed values, so what a variable holds can never become structure. A value that is nothing but one
//! substitution takes the type that its text has in YAML (a port stays a number); inside other text it is text. Values
//! from the environment are never shown in messages.

use std::collections::BTreeMap;

use super::errors::{FlowError, Place};
use super::reader::Reader;
use super::tree::{Node, Value, shorten};

/// Longest text after substitution, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Fills in variables: the environment's, else those of the file's own `with: env:`.
pub(super) fn substitute(tree: &mut Node, environment: &dyn Fn(&str) -> Option<String>, reader: &mut Reader) {
    let own = own_variables(tree);
    let lookup = |name: &str| environment(name).or_else(|| own.get(name).cloned());
    walk(tree, &lookup, reader);
}

fn own_variables(tree: &Node) -> BTreeMap<String, String> {
    let Some(Value::Map(entries)) = tree.get("with").and_then(|with| with.get("env")).map(|env| &env.value)
    else {
        return BTreeMap::new();
    };
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::Switch(value) => Some(value.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    };
    entries.iter().filter_map(|(key, node)| Some((key.text.clone(), text(node)?))).collect()
}

fn walk(node: &mut Node, lookup: &dyn Fn(&str) -> Option<String>, reader: &mut Reader) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| walk(item, lookup, reader)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| walk(value, lookup, reader)),
        Value::Text(text) if text.contains("${{") => {
            let written = text.clone();
            match fill(&written, lookup) {
                Ok(filled) => node.value = filled,
                Err((message, hint)) => {
                    reader.report(at(node.place, message).with_hint(hint));
                    // What follows would only complain about the same text again.
                    node.value = Value::Null;
                }
            }
            node.written = Some(written);
        }
        Value::Text(_) | Value::Null | Value::Switch(_) | Value::Integer(_) | Value::Number(_) => {}
    }
}

fn at(place: Place, message: String) -> FlowError {
    FlowError::new(Some(place), message)
}

/// A message and a hint.
type Refusal = (String, String);

fn fill(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Value, Refusal> {
    let (mut filled, mut rest, mut is_whole) = (String::new(), text, false);
    while let Some((before, after)) = rest.split_once("${{") {
        let Some((expression, after)) = after.split_once("}}") else {
            return Err((format!("`{}` is not closed", shorten(text)), "write `${{ ENV.NAME }}`".to_owned()));
        };
        let value = variable(expression.trim(), lookup)?;
        is_whole = filled.is_empty() && before.is_empty() && after.is_empty();
        filled.push_str(before);
        filled.push_str(&value);
        if filled.len() > MAX_BYTES {
            return Err((
                format!("a value is longer than {MAX_BYTES} bytes after substitution"),
                "pass it in another way, such as a document".to_owned(),
            ));
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(if is_whole { typed(filled) } else { Value::Text(filled) })
}

fn variable(expression: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, Refusal> {
    let is_name = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let Some(name) = expression.strip_prefix("ENV.").filter(is_name) else {
        return Err((
            format!("`${{{{ {} }}}}` is not supported", shorten(expression)),
            "only environment variables are filled in: `${{ ENV.NAME }}`".to_owned(),
        ));
    };
    lookup(name).ok_or_else(|| {
        (
            format!("the environment variable `{}` is not set", shorten(name)),
            "set it, or give it a value under `with:` `env:`".to_owned(),
        )
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
