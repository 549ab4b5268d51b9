//! One document in, documents out one by one: the messages of `stream_doc`.
//!
//! A message carries one document, so a list that was emitted at once becomes as many messages. They have neither routes
//! nor parameters: what they would say is known only when the stream is over.

use lockgate_domain::{Limits, Problem};

use super::{decode_header, encode_header};
use crate::docs;
use crate::envelope::{Reply, Request};
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
