//! JSON over HTTP/1.1 and HTTP/2: requests to the flow, and the pages beside them.

pub(crate) mod body;
pub(crate) mod openapi;
pub(crate) mod pages;

use ::http::header::{ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use axum::body::Body;
use bytes::Bytes;
use hyper::body::Incoming;
use lockgate_domain::{EndpointName, ErrorCode, Problem, RequestId};
use lockgate_wire::json;

use crate::circumstances::{Arrival, Circumstances, REQUEST_ID};
use crate::gate::Gate;
use crate::routes::ServedFlow;
use crate::serve::{Refusal, serve_request};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers one request.
pub(crate) async fn answer(gate: &Gate, request: Request<Incoming>) -> Response<Body> {
    if *request.method() == Method::GET || *request.method() == Method::HEAD {
        return pages::answer(gate, &request);
    }
    if pages::exists(request.uri().path()) || !takes_requests(&request) {
        return method_not_allowed(request.uri().path());
    }
    let version = request.version();
    match post(gate, request).await {
        Ok(response) => response,
        Err(refusal) => {
            let mut response = render_problem(refusal.id.as_ref().map(RequestId::as_str), &refusal.problem);
            if version < Version::HTTP_2 && refusal.problem.code() == ErrorCode::RequestTooLarge {
                // The rest of the body stays unread, so the connection ends: a client must not put its next request there.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

/// Decodes, serves, encodes.
async fn post(gate: &Gate, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let arrival = Arrival::now();
    let (head, body) = request.into_parts();
    let circumstances = Circumstances::of(&head.headers, arrival)?;
    let flow = gate.routes.resolve()?;
    let endpoint = endpoint_of_path(&flow, head.uri.path())?;
    refuse_encoded(&head.headers)?;
    gate.admission.precheck()?;
    let body = body::collect(body, gate.options.max_message_bytes, gate.options.body_timeout).await?;
    let permit = gate.admission.admit(body.len())?;
    let mut decoded = json::decode_request(&body, &gate.options.limits)?;
    drop(body);
    if endpoint.is_some() {
        decoded.endpoint = endpoint;
    }
    let answer = serve_request(flow, decoded, circumstances).await?;
    let encoded = json::encode_reply(&answer.reply(), json::Case::Camel);
    let encoded = permit.into_bytes().account_for(encoded);
    Ok(json_response(StatusCode::OK, Some(answer.id.as_str()), encoded))
}

/// Renders an error of the host or of the caller.
pub(crate) fn render_problem(id: Option<&str>, problem: &Problem) -> Response<Body> {
    let status = StatusCode::from_u16(problem.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, id, json::encode_problem(problem).into());
    if let Some(milliseconds) = problem.retry_after_ms() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1000)));
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
fn takes_requests(request: &Request<Incoming>) -> bool {
    match *request.method() {
        Method::POST => true,
        Method::PUT => request.uri().path() == "/update",
        Method::DELETE => request.uri().path() == "/delete",
        _ => false,
    }
}

fn method_not_allowed(path: &str) -> Response<Body> {
    let allow = if pages::exists(path) { "GET, HEAD" } else { "POST" };
    let mut response =
        json_response(StatusCode::METHOD_NOT_ALLOWED, None, r#"{"detail":"Method Not Allowed"}"#.into());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// The endpoint that a path stands for: none at `/post`, where the body names it. A path that no executor answers to
/// is not found, except for those that Jina always has.
fn endpoint_of_path(flow: &ServedFlow, path: &str) -> Result<Option<String>, Problem> {
    if path == "/post" {
        return Ok(None);
    }
    let is_usual = matches!(path, "/index" | "/search" | "/update" | "/delete");
    if is_usual || flow.has_endpoint(path) || flow.has_endpoint(EndpointName::FALLBACK) {
        return Ok(Some(path.to_owned()));
    }
    Err(Problem::new(ErrorCode::NotFound, format!("no executor of this flow has an endpoint {path:?}"))
        .with_hint("see /docs for those there are, or POST /post to pass documents through"))
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
