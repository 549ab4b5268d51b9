//! The file as a tree in which every key and value knows its place.
//!
//! The parser's budgets are set here, far below what it allows by default: a flow file is short.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{AliasLimits, DuplicateKeyPolicy};
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::errors::{FlowError, Place};
use super::reader::Reader;

/// Deepest nesting.
const MAX_DEPTH: usize = 24;
/// Most keys, values and items, those that aliases repeat included.
const MAX_NODES: usize = 20_000;
/// Most `*alias` uses, and `&anchor` definitions.
const MAX_ALIASES: usize = 200;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// The text as written, where a substitution changed it: what came from the environment may be a secret and is not
    /// shown.
    pub(super) written: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Switch(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) text: String,
}

/// Reads YAML; gives the parser's first complaint.
pub(super) fn parse(text: &str) -> Result<Node, FlowError> {
    let mut alias_limits = AliasLimits::default();
    alias_limits.max_total_replayed_events = MAX_NODES;
    alias_limits.max_replay_stack_depth = 8;
    alias_limits.max_alias_expansions_per_anchor = MAX_ALIASES;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_merge_keys: MAX_ALIASES,
            max_recorded_anchor_events: 4 * MAX_NODES,
            max_documents: 8,
        },
        alias_limits: alias_limits,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options)
        .map(Node::from)
        .map_err(|error| complaint(&error))
}

fn complaint(error: &serde_saphyr::Error) -> FlowError {
    let known = error.location().filter(|location| *location != Location::UNKNOWN);
    let place = known.map(|location| place(location, 1));
    let mut error = error.without_snippet();
    while let serde_saphyr::Error::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    match error {
        serde_saphyr::Error::UnsupportedTag { tag, .. } => {
            FlowError::new(place, format!("the tag `{}` is not known", shorten(tag))).with_hint(
                "write `jtype: Flow` instead of a tag; `lockgate migrate` rewrites a file of Jina's",
            )
        }
        serde_saphyr::Error::Budget { .. }
        | serde_saphyr::Error::AliasReplayCounterOverflow { .. }
        | serde_saphyr::Error::AliasReplayLimitExceeded { .. }
        | serde_saphyr::Error::AliasExpansionLimitExceeded { .. }
        | serde_saphyr::Error::AliasReplayStackDepthExceeded { .. } => too_large(place),
        // The scanner has a limit of its own for brackets, and no error of its own for it.
        serde_saphyr::Error::ExternalMessage { msg, .. } if msg.contains("recursion limit") => {
            too_large(place)
        }
        serde_saphyr::Error::MultipleDocuments { .. } => {
            FlowError::new(place, "the file holds several YAML documents")
                .with_hint("write one flow per file")
        }
        other => {
            let message = UserMessageFormatter.format_message(other);
            FlowError::new(place, format!("this is not YAML: {}", shorten_to(&message, 200)))
        }
    }
}

fn too_large(place: Option<Place>) -> FlowError {
    FlowError::new(place, "the file is too large or nested too deeply for a flow")
        .with_hint("keep it flat and short, without anchors that repeat each other")
}

fn place(location: Location, width: usize) -> Place {
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Place {
        line: small(location.line()),
        column: small(location.column()),
        width: u32::try_from(width).unwrap_or(u32::MAX),
    }
}

impl Node {
    /// A value as messages show it.
    pub(super) fn shown(&self) -> String {
        if let Some(written) = &self.written {
            return shorten(written);
        }
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Switch(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Text(text) => shorten(&format!("{text:?}")),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a set of keys".to_owned(),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The value of a key.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// A value at a place.
    pub(super) fn of(place: Place, value: Value) -> Self {
        Self { place, value, written: None }
    }

    /// A text at a place.
    pub(super) fn text(place: Place, text: &str) -> Self {
        Self::of(place, Value::Text(text.to_owned()))
    }

    /// The value of a key, to be changed.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        match &mut self.value {
            Value::Map(entries) => entries.iter_mut().find(|(key, _)| key.text == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Gives a key of a map another value; a new key stands where its value does.
    pub(super) fn set(&mut self, name: &str, node: Node) {
        if let Some(known) = self.get_mut(name) {
            *known = node;
        } else if let Value::Map(entries) = &mut self.value {
            entries.push((Key { place: node.place, text: name.to_owned() }, node));
        }
    }

    /// Moves it and all that is in it to one place: what comes from another file is told where that file is named.
    pub(super) fn place_at(&mut self, place: Place) {
        self.place = place;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.place_at(place)),
            Value::Map(entries) => entries.iter_mut().for_each(|(key, node)| {
                key.place = place;
                node.place_at(place);
            }),
            Value::Null | Value::Switch(_) | Value::Integer(_) | Value::Number(_) | Value::Text(_) => {}
        }
    }

    /// Reports keys that stand twice in one map, anywhere.
    pub(super) fn check_duplicates(&self, reader: &mut Reader) {
        match &self.value {
            Value::Map(entries) => {
                let mut seen: std::collections::BTreeMap<&str, u32> = std::collections::BTreeMap::new();
                for (key, node) in entries {
                    if let Some(line) = seen.get(key.text.as_str()) {
                        let message =
                            format!("the key `{}` stands here and in line {line}", shorten(&key.text));
                        reader.report(FlowError::new(Some(key.place), message));
                    } else {
                        seen.insert(&key.text, key.place.line);
                    }
                    node.check_duplicates(reader);
                }
            }
            Value::List(items) => items.iter().for_each(|item| item.check_duplicates(reader)),
            Value::Null | Value::Switch(_) | Value::Integer(_) | Value::Number(_) | Value::Text(_) => {}
        }
    }
}

/// Cut to what fits into a message.
pub(super) fn shorten(text: &str) -> String {
    shorten_to(text, 60)
}

fn shorten_to(text: &str, most: usize) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    if text.chars().count() <= most {
        text.chars().map(clean).collect()
    } else {
        text.chars().take(most.saturating_sub(3)).map(clean).chain("...".chars()).collect()
    }
}

/// A value as the parser gives it.
enum Raw {
    Null,
    Switch(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl From<Spanned<Raw>> for Node {
    fn from(spanned: Spanned<Raw>) -> Self {
        let (value, width) = match spanned.value {
            Raw::Null => (Value::Null, 1),
            Raw::Switch(value) => (Value::Switch(value), if value { 4 } else { 5 }),
            Raw::Integer(value) => (Value::Integer(value), value.to_string().len()),
            Raw::Number(value) => (Value::Number(value), 1),
            Raw::Text(text) => {
                let width = text.lines().next().map_or(1, |line| line.chars().count());
                (Value::Text(text), width)
            }
            Raw::List(items) => (Value::List(items.into_iter().map(Node::from).collect()), 1),
            Raw::Map(entries) => {
                let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| {
                    let place = place(key.referenced, key.value.chars().count());
                    (Key { place, text: key.value }, Node::from(value))
                };
                (Value::Map(entries.into_iter().map(entry).collect()), 1)
            }
        };
        Node { place: place(spanned.referenced, width), value, written: None }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Switch(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Number(value as f64), Raw::Integer))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Number(value as f64), Raw::Integer))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Number(value as f64), Raw::Integer))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
