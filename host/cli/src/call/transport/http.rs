//! `POST /post` with JSON over one HTTP/1.1 connection that is kept.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request as HttpRequest, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use lockgate_domain::{ErrorCode, Parameters, Problem};
use lockgate_wire::envelope::{Answer, Request};
use lockgate_wire::json;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{MAX_ANSWER_BYTES, limits, unreachable, unreadable};
use crate::call::target::Target;
use crate::failure::Report;

pub(super) struct HttpConnection {
    target: Target,
    sender: SendRequest<Full<Bytes>>,
    /// Drives the connection, and ends with it.
    _driver: JoinSet<()>,
}

impl HttpConnection {
    pub(super) async fn open(target: &Target) -> Result<Self, Report> {
        let stream =
            TcpStream::connect(&target.authority).await.map_err(|error| unreachable(target, Some(&error)))?;
        // A request is written in one piece: waiting for more only delays it.
        stream.set_nodelay(true).map_err(|error| unreachable(target, Some(&error)))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(target, Some(&error)))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // A broken connection shows in the request that is under way.
            drop(connection.await);
        });
        Ok(Self { target: target.clone(), sender, _driver: driver })
    }

    pub(super) async fn call(
        &mut self,
        request: &Request,
        timeout: Option<Duration>,
    ) -> Result<Answer, Report> {
        let lost = |error: &dyn std::error::Error| {
            Report::new(format!("the connection to {} broke off", self.target)).because(error)
        };
        let mut head = HttpRequest::post("/post")
            .header(HOST, &self.target.authority)
            .header(CONTENT_TYPE, "application/json");
        if let Some(timeout) = timeout {
            head = head.header("x-request-timeout-ms", timeout.as_millis().to_string());
        }
        let body = Full::new(Bytes::from(encode(request)));
        let message = head.body(body).map_err(|error| lost(&error))?;
        self.sender.ready().await.map_err(|error| lost(&error))?;
        let response = self.sender.send_request(message).await.map_err(|error| lost(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| lost(error.as_ref()))?.to_bytes();
        if status == StatusCode::OK { decode(&body) } else { Err(explain(status, &body)) }
    }
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
    code: Value,
    #[serde(default)]
    description: String,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    exception: Option<Value>,
}

fn decode(body: &[u8]) -> Result<Answer, Report> {
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
        failure: parsed.header.status.as_ref().and_then(failure),
        documents,
    })
}

/// The failure inside an answer: Jina's status, with the gateway's own error beside it where there is one.
fn failure(status: &Status) -> Option<Problem> {
    let is_success = matches!(&status.code, Value::Null)
        || status.code.as_u64() == Some(0)
        || status.code.as_str() == Some("SUCCESS");
    if is_success {
        return None;
    }
    let error = status.error.as_ref();
    let own = |name: &str| error.and_then(|error| error.get(name)?.as_str());
    let message = own("message").unwrap_or(&status.description);
    let executor = own("executor").or_else(|| status.exception.as_ref()?.get("executor")?.as_str());
    let mut problem = Problem::new(ErrorCode::GuestError, message);
    if let Some(executor) = executor.and_then(|executor| executor.parse().ok()) {
        problem = problem.with_executor(&executor);
    }
    Some(match own("hint") {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    })
}

/// An answer that is no answer: the gateway's own words where it has some.
fn explain(status: StatusCode, body: &[u8]) -> Report {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let own = |name: &str| body.get("error").and_then(|error| error.get(name)?.as_str());
    let message = own("message").or_else(|| body.get("detail")?.as_str());
    let report = Report::new(match message {
        Some(message) => message.to_owned(),
        None => format!("the gateway answered HTTP {status}"),
    });
    match own("hint") {
        Some(hint) => report.hint(hint),
        None => report,
    }
}
