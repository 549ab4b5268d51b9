//! One question over each protocol, and what came of it in one shape.

use bytes::Bytes;
use futures_util::StreamExt;
use lockgate_wire::proto::DataRequestProto;
use lockgate_wire::proto::jina_rpc_client::JinaRpcClient;
use lockgate_wire::proto::jina_single_data_request_rpc_client::JinaSingleDataRequestRpcClient;
use prost::Message as _;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tonic::{Code, Status};

use super::*;

/// The ways to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    Unary,
    Stream,
    Json,
    Bytes,
}

pub(super) const PROTOCOLS: [Protocol; 6] =
    [Protocol::Http1, Protocol::Http2, Protocol::Unary, Protocol::Stream, Protocol::Json, Protocol::Bytes];

/// One document `x` to one endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) prefix: &'static str,
    pub(super) headers: &'a [(&'static str, &'static str)],
    pub(super) endpoint: &'static str,
}

impl Default for Question<'_> {
    fn default() -> Self {
        Self { prefix: "", headers: &[], endpoint: "/tenant" }
    }
}

/// Why there is no answer.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    /// The protocol's own status, as text.
    pub(super) status: String,
    /// The problem as JSON.
    pub(super) problem: Value,
    /// What the protocol says about coming back.
    pub(super) retry: Option<String>,
}

impl Refusal {
    /// The problem's code, of which the protocol's status has to follow.
    pub(super) fn code(&self, protocol: Protocol) -> ErrorCode {
        let name = self.problem["code"].as_str().unwrap();
        let code = ErrorCode::ALL.into_iter().find(|code| code.as_str() == name).unwrap();
        let grpc = Code::from(code.grpc() as i32);
        let inside = code == ErrorCode::QuotaExceeded;
        let expected = match protocol {
            Protocol::Http1 | Protocol::Http2 => code.grpc().http_status().to_string(),
            Protocol::Json | Protocol::Bytes if !inside => code.grpc().http_status().to_string(),
            Protocol::Unary => format!("{grpc:?}"),
            Protocol::Stream if !inside => format!("{grpc:?}"),
            Protocol::Stream | Protocol::Json | Protocol::Bytes => "inside".to_owned(),
        };
        assert_eq!(self.status, expected, "{protocol:?}: {self:?}");
        code
    }

    fn of_http(response: &::http::Response<impl AsRef<[u8]>>) -> Self {
        let body: Value = serde_json::from_slice(response.body().as_ref()).unwrap();
        let header = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
        let status = response.status();
        assert_eq!(header("www-authenticate").is_some(), status == StatusCode::UNAUTHORIZED);
        Self {
            status: status.as_u16().to_string(),
            problem: body["error"].clone(),
            retry: header("retry-after"),
        }
    }

    fn of_status(status: &Status) -> Self {
        let metadata = |name: &str| Some(status.metadata().get(name)?.to_str().unwrap().to_owned());
        let problem = metadata("lockgate-error").unwrap();
        Self {
            status: format!("{:?}", status.code()),
            problem: serde_json::from_str(&problem).unwrap(),
            retry: metadata("grpc-retry-pushback-ms"),
        }
    }

    fn inside(problem: &str) -> Self {
        let problem = serde_json::from_str(problem).unwrap();
        Self { status: "inside".to_owned(), problem, retry: None }
    }
}

impl Protocol {
    /// The text of the answer's document.
    pub(super) async fn ask(self, host: &Host, question: &Question<'_>) -> Result<String, Refusal> {
        match self {
            Protocol::Http1 => over_http(host, Version::HTTP_11, question).await,
            Protocol::Http2 => over_http(host, Version::HTTP_2, question).await,
            Protocol::Unary => unary(host, question).await,
            Protocol::Stream => stream(host, question).await,
            Protocol::Json | Protocol::Bytes => over_websocket(host, self, question).await,
        }
    }
}

async fn over_http(host: &Host, version: Version, question: &Question<'_>) -> Result<String, Refusal> {
    let path = format!("{}{}", question.prefix, question.endpoint);
    let body = json!({ "data": [{ "text": "x" }] }).to_string();
    let (status, headers, body) =
        http::send(host, version, Method::POST, &path, question.headers, body).await;
    if status == StatusCode::OK {
        let body: Value = serde_json::from_slice(&body).unwrap();
        return Ok(body["data"][0]["text"].as_str().unwrap().to_owned());
    }
    let mut response = ::http::Response::new(body);
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Err(Refusal::of_http(&response))
}

fn origin(host: &Host, question: &Question<'_>) -> ::http::Uri {
    format!("http://{}{}", host.address, question.prefix).parse().unwrap()
}

fn with_metadata<T>(message: T, question: &Question<'_>) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    for (name, value) in question.headers {
        request.metadata_mut().append(*name, value.parse().unwrap());
    }
    request
}

fn read(reply: DataRequestProto) -> Result<String, Refusal> {
    let exception = reply.header.as_ref().unwrap().status.clone().unwrap().exception;
    match exception {
        Some(exception) => Err(Refusal::inside(&exception.args[2])),
        None => Ok(texts(&grpc::read(reply).documents)[0].to_owned()),
    }
}

async fn unary(host: &Host, question: &Question<'_>) -> Result<String, Refusal> {
    let channel = grpc::channel(host).await;
    let mut client = JinaSingleDataRequestRpcClient::with_origin(channel, origin(host, question));
    let request = with_metadata(grpc::message("x", question.endpoint, &["x"]), question);
    match within(client.process_single_data(request)).await {
        Ok(reply) => read(reply.into_inner()),
        Err(status) => Err(Refusal::of_status(&status)),
    }
}

async fn stream(host: &Host, question: &Question<'_>) -> Result<String, Refusal> {
    let mut client = JinaRpcClient::with_origin(grpc::channel(host).await, origin(host, question));
    let messages = tokio_stream::iter([grpc::message("x", question.endpoint, &["x"])]);
    let called = within(client.call(with_metadata(messages, question))).await;
    let mut replies = called.map_err(|status| Refusal::of_status(&status))?.into_inner();
    match within(replies.message()).await {
        Ok(reply) => read(reply.unwrap()),
        Err(status) => Err(Refusal::of_status(&status)),
    }
}

async fn over_websocket(host: &Host, protocol: Protocol, question: &Question<'_>) -> Result<String, Refusal> {
    let mut headers = question.headers.to_vec();
    headers.push(("sec-websocket-protocol", if protocol == Protocol::Json { "json" } else { "bytes" }));
    let mut socket = connect(host, &format!("{}/ws", question.prefix), &headers).await?;
    let message = match protocol {
        Protocol::Json => websocket::frame("x", question.endpoint, "x"),
        _ => Message::binary(grpc::message("x", question.endpoint, &["x"]).encode_to_vec()),
    };
    socket.send(message).await.unwrap();
    match within(socket.next()).await.unwrap().unwrap() {
        Message::Binary(reply) => read(DataRequestProto::decode(reply).unwrap()),
        Message::Text(reply) => {
            let reply: Value = serde_json::from_str(&reply).unwrap();
            match reply["header"]["status"]["exception"]["args"][2].as_str() {
                Some(problem) => Err(Refusal::inside(problem)),
                None => Ok(reply["data"][0]["text"].as_str().unwrap().to_owned()),
            }
        }
        other => panic!("{other:?}"),
    }
}

/// Shakes hands; what the gateway sends back of the offered subprotocols holds no key.
pub(super) async fn connect(
    host: &Host,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> Result<websocket::Socket, Refusal> {
    let mut request = format!("ws://{}{path}", host.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    match within(connect_async(request)).await {
        Ok((socket, response)) => {
            let chosen = response.headers()["sec-websocket-protocol"].to_str().unwrap();
            assert!(["json", "bytes"].contains(&chosen), "{chosen}");
            Ok(socket)
        }
        Err(Error::Http(response)) => {
            let response = response.map(|body| Bytes::from(body.unwrap_or_default()));
            Err(Refusal::of_http(&response))
        }
        Err(error) => panic!("{error}"),
    }
}

/// The next text frame.
pub(super) async fn text(socket: &mut websocket::Socket) -> String {
    match within(socket.next()).await.unwrap().unwrap() {
        Message::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}
