//! `map<string, NamedScoreProto>` as a JSON object of objects.

use serde_json::Value;

use crate::docs::values::keep_last;
use crate::fault::{Fault, Result};
use crate::json::text;
use crate::protobuf::{Reader, Writer};

const TEXTS: [(u32, &str); 3] = [(2, "op_name"), (3, "description"), (4, "ref_id")];

/// Writes map entries as JSON; of entries with one key the last wins.
pub(super) fn to_json(entries: &mut Vec<(&str, &[u8])>, out: &mut Vec<u8>) -> Result<()> {
    keep_last(entries);
    out.push(b'{');
    for (index, (key, score)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text::write_text(out, key);
        out.push(b':');
        score_to_json(score, out).map_err(|fault| fault.in_field(key))?;
    }
    out.push(b'}');
    Ok(())
}

fn score_to_json(message: &[u8], out: &mut Vec<u8>) -> Result<()> {
    // A score of zero is not on the wire.
    let mut value = 0.0;
    let mut texts = [None; 3];
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        if field.number == 1 {
            value = field.payload.float()?;
        }
        for ((number, _), slot) in TEXTS.iter().zip(&mut texts) {
            if field.number == *number {
                *slot = Some(field.payload.text()?);
            }
        }
    }
    out.extend_from_slice(b"{\"value\":");
    text::write_number(out, f64::from(value));
    for ((_, name), value) in TEXTS.iter().zip(texts) {
        if let Some(value) = value {
            out.push(b',');
            text::write_text(out, name);
            out.push(b':');
            text::write_text(out, value);
        }
    }
    out.push(b'}');
    Ok(())
}

/// Writes a JSON object of scores as map entries. A bare number is a score's value; keys that a score has no field
/// for are left out.
pub(super) fn from_json(json: &str, number: u32, writer: &mut Writer) -> Result<()> {
    let value: Value = serde_json::from_str(json).map_err(|error| Fault::new(error.to_string()))?;
    let Value::Object(scores) = value else {
        return Err(Fault::with_hint("the scores are not an object", "write {\"name\": {\"value\": 0.5}}"));
    };
    for (key, score) in &scores {
        let fields = match score {
            Value::Object(fields) => Some(fields),
            Value::Number(_) => None,
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {
                return Err(Fault::new("a score is a number or an object").in_field(key));
            }
        };
        let value = fields.map_or(Some(score), |fields| fields.get("value")).and_then(Value::as_f64);
        writer.nested(number, 0, |writer| {
            writer.text(1, key);
            writer.nested(2, 0, |writer| {
                writer.float(1, value.unwrap_or(0.0) as f32);
                for (number, name) in TEXTS {
                    if let Some(text) = fields.and_then(|fields| fields.get(name)).and_then(Value::as_str) {
                        writer.text(number, text);
                    }
                }
            });
        });
    }
    Ok(())
}
