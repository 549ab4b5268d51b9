//! A small HTTP client for tests: JSON in, JSON out, HTTP/1.1 or HTTP/2, and nothing retried.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::wait::PATIENCE;

/// A client that keeps connections.
#[derive(Debug, Clone)]
pub struct HttpClient(Client<HttpConnector, Full<Bytes>>);

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl HttpClient {
    /// Speaks HTTP/1.1.
    pub fn http1() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Speaks HTTP/2 without asking first.
    pub fn http2() -> Self {
        Self(Client::builder(TokioExecutor::new()).http2_only(true).build_http())
    }

    /// Fetches.
    pub async fn get(&self, url: &str) -> Answer {
        self.send(Method::GET, url, &[], Bytes::new()).await
    }

    /// Posts JSON.
    pub async fn post(&self, url: &str, body: &Value) -> Answer {
        self.send(Method::POST, url, &[("content-type", "application/json")], body.to_string().into()).await
    }

    /// Sends anything; a failed exchange fails the test.
    pub async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        match self.try_send(method, url, headers, body).await {
            Ok(answer) => answer,
            Err(why) => panic!("{url}: {why}"),
        }
    }

    /// Sends anything.
    pub async fn try_send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.0.request(request).await.map_err(|error| format!("{error:?}"))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        let patience: Duration = PATIENCE;
        tokio::time::timeout(patience, exchange).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("status {}, no JSON ({error}): {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The texts of the documents in a JSON answer.
    pub fn texts(&self) -> Vec<String> {
        texts(&self.json())
    }

    /// The error that travels inside an answer, in a transport error's body, or nowhere.
    pub fn problem(&self) -> Option<Value> {
        problem(&self.json())
    }
}

/// The texts of the documents in a JSON answer.
pub fn texts(answer: &Value) -> Vec<String> {
    let documents = answer.get("data").and_then(Value::as_array).into_iter().flatten();
    documents
        .map(|document| document.get("text").and_then(Value::as_str).unwrap_or_default().to_owned())
        .collect()
}

/// The problem of a JSON answer: of a transport error in its body, of an executor's failure in the last argument of
/// the exception inside the header.
pub fn problem(answer: &Value) -> Option<Value> {
    if let Some(problem) = answer.get("error") {
        return Some(problem.clone());
    }
    let arguments = answer.pointer("/header/status/exception/args")?.as_array()?;
    let text = arguments.last().and_then(Value::as_str).unwrap_or_default();
    let problem = serde_json::from_str(text);
    Some(problem.unwrap_or_else(|error| panic!("no problem in the exception ({error}): {arguments:?}")))
}
