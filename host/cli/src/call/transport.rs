//! Three ways to the same gateway: gRPC, HTTP with JSON, WebSocket with binary frames.
//!
//! One connection per command, one request at a time on it: batches arrive in the order in which they were named,
//! which is what an index wants. What a gateway answers is read with bounds, as from any stranger.

mod events;
mod grpc;
mod handshake;
mod http;
mod websocket;

use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use lockgate_domain::{Limits, Problem};
use lockgate_socket::{ALPN_HTTP1, ALPN_HTTP2, ClientTls};
use lockgate_wire::envelope::{Answer, Request};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::call::marks::Marks;
use crate::call::target::{Protocol, Target};
use crate::failure::{Failure, Report};
use crate::tls;

use self::grpc::GrpcConnection;
use self::http::HttpConnection;
use self::websocket::WebSocketConnection;

/// Largest answer in bytes that is read.
const MAX_ANSWER_BYTES: usize = 1 << 30;
/// Time to reach the gateway.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What the gateway may need beyond the caller's deadline to say that it is over.
const GRACE: Duration = Duration::from_secs(2);

/// Whoever gets the documents of a stream, and the failure at its end.
pub(crate) type Take<'a> = dyn FnMut(&Answer) -> Result<(), Failure> + Send + 'a;

/// A connection to a gateway.
pub(crate) struct Connection {
    target: Target,
    timeout: Option<Duration>,
    transport: Transport,
}

enum Transport {
    Grpc(Box<GrpcConnection>),
    Http(HttpConnection),
    WebSocket(Box<WebSocketConnection>),
}

impl Connection {
    /// Connects. `timeout` is the time that each request may take, `marks` go with each of them. Behind TLS those are
    /// trusted that the file `ca` names, else the system's authorities. A connection is for whole answers or for streams.
    pub(crate) async fn open(
        target: Target,
        timeout: Option<Duration>,
        marks: &Marks,
        ca: Option<&Path>,
        streams: bool,
    ) -> Result<Self, Report> {
        let secure = security(&target, ca)?;
        let secure = secure.as_ref();
        let connecting = async {
            Ok(match target.protocol {
                Protocol::Grpc => {
                    let connection = GrpcConnection::open(&target, secure, marks.metadata()?).await?;
                    Transport::Grpc(Box::new(connection))
                }
                Protocol::Http => {
                    Transport::Http(HttpConnection::open(&target, secure, marks.headers()?).await?)
                }
                Protocol::WebSocket => {
                    let headers = marks.headers()?;
                    let connection =
                        WebSocketConnection::open(&target, secure, timeout, headers, streams).await?;
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
        let timeout = self.timeout;
        let calling = async {
            match &mut self.transport {
                Transport::Grpc(connection) => connection.call(request, timeout).await,
                Transport::Http(connection) => connection.call(request, timeout).await,
                Transport::WebSocket(connection) => connection.call(request).await,
            }
        };
        in_time(&self.target, timeout, calling).await
    }

    /// Sends one request with one document and hands over what comes, each list as it comes. The time is for all of it.
    pub(crate) async fn stream(&mut self, request: &Request, take: &mut Take<'_>) -> Result<(), Failure> {
        let timeout = self.timeout;
        let streaming = async {
            match &mut self.transport {
                Transport::Grpc(connection) => connection.stream(request, timeout, take).await,
                Transport::Http(connection) => connection.stream(request, timeout, take).await,
                Transport::WebSocket(connection) => connection.stream(request, take).await,
            }
        };
        in_time(&self.target, timeout, streaming).await
    }

    /// Says goodbye where the protocol has a word for it.
    pub(crate) async fn close(self) {
        if let Transport::WebSocket(connection) = self.transport {
            connection.close().await;
        }
    }
}

/// What comes of it, unless it takes longer than the gateway was given.
async fn in_time<T, E: From<Report>>(
    target: &Target,
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let Some(timeout) = timeout else { return work.await };
    tokio::time::timeout(timeout + GRACE, work).await.unwrap_or_else(|_| {
        let late = Report::new(format!("{target} did not answer in time"));
        Err(late.hint("--timeout allows more time").into())
    })
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
    let is_unknown = error.is_some_and(|error| innermost(error).to_string().contains("failed to lookup"));
    report.hint(if is_unknown {
        "is the name of the host right? a text to send goes with --text of 'lockgate call'"
    } else {
        "is the flow up? 'lockgate up FLOW.yml' says where it is served"
    })
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

fn unreadable(problem: &Problem) -> Report {
    Report::new("the gateway's answer cannot be read")
        .because(problem)
        .hint("is it a lockgate or Jina gateway?")
}
