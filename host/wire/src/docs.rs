//! Documents as protobuf, straight between bytes and columns.
//!
//! Both versions of DocArray travel in the same field; [`detect`] tells them apart. Blobs and arrays stay slices of
//! the message they came in. Depth is bounded by [`lockgate_domain::Limits::NESTING`], counts by the builder's
//! limits, everything else by the message's own length.

use bytes::Bytes;
use lockgate_domain::document::{Column, Values};
use lockgate_domain::{DocumentList, Limits, Problem};

use crate::envelope::Dialect;
use crate::protobuf::{Payload, Reader, Writer};

mod ndarray;
pub mod v1;
pub mod v2;
pub(crate) mod values;

/// Which version of DocArray a message holds: a v2 document has nothing but map entries in field 1, a v1 document has
/// other fields, and an id in field 1.
///
/// None if nothing tells: no documents, or documents without a field.
pub fn detect(message: &[u8]) -> Option<Dialect> {
    let mut list = Reader::new(message);
    while let Ok(Some(field)) = list.next() {
        let Payload::Bytes(document) = field.payload else { continue };
        if field.number == 1
            && let Some(dialect) = detect_document(document)
        {
            return Some(dialect);
        }
    }
    None
}

fn detect_document(document: &[u8]) -> Option<Dialect> {
    let mut reader = Reader::new(document);
    let mut entries = 0;
    loop {
        match reader.next() {
            Ok(None) => break,
            Ok(Some(field)) => match field.payload {
                Payload::Bytes(entry) if field.number == 1 && is_entry(entry) => entries += 1,
                _ => return Some(Dialect::DocArrayV1),
            },
            Err(_) => return Some(Dialect::DocArrayV1),
        }
    }
    (entries > 0).then_some(Dialect::DocArrayV2)
}

/// A map entry: a key in field 1, a message in field 2, nothing else.
fn is_entry(entry: &[u8]) -> bool {
    let mut reader = Reader::new(entry);
    let mut seen = 0;
    loop {
        match reader.next() {
            Ok(None) => return seen > 0,
            Ok(Some(field)) => match (field.number, field.payload) {
                (1, Payload::Bytes(key)) if std::str::from_utf8(key).is_ok() => seen += 1,
                (2, Payload::Bytes(value)) if is_message(value) => {}
                _ => return false,
            },
            Err(_) => return false,
        }
    }
}

fn is_message(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    loop {
        match reader.next() {
            Ok(None) => return true,
            Ok(Some(_)) => {}
            Err(_) => return false,
        }
    }
}

/// Reads a list of documents (`DocumentArrayProto` or `DocListProto`).
///
/// # Errors
/// `invalid_request` with the path of what cannot be read, or the limit that was passed.
pub fn decode(dialect: Dialect, message: &Bytes, limits: &Limits) -> Result<DocumentList, Problem> {
    match dialect {
        Dialect::DocArrayV1 => v1::decode(message, limits),
        Dialect::DocArrayV2 => v2::decode(message, limits),
    }
}

/// Writes a list of documents.
///
/// # Errors
/// `invalid_request` with the path of what the dialect cannot hold.
pub fn encode(dialect: Dialect, documents: &DocumentList) -> Result<Bytes, Problem> {
    match dialect {
        Dialect::DocArrayV1 => v1::encode(documents),
        Dialect::DocArrayV2 => v2::encode(documents),
    }
}

/// Reads one document (`DocumentProto` or `DocProto`) as a list of one, and says which of both it was. A document
/// without a field is the same in both.
///
/// # Errors
/// As [`decode`].
pub fn decode_one(document: &[u8], limits: &Limits) -> Result<(DocumentList, Dialect), Problem> {
    let mut list = Writer::with_capacity(document.len() + 8);
    list.bytes(1, document);
    let list = Bytes::from(list.finish());
    let dialect = detect(&list).unwrap_or(Dialect::DocArrayV1);
    Ok((decode(dialect, &list, limits)?, dialect))
}

/// Writes each document of a list as a message of its own. They are slices of one buffer.
///
/// # Errors
/// As [`encode`].
pub fn encode_each(dialect: Dialect, documents: &DocumentList) -> Result<Vec<Bytes>, Problem> {
    let list = encode(dialect, documents)?;
    let mut each = Vec::with_capacity(documents.len() as usize);
    let mut reader = Reader::new(&list);
    // What was just written can be read.
    while let Ok(Some(field)) = reader.next() {
        if let Payload::Bytes(document) = field.payload {
            each.push(list.slice_ref(document));
        }
    }
    Ok(each)
}

/// At which depth a field is shown empty where a document has no value.
///
/// Roots and nested documents are often of different classes, so it is judged by where the field has values: one that
/// is not there at all should not appear as empty. Where it has values, it is shown empty only if the caller sent it so:
/// its type takes no value then. A document that a guest added lacks fields that have a default, and clients fill in
/// those that are left out, but refuse empty ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presence {
    roots: bool,
    nested: bool,
}

/// Bytes of names that empty fields may take in one answer. Two hundred thousand empty documents are a small request,
/// and all fields of all of them would be gigabytes: past this, only fields with values are written.
const MAX_BLANK_BYTES: u64 = 32 << 20;

/// Whether the fields that documents lack may be written at all, given the bytes of their names in one document.
pub(crate) fn can_show_blanks(documents: &DocumentList, name_bytes: usize) -> bool {
    u64::from(documents.total()).saturating_mul(name_bytes as u64) <= MAX_BLANK_BYTES
}

impl Presence {
    pub(crate) const EVERYWHERE: Self = Self { roots: true, nested: true };
    pub(crate) const NOWHERE: Self = Self { roots: false, nested: false };

    pub(crate) fn of(column: &Column, documents: &DocumentList) -> Self {
        let rows = column.values().rows();
        let roots = (0..documents.len().min(rows)).any(|row| column.has_value(row));
        let nested = (documents.len()..rows).any(|row| column.has_value(row));
        // An empty list of documents is a value.
        let may =
            column.is_nullable() || matches!(column.values(), Values::Link(links) if !links.is_single());
        // A field without any value was declared by the caller, who knows where.
        Self { roots: may && (roots || !nested), nested: may && (nested || !roots) }
    }

    pub(crate) fn covers(self, row: u32, roots: u32) -> bool {
        if row < roots { self.roots } else { self.nested }
    }
}

#[cfg(test)]
mod tests;
