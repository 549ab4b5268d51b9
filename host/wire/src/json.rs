//! Requests and replies as JSON: what HTTP and WebSocket callers send and get.
//!
//! Three kinds of callers are told apart by what they send. Documents with Jina's v1 fields come from a v1 client: its
//! answers have all 19 fields, null where unset. Otherwise, a body whose header has both a request id and an endpoint
//! comes from a v2 client: its blobs are plain text. Everybody else gets only the fields that have values. Blobs are
//! base64 but for v2. Of equal keys in one object the last counts. Depth is bounded by serde_json (128) and, for
//! documents, by [`Limits::NESTING`]; sizes by the body's length and the builder's limits.

use lockgate_domain::{DocumentList, Limits, Problem};

use crate::envelope::{Dialect, Head, Reply, Request};

mod decode;
mod documents;
pub(crate) mod element;
mod encode;
mod query;
mod scalar;
pub(crate) mod tensor;
pub(crate) mod text;

/// How keys of a reply are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `requestId`; `status` is null on success: HTTP
    Camel,
    /// `request_id`; no `status` on success: WebSocket
    Snake,
}

/// Reads a request: `{"data": [...], "parameters": {...}, "exec_endpoint": "/", "header": {...}}`, each of them
/// optional, keys in either case. `data` is a list of documents, `{"docs": [...]}`, one document, or null.
///
/// Fields that DocArray does not know become columns: texts, integers, numbers, booleans; lists and objects JSON.
///
/// # Errors
/// `invalid_request` with the path of the value at fault, or the limit that was passed.
pub fn decode_request(body: &[u8], limits: &Limits) -> Result<Request, Problem> {
    decode::request(body, limits).map_err(|fault| fault.problem())
}

/// Reads which request it is, and skips its documents. A body that cannot be read so far has no head.
pub fn decode_head(body: &[u8]) -> Head {
    decode::head(body)
}

/// Writes a reply.
pub fn encode_reply(reply: &Reply<'_>, case: Case) -> Vec<u8> {
    encode::reply(reply, case)
}

/// Reads one document that stands by itself, as a list of one: what a caller of a streaming endpoint sends with GET.
/// Documents with Jina's v1 fields come from a v1 client, all others from a v2 client.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_document(body: &[u8], limits: &Limits) -> Result<(DocumentList, Dialect), Problem> {
    decode::document(body, limits).map_err(|fault| fault.problem())
}

/// Reads one document from a query, `text=hello&count=3`, as a list of one. A field that DocArray knows has its kind;
/// any other is a number, a boolean, a list or an object if it is written as one in JSON, else a text.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_query(query: &str, limits: &Limits) -> Result<(DocumentList, Dialect), Problem> {
    decode_document(query::to_json(query)?.as_bytes(), limits)
}

/// Writes the documents of a list one by one as [`encode_reply`] does, each on one line and between these two texts.
pub fn encode_each(documents: &DocumentList, dialect: Dialect, before: &str, after: &str) -> Vec<u8> {
    element::Encoder::new(documents, dialect).each(before.as_bytes(), after.as_bytes())
}

/// Writes the answer to a request that failed before there was one: Jina's, in whose header its clients look for a
/// status, and beside it `detail`, which is what FastAPI says, and the whole `error`. The request's documents are not
/// sent back.
pub fn encode_problem(request_id: Option<&str>, problem: &Problem) -> Vec<u8> {
    encode::problem(request_id, problem)
}

/// Writes the answer to a request that cannot be read, as FastAPI does: `{"detail": [{"loc": ["body", "data", 3], "msg":
/// "..."}], "error": {...}}`.
pub fn encode_unprocessable(problem: &Problem) -> Vec<u8> {
    encode::unprocessable(problem)
}

/// Writes documents as a JSON array of objects that have only the fields with values; blobs are base64.
pub fn encode_documents(documents: &DocumentList) -> String {
    let mut out = Vec::new();
    element::Encoder::sparse(documents).list(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests;
