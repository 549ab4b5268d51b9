//! Free values (tags, parameters, lists and dictionaries) between protobuf and JSON text, without a tree in between.
//!
//! `google.protobuf.Value` and DocArray v2's `NodeProto` are the same idea with other numbers. A `Value` knows only
//! doubles, so integral ones come out as JSON integers; a node tells integers from floats. What JSON lacks (NaN,
//! infinities) becomes null. Depth is bounded on both ways, so that no reader of the JSON text can be overrun.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use crate::fault::{Fault, Result};
use crate::json::text;
use crate::protobuf::{Reader, Writer};

/// Deepest nesting of lists and objects in one value.
pub(crate) const MAX_DEPTH: u32 = 100;
/// Integers beyond cannot all be told apart as doubles.
const MAX_EXACT: i64 = 1 << 53;

/// Which message a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// `google.protobuf.Value`, `ListValue`, `Struct`
    Value,
    /// `docarray.NodeProto`, `ListOfAnyProto`, `DictOfAnyProto`
    Node,
}

enum Content<'a> {
    Null,
    Text(&'a str),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    List(&'a [u8]),
    Object(&'a [u8]),
}

// === protobuf to JSON ===

/// Writes a `Value` or `NodeProto` as JSON.
pub(crate) fn value_to_json(schema: Schema, message: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<()> {
    match content(schema, message)? {
        Content::Null => out.extend_from_slice(b"null"),
        Content::Text(value) => text::write_text(out, value),
        Content::Integer(value) => text::write_integer(out, value),
        Content::Number(value) if schema == Schema::Value => text::write_integral(out, value),
        Content::Number(value) => text::write_number(out, value),
        Content::Boolean(value) => text::write_boolean(out, value),
        Content::List(list) => list_to_json(schema, list, out, depth + 1)?,
        Content::Object(object) => object_to_json(schema, object, out, depth + 1)?,
    }
    Ok(())
}

/// Writes a `ListValue` or `ListOfAnyProto` as JSON.
pub(crate) fn list_to_json(schema: Schema, message: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<()> {
    check_depth(depth)?;
    let mut reader = Reader::new(message);
    let mut count = 0;
    out.push(b'[');
    while let Some(field) = reader.next()? {
        if field.number == 1 {
            if count > 0 {
                out.push(b',');
            }
            let element = field.payload.bytes()?;
            value_to_json(schema, element, out, depth).map_err(|fault| fault.at_index(count))?;
            count += 1;
        }
    }
    out.push(b']');
    Ok(())
}

/// Writes a `Struct` or `DictOfAnyProto` as JSON. Of entries with one key the last wins, as in every map.
pub(crate) fn object_to_json(schema: Schema, message: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<()> {
    check_depth(depth)?;
    let mut entries = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        if field.number == 1 {
            entries.push(entry(field.payload.bytes()?)?);
        }
    }
    keep_last(&mut entries);
    out.push(b'{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text::write_text(out, key);
        out.push(b':');
        value_to_json(schema, value, out, depth).map_err(|fault| fault.in_field(key))?;
    }
    out.push(b'}');
    Ok(())
}

/// Key and value of a map entry with text keys and message values.
pub(crate) fn entry(message: &[u8]) -> Result<(&str, &[u8])> {
    let (mut key, mut value): (&str, &[u8]) = ("", &[]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => key = field.payload.text()?,
            2 => value = field.payload.bytes()?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Drops all but the last entry of each key.
pub(crate) fn keep_last(entries: &mut Vec<(&str, &[u8])>) {
    if entries.len() < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(entries.len());
    let last: Vec<bool> = entries.iter().rev().map(|(key, _)| seen.insert(*key)).collect();
    if last.iter().all(|is_last| *is_last) {
        return;
    }
    let mut keep = last.iter().rev();
    entries.retain(|_| keep.next().copied().unwrap_or(true));
}

fn check_depth(depth: u32) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Fault::new(format!("the value is nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(())
}

fn content(schema: Schema, message: &[u8]) -> Result<Content<'_>> {
    let mut content = Content::Null;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        let payload = field.payload;
        content = match (schema, field.number) {
            (Schema::Value, 1) => Content::Null,
            (Schema::Value, 2) => Content::Number(payload.double()?),
            (Schema::Value, 3) => Content::Text(payload.text()?),
            (Schema::Value, 4) => Content::Boolean(payload.varint()? != 0),
            (Schema::Value, 5) => Content::Object(payload.bytes()?),
            (Schema::Value, 6) => Content::List(payload.bytes()?),
            (Schema::Node, 1) => Content::Text(payload.text()?),
            (Schema::Node, 2) => Content::Integer(i64::from(payload.int32()?)),
            (Schema::Node, 3) => Content::Number(payload.double()?),
            (Schema::Node, 4) => Content::Boolean(payload.varint()? != 0),
            (Schema::Node, 5..=8) => return Err(unrepresentable(field.number)),
            (Schema::Node, 9..=11) => Content::List(payload.bytes()?),
            (Schema::Node, 12) => Content::Object(payload.bytes()?),
            _ => continue,
        };
    }
    Ok(content)
}

fn unrepresentable(number: u32) -> Fault {
    let what = match number {
        5 => "bytes",
        6 => "an array",
        _ => "documents",
    };
    let message = format!("a list or dictionary holds {what}, which JSON cannot");
    Fault::with_hint(message, "make it a field of the document")
}

// === JSON to protobuf ===

/// Writes the entries of a JSON object as the body of a `Struct` or `DictOfAnyProto`.
pub(crate) fn json_to_entries(schema: Schema, json: &str, writer: &mut Writer) -> Result<()> {
    seeded(json, EntriesSeed(Sink { schema, writer }))
}

/// Writes a JSON value as the body of a `Value` or `NodeProto`. `list` is the number of a list's field.
pub(crate) fn json_to_value(
    schema: Schema,
    json: &str,
    list: Option<u32>,
    writer: &mut Writer,
) -> Result<()> {
    let list = list.unwrap_or_else(|| Numbers::of(schema).list);
    seeded(json, ValueSeed { sink: Sink { schema, writer }, list })
}

fn seeded<'de, S: DeserializeSeed<'de, Value = ()>>(json: &'de str, seed: S) -> Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    seed.deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| Fault::new(error.to_string()))
}

/// Field numbers of a schema.
struct Numbers {
    text: u32,
    boolean: u32,
    object: u32,
    list: u32,
}

impl Numbers {
    fn of(schema: Schema) -> Self {
        match schema {
            Schema::Value => Numbers { text: 3, boolean: 4, object: 5, list: 6 },
            Schema::Node => Numbers { text: 1, boolean: 4, object: 12, list: 9 },
        }
    }
}

struct Sink<'w> {
    schema: Schema,
    writer: &'w mut Writer,
}

impl Sink<'_> {
    fn reborrow(&mut self) -> Sink<'_> {
        Sink { schema: self.schema, writer: self.writer }
    }

    fn numbers(&self) -> Numbers {
        Numbers::of(self.schema)
    }

    fn number(&mut self, value: f64) {
        self.writer.double(if self.schema == Schema::Value { 2 } else { 3 }, value);
    }

    fn integer<E: serde::de::Error>(&mut self, value: i64) -> Result<(), E> {
        match self.schema {
            Schema::Value => self.number(value as f64),
            Schema::Node => return write_integer(self.writer, value).map_err(E::custom),
        }
        Ok(())
    }

    fn entries<'de, A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        loop {
            let entry = self.writer.open(1, 0);
            if map.next_key_seed(KeySeed(self.writer))?.is_none() {
                self.writer.abandon(entry);
                return Ok(());
            }
            let value = self.writer.open(2, 0);
            let list = self.numbers().list;
            map.next_value_seed(ValueSeed { sink: self.reborrow(), list })?;
            self.writer.close(value);
            self.writer.close(entry);
        }
    }
}

struct KeySeed<'w>(&'w mut Writer);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        self.0.text(1, key);
        Ok(())
    }
}

/// Writes an integer into a `NodeProto`: as one if it has 32 bits, as a double if that is exact.
pub(crate) fn write_integer(writer: &mut Writer, value: i64) -> Result<()> {
    if let Ok(narrow) = i32::try_from(value) {
        writer.varint(2, i64::from(narrow) as u64);
    } else if value.unsigned_abs() <= MAX_EXACT as u64 {
        writer.double(3, value as f64);
    } else {
        let message = format!("DocArray v2 has no integer as large as {value}");
        return Err(Fault::with_hint(message, "keep it within 53 bits, or make it a text"));
    }
    Ok(())
}

struct EntriesSeed<'w>(Sink<'w>);

impl<'de> DeserializeSeed<'de> for EntriesSeed<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntriesSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        self.0.entries(map)
    }
}

struct ValueSeed<'w> {
    sink: Sink<'w>,
    list: u32,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        if self.sink.schema == Schema::Value {
            self.sink.writer.varint(1, 0);
        }
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        let number = self.sink.numbers().boolean;
        self.sink.writer.varint(number, u64::from(value));
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> Result<(), E> {
        self.sink.integer(value)
    }

    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.sink.integer(value),
            Err(_) if self.sink.schema == Schema::Value => {
                self.sink.number(value as f64);
                Ok(())
            }
            Err(_) => Err(E::custom(format_args!("DocArray v2 has no integer as large as {value}"))),
        }
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.sink.number(value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        let number = self.sink.numbers().text;
        self.sink.writer.text(number, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let list = self.sink.writer.open(self.list, 0);
        let nested = self.sink.numbers().list;
        loop {
            let element = self.sink.writer.open(1, 0);
            if seq.next_element_seed(ValueSeed { sink: self.sink.reborrow(), list: nested })?.is_none() {
                self.sink.writer.abandon(element);
                break;
            }
            self.sink.writer.close(element);
        }
        self.sink.writer.close(list);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let number = self.sink.numbers().object;
        let object = self.sink.writer.open(number, 0);
        self.sink.entries(map)?;
        self.sink.writer.close(object);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_there_and_back() {
        let check = |schema: Schema, json: &str, expected: &str| {
            let (mut writer, mut out) = (Writer::default(), Vec::new());
            json_to_value(schema, json, None, &mut writer).unwrap();
            value_to_json(schema, &writer.finish(), &mut out, 0).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(Schema::Value, "null", "null");
        check(Schema::Value, "3", "3");
        check(Schema::Value, "3.5", "3.5");
        check(Schema::Value, "3.0", "3");
        check(Schema::Node, "3.0", "3.0");
        check(Schema::Node, "3", "3");
        check(Schema::Node, "3000000000", "3000000000.0");
        let nested = r#"{"a":[1,"x\"",null,true,{"b":[]}],"c":{}}"#;
        check(Schema::Value, nested, nested);
        check(Schema::Node, nested, nested);
        check(Schema::Value, r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
    }

    #[test]
    fn depth_is_bounded() {
        let mut message = Vec::new();
        for _ in 0..5000 {
            let mut writer = Writer::default();
            writer.nested(6, 0, |writer| writer.bytes(1, &message));
            message = writer.finish();
        }
        assert!(value_to_json(Schema::Value, &message, &mut Vec::new(), 0).is_err());
    }
}
