//! Reads documents of DocArray v2.

use bytes::Bytes;
use lockgate_domain::document::{DocumentListBuilder, Kind, names};
use lockgate_domain::{DocumentList, Limits};

use super::{hint, number};
use crate::docs::ndarray;
use crate::docs::values::{Schema, entry, list_to_json, object_to_json};
use crate::fault::{Cause, Result};
use crate::json::tensor;
use crate::protobuf::{Malformed, Payload, Reader};

pub(super) fn decode(message: &Bytes, limits: &Limits) -> Result<DocumentList> {
    let mut decoder = Decoder { root: message, builder: DocumentListBuilder::new(*limits), json: Vec::new() };
    let mut reader = Reader::new(message);
    let mut index = 0;
    while let Some(field) = reader.next()? {
        if field.number == 1 {
            decoder.root(field.payload).map_err(|fault| fault.at_index(index).in_field("data"))?;
            index += 1;
        }
    }
    Ok(decoder.builder.finish()?)
}

struct Decoder<'a> {
    root: &'a Bytes,
    builder: DocumentListBuilder,
    /// Where JSON texts are written before they go to the builder.
    json: Vec<u8>,
}

/// A node's content, if any, and the caller's name of its type.
struct Node<'a> {
    content: Option<(u32, Payload<'a>)>,
    hint: Option<&'a str>,
}

impl<'a> Decoder<'a> {
    fn root(&mut self, payload: Payload<'a>) -> Result<()> {
        let row = self.builder.push_root()?;
        self.document(payload.bytes()?, row, 0)
    }

    fn document(&mut self, message: &'a [u8], row: u32, depth: u32) -> Result<()> {
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            if field.number == 1 {
                let (name, node) = entry(field.payload.bytes()?)?;
                self.field(name, node, row, depth).map_err(|fault| fault.in_field(name))?;
            }
        }
        Ok(())
    }

    fn field(&mut self, name: &str, message: &'a [u8], row: u32, depth: u32) -> Result<()> {
        let node = read_node(message)?;
        let Some((number, payload)) = node.content else {
            return Ok(self.builder.declare(name)?);
        };
        match number {
            number::TEXT => self.builder.set_text(name, row, payload.text()?)?,
            number::INTEGER => self.builder.set_integer(name, row, i64::from(payload.int32()?))?,
            number::FLOAT => self.builder.set_number(name, row, payload.double()?)?,
            number::BOOLEAN => self.builder.set_boolean(name, row, payload.varint()? != 0)?,
            number::BLOB => self.builder.set_bytes(name, row, self.root.slice_ref(payload.bytes()?))?,
            number::NDARRAY => {
                let tensor = ndarray::decode_v2(self.root, payload.bytes()?)?;
                self.builder.set_tensor(name, row, tensor)?;
            }
            number::DOC => {
                let nested = self.nested(payload, depth)?;
                self.builder.set_links(name, row, vec![nested], true)?;
            }
            number::DOC_ARRAY => self.list(name, payload.bytes()?, row, depth)?,
            number::LIST if names::well_known_kind(name) == Some(Kind::Tensor) => {
                self.json.clear();
                list_to_json(Schema::Node, payload.bytes()?, &mut self.json, 0)?;
                self.builder.set_tensor(name, row, tensor::from_json(&self.json)?)?;
            }
            number::DICT => {
                self.json(name, row, |json| object_to_json(Schema::Node, payload.bytes()?, json, 0))?
            }
            _ => self.json(name, row, |json| list_to_json(Schema::Node, payload.bytes()?, json, 0))?,
        }
        let shape = match number {
            number::SET => Some(hint::SET),
            number::TUPLE => Some(hint::TUPLE),
            number::LIST if names::well_known_kind(name) == Some(Kind::Tensor) => Some(hint::LIST),
            _ => None,
        };
        if let Some(hint) = node.hint.or(shape) {
            self.builder.set_hint(name, hint);
        }
        Ok(())
    }

    fn list(&mut self, name: &str, message: &'a [u8], row: u32, depth: u32) -> Result<()> {
        let mut rows = Vec::new();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            if field.number == 1 {
                let nested = self.nested(field.payload, depth);
                rows.push(nested.map_err(|fault| fault.at_index(rows.len()))?);
            }
        }
        Ok(self.builder.set_links(name, row, rows, false)?)
    }

    fn nested(&mut self, payload: Payload<'a>, depth: u32) -> Result<u32> {
        if depth >= Limits::NESTING {
            return Err(Cause::TooDeep.into());
        }
        let row = self.builder.push_nested()?;
        self.document(payload.bytes()?, row, depth + 1)?;
        Ok(row)
    }

    fn json(&mut self, name: &str, row: u32, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        self.json.clear();
        write(&mut self.json)?;
        let json = std::str::from_utf8(&self.json).map_err(|_| Malformed::BadText)?;
        Ok(self.builder.set_json(name, row, json)?)
    }
}

fn read_node(message: &[u8]) -> Result<Node<'_>> {
    let mut node = Node { content: None, hint: None };
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            number::TEXT..=number::DICT => node.content = Some((field.number, field.payload)),
            number::TYPE => node.hint = Some(field.payload.text()?).filter(|hint| !hint.is_empty()),
            _ => {}
        }
    }
    Ok(node)
}
