//! Requests and replies as protobuf.

use lockgate_domain::{ErrorCode, Limits, Problem};

use crate::envelope::{Answer, Reply, Request};
use crate::proto;

/// Reads a request.
///
/// # Errors
/// `invalid_request` naming the document and field at fault, or the limit that was passed.
pub fn decode_request(_message: proto::DataRequestProto, _limits: &Limits) -> Result<Request, Problem> {
    Err(Problem::new(ErrorCode::Unavailable, "not yet"))
}

/// Writes a reply in the caller's dialect. Documents that the dialect cannot hold make it an error reply.
pub fn encode_reply(_reply: &Reply<'_>) -> proto::DataRequestProto {
    proto::DataRequestProto::default()
}

/// A failure as the status inside a reply.
pub fn status_proto(_problem: &Problem) -> proto::StatusProto {
    proto::StatusProto::default()
}

/// Writes a request, for clients.
///
/// # Errors
/// `invalid_request` if the request's dialect cannot hold its documents.
pub fn encode_request(_request: &Request) -> Result<proto::DataRequestProto, Problem> {
    Err(Problem::new(ErrorCode::Unavailable, "not yet"))
}

/// Reads a reply, for clients.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_reply(_message: proto::DataRequestProto, _limits: &Limits) -> Result<Answer, Problem> {
    Err(Problem::new(ErrorCode::Unavailable, "not yet"))
}
