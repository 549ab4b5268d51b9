//! Writes documents of DocArray v2.

use bytes::Bytes;
use lockgate_domain::DocumentList;
use lockgate_domain::document::{Column, Values, names};

use super::{hint, number};
use crate::docs::ndarray;
use crate::docs::values::{Schema, json_to_value, write_integer};
use crate::docs::{Presence, can_show_blanks};
use crate::fault::Result;
use crate::json::element::write_tensor;
use crate::protobuf::{Malformed, Writer};

pub(super) fn encode(documents: &DocumentList) -> Result<Bytes> {
    let names: usize = documents.columns().iter().map(|column| column.name().len() + 8).sum();
    let shows_blanks = can_show_blanks(documents, names);
    let encoder = Encoder {
        len: documents.len(),
        slots: documents.columns().iter().map(|column| Slot::new(column, documents, shows_blanks)).collect(),
    };
    let estimates: Vec<usize> = (0..documents.len()).map(|row| encoder.estimate(row)).collect();
    let mut writer = Writer::with_capacity(estimates.iter().map(|estimate| estimate + 8).sum());
    for (row, estimate) in (0..documents.len()).zip(estimates) {
        writer
            .nested(1, estimate, |writer| encoder.document(row, writer))
            .map_err(|fault| fault.at_index(row as usize).in_field("data"))?;
    }
    Ok(writer.finish().into())
}

struct Encoder<'a> {
    len: u32,
    slots: Vec<Slot<'a>>,
}

struct Slot<'a> {
    column: &'a Column,
    /// The node's `type`.
    hint: Option<&'a str>,
    /// Number of a node that is a JSON list.
    list: u32,
    /// Where a missing value is written as an empty node: clients check that declared fields are there.
    presence: Presence,
}

impl<'a> Slot<'a> {
    fn new(column: &'a Column, documents: &DocumentList, shows_blanks: bool) -> Self {
        let kept = column.hint().map(|hint| &**hint);
        let (hint, list) = match (column.values(), kept) {
            (Values::Json(_), Some(hint::SET)) => (None, number::SET),
            (Values::Json(_), Some(hint::TUPLE)) => (None, number::TUPLE),
            (Values::Tensor(_), Some(hint::LIST)) => (None, number::LIST),
            (Values::Tensor(_), None) => (Some("ndarray"), number::LIST),
            (Values::Text(_), None) if column.name() == names::ID => (Some("id"), number::LIST),
            (_, kept) => (kept, number::LIST),
        };
        let presence = if shows_blanks { Presence::of(column, documents) } else { Presence::NOWHERE };
        Self { column, hint, list, presence }
    }
}

impl Slot<'_> {
    /// Whether an array goes back as the list of numbers that it came as.
    fn is_numbers(&self) -> bool {
        self.column.hint().is_some_and(|kept| &**kept == hint::LIST)
    }
}

impl Encoder<'_> {
    /// Bytes of a document without its nested ones, about.
    fn estimate(&self, row: u32) -> usize {
        let weight = |slot: &Slot<'_>| {
            let value = match slot.column.values() {
                Values::Text(texts) | Values::Json(texts) => texts.get(row).map(str::len),
                Values::Bytes(values) => cell(values, row).map(Bytes::len),
                Values::Tensor(column) => column.get(row).map(|tensor| tensor.data().len() + 24),
                Values::Integer(_) | Values::Number(_) | Values::Boolean(_) | Values::Link(_) => Some(5),
            };
            let around = slot.column.name().len() + slot.hint.map_or(0, |hint| hint.len() + 2) + 8;
            value.map_or(0, |value| value + around)
        };
        self.slots.iter().map(weight).sum()
    }

    fn document(&self, row: u32, writer: &mut Writer) -> Result<()> {
        for slot in &self.slots {
            let name = slot.column.name();
            let is_list = matches!(slot.column.values(), Values::Link(links) if !links.is_single());
            let has_value = slot.column.has_value(row);
            if !has_value && !slot.presence.covers(row, self.len) {
                continue;
            }
            let entry = writer.open(1, 0);
            writer.text(1, name);
            let node = writer.open(2, 0);
            if has_value || is_list {
                self.node(slot, row, writer).map_err(|fault| fault.in_field(name))?;
            }
            writer.close(node);
            writer.close(entry);
        }
        Ok(())
    }

    fn node(&self, slot: &Slot<'_>, row: u32, writer: &mut Writer) -> Result<()> {
        match slot.column.values() {
            Values::Text(texts) => {
                texts.get(row).into_iter().for_each(|text| writer.text(number::TEXT, text))
            }
            Values::Json(texts) => {
                if let Some(json) = texts.get(row) {
                    json_to_value(Schema::Node, json, Some(slot.list), writer)?;
                }
            }
            Values::Bytes(values) => {
                cell(values, row).into_iter().for_each(|blob| writer.bytes(number::BLOB, blob));
            }
            Values::Integer(values) => {
                if let Some(&value) = cell(values, row) {
                    write_integer(writer, value)?;
                }
            }
            Values::Number(values) => {
                cell(values, row).into_iter().for_each(|&value| writer.double(number::FLOAT, value));
            }
            Values::Boolean(values) => {
                let value = cell(values, row).copied().into_iter();
                value.for_each(|value| writer.varint(number::BOOLEAN, u64::from(value)));
            }
            Values::Tensor(column) if slot.is_numbers() => {
                let mut json = Vec::new();
                column.get(row).into_iter().for_each(|tensor| write_tensor(&mut json, &tensor));
                let json = std::str::from_utf8(&json).map_err(|_| Malformed::BadText)?;
                json_to_value(Schema::Node, json, None, writer)?;
            }
            Values::Tensor(column) => {
                let tensor = column.get(row).into_iter();
                tensor.for_each(|tensor| ndarray::encode(writer, number::NDARRAY, &tensor, None));
            }
            Values::Link(links) if links.is_single() && links.get(row).len() < 2 => {
                if let Some(&target) = links.get(row).first() {
                    writer
                        .nested(number::DOC, self.estimate(target), |writer| self.document(target, writer))?;
                }
            }
            Values::Link(links) => writer.nested(number::DOC_ARRAY, 0, |writer| {
                links.get(row).iter().enumerate().try_for_each(|(index, &target)| {
                    writer
                        .nested(1, self.estimate(target), |writer| self.document(target, writer))
                        .map_err(|fault| fault.at_index(index))
                })
            })?,
        }
        if let Some(hint) = slot.hint {
            writer.text(number::TYPE, hint);
        }
        Ok(())
    }
}

fn cell<T>(values: &[Option<T>], row: u32) -> Option<&T> {
    values.get(row as usize)?.as_ref()
}
