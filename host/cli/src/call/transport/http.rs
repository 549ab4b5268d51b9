//! `POST /post` with JSON over one HTTP/1.1 connection that is kept. Streams are the same request, answered by events
//! (`events`).

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, Request as HttpRequest, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use lockgate_domain::{ErrorCode, Parameters, Problem};
use lockgate_socket::ClientTls;
use lockgate_wire::envelope::{Answer, Request};
use lockgate_wire::{grpc, json, proto};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::task::JoinSet;

use super::events::{EVENT_STREAM, Events};
use super::{MAX_ANSWER_BYTES, Take, limits, unreachable, unreadable};
use crate::call::target::Target;
use crate::failure::{Failure, Report};
use crate::tls;

pub(super) struct HttpConnection {
    target: Target,
    sender: SendRequest<Full<Bytes>>,
    marks: HeaderMap,
    /// Drives the connection, and ends with it.
    _driver: JoinSet<()>,
}

impl HttpConnection {
    pub(super) async fn open(
        target: &Target,
        secure: Option<&ClientTls>,
        marks: HeaderMap,
    ) -> Result<Self, Report> {
        let stream = tls::connect(&target.authority, secure).await;
        let stream = stream.map_err(|error| unreachable(target, Some(&error)))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(target, Some(&error)))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // A broken connection shows in the request that is under way.
            drop(connection.await);
        });
        Ok(Self { target: target.clone(), sender, marks, _driver: driver })
    }

    pub(super) async fn call(
        &mut self,
        request: &Request,
        timeout: Option<Duration>,
    ) -> Result<Answer, Report> {
        let response = self.send(request, timeout, "application/json").await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| lost(&self.target, error.as_ref()))?.to_bytes();
        if status == StatusCode::OK { decode(&body) } else { Err(explain(status, &body)) }
    }

    /// Hands over each document as it comes.
    pub(super) async fn stream(
        &mut self,
        request: &Request,
        timeout: Option<Duration>,
        take: &mut Take<'_>,
    ) -> Result<(), Failure> {
        let response = self.send(request, timeout, EVENT_STREAM).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with(EVENT_STREAM)) {
            return Events::new(&self.target, response.into_body()).hand_over(take).await;
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| lost(&self.target, error.as_ref()))?.to_bytes();
        let is_told = serde_json::from_slice::<Value>(&body).is_ok_and(|body| body.get("error").is_some());
        if status != StatusCode::OK && is_told {
            return Err(explain(status, &body).into());
        }
        Err(Report::new(format!("{} does not stream: it answered HTTP {status} without events", self.target))
            .hint("leave --stream out for whole answers; Jina streams from 3.20 on, over grpc://")
            .into())
    }

    async fn send(
        &mut self,
        request: &Request,
        timeout: Option<Duration>,
        wanted: &str,
    ) -> Result<Response<Incoming>, Report> {
        let mut head = HttpRequest::post("/post")
            .header(HOST, &self.target.authority)
            .header(ACCEPT, wanted)
            .header(CONTENT_TYPE, "application/json");
        if let Some(timeout) = timeout {
            head = head.header("x-request-timeout-ms", timeout.as_millis().to_string());
        }
        let body = Full::new(Bytes::from(encode(request)));
        let mut message = head.body(body).map_err(|error| lost(&self.target, &error))?;
        message.headers_mut().extend(self.marks.clone());
        self.sender.ready().await.map_err(|error| lost(&self.target, &error))?;
        self.sender.send_request(message).await.map_err(|error| lost(&self.target, &error))
    }
}

pub(super) fn lost(target: &Target, error: &dyn std::error::Error) -> Report {
    Report::new(format!("the connection to {target} broke off")).because(error)
}

/// The body that Jina's own client sends.
fn encode(request: &Request) -> String {
    let text = |value: &Option<String>| Value::from(value.clone()).to_string();
    let parameters = Value::Object(request.parameters.map().clone());
    let mut body = format!(
        "{{\"header\":{{\"request_id\":{}}},\"exec_endpoint\":{},\"parameters\":{parameters},\"data\":{}",
        text(&request.id),
        text(&request.endpoint),
        json::encode_documents(&request.documents)
    );
    if request.target_executor.is_some() {
        body.push_str(&format!(",\"target_executor\":{}", text(&request.target_executor)));
    }
    body.push('}');
    body
}

#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(default)]
    header: Header,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    code: i32,
    #[serde(default)]
    description: String,
    #[serde(default)]
    exception: Option<Exception>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Exception {
    name: String,
    args: Vec<String>,
    stacks: Vec<String>,
    executor: String,
}

pub(super) fn decode(body: &[u8]) -> Result<Answer, Report> {
    let bad = |reason: String| unreadable(&Problem::new(ErrorCode::InvalidRequest, reason));
    let parsed: Body<'_> = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    // Documents of an answer are written as those of a request, so they are read in the same way.
    let data = parsed.data.map_or("[]", RawValue::get);
    let request = json::decode_request(format!("{{\"data\":{data}}}").as_bytes(), &limits());
    let documents = request.map_err(|problem| unreadable(&problem))?.documents;
    Ok(Answer {
        request_id: parsed.header.request_id.unwrap_or_default(),
        parameters: Parameters::new(parsed.parameters.unwrap_or_default()),
        routes: Vec::new(),
        failure: parsed.header.status.and_then(failure),
        documents,
    })
}

/// The failure inside an answer. The status is gRPC's, written as JSON, and is read as gRPC's.
fn failure(status: Status) -> Option<Problem> {
    let exception = status.exception.map(|exception| proto::status_proto::ExceptionProto {
        name: exception.name,
        args: exception.args,
        stacks: exception.stacks,
        executor: exception.executor,
    });
    let status = proto::StatusProto { code: status.code, description: status.description, exception };
    let header = proto::HeaderProto { status: Some(status), ..proto::HeaderProto::default() };
    let message = proto::DataRequestProto { header: Some(header), ..proto::DataRequestProto::default() };
    grpc::decode_reply(message, &limits()).ok()?.failure
}

/// An answer that is no answer: the gateway's own words where it has some.
pub(super) fn explain(status: StatusCode, body: &[u8]) -> Report {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(report) = body.get("error").and_then(Report::from_json) {
        return report;
    }
    match body.get("detail").and_then(Value::as_str) {
        Some(detail) => Report::new(detail),
        None => Report::new(format!("the gateway answered HTTP {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_inside_an_answer_are_told() {
        let check = |status: &str, expected: Option<&str>| {
            let body = format!(r#"{{"header":{{"requestId":"1","status":{status}}},"data":[]}}"#);
            let answer = decode(body.as_bytes()).unwrap();
            assert_eq!(answer.failure.as_ref().map(|problem| format!("{problem:?}")).as_deref(), expected);
        };
        check("null", None);
        check(r#"{"code": 0, "description": ""}"#, None);
        check(
            r#"{"code": 1, "description": "ValueError('boom')", "exception": {"name": "ValueError", "args": ["boom"], "stacks": [], "executor": "MyExecutor"}}"#,
            Some("guest_error: ValueError('boom') (executor MyExecutor)"),
        );
        check(
            r#"{"code": 1, "description": "x", "exception": {"name": "guest_trap", "args": ["it trapped", "look at the log"], "stacks": [], "executor": "upper"}}"#,
            Some("guest_trap: it trapped (executor upper); hint: look at the log"),
        );
    }

    #[test]
    fn refusals_are_told() {
        let check = |body: &str, expected: &str| {
            let report = explain(StatusCode::NOT_FOUND, body.as_bytes()).render();
            assert_eq!(anstream::adapter::strip_str(&report).to_string(), expected);
        };
        check(
            r#"{"detail": "x", "error": {"message": "too much", "hint": "send less", "limit": {"name": "queue", "value": 3}}}"#,
            "error: too much\n  caused by: limit queue = 3\nhint: send less",
        );
        check(r#"{"detail": "Not Found"}"#, "error: Not Found");
        check("<html>", "error: the gateway answered HTTP 404 Not Found");
    }
}
