//! Requests and replies as protobuf messages: the envelope around [`crate::docs`].
//!
//! `docs_bytes` is read where it holds the same message as `docs`, which is what DocArray v2 writes; what v1 writes is a
//! pickle, which is code, and refused. Answers are always in `docs`. Parameters are a `Struct`, so their
//! numbers are doubles; integral ones come in as integers.

use bytes::Bytes;
use lockgate_domain::document::concat;
use lockgate_domain::{DocumentList, ErrorCode, Limits, Parameters, Problem};
use prost::Message;
use prost_types::Timestamp;

use crate::docs;
use crate::envelope::{Answer, Dialect, Head, Reply, Request, Route};
use crate::fault::Fault;
use crate::proto;
use crate::proto::data_request_proto::DataContentProto;
use crate::proto::data_request_proto::data_content_proto::Documents;
use crate::proto::status_proto::{ExceptionProto, StatusCode};

mod parameters;
mod single;

pub use single::{decode_single, decode_single_reply, encode_single, encode_singles};

/// How every list with a document begins: field 1, a message. A pickle begins with its version, 0x80.
const DOCUMENT_TAG: u8 = 0x0a;

/// Reads a request.
///
/// # Errors
/// `invalid_request` naming the document and field at fault, or the limit that was passed.
pub fn decode_request(message: proto::DataRequestProto, limits: &Limits) -> Result<Request, Problem> {
    let (documents, dialect) = decode_content(message.data, limits)?;
    Ok(decode_header(message.header, message.parameters, documents, dialect))
}

/// Reads several requests as one, as the parts of a join that is not reduced are sent: what the first one says, and the
/// documents of all one behind the other.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_requests(message: proto::DataRequestListProto, limits: &Limits) -> Result<Request, Problem> {
    let mut parts = Vec::with_capacity(message.requests.len().min(64));
    for part in message.requests {
        parts.push(decode_request(part, limits)?);
    }
    let dialect = parts.iter().find(|part| !part.documents.is_empty()).map(|part| part.dialect);
    let lists: Vec<&DocumentList> = parts.iter().map(|part| &part.documents).collect();
    let documents = concat(&lists, limits).map_err(|error| Fault::from(error).problem())?;
    let Some(first) = parts.into_iter().next() else {
        return Err(Problem::new(ErrorCode::InvalidRequest, "the list holds no request")
            .with_hint("send at least one DataRequestProto in it"));
    };
    Ok(Request { documents, dialect: dialect.unwrap_or(first.dialect), ..first })
}

/// Writes which endpoints there are, each with what Jina's gateways want to know of it.
pub fn encode_endpoints(
    endpoints: Vec<String>,
    schemas: serde_json::Map<String, serde_json::Value>,
) -> proto::EndpointsProto {
    let schemas = Some(parameters::to_struct(&Parameters::new(schemas)));
    proto::EndpointsProto { endpoints, write_endpoints: Vec::new(), schemas }
}

/// Reads which endpoints there are, and of each whether it streams: what Jina calls a generator. Where nothing is said
/// about an endpoint, it does not.
pub fn decode_endpoints(message: proto::EndpointsProto) -> Vec<(String, bool)> {
    let schemas = parameters::from_struct(message.schemas);
    let streams = |name: &str| {
        let said = schemas.map().get(name).and_then(|schema| schema.get("is_generator"));
        said.and_then(serde_json::Value::as_bool).unwrap_or(false)
    };
    let described = |name: String| {
        let streams = streams(&name);
        (name, streams)
    };
    message.endpoints.into_iter().map(described).collect()
}

fn decode_header(
    header: Option<proto::HeaderProto>,
    parameters: Option<prost_types::Struct>,
    documents: DocumentList,
    dialect: Dialect,
) -> Request {
    let header = header.unwrap_or_default();
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    Request {
        id: given(header.request_id),
        endpoint: header.exec_endpoint.and_then(given),
        target_executor: header.target_executor.and_then(given),
        parameters: parameters::from_struct(parameters),
        documents,
        dialect,
    }
}

/// Reads which request it is, and skips its documents. A message that cannot be read so far has no head.
pub fn decode_head(message: &[u8]) -> Head {
    let header = proto::DataRequestProtoWoData::decode(message).ok().and_then(|message| message.header);
    let header = header.unwrap_or_default();
    Head {
        id: Some(header.request_id).filter(|id| !id.is_empty()),
        endpoint: header.exec_endpoint.filter(|endpoint| !endpoint.is_empty()),
    }
}

/// Writes a reply in the caller's dialect. Documents that the dialect cannot hold make it an error reply without
/// documents.
pub fn encode_reply(reply: &Reply<'_>) -> proto::DataRequestProto {
    let (content, refused) = match docs::encode(reply.dialect, reply.documents) {
        Ok(documents) => (Some(content(documents)), None),
        Err(problem) => (None, Some(problem)),
    };
    let failure = reply.failure.or(refused.as_ref());
    proto::DataRequestProto {
        header: Some(encode_header(reply, failure)),
        parameters: Some(parameters::to_struct(reply.parameters)),
        routes: reply.routes.iter().map(encode_route).collect(),
        data: content,
    }
}

/// What every message of a reply says first.
fn encode_header(reply: &Reply<'_>, failure: Option<&Problem>) -> proto::HeaderProto {
    proto::HeaderProto {
        request_id: reply.request_id.to_owned(),
        status: Some(failure.map(status_proto).unwrap_or_default()),
        exec_endpoint: Some(reply.endpoint.to_owned()),
        target_executor: Some(String::new()),
        timeout: None,
    }
}

/// A failure as the status inside a reply. The exception's name is the error's code; its arguments are the message,
/// the hint (empty if there is none) and the whole problem as JSON, so that nobody has to parse sentences.
pub fn status_proto(problem: &Problem) -> proto::StatusProto {
    let message = problem.message();
    proto::StatusProto {
        code: StatusCode::Error.into(),
        description: match problem.hint() {
            Some(hint) => format!("{message} (hint: {hint})"),
            None => message.to_owned(),
        },
        exception: Some(ExceptionProto {
            name: problem.code().as_str().to_owned(),
            args: vec![message.to_owned(), problem.hint().unwrap_or_default().to_owned(), as_json(problem)],
            stacks: problem.backtrace().to_vec(),
            executor: problem.executor().map(ToString::to_string).unwrap_or_default(),
        }),
    }
}

/// The problem without its stack, which has a field of its own.
fn as_json(problem: &Problem) -> String {
    serde_json::to_string(&problem.clone().with_backtrace(Vec::new())).unwrap_or_default()
}

/// Writes a request, for clients.
///
/// # Errors
/// `invalid_request` if the request's dialect cannot hold its documents.
pub fn encode_request(request: &Request) -> Result<proto::DataRequestProto, Problem> {
    Ok(proto::DataRequestProto {
        header: Some(request_header(request)),
        parameters: Some(parameters::to_struct(&request.parameters)),
        routes: Vec::new(),
        data: Some(content(docs::encode(request.dialect, &request.documents)?)),
    })
}

fn request_header(request: &Request) -> proto::HeaderProto {
    proto::HeaderProto {
        request_id: request.id.clone().unwrap_or_default(),
        status: None,
        exec_endpoint: request.endpoint.clone(),
        target_executor: request.target_executor.clone(),
        timeout: None,
    }
}

/// Reads a reply, for clients.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_reply(message: proto::DataRequestProto, limits: &Limits) -> Result<Answer, Problem> {
    let header = message.header.unwrap_or_default();
    let (documents, _) = decode_content(message.data, limits)?;
    Ok(Answer {
        request_id: header.request_id,
        parameters: parameters::from_struct(message.parameters),
        routes: message.routes.into_iter().map(decode_route).collect(),
        failure: header.status.and_then(decode_status),
        documents,
    })
}

fn content(documents: Bytes) -> DataContentProto {
    DataContentProto { documents: Some(Documents::Docs(documents)) }
}

fn decode_content(
    content: Option<DataContentProto>,
    limits: &Limits,
) -> Result<(DocumentList, Dialect), Problem> {
    let bytes = match content.and_then(|content| content.documents) {
        None => return Ok((DocumentList::default(), Dialect::DocArrayV1)),
        Some(Documents::Docs(bytes)) => bytes,
        Some(Documents::DocsBytes(bytes)) if bytes.first().is_none_or(|first| *first == DOCUMENT_TAG) => {
            bytes
        }
        Some(Documents::DocsBytes(_)) => {
            let message =
                "the request's docs_bytes are no list in protobuf; a pickle is refused, for it is code";
            return Err(Problem::new(ErrorCode::InvalidRequest, message)
                .with_hint("send them in the field docs, or write docs_bytes with protocol protobuf-array"));
        }
    };
    // Documents without a field are the same in both; v2 clients cannot send any, their ids are set.
    let dialect = docs::detect(&bytes).unwrap_or(Dialect::DocArrayV1);
    Ok((docs::decode(dialect, &bytes, limits)?, dialect))
}

fn encode_route(route: &Route) -> proto::RouteProto {
    proto::RouteProto {
        executor: route.executor.clone(),
        start_time: route.start.map(Timestamp::from),
        end_time: route.end.map(Timestamp::from),
        status: route.failure.as_ref().map(status_proto),
    }
}

fn decode_route(route: proto::RouteProto) -> Route {
    Route {
        executor: route.executor,
        start: route.start_time.and_then(|time| time.try_into().ok()),
        end: route.end_time.and_then(|time| time.try_into().ok()),
        failure: route.status.and_then(decode_status),
    }
}

/// The problem that a status tells of, if it tells of one. Names that are no code of ours are an executor's error.
fn decode_status(status: proto::StatusProto) -> Option<Problem> {
    if status.code == i32::from(StatusCode::Success) {
        return None;
    }
    let exception = status.exception.unwrap_or_default();
    let code = ErrorCode::ALL.into_iter().find(|code| code.as_str() == exception.name);
    let problem = match (code, exception.args.as_slice()) {
        (Some(code), [message, hint, ..]) if hint.is_empty() => Problem::new(code, message),
        (Some(code), [message]) => Problem::new(code, message),
        (Some(code), [message, hint, ..]) => Problem::new(code, message).with_hint(hint),
        _ => Problem::new(code.unwrap_or(ErrorCode::GuestError), status.description),
    };
    let problem = problem.with_backtrace(exception.stacks);
    match exception.executor.parse() {
        Ok(executor) => Some(problem.with_executor(&executor)),
        Err(_) => Some(problem),
    }
}

#[cfg(test)]
mod tests;
