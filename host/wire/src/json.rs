//! Requests and replies as JSON: what HTTP and WebSocket callers send and get.

use lockgate_domain::{DocumentList, ErrorCode, Limits, Problem};

use crate::envelope::{Reply, Request};

/// How keys of a reply are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `requestId`; `status` is null on success: HTTP
    Camel,
    /// `request_id`; no `status` on success: WebSocket
    Snake,
}

/// Reads a request.
///
/// # Errors
/// `invalid_request` with the path of the value at fault, or the limit that was passed.
pub fn decode_request(_body: &[u8], _limits: &Limits) -> Result<Request, Problem> {
    Err(Problem::new(ErrorCode::Unavailable, "not yet"))
}

/// Writes a reply.
pub fn encode_reply(_reply: &Reply<'_>, _case: Case) -> Vec<u8> {
    Vec::new()
}

/// Writes the answer to a request that failed before there was one: `{"detail": "...", "error": {...}}`.
pub fn encode_problem(_problem: &Problem) -> Vec<u8> {
    Vec::new()
}

/// Writes documents as a JSON array, as a client would show them.
pub fn encode_documents(_documents: &DocumentList) -> String {
    String::new()
}
