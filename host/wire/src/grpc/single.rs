//! One document in, documents out one by one: the messages of `stream_doc`.
//!
//! A message carries one document, so a list that was emitted at once becomes as many messages. They have neither routes
//! nor parameters: what they would say is known only when the stream is over.

use lockgate_domain::{DocumentList, ErrorCode, Limits, Parameters, Problem};

use super::{decode_header, decode_status, encode_header, parameters};
use crate::docs;
use crate::envelope::{Answer, Reply, Request};
use crate::proto;

/// Reads a request with one document.
///
/// # Errors
/// `invalid_request` naming the field at fault, or the limit that was passed.
pub fn decode_single(
    message: proto::SingleDocumentRequestProto,
    limits: &Limits,
) -> Result<Request, Problem> {
    let (documents, dialect) = docs::decode_one(&message.document, limits)?;
    Ok(decode_header(message.header, message.parameters, documents, dialect))
}

/// Writes the documents of a reply, one a message. A failure is one message with the document as it was sent to whoever
/// failed; documents that the dialect cannot hold are one without.
pub fn encode_singles(reply: &Reply<'_>) -> Vec<proto::SingleDocumentRequestProto> {
    let (documents, refused) = match docs::encode_each(reply.dialect, reply.documents) {
        Ok(documents) => (documents, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let message = |document, failure: Option<&Problem>| proto::SingleDocumentRequestProto {
        header: Some(encode_header(reply, failure)),
        document,
        ..proto::SingleDocumentRequestProto::default()
    };
    match reply.failure.or(refused.as_ref()) {
        Some(failure) => vec![message(documents.into_iter().next().unwrap_or_default(), Some(failure))],
        None => documents.into_iter().map(|document| message(document, None)).collect(),
    }
}

/// Writes a request with one document, for clients.
///
/// # Errors
/// `invalid_request` if there is not exactly one document, or the request's dialect cannot hold it.
pub fn encode_single(request: &Request) -> Result<proto::SingleDocumentRequestProto, Problem> {
    let documents = docs::encode_each(request.dialect, &request.documents)?;
    let [document] = documents.as_slice() else {
        let message = format!("a stream begins with one document, not with {}", documents.len());
        return Err(Problem::new(ErrorCode::InvalidRequest, message).with_hint("ask for each by itself"));
    };
    Ok(proto::SingleDocumentRequestProto {
        header: Some(super::request_header(request)),
        parameters: Some(parameters::to_struct(&request.parameters)),
        document: document.clone(),
        ..proto::SingleDocumentRequestProto::default()
    })
}

/// Reads one message of a stream, for clients: a list of one document, or a failure.
///
/// # Errors
/// As [`decode_single`].
pub fn decode_single_reply(
    message: proto::SingleDocumentRequestProto,
    limits: &Limits,
) -> Result<Answer, Problem> {
    let header = message.header.unwrap_or_default();
    let failure = header.status.and_then(decode_status);
    let documents = match (&failure, message.document.is_empty()) {
        (Some(_), true) => DocumentList::default(),
        _ => docs::decode_one(&message.document, limits)?.0,
    };
    let (request_id, routes) = (header.request_id, Vec::new());
    Ok(Answer { request_id, parameters: Parameters::default(), routes, failure, documents })
}
