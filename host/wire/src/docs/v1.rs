//! DocArray v1: `DocumentArrayProto`, documents with a fixed set of fields.
//!
//! Every field has a column of its own name. What a v1 document has no field for goes into its `tags` on the way out;
//! blobs, arrays and documents under other names have no place there and are refused. `text`, `blob` and `tensor`
//! exclude each other for v1 clients, who keep the last one on the wire: the text, if there is one.

use bytes::Bytes;
use lockgate_domain::{DocumentList, Limits, Problem};

mod decode;
mod encode;
mod scores;

/// The 19 fields, in the order in which Jina's JSON has them.
pub(crate) const FIELDS: [&str; 19] = [
    "id",
    "parent_id",
    "granularity",
    "adjacency",
    "blob",
    "tensor",
    "mime_type",
    "text",
    "weight",
    "uri",
    "tags",
    "offset",
    "location",
    "embedding",
    "modality",
    "evaluations",
    "scores",
    "chunks",
    "matches",
];

/// Fields that every v1 document has in JSON, and that nobody else sends all of.
pub(crate) const MARKS: [&str; 3] = ["parent_id", "granularity", "mime_type"];

/// Field numbers of `DocumentProto`.
mod number {
    pub(super) const ID: u32 = 1;
    pub(super) const BLOB: u32 = 2;
    pub(super) const TENSOR: u32 = 3;
    pub(super) const TEXT: u32 = 4;
    pub(super) const GRANULARITY: u32 = 5;
    pub(super) const ADJACENCY: u32 = 6;
    pub(super) const PARENT_ID: u32 = 7;
    pub(super) const WEIGHT: u32 = 8;
    pub(super) const URI: u32 = 9;
    pub(super) const MODALITY: u32 = 10;
    pub(super) const MIME_TYPE: u32 = 11;
    pub(super) const OFFSET: u32 = 12;
    pub(super) const LOCATION: u32 = 13;
    pub(super) const CHUNKS: u32 = 14;
    pub(super) const MATCHES: u32 = 15;
    pub(super) const EMBEDDING: u32 = 16;
    pub(super) const TAGS: u32 = 17;
    pub(super) const SCORES: u32 = 18;
    pub(super) const EVALUATIONS: u32 = 19;
    pub(super) const METADATA: u32 = 20;
}

/// Reads a `DocumentArrayProto`.
///
/// # Errors
/// `invalid_request` with the path of what cannot be read, or the limit that was passed.
pub fn decode(message: &Bytes, limits: &Limits) -> Result<DocumentList, Problem> {
    decode::decode(message, limits).map_err(|fault| fault.problem())
}

/// Writes a `DocumentArrayProto`.
///
/// # Errors
/// `invalid_request` with the path of what a v1 document cannot hold.
pub fn encode(documents: &DocumentList) -> Result<Bytes, Problem> {
    encode::encode(documents).map_err(|fault| fault.problem())
}
