//! JSON over HTTP/1.1 and HTTP/2: requests to the flow, and the pages beside them.

pub(crate) mod body;
pub(crate) mod cors;
mod events;
pub(crate) mod openapi;
pub(crate) mod pages;

use std::net::IpAddr;
use std::sync::Arc;

use ::http::header::{
    ACCEPT, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use lockgate_domain::{EndpointName, ErrorCode, Parameters, Problem, RequestId};
use lockgate_wire::envelope::{Dialect, Reply, Request};
use lockgate_wire::json;

use crate::approach::{Address, knock};
use crate::circumstances::{Arrival, Circumstances, REQUEST_ID};
use crate::door::Visitor;
use crate::gate::Gate;
use crate::serve::{Prepared, Refusal};

/// A body that is read to its end even when nobody wants it, so that the connection can go on.
const SMALL_BODY: u64 = 16 << 10;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers one request.
pub(crate) async fn answer(gate: &Gate, peer: IpAddr, request: ::http::Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let address = match Address::of(head.uri.path()) {
        Ok(address) => address,
        Err(problem) => return render_problem(None, &problem),
    };
    let caller = Caller { gate, head: &head, address: &address, peer };
    let is_page = matches!(head.method, Method::GET | Method::HEAD);
    if is_page && (head.method == Method::HEAD || !caller.wants_stream()) {
        return pages::answer(&caller);
    }
    if pages::exists(address.path)
        || !(is_page || takes_requests(&head.method, address.path) || caller.is_exposed())
    {
        return method_not_allowed(address.path);
    }
    let (refusal, is_unread) = match Entry::of(&caller, &body) {
        Ok(entry) => match entry.serve(&caller, body).await {
            Ok(response) => return response,
            Err(refusal) => {
                let is_unread = refusal.problem.code() == ErrorCode::RequestTooLarge;
                (refusal, is_unread)
            }
        },
        Err(problem) => (problem.into(), body.size_hint().upper().is_none_or(|size| size > SMALL_BODY)),
    };
    let mut response = render_problem(refusal.id.as_ref().map(RequestId::as_str), &refusal.problem);
    if is_unread && head.version < Version::HTTP_2 {
        // The rest of the body stays unread, so the connection ends: a client must not put its next request there.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The head of a request, and where it came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    gate: &'a Gate,
    head: &'a Parts,
    address: &'a Address<'a>,
    peer: IpAddr,
}

impl Caller<'_> {
    /// Shows the request at the door.
    fn knock(&self) -> Result<Arc<dyn Visitor>, Problem> {
        knock(&*self.gate.door, &self.head.headers, self.address, self.peer)
    }

    /// Whether a GET is for a streaming endpoint. Whoever may not know is told so by the page there is instead.
    fn wants_stream(&self) -> bool {
        let path = self.address.path;
        !pages::exists(path)
            && self.knock().and_then(|visitor| visitor.flow()).is_ok_and(|flow| flow.streams(path))
    }

    /// Whether the flow's author has added this path with this method.
    fn is_exposed(&self) -> bool {
        let flow = self.knock().and_then(|visitor| visitor.flow());
        flow.is_ok_and(|flow| flow.exposed_at(self.head.method.as_str(), self.address.path).is_some())
    }

    /// Whether the answer is to be a stream of events.
    fn takes_events(&self) -> bool {
        let kinds = self.head.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        self.head.method == Method::GET
            || kinds.flat_map(|value| value.split(',')).any(|kind| {
                kind.split(';')
                    .next()
                    .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(events::EVENT_STREAM))
            })
    }
}

/// A request to the flow whose body was not read yet.
struct Entry {
    visitor: Arc<dyn Visitor>,
    circumstances: Circumstances,
    endpoint: Option<String>,
}

impl Entry {
    /// Refuses what can be refused by the head alone.
    fn of(caller: &Caller<'_>, body: &Incoming) -> Result<Self, Problem> {
        let circumstances = Circumstances::of(&caller.head.headers, Arrival::now())?;
        let visitor = caller.knock()?;
        let endpoint = endpoint_of_path(&*visitor, caller.head.method.as_str(), caller.address.path)?;
        refuse_encoded(&caller.head.headers)?;
        body::check_length(body, caller.gate.options.max_message_bytes)?;
        caller.gate.admission.precheck()?;
        Ok(Self { visitor, circumstances, endpoint })
    }

    /// Reads, decodes, serves, encodes.
    async fn serve(self, caller: &Caller<'_>, body: Incoming) -> Result<Response<Body>, Refusal> {
        let (gate, head) = (caller.gate, caller.head);
        let body = body::collect(body, gate.options.max_message_bytes, gate.options.body_timeout).await?;
        let permit = gate.admission.admit(body.len())?;
        let visit = self.visitor.enter()?;
        if visit.flow.hides(caller.address.path) {
            return Err(no_endpoint(caller.address.path).into());
        }
        let decoded = match decode(caller, &body, self.endpoint) {
            Err(problem) if problem.code() == ErrorCode::InvalidRequest => {
                let body = json::encode_unprocessable(&problem);
                return Ok(json_response(StatusCode::UNPROCESSABLE_ENTITY, None, body.into()));
            }
            decoded => decoded?,
        };
        drop(body);
        let prepared = Prepared::new(visit, decoded, self.circumstances)?;
        if caller.takes_events() {
            return events::answer(prepared, permit, head.version).await;
        }
        let mut answer = prepared.run(None).await?;
        let (status, encoded) = encode(&answer.reply());
        let encoded = permit.into_bytes(answer.guard.take()).account_for(encoded);
        Ok(json_response(status, Some(answer.id.as_str()), encoded))
    }
}

/// An executor's error is part of an answer, as v1 clients expect; v2 clients expect a failure of the request.
fn encode(reply: &Reply<'_>) -> (StatusCode, Vec<u8>) {
    match (reply.dialect, reply.failure) {
        (Dialect::DocArrayV2, Some(failure)) => {
            let body = json::encode_problem(Some(reply.request_id), failure);
            (StatusCode::INTERNAL_SERVER_ERROR, body)
        }
        _ => (StatusCode::OK, json::encode_reply(reply, json::Case::Camel)),
    }
}

/// The request that a body stands for. With GET it is one document, or empty and the query is the document.
fn decode(caller: &Caller<'_>, body: &[u8], endpoint: Option<String>) -> Result<Request, Problem> {
    let limits = &caller.gate.options.limits;
    if caller.head.method != Method::GET {
        let decoded = json::decode_request(body, limits)?;
        return Ok(Request { endpoint: endpoint.or(decoded.endpoint), ..decoded });
    }
    let (documents, dialect) = match body.trim_ascii() {
        [] => json::decode_query(caller.head.uri.query().unwrap_or_default(), limits)?,
        body => json::decode_document(body, limits)?,
    };
    let parameters = Parameters::default();
    Ok(Request { id: None, endpoint, target_executor: None, parameters, documents, dialect })
}

/// Renders an error of the host or of the caller.
pub(crate) fn render_problem(id: Option<&str>, problem: &Problem) -> Response<Body> {
    let status = StatusCode::from_u16(problem.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, id, json::encode_problem(id, problem).into());
    if let Some(milliseconds) = problem.retry_after_ms() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1000)));
    }
    if problem.code() == ErrorCode::Unauthenticated {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn json_response(status: StatusCode, id: Option<&str>, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// `PUT /update` and `DELETE /delete` are Jina's; everything else is a POST.
fn takes_requests(method: &Method, path: &str) -> bool {
    match *method {
        Method::POST => true,
        Method::PUT => path == "/update",
        Method::DELETE => path == "/delete",
        _ => false,
    }
}

fn method_not_allowed(path: &str) -> Response<Body> {
    let allow = match path {
        path if pages::exists(path) => "GET, HEAD",
        "/update" => "POST, PUT",
        "/delete" => "POST, DELETE",
        _ => "POST",
    };
    let mut response =
        json_response(StatusCode::METHOD_NOT_ALLOWED, None, r#"{"detail":"Method Not Allowed"}"#.into());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// The endpoint that a path stands for: none at `/post`, where the body names it. A path that no executor answers to
/// is not found, except for those that Jina always has.
fn endpoint_of_path(visitor: &dyn Visitor, method: &str, path: &str) -> Result<Option<String>, Problem> {
    if path == "/post" {
        return Ok(None);
    }
    if matches!(path, "/index" | "/search" | "/update" | "/delete") {
        return Ok(Some(path.to_owned()));
    }
    let flow = visitor.flow()?;
    if let Some(endpoint) = flow.exposed_at(method, path) {
        return Ok(Some(endpoint.to_string()));
    }
    if flow.has_endpoint(path) || flow.has_endpoint(EndpointName::FALLBACK) {
        return Ok(Some(path.to_owned()));
    }
    Err(no_endpoint(path))
}

fn no_endpoint(path: &str) -> Problem {
    Problem::new(ErrorCode::NotFound, format!("no executor of this flow has an endpoint {path:?}"))
        .with_hint("see /docs for those there are, or POST /post to pass documents through")
}

fn refuse_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            Err(Problem::new(ErrorCode::InvalidRequest, "compressed request bodies are not read over HTTP")
                .with_hint("send the body as it is; gRPC takes gzip and deflate"))
        }
        _ => Ok(()),
    }
}
