//! Reads documents of DocArray v1.

use bytes::Bytes;
use lockgate_domain::document::{DocumentListBuilder, names};
use lockgate_domain::{DocumentList, Limits};

use super::{number, scores};
use crate::docs::ndarray;
use crate::docs::values::{Schema, entry, object_to_json};
use crate::fault::{Cause, Result};
use crate::json::text;
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

/// Repeated fields of one document, complete only at its end.
#[derive(Default)]
struct Repeated<'a> {
    location: Vec<f32>,
    chunks: Vec<u32>,
    matches: Vec<u32>,
    scores: Vec<(&'a str, &'a [u8])>,
    evaluations: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Decoder<'a> {
    fn root(&mut self, payload: Payload<'a>) -> Result<()> {
        let row = self.builder.push_root()?;
        self.document(payload.bytes()?, row, 0)
    }

    fn document(&mut self, message: &'a [u8], row: u32, depth: u32) -> Result<()> {
        let mut repeated = Repeated::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            let Some(name) = field_name(field.number) else { continue };
            let list = match field.number {
                number::CHUNKS => &mut repeated.chunks,
                number::MATCHES => &mut repeated.matches,
                _ => {
                    self.field(name, field.number, field.payload, row, &mut repeated)
                        .map_err(|fault| fault.in_field(name))?;
                    continue;
                }
            };
            let nested = self.nested(field.payload, depth);
            list.push(nested.map_err(|fault| fault.at_index(list.len()).in_field(name))?);
        }
        self.repeated(row, repeated)
    }

    fn nested(&mut self, payload: Payload<'a>, depth: u32) -> Result<u32> {
        if depth >= Limits::NESTING {
            return Err(Cause::TooDeep.into());
        }
        let row = self.builder.push_nested()?;
        self.document(payload.bytes()?, row, depth + 1)?;
        Ok(row)
    }

    fn field(
        &mut self,
        name: &str,
        number: u32,
        payload: Payload<'a>,
        row: u32,
        repeated: &mut Repeated<'a>,
    ) -> Result<()> {
        match number {
            number::GRANULARITY | number::ADJACENCY => {
                self.builder.set_integer(name, row, i64::from(payload.uint32()?))?;
            }
            number::WEIGHT | number::OFFSET => {
                self.builder.set_number(name, row, f64::from(payload.float()?))?;
            }
            number::BLOB => self.builder.set_bytes(name, row, self.root.slice_ref(payload.bytes()?))?,
            number::TENSOR | number::EMBEDDING => {
                let array = ndarray::decode_v1(self.root, payload.bytes()?)?;
                self.builder.set_tensor(name, row, array.tensor)?;
                if let Some(class) = array.class.filter(|class| !class.is_empty()) {
                    self.builder.set_hint(name, class);
                }
            }
            number::LOCATION => payload.each_float(|value| repeated.location.push(value))?,
            number::TAGS | number::METADATA => {
                self.json.clear();
                object_to_json(Schema::Value, payload.bytes()?, &mut self.json, 0)?;
                self.keep_json(name, row)?;
            }
            number::SCORES => repeated.scores.push(entry(payload.bytes()?)?),
            number::EVALUATIONS => repeated.evaluations.push(entry(payload.bytes()?)?),
            _ => self.builder.set_text(name, row, payload.text()?)?,
        }
        Ok(())
    }

    fn repeated(&mut self, row: u32, mut repeated: Repeated<'_>) -> Result<()> {
        if !repeated.location.is_empty() {
            self.json.clear();
            text::write_list(&mut self.json, &repeated.location, |out, value| {
                text::write_number(out, f64::from(*value));
            });
            self.keep_json("location", row)?;
        }
        for (name, entries) in
            [(names::SCORES, &mut repeated.scores), ("evaluations", &mut repeated.evaluations)]
        {
            if !entries.is_empty() {
                self.json.clear();
                scores::to_json(entries, &mut self.json).map_err(|fault| fault.in_field(name))?;
                self.keep_json(name, row)?;
            }
        }
        for (name, rows) in [(names::CHUNKS, repeated.chunks), (names::MATCHES, repeated.matches)] {
            if !rows.is_empty() {
                self.builder.set_links(name, row, rows, false)?;
            }
        }
        Ok(())
    }

    fn keep_json(&mut self, name: &str, row: u32) -> Result<()> {
        let json = std::str::from_utf8(&self.json).map_err(|_| Malformed::BadText)?;
        Ok(self.builder.set_json(name, row, json)?)
    }
}

fn field_name(number: u32) -> Option<&'static str> {
    Some(match number {
        number::ID => names::ID,
        number::BLOB => names::BLOB,
        number::TENSOR => names::TENSOR,
        number::TEXT => names::TEXT,
        number::GRANULARITY => "granularity",
        number::ADJACENCY => "adjacency",
        number::PARENT_ID => "parent_id",
        number::WEIGHT => "weight",
        number::URI => names::URI,
        number::MODALITY => "modality",
        number::MIME_TYPE => names::MIME_TYPE,
        number::OFFSET => "offset",
        number::LOCATION => "location",
        number::CHUNKS => names::CHUNKS,
        number::MATCHES => names::MATCHES,
        number::EMBEDDING => names::EMBEDDING,
        number::TAGS => names::TAGS,
        number::SCORES => names::SCORES,
        number::EVALUATIONS => "evaluations",
        number::METADATA => "_metadata",
        _ => return None,
    })
}
