//! Documents as JSON.

use half::{bf16, f16};
use lockgate_domain::DocumentList;
use lockgate_domain::document::{Column, DType, Tensor, Values, names};

use super::text;
use crate::docs::{Presence, can_show_blanks, v1};
use crate::envelope::Dialect;

/// Writes documents of one list.
pub(super) struct Encoder<'a> {
    len: u32,
    slots: Vec<Slot<'a>>,
    plain_blobs: bool,
}

/// A field: its key with quotes and colon, and its column, if there is one.
struct Slot<'a> {
    key: Vec<u8>,
    column: Option<&'a Column>,
    /// Where the key stands even without a value.
    presence: Option<Presence>,
    /// What stands there for a document without nested ones.
    blank: &'static [u8],
}

impl<'a> Encoder<'a> {
    /// As the caller wrote them: see the parent module.
    pub(super) fn new(documents: &'a DocumentList, dialect: Dialect) -> Self {
        let has_marks = v1::MARKS.iter().all(|name| documents.column(name).is_some());
        let names: usize = documents.columns().iter().map(|column| column.name().len() + 8).sum();
        if !can_show_blanks(documents, names) {
            return Self { plain_blobs: dialect == Dialect::DocArrayV2, ..Self::sparse(documents) };
        }
        match dialect {
            Dialect::DocArrayV1 if has_marks => Self::full(documents),
            Dialect::DocArrayV1 => Self::sparse(documents),
            Dialect::DocArrayV2 => Self::declared(documents),
        }
    }

    /// Only fields with values.
    pub(super) fn sparse(documents: &'a DocumentList) -> Self {
        let slots = documents.columns().iter().map(|column| Slot::new(column.name(), Some(column), None));
        Self { len: documents.len(), slots: slots.collect(), plain_blobs: false }
    }

    /// All fields of DocArray v1, then all others with values.
    fn full(documents: &'a DocumentList) -> Self {
        let everywhere = Some(Presence::EVERYWHERE);
        let known = v1::FIELDS.iter().map(|name| Slot::new(name, documents.column(name), everywhere));
        let others = documents.columns().iter().filter(|column| !v1::FIELDS.contains(&column.name()));
        let others = others.map(|column| Slot::new(column.name(), Some(column), None));
        Self { len: documents.len(), slots: known.chain(others).collect(), plain_blobs: false }
    }

    /// All fields of the caller's schema.
    fn declared(documents: &'a DocumentList) -> Self {
        let slots = documents.columns().iter().map(|column| {
            let mut slot = Slot::new(column.name(), Some(column), Some(Presence::of(column, documents)));
            if matches!(column.values(), Values::Link(links) if !links.is_single()) {
                slot.blank = b"[]";
            }
            slot
        });
        Self { len: documents.len(), slots: slots.collect(), plain_blobs: true }
    }

    /// Bytes of the list, about.
    pub(super) fn estimate(&self) -> usize {
        let weight = |slot: &Slot<'_>| {
            let rows = slot.column.map_or(0, |column| column.values().rows() as usize);
            let values = match slot.column.map(Column::values) {
                Some(Values::Text(texts) | Values::Json(texts)) => texts.bytes(),
                Some(Values::Number(_) | Values::Integer(_)) => rows * 8,
                _ => 0,
            };
            values + rows * (slot.key.len() + 3)
        };
        self.slots.iter().map(weight).sum::<usize>() + self.len as usize * 3
    }

    /// The list.
    pub(super) fn list(&self, out: &mut Vec<u8>) {
        text::write_list(out, 0..self.len, |out, row| self.document(out, row));
    }

    /// Each document on one line, between two texts.
    pub(super) fn each(&self, before: &[u8], after: &[u8]) -> Vec<u8> {
        let around = (before.len() + after.len()) * self.len as usize;
        let mut out = Vec::with_capacity(self.estimate() + around);
        for row in 0..self.len {
            out.extend_from_slice(before);
            let start = out.len();
            self.document(&mut out, row);
            // JSON that is kept as it was written may hold them between its tokens, and only there.
            let document = out.iter_mut().skip(start);
            document.filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
            out.extend_from_slice(after);
        }
        out
    }

    /// One document. Recursion ends because lists are arranged: links point to deeper levels only.
    fn document(&self, out: &mut Vec<u8>, row: u32) {
        out.push(b'{');
        let start = out.len();
        for slot in &self.slots {
            let column = slot.column.filter(|column| column.has_value(row));
            if column.is_none() && !slot.presence.is_some_and(|presence| presence.covers(row, self.len)) {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            out.extend_from_slice(&slot.key);
            match column {
                Some(column) => self.value(out, column, row),
                None => out.extend_from_slice(slot.blank),
            }
        }
        out.push(b'}');
    }

    fn value(&self, out: &mut Vec<u8>, column: &Column, row: u32) {
        let at = row as usize;
        match column.values() {
            Values::Text(texts) => text::write_text(out, texts.get(row).unwrap_or("")),
            Values::Json(texts) => out.extend_from_slice(texts.get(row).unwrap_or("null").as_bytes()),
            Values::Bytes(values) => {
                let blob = values.get(at).and_then(Option::as_ref).map_or(&[][..], |blob| blob.as_ref());
                match std::str::from_utf8(blob) {
                    Ok(plain) if self.plain_blobs => text::write_text(out, plain),
                    _ => text::write_base64(out, blob),
                }
            }
            Values::Integer(values) => {
                text::write_integer(out, values.get(at).copied().flatten().unwrap_or(0))
            }
            Values::Number(values) => {
                text::write_number(out, values.get(at).copied().flatten().unwrap_or(f64::NAN));
            }
            Values::Boolean(values) => {
                text::write_boolean(out, values.get(at).copied().flatten().unwrap_or(false));
            }
            Values::Tensor(column) => match column.get(row) {
                Some(tensor) => write_tensor(out, &tensor),
                None => out.extend_from_slice(b"null"),
            },
            Values::Link(links) => match links.get(row) {
                [only] if links.is_single() => self.document(out, *only),
                targets => text::write_list(out, targets, |out, target| self.document(out, *target)),
            },
        }
    }
}

impl<'a> Slot<'a> {
    fn new(name: &str, column: Option<&'a Column>, presence: Option<Presence>) -> Self {
        let mut key = Vec::with_capacity(name.len() + 3);
        text::write_text(&mut key, name);
        key.push(b':');
        Self { key, column, presence, blank: if name == names::TAGS { b"{}" } else { b"null" } }
    }
}

/// Most empty lists written for an empty tensor; one with more becomes `[]`. Its shape may claim billions of them,
/// and would fill the memory without having a single byte.
const MAX_EMPTY_LISTS: u64 = 64;

/// Lists that an empty tensor of this shape is written as.
fn empty_lists(shape: &[u32]) -> u64 {
    shape
        .iter()
        .take_while(|extent| **extent > 0)
        .fold(1, |lists, extent| lists.saturating_mul(u64::from(*extent)))
}

/// A tensor as nested lists; a scalar as a number.
pub(crate) fn write_tensor(out: &mut Vec<u8>, tensor: &Tensor) {
    if tensor.data().is_empty() && empty_lists(tensor.shape()) > MAX_EMPTY_LISTS {
        return out.extend_from_slice(b"[]");
    }
    let mut elements = tensor.data().chunks_exact(tensor.dtype().size());
    out.reserve(tensor.data().len() * 2);
    write_level(out, tensor.shape(), &mut elements, tensor.dtype());
}

fn write_level(
    out: &mut Vec<u8>,
    shape: &[u32],
    elements: &mut std::slice::ChunksExact<'_, u8>,
    dtype: DType,
) {
    match shape.split_first() {
        None => write_element(out, dtype, elements.next().unwrap_or(&[])),
        Some((&extent, rest)) => {
            text::write_list(out, 0..extent, |out, _| write_level(out, rest, elements, dtype));
        }
    }
}

fn write_element(out: &mut Vec<u8>, dtype: DType, element: &[u8]) {
    match (dtype, element) {
        (DType::Boolean, &[byte]) => text::write_boolean(out, byte != 0),
        (DType::Uint8, &[byte]) => text::write_unsigned(out, u64::from(byte)),
        (DType::Int8, &[byte]) => text::write_integer(out, i64::from(byte as i8)),
        (DType::Uint16, &[a, b]) => text::write_unsigned(out, u64::from(u16::from_le_bytes([a, b]))),
        (DType::Int16, &[a, b]) => text::write_integer(out, i64::from(i16::from_le_bytes([a, b]))),
        (DType::Uint32, &[a, b, c, d]) => {
            text::write_unsigned(out, u64::from(u32::from_le_bytes([a, b, c, d])));
        }
        (DType::Int32, &[a, b, c, d]) => {
            text::write_integer(out, i64::from(i32::from_le_bytes([a, b, c, d])))
        }
        (DType::Uint64, &[a, b, c, d, e, f, g, h]) => {
            text::write_unsigned(out, u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        }
        (DType::Int64, &[a, b, c, d, e, f, g, h]) => {
            text::write_integer(out, i64::from_le_bytes([a, b, c, d, e, f, g, h]));
        }
        (DType::Float8E4m3, &[byte]) => text::write_float(out, float8_e4m3(byte)),
        (DType::Float8E5m2, &[byte]) => text::write_float(out, f16::from_le_bytes([0, byte]).to_f32()),
        (DType::Float16, &[a, b]) => text::write_float(out, f16::from_le_bytes([a, b]).to_f32()),
        (DType::Bfloat16, &[a, b]) => text::write_float(out, bf16::from_le_bytes([a, b]).to_f32()),
        (DType::Float32, &[a, b, c, d]) => text::write_float(out, f32::from_le_bytes([a, b, c, d])),
        (DType::Float64, &[a, b, c, d, e, f, g, h]) => {
            text::write_number(out, f64::from_le_bytes([a, b, c, d, e, f, g, h]));
        }
        _ => out.extend_from_slice(b"null"),
    }
}

/// Sign, four bits of exponent with bias 7, three of mantissa; no infinities, and NaN only where all bits are set.
fn float8_e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 0xf), f32::from(byte & 7));
    let magnitude = match byte & 0x7f {
        0x7f => f32::NAN,
        _ if exponent == 0 => mantissa / 8.0 * 2f32.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_nested_lists() {
        let check = |dtype: DType, shape: &[u32], bytes: &[u8], expected: &str| {
            let tensor = Tensor::new(dtype, shape, bytes.to_vec().into()).unwrap();
            let mut out = Vec::new();
            write_tensor(&mut out, &tensor);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(DType::Uint8, &[2, 2], &[1, 2, 3, 4], "[[1,2],[3,4]]");
        check(DType::Boolean, &[2], &[0, 1], "[false,true]");
        check(DType::Float32, &[1], &0.1f32.to_le_bytes(), "[0.1]");
        check(DType::Float64, &[], &f64::NAN.to_le_bytes(), "null");
        check(DType::Float16, &[1], &[0, 0x3c], "[1.0]");
        check(DType::Bfloat16, &[1], &[0x80, 0x3f], "[1.0]");
        check(DType::Float8E4m3, &[4], &[0x38, 0x01, 0x7e, 0xff], "[1.0,0.001953125,448.0,null]");
        check(DType::Float8E5m2, &[1], &[0x3c], "[1.0]");
        check(DType::Int8, &[0], &[], "[]");
        check(DType::Int8, &[2, 0], &[], "[[],[]]");
        check(DType::Int8, &[u32::MAX, 0], &[], "[]");
    }
}
