//! Writes documents of DocArray v1.

use bytes::Bytes;
use lockgate_domain::DocumentList;
use lockgate_domain::document::{Column, LinkColumn, TensorColumn, TextColumn, Values, names};

use super::{number, scores};
use crate::docs::ndarray;
use crate::docs::values::{Schema, json_to_entries, json_to_value};
use crate::fault::{Fault, Result};
use crate::protobuf::Writer;

const NO_FIELD_HINT: &str = "rename the column to one that DocArray v1 has, or call with DocArray v2";
/// Classes whose arrays v1 clients restore from dense bytes; of others they would read none at all.
const CLASSES: [&str; 5] = ["numpy", "list", "torch", "tensorflow", "paddle"];

pub(super) fn encode(documents: &DocumentList) -> Result<Bytes> {
    let encoder = Encoder::new(documents)?;
    let estimates: Vec<usize> = (0..documents.len()).map(|row| encoder.estimate(row)).collect();
    let mut writer = Writer::with_capacity(estimates.iter().map(|estimate| estimate + 8).sum());
    for (row, estimate) in (0..documents.len()).zip(estimates) {
        writer
            .nested(1, estimate, |writer| encoder.document(row, writer))
            .map_err(|fault| fault.at_index(row as usize).in_field("data"))?;
    }
    Ok(writer.finish().into())
}

/// A column and the field it goes to.
struct Slot<'a> {
    name: &'a str,
    number: u32,
    source: Source<'a>,
}

enum Source<'a> {
    Text(&'a TextColumn),
    Blob(&'a [Option<Bytes>]),
    Array(&'a TensorColumn, &'a str),
    Unsigned(&'a [Option<i64>]),
    Float(&'a [Option<f64>]),
    IntegerAsFloat(&'a [Option<i64>]),
    Location(&'a TextColumn),
    Struct(&'a TextColumn),
    Scores(&'a TextColumn),
    Links(&'a LinkColumn),
}

struct Encoder<'a> {
    /// In the order of their numbers.
    slots: Vec<Slot<'a>>,
    tags: Option<&'a TextColumn>,
    /// Columns without a field, written into the tags.
    extras: Vec<&'a Column>,
}

impl<'a> Encoder<'a> {
    fn new(documents: &'a DocumentList) -> Result<Self> {
        let mut encoder = Self { slots: Vec::new(), tags: None, extras: Vec::new() };
        for column in documents.columns() {
            match (slot(column), column.values()) {
                (Some(slot), _) => encoder.slots.push(slot),
                (None, Values::Json(tags)) if column.name() == names::TAGS => encoder.tags = Some(tags),
                (None, _) if column.is_blank() => {}
                (None, Values::Bytes(_) | Values::Tensor(_) | Values::Link(_)) => {
                    let message = format!("DocArray v1 has no place for {} here", column.kind().as_str());
                    return Err(Fault::with_hint(message, NO_FIELD_HINT).in_field(column.name()));
                }
                (None, _) => encoder.extras.push(column),
            }
        }
        encoder.slots.sort_by_key(|slot| slot.number);
        Ok(encoder)
    }

    /// Bytes of a document without its nested ones, about.
    fn estimate(&self, row: u32) -> usize {
        let weight = |slot: &Slot<'_>| match &slot.source {
            Source::Text(column) => column.get(row).map_or(0, |text| text.len() + 2),
            Source::Blob(values) => cell(values, row).map_or(0, |blob| blob.len() + 4),
            Source::Array(column, _) => column.get(row).map_or(0, |tensor| tensor.data().len() + 32),
            Source::Location(column) | Source::Struct(column) | Source::Scores(column) => {
                column.get(row).map_or(0, str::len)
            }
            Source::Unsigned(values) | Source::IntegerAsFloat(values) => cell(values, row).map_or(0, |_| 3),
            Source::Float(values) => cell(values, row).map_or(0, |_| 5),
            Source::Links(_) => 0,
        };
        let tags = self.tags.and_then(|tags| tags.get(row)).map_or(0, str::len);
        self.slots.iter().map(weight).sum::<usize>() + tags
    }

    fn document(&self, row: u32, writer: &mut Writer) -> Result<()> {
        let mut has_content = false;
        for slot in &self.slots {
            if let Source::Text(column) = &slot.source
                && slot.number == number::TEXT
                && has_content
                && column.get(row) == Some("")
            {
                // An empty text after a blob would make v1 clients forget the blob.
                continue;
            }
            let written = self.field(slot, row, writer).map_err(|fault| fault.in_field(slot.name))?;
            has_content |= written && matches!(slot.number, number::BLOB | number::TENSOR);
        }
        self.tags(row, writer).map_err(|fault| fault.in_field(names::TAGS))
    }

    /// Writes one field; tells whether there was a value.
    fn field(&self, slot: &Slot<'_>, row: u32, writer: &mut Writer) -> Result<bool> {
        let number = slot.number;
        let written = match &slot.source {
            Source::Text(column) => column.get(row).map(|text| writer.text(number, text)),
            Source::Blob(values) => cell(values, row).map(|blob| writer.bytes(number, blob)),
            Source::Array(column, class) => {
                column.get(row).map(|tensor| ndarray::encode(writer, number, &tensor, Some(class)))
            }
            Source::Unsigned(values) => {
                let value = cell(values, row).map(|&value| unsigned(value)).transpose()?;
                value.map(|value| writer.varint(number, u64::from(value)))
            }
            Source::Float(values) => cell(values, row).map(|&value| writer.float(number, value as f32)),
            Source::IntegerAsFloat(values) => {
                cell(values, row).map(|&value| writer.float(number, value as f32))
            }
            Source::Location(column) => {
                json(column, row).map(|json| location(json, number, writer)).transpose()?
            }
            Source::Struct(column) => json(column, row)
                .map(|json| {
                    writer.nested(number, json.len(), |writer| json_to_entries(Schema::Value, json, writer))
                })
                .transpose()?,
            Source::Scores(column) => {
                json(column, row).map(|json| scores::from_json(json, number, writer)).transpose()?
            }
            Source::Links(column) => {
                for (index, &target) in column.get(row).iter().enumerate() {
                    writer
                        .nested(number, self.estimate(target), |writer| self.document(target, writer))
                        .map_err(|fault| fault.at_index(index))?;
                }
                None
            }
        };
        Ok(written.is_some())
    }

    fn tags(&self, row: u32, writer: &mut Writer) -> Result<()> {
        let tags = self.tags.and_then(|tags| json(tags, row));
        if tags.is_none() && !self.extras.iter().any(|column| column.has_value(row)) {
            return Ok(());
        }
        writer.nested(number::TAGS, tags.map_or(0, str::len), |writer| {
            if let Some(json) = tags {
                json_to_entries(Schema::Value, json, writer)?;
            }
            for column in self.extras.iter().filter(|column| column.has_value(row)) {
                writer.nested(1, 0, |writer| {
                    writer.text(1, column.name());
                    writer.nested(2, 0, |writer| extra(column, row, writer))
                })?;
            }
            Ok(())
        })
    }
}

fn slot(column: &Column) -> Option<Slot<'_>> {
    let name = column.name();
    let (number, source) = match (name, column.values()) {
        (names::ID, Values::Text(texts)) => (number::ID, Source::Text(texts)),
        (names::TEXT, Values::Text(texts)) => (number::TEXT, Source::Text(texts)),
        ("parent_id", Values::Text(texts)) => (number::PARENT_ID, Source::Text(texts)),
        (names::URI, Values::Text(texts)) => (number::URI, Source::Text(texts)),
        ("modality", Values::Text(texts)) => (number::MODALITY, Source::Text(texts)),
        (names::MIME_TYPE, Values::Text(texts)) => (number::MIME_TYPE, Source::Text(texts)),
        (names::BLOB, Values::Bytes(values)) => (number::BLOB, Source::Blob(values)),
        (names::TENSOR, Values::Tensor(values)) => (number::TENSOR, Source::Array(values, class(column))),
        (names::EMBEDDING, Values::Tensor(values)) => {
            (number::EMBEDDING, Source::Array(values, class(column)))
        }
        ("granularity", Values::Integer(values)) => (number::GRANULARITY, Source::Unsigned(values)),
        ("adjacency", Values::Integer(values)) => (number::ADJACENCY, Source::Unsigned(values)),
        ("weight", Values::Number(values)) => (number::WEIGHT, Source::Float(values)),
        ("weight", Values::Integer(values)) => (number::WEIGHT, Source::IntegerAsFloat(values)),
        ("offset", Values::Number(values)) => (number::OFFSET, Source::Float(values)),
        ("offset", Values::Integer(values)) => (number::OFFSET, Source::IntegerAsFloat(values)),
        ("location", Values::Json(texts)) => (number::LOCATION, Source::Location(texts)),
        (names::CHUNKS, Values::Link(links)) => (number::CHUNKS, Source::Links(links)),
        (names::MATCHES, Values::Link(links)) => (number::MATCHES, Source::Links(links)),
        (names::SCORES, Values::Json(texts)) => (number::SCORES, Source::Scores(texts)),
        ("evaluations", Values::Json(texts)) => (number::EVALUATIONS, Source::Scores(texts)),
        ("_metadata", Values::Json(texts)) => (number::METADATA, Source::Struct(texts)),
        _ => return None,
    };
    Some(Slot { name, number, source })
}

/// The class that the caller's arrays had, if v1 clients can restore it.
fn class(column: &Column) -> &str {
    let hint = column.hint().map(|hint| &**hint);
    hint.filter(|hint| CLASSES.contains(hint)).unwrap_or("numpy")
}

fn cell<T>(values: &[Option<T>], row: u32) -> Option<&T> {
    values.get(row as usize)?.as_ref()
}

/// The JSON text of a row; null is no value.
fn json(column: &TextColumn, row: u32) -> Option<&str> {
    column.get(row).filter(|json| *json != "null")
}

fn unsigned(value: i64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Fault::new(format!("{value} is no unsigned integer of 32 bits")))
}

fn location(json: &str, number: u32, writer: &mut Writer) -> Result<()> {
    let values: Vec<Option<f32>> =
        serde_json::from_str(json).map_err(|_| Fault::new("the location is not a list of numbers"))?;
    if !values.is_empty() {
        writer.nested(number, values.len() * 4, |writer| {
            values.iter().for_each(|value| writer.raw(&value.unwrap_or(f32::NAN).to_le_bytes()));
        });
    }
    Ok(())
}

/// A scalar as the body of a `google.protobuf.Value`.
fn extra(column: &Column, row: u32, writer: &mut Writer) -> Result<()> {
    match column.values() {
        Values::Text(texts) => {
            if let Some(text) = texts.get(row) {
                writer.text(3, text);
            }
        }
        Values::Json(texts) => {
            if let Some(json) = texts.get(row) {
                json_to_value(Schema::Value, json, None, writer)?;
            }
        }
        Values::Integer(values) => {
            if let Some(&value) = cell(values, row) {
                writer.double(2, value as f64);
            }
        }
        Values::Number(values) => {
            if let Some(&value) = cell(values, row) {
                writer.double(2, value);
            }
        }
        Values::Boolean(values) => {
            if let Some(&value) = cell(values, row) {
                writer.varint(4, u64::from(value));
            }
        }
        Values::Bytes(_) | Values::Tensor(_) | Values::Link(_) => {}
    }
    Ok(())
}
