//! Values as a condition compares them: Python's rules, for what a column or a JSON text may hold.
//!
//! A boolean is the number 0 or 1, and numbers are equal whatever they are written as. What cannot be compared is
//! neither equal nor in any order.

use std::cmp::Ordering;

use serde_json::Value;

/// What a field of one document holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    /// Python's `None`.
    Nothing,
    Text(&'a str),
    Number(f64),
    Json(Value),
    /// Something that is only counted: bytes, tensors, nested documents.
    Sized(u64),
}

impl<'a> Cell<'a> {
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Cell::Nothing | Cell::Json(Value::Null))
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Cell::Number(number) => Some(*number),
            Cell::Json(value) => number(value),
            Cell::Nothing | Cell::Text(_) | Cell::Sized(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text),
            Cell::Json(Value::String(text)) => Some(text),
            Cell::Nothing | Cell::Number(_) | Cell::Json(_) | Cell::Sized(_) => None,
        }
    }

    /// Python's `len`.
    pub(super) fn size(&self) -> Option<u64> {
        let size = match self {
            Cell::Sized(size) => return Some(*size),
            Cell::Json(Value::Array(items)) => items.len(),
            Cell::Json(Value::Object(map)) => map.len(),
            Cell::Text(_) | Cell::Json(_) | Cell::Nothing | Cell::Number(_) => self.text()?.chars().count(),
        };
        u64::try_from(size).ok()
    }

    /// Python's `==`.
    pub(super) fn equals(&self, other: &Cell<'_>) -> bool {
        if self.is_nothing() || other.is_nothing() {
            return self.is_nothing() && other.is_nothing();
        }
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return a == b;
        }
        if let (Some(a), Some(b)) = (self.text(), other.text()) {
            return a == b;
        }
        match (self, other) {
            (Cell::Json(a), Cell::Json(b)) => same(a, b),
            _ => false,
        }
    }

    /// How they stand to each other, if they do.
    pub(super) fn compare(&self, other: &Cell<'_>) -> Option<Ordering> {
        match (self.number(), other.number()) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => Some(self.text()?.cmp(other.text()?)),
        }
    }

    /// Python's `in`: an item of a list, a part of a text, a key of an object.
    pub(super) fn is_in(&self, members: &Cell<'_>) -> bool {
        match members {
            Cell::Json(Value::Array(items)) => items.iter().any(|item| self.equals_value(item)),
            Cell::Json(Value::Object(map)) => self.text().is_some_and(|text| map.contains_key(text)),
            _ => members.text().zip(self.text()).is_some_and(|(whole, part)| whole.contains(part)),
        }
    }

    fn equals_value(&self, value: &Value) -> bool {
        match (value, self) {
            (Value::Null, _) => self.is_nothing(),
            (Value::String(text), _) => self.text() == Some(text),
            (_, Cell::Json(own)) => same(own, value),
            _ => self.number().is_some_and(|own| number(value) == Some(own)),
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Number(value) => value.as_f64(),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}
