//! Reads values out of the tree and collects everything that is wrong on the way.
//!
//! A reader never stops at the first error: what cannot be read gives none, and the caller goes on with the next key.

use super::Note;
use super::errors::{FlowError, Place};
use super::keys::{self, Rule, Table};
use super::tree::{Key, Node, Value, shorten};
use super::units::{self, Unit};
use crate::graph::nearest;

/// Longest title and description in bytes.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// A hint names all keys of a section that has at most so many.
const KEYS_NAMED: usize = 6;

/// Errors and notes of one file.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) errors: Vec<FlowError>,
    pub(super) notes: Vec<Note>,
}

/// A map whose keys were checked against a table.
#[derive(Debug, Clone)]
pub(super) struct Section<'a> {
    /// How messages call it, such as ``executor `encoder` ``.
    pub(super) what: String,
    entries: &'a [(Key, Node)],
}

/// Bounds of a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) unit: Unit,
    pub(super) least: u64,
    pub(super) most: u64,
}

impl Range {
    pub(super) const fn new(unit: Unit, least: u64, most: u64) -> Self {
        Self { unit, least, most }
    }
}

impl Reader {
    pub(super) fn report(&mut self, error: FlowError) {
        self.errors.push(error);
    }

    pub(super) fn report_at(&mut self, place: Place, message: impl Into<String>) {
        self.errors.push(FlowError::new(Some(place), message));
    }

    /// A map; reports what is no map, and each key that the table does not take.
    pub(super) fn section<'a>(&mut self, node: &'a Node, what: String, table: Table) -> Option<Section<'a>> {
        let Value::Map(entries) = &node.value else {
            self.report_at(node.place, format!("{what} must be a set of keys, not {}", node.shown()));
            return None;
        };
        for (key, _) in entries {
            self.check_key(key, &what, table);
        }
        Some(Section { what, entries })
    }

    fn check_key(&mut self, key: &Key, what: &str, table: Table) {
        let name = shorten(&key.text);
        match keys::rule(table, &key.text) {
            Some(Rule::Taken) => {}
            Some(Rule::Ignored(reason)) => {
                let message = format!("`{name}` in {what} is ignored: {reason}");
                self.notes.push(Note { line: key.place.line, message });
            }
            Some(Rule::Later) => {
                let message = format!("`{name}` in {what} is not supported yet");
                self.report(FlowError::new(Some(key.place), message).with_hint("remove it"));
            }
            Some(Rule::Refused(hint)) => {
                let message = format!("`{name}` in {what} means nothing here");
                self.report(FlowError::new(Some(key.place), message).with_hint(hint));
            }
            None => {
                let error = FlowError::new(Some(key.place), format!("unknown key `{name}` in {what}"));
                let elsewhere = keys::HOMES
                    .iter()
                    .find(|(home, _)| keys::rule(home, &key.text).is_some_and(|rule| rule == Rule::Taken));
                let taken = table.iter().filter(|(_, rule)| *rule == Rule::Taken).map(|(name, _)| *name);
                let taken: Vec<&str> = taken.collect();
                let plural = taken.iter().find(|name| name.strip_suffix('s') == Some(key.text.as_str()));
                self.report(match (plural, elsewhere, nearest(&key.text, taken.iter().copied())) {
                    (Some(nearest), _, _) => error.with_hint(format!("did you mean `{nearest}`?")),
                    (None, Some((_, home)), _) => error.with_hint(format!("write it {home}")),
                    (None, None, Some(nearest)) => error.with_hint(format!("did you mean `{nearest}`?")),
                    (None, None, None) if taken.len() <= KEYS_NAMED => {
                        error.with_hint(format!("known here: `{}`", taken.join("`, `")))
                    }
                    (None, None, None) => error,
                });
            }
        }
    }

    /// A number of the unit within its range.
    pub(super) fn number(&mut self, section: &Section<'_>, key: &str, range: Range) -> Option<u64> {
        let node = section.get(key)?;
        let value = units::parse(&node.value, range.unit);
        if let Some(value) = value.filter(|value| (range.least..=range.most).contains(value)) {
            return Some(value);
        }
        let message = format!(
            "`{key}` of {} must be {} from {} to {}, not {}",
            section.what,
            range.unit.expected(),
            range.unit.shown(range.least),
            range.unit.shown(range.most),
            node.shown()
        );
        let error = FlowError::new(Some(node.place), message);
        let is_unlimited = matches!(node.value, Value::Integer(-1 | 0));
        self.report(if is_unlimited {
            error.with_hint("there is no value for \"unlimited\": leave the key out for the default")
        } else {
            error
        });
        None
    }

    /// As [`Reader::number`], for the keys in which Jina takes -1 for "the default".
    pub(super) fn number_or_default(
        &mut self,
        section: &Section<'_>,
        key: &str,
        range: Range,
    ) -> Option<u64> {
        match section.get(key)?.value {
            Value::Integer(-1) => None,
            _ => self.number(section, key, range),
        }
    }

    /// As [`Reader::number`], for 32 bits.
    pub(super) fn small(&mut self, section: &Section<'_>, key: &str, range: Range) -> Option<u32> {
        self.number(section, key, range).and_then(|value| u32::try_from(value).ok())
    }

    /// A text; numbers and switches are taken as they are written.
    pub(super) fn text(&mut self, section: &Section<'_>, key: &str) -> Option<String> {
        let node = section.get(key)?;
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Integer(value) => Some(value.to_string()),
            Value::Number(value) => Some(value.to_string()),
            Value::Switch(value) => Some(value.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.report_at(
                    node.place,
                    format!("`{key}` of {} must be a text, not {}", section.what, node.shown()),
                );
                None
            }
        }
    }

    /// A text of a length that can be shown.
    pub(super) fn short_text(&mut self, section: &Section<'_>, key: &str) -> Option<String> {
        let text = self.text(section, key)?;
        if text.len() > MAX_TEXT_BYTES {
            let place = section.get(key)?.place;
            let message = format!("`{key}` has {} bytes, at most {MAX_TEXT_BYTES} are taken", text.len());
            self.report_at(place, message);
            return None;
        }
        Some(text)
    }

    /// A name or another parsed text.
    pub(super) fn parsed<T: std::str::FromStr>(&mut self, section: &Section<'_>, key: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.text(section, key)?;
        let node = section.get(key)?;
        text.parse()
            .map_err(|error| self.report_at(node.place, format!("`{key}` of {}: {error}", section.what)))
            .ok()
    }

    pub(super) fn switch(&mut self, section: &Section<'_>, key: &str) -> Option<bool> {
        let node = section.get(key)?;
        match node.value {
            Value::Switch(value) => Some(value),
            _ => {
                let shown = node.shown();
                self.report_at(
                    node.place,
                    format!("`{key}` of {} must be true or false, not {shown}", section.what),
                );
                None
            }
        }
    }
}

impl<'a> Section<'a> {
    /// The value of a key; none if it is missing or empty.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// Whether the value is missing because a substitution failed, which has been reported.
    pub(super) fn is_unresolved(&self, key: &str) -> bool {
        self.entries.iter().any(|(known, node)| known.text == key && node.is_null() && node.written.is_some())
    }

    /// Whether the key stands there with a value, even one that could not be filled in.
    pub(super) fn mentions(&self, key: &str) -> bool {
        self.get(key).is_some() || self.is_unresolved(key)
    }

    /// A key and its value; none if it is missing or empty.
    pub(super) fn entry(&self, key: &str) -> Option<(&'a Key, &'a Node)> {
        let found = self.entries.iter().find(|(known, _)| known.text == key);
        found.filter(|(_, node)| !node.is_null()).map(|(key, node)| (key, node))
    }
}
