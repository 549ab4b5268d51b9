//! DocArray v2: `DocListProto`, documents with fields of the caller's own schema.
//!
//! A field's column has the kind of its node; the node's `type` (the caller's own class) is kept as the column's hint
//! and goes back with every value. Lists, sets, tuples and dictionaries become JSON and go back as what they were at
//! the top; inside, only lists and dictionaries survive. A list of numbers under the name
//! of an array (`embedding: List[float]`) is an array inside. A field that is declared but unset stays declared. Integers
//! have 32 bits on the wire: larger ones travel as floats while that is exact (53 bits) and are refused beyond.

use bytes::Bytes;
use lockgate_domain::{DocumentList, Limits, Problem};

mod decode;
mod encode;

/// Field numbers of `NodeProto`.
mod number {
    pub(super) const TEXT: u32 = 1;
    pub(super) const INTEGER: u32 = 2;
    pub(super) const FLOAT: u32 = 3;
    pub(super) const BOOLEAN: u32 = 4;
    pub(super) const BLOB: u32 = 5;
    pub(super) const NDARRAY: u32 = 6;
    pub(super) const DOC: u32 = 7;
    pub(super) const DOC_ARRAY: u32 = 8;
    pub(super) const LIST: u32 = 9;
    pub(super) const SET: u32 = 10;
    pub(super) const TUPLE: u32 = 11;
    pub(super) const DICT: u32 = 12;
    pub(super) const TYPE: u32 = 13;
}

/// Hints of columns whose values were lists of another kind: those nodes have no `type` of their own.
mod hint {
    pub(super) const SET: &str = "set";
    pub(super) const TUPLE: &str = "tuple";
    /// A column that is always an array here, and was a list there.
    pub(super) const LIST: &str = "list";
}

/// Reads a `DocListProto`.
///
/// # Errors
/// `invalid_request` with the path of what cannot be read, or the limit that was passed.
pub fn decode(message: &Bytes, limits: &Limits) -> Result<DocumentList, Problem> {
    decode::decode(message, limits).map_err(|fault| fault.problem())
}

/// Writes a `DocListProto`.
///
/// # Errors
/// `invalid_request` with the path of what a v2 document cannot hold.
pub fn encode(documents: &DocumentList) -> Result<Bytes, Problem> {
    encode::encode(documents).map_err(|fault| fault.problem())
}
