//! Three ways to the same gateway: gRPC, HTTP with JSON, WebSocket with binary frames.
//!
//! One connection per command, one request at a time on it: batches arrive in the order in which they were named,
//! which is what an index wants. What a gateway answers is read with bounds, as from any stranger.

mod http;
mod websocket;

use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use lockgate_domain::{Limits, Problem};
use lockgate_socket::{ALPN_HTTP1, ALPN_HTTP2, ClientTls};
use lockgate_wire::envelope::{Answer, Request};
use lockgate_wire::grpc;
use lockgate_wire::proto::jina_single_data_request_rpc_client::JinaSingleDataRequestRpcClient;
use serde_json::Value;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::call::marks::Marks;
use crate::call::target::{Protocol, Target};
use crate::failure::Report;
use crate::tls;

use self::http::HttpConnection;
use self::websocket::WebSocketConnection;

/// Largest answer in bytes that is read.
const MAX_ANSWER_BYTES: usize = 1 << 30;
/// Time to reach the gateway.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What the gateway may need beyond the caller's deadline to say that it is over.
const GRACE: Duration = Duration::from_secs(2);

/// Where a gateway puts the whole problem of a refused request.
const ERROR: &str = "lockgate-error";

/// A connection to a gateway.
pub(crate) struct Connection {
    target: Target,
    timeout: Option<Duration>,
    transport: Transport,
}

enum Transport {
    Grpc(JinaSingleDataRequestRpcClient<Channel>, MetadataMap),
    Http(HttpConnection),
    WebSocket(Box<WebSocketConnection>),
}

impl Connection {
    /// Connects. `timeout` is the time that each request may take, `marks` go with each of them. Behind TLS those are
    /// trusted that the file `ca` names, else the system's authorities.
    pub(crate) async fn open(
        target: Target,
        timeout: Option<Duration>,
        marks: &Marks,
        ca: Option<&Path>,
    ) -> Result<Self, Report> {
        let secure = security(&target, ca)?;
        let secure = secure.as_ref();
        let connecting = async {
            Ok(match target.protocol {
                Protocol::Grpc => Transport::Grpc(open_grpc(&target, secure).await?, marks.metadata()?),
                Protocol::Http => {
                    Transport::Http(HttpConnection::open(&target, secure, marks.headers()?).await?)
                }
                Protocol::WebSocket => {
                    let headers = marks.headers()?;
                    let connection = WebSocketConnection::open(&target, secure, timeout, headers).await?;
                    Transport::WebSocket(Box::new(connection))
                }
            })
        };
        let transport = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| {
            Err(unreachable(&target, None).hint("the address takes connections but nobody answers"))
        })?;
        Ok(Self { target, timeout, transport })
    }

    /// Sends one request and waits for its answer. An executor's failure is in the answer.
    pub(crate) async fn call(&mut self, request: &Request) -> Result<Answer, Report> {
        let (timeout, tls) = (self.timeout, self.target.tls);
        let calling = async {
            match &mut self.transport {
                Transport::Grpc(client, marks) => call_grpc(client, request, timeout, marks, tls).await,
                Transport::Http(connection) => connection.call(request, timeout).await,
                Transport::WebSocket(connection) => connection.call(request).await,
            }
        };
        let Some(timeout) = timeout else { return calling.await };
        match tokio::time::timeout(timeout + GRACE, calling).await {
            Ok(answer) => answer,
            Err(_) => Err(Report::new(format!("{} did not answer in time", self.target))
                .hint("--timeout allows more time")),
        }
    }

    /// Says goodbye where the protocol has a word for it.
    pub(crate) async fn close(self) {
        if let Transport::WebSocket(connection) = self.transport {
            connection.close().await;
        }
    }
}

/// How to speak TLS with a target, if it asks for that.
pub(super) fn security(target: &Target, ca: Option<&Path>) -> Result<Option<ClientTls>, Report> {
    let alpn = if target.protocol == Protocol::Grpc { ALPN_HTTP2 } else { ALPN_HTTP1 };
    target.tls.then(|| tls::client(ca, alpn)).transpose()
}

/// Nobody is there. Connectors wrap what the system said several times over; its own words are the useful ones.
pub(super) fn unreachable(target: &Target, error: Option<&(dyn std::error::Error + 'static)>) -> Report {
    let mut report = Report::new(format!("cannot reach {target}"));
    if let Some(error) = error {
        let innermost = innermost(error);
        report = tls::hinted(report.because(innermost), innermost);
    }
    report.hint("is the flow up? 'lockgate up FLOW.yml' says where it is served")
}

fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

/// Bounds on an answer: generous, because the answers of one's own flow may be long.
fn limits() -> Limits {
    Limits { documents: 1 << 22, columns: 4096, ..Limits::default() }
}

/// What went wrong before an executor saw the request.
fn refused(problem: &Problem) -> Report {
    Report::from(problem)
}

/// A channel for gRPC.
pub(super) async fn channel(target: &Target, secure: Option<&ClientTls>) -> Result<Channel, Report> {
    let scheme = if target.tls { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{}", target.authority))
        .map_err(|error| Report::new(format!("cannot call {target}")).because(&error))?;
    let (authority, secure) = (target.authority.clone(), secure.cloned());
    let connector = service_fn(move |_: Uri| {
        let (authority, secure) = (authority.clone(), secure.clone());
        async move { tls::connect(&authority, secure.as_ref()).await.map(TokioIo::new) }
    });
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(|error| unreachable(target, Some(&error)))
}

async fn open_grpc(
    target: &Target,
    secure: Option<&ClientTls>,
) -> Result<JinaSingleDataRequestRpcClient<Channel>, Report> {
    let channel = channel(target, secure).await?;
    Ok(JinaSingleDataRequestRpcClient::new(channel)
        .max_decoding_message_size(MAX_ANSWER_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES))
}

async fn call_grpc(
    client: &mut JinaSingleDataRequestRpcClient<Channel>,
    request: &Request,
    timeout: Option<Duration>,
    marks: &MetadataMap,
    tls: bool,
) -> Result<Answer, Report> {
    let message = grpc::encode_request(request).map_err(|problem| refused(&problem))?;
    let mut message = tonic::Request::new(message);
    *message.metadata_mut() = marks.clone();
    if let Some(timeout) = timeout {
        message.set_timeout(timeout);
    }
    let reply = client.process_single_data(message).await.map_err(|status| explain(&status, tls))?;
    grpc::decode_reply(reply.into_inner(), &limits()).map_err(|problem| unreadable(&problem))
}

/// A gRPC status in the words of the gateway, whose whole problem travels in the metadata.
fn explain(status: &tonic::Status, tls: bool) -> Report {
    let problem =
        status.metadata().get(ERROR).and_then(|json| serde_json::from_slice::<Value>(json.as_bytes()).ok());
    if let Some(report) = problem.as_ref().and_then(Report::from_json) {
        return report;
    }
    if let Some(error) = std::error::Error::source(status) {
        // The gateway did not say so: the connection did. What a TLS port answers to plain HTTP/2 is often lost with it.
        let report = Report::new("the connection to the gateway broke off").because(innermost(error));
        return if tls { report } else { report.hint("where this port speaks TLS, write grpcs://") };
    }
    match (status.message(), status.message().split_once("; hint: ")) {
        ("", _) => Report::new(format!("the gateway answered {:?}", status.code())),
        (_, Some((message, hint))) => Report::new(message).hint(hint),
        (message, None) => Report::new(message),
    }
}

fn unreadable(problem: &Problem) -> Report {
    Report::new("the gateway's answer cannot be read")
        .because(problem)
        .hint("is it a lockgate or Jina gateway?")
}
