//! One HTTP/2 connection to an external executor, and what is asked on it before the first call.
//!
//! Which DocArray the other side understands is its own property: `_status` names the version that a Jina executor has
//! installed. Below 0.30 that is v1; everything else, ours included, gets v2, which can say whatever a document holds.
//! Which endpoints stream is in what Jina calls their schemas.
//! No pings are sent: Jina's executors take them for an attack. Silence shows in calls that are left unanswered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use lockgate_domain::manifest::EndpointManifest;
use lockgate_domain::{EndpointName, Manifest};
use lockgate_socket::{ClientSocket, client_hint};
use lockgate_wire::envelope::Dialect;
use lockgate_wire::grpc;
use lockgate_wire::proto::jina_discover_endpoints_rpc_client::JinaDiscoverEndpointsRpcClient;
use lockgate_wire::proto::jina_info_rpc_client::JinaInfoRpcClient;
use lockgate_wire::proto::jina_single_data_request_rpc_client::JinaSingleDataRequestRpcClient;
use lockgate_wire::proto::jina_single_document_request_rpc_client::JinaSingleDocumentRequestRpcClient;
use lockgate_wire::proto::{DataRequestProto, EndpointsProto, JinaInfoProto, SingleDocumentRequestProto};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status, Streaming};

use super::Shared;
use super::address::Address;

/// Bytes of one answer that may wait here for whoever takes them.
const STREAM_WINDOW: u32 = 1 << 20;
/// Bytes of all answers on one connection. So many that callers who do not take their streams never hold up the calls
/// of others: as many of them as there are windows in it.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// Largest header block of an answer.
const MAX_HEADER_BYTES: u32 = 64 << 10;
/// Largest answer about itself.
const MAX_PROBE_BYTES: usize = 1 << 20;
/// Services that every gateway and executor of Jina's serves; no client of theirs is told to look further.
const UNKNOWN: [Code; 3] = [Code::Unimplemented, Code::Unknown, Code::Internal];

/// A connection that has answered.
#[derive(Debug)]
pub(super) struct Connection {
    client: JinaSingleDataRequestRpcClient<Sender>,
    streams: JinaSingleDocumentRequestRpcClient<Sender>,
    /// Whether streams are asked for: not where the other side has said that it knows none.
    may_stream: AtomicBool,
    dialect: Dialect,
    ended: CancellationToken,
}

/// Hyper's half of a connection, as tonic wants it.
#[derive(Debug, Clone)]
struct Sender(SendRequest<Body>);

impl Connection {
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Waits until it is gone.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// One call.
    pub(super) async fn call(
        &self,
        request: tonic::Request<DataRequestProto>,
    ) -> Result<DataRequestProto, Status> {
        self.client.clone().process_single_data(request).await.map(tonic::Response::into_inner)
    }

    /// One document in, documents out as they come. Dropping them ends the call there.
    pub(super) async fn stream(
        &self,
        request: tonic::Request<SingleDocumentRequestProto>,
    ) -> Result<Streaming<SingleDocumentRequestProto>, Status> {
        self.streams.clone().stream_doc(request).await.map(tonic::Response::into_inner)
    }

    pub(super) fn may_stream(&self) -> bool {
        self.may_stream.load(Ordering::Relaxed)
    }

    /// The other side knows no streams.
    pub(super) fn knows_no_streams(&self) {
        self.may_stream.store(false, Ordering::Relaxed);
    }
}

/// Connects and asks what is there. The words of the error follow the address.
pub(super) async fn open(
    address: &Address,
    shared: &Shared,
    drivers: &mut JoinSet<()>,
) -> Result<(Connection, Manifest), String> {
    let spec = address.spec();
    let socket = dial(address, shared).await?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_BYTES)
        .handshake::<_, Body>(TokioIo::new(socket))
        .await
        .map_err(|error| format!("it does not speak HTTP/2: {}", innermost(&error)))?;
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    drivers.spawn(async move {
        let _guard = guard;
        // A broken connection shows in the calls that are under way.
        drop(connection.await);
    });
    let scheme = if spec.tls { "https" } else { "http" };
    let origin = format!("{scheme}://{}:{}", spec.host, spec.port);
    let origin: http::Uri = origin.parse().map_err(|error| format!("it is no address: {error}"))?;
    let sender = Sender(sender);
    let dialect = ask_dialect(shared, &sender, &origin).await?;
    let manifest = ask_endpoints(shared, &sender, &origin).await?;
    let most = usize::try_from(shared.limits.written_bytes).unwrap_or(usize::MAX);
    let client = JinaSingleDataRequestRpcClient::with_origin(sender.clone(), origin.clone())
        .max_decoding_message_size(most)
        .max_encoding_message_size(usize::MAX);
    let streams = JinaSingleDocumentRequestRpcClient::with_origin(sender, origin)
        .max_decoding_message_size(most)
        .max_encoding_message_size(usize::MAX);
    let may_stream = AtomicBool::new(true);
    Ok((Connection { client, streams, may_stream, dialect, ended }, manifest))
}

async fn dial(address: &Address, shared: &Shared) -> Result<ClientSocket, String> {
    let spec = address.spec();
    let host = spec.host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, spec.port)).await.map_err(|error| error.to_string())?;
    // A request is written in one piece: waiting for more only delays it.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    match shared.tls.as_ref().filter(|_| spec.tls) {
        None => Ok(ClientSocket::Left(stream)),
        Some(tls) => tls.connect(host, stream).await.map_err(|error| match client_hint(&error) {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        }),
    }
}

fn probe<T>(shared: &Shared, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    *request.metadata_mut() = shared.metadata.clone();
    request
}

async fn ask_dialect(shared: &Shared, sender: &Sender, origin: &http::Uri) -> Result<Dialect, String> {
    let client = JinaInfoRpcClient::with_origin(sender.clone(), origin.clone());
    match client.max_decoding_message_size(MAX_PROBE_BYTES).status(probe(shared, ())).await {
        Ok(info) => Ok(dialect_of(info.get_ref())),
        Err(status) if is_answer(&status) && UNKNOWN.contains(&status.code()) => Ok(Dialect::DocArrayV2),
        Err(status) => Err(refused(&status)),
    }
}

/// The generation of DocArray that the other side has, by its own words.
fn dialect_of(info: &JinaInfoProto) -> Dialect {
    let version = info.jina.get("docarray").map(String::as_str).unwrap_or_default();
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(0), Some(minor)) if minor < 30 => Dialect::DocArrayV1,
        _ => Dialect::DocArrayV2,
    }
}

async fn ask_endpoints(shared: &Shared, sender: &Sender, origin: &http::Uri) -> Result<Manifest, String> {
    let client = JinaDiscoverEndpointsRpcClient::with_origin(sender.clone(), origin.clone());
    match client.max_decoding_message_size(MAX_PROBE_BYTES).endpoint_discovery(probe(shared, ())).await {
        Ok(found) => Ok(manifest_of(shared, found.into_inner())),
        // Jina's own gateways with DocArray v1 fail here. Whatever is asked of them, they pass on.
        Err(status) if is_answer(&status) && UNKNOWN.contains(&status.code()) => {
            let endpoints = vec![EndpointName::FALLBACK.to_owned()];
            Ok(manifest_of(shared, EndpointsProto { endpoints, ..EndpointsProto::default() }))
        }
        Err(status) => Err(refused(&status)),
    }
}

/// Names that no caller can ask for are left out, such as those that Jina uses inside.
fn manifest_of(shared: &Shared, endpoints: EndpointsProto) -> Manifest {
    let mut manifest = Manifest { name: shared.name.to_string(), ..Manifest::default() };
    let parsed = grpc::decode_endpoints(endpoints)
        .into_iter()
        .filter_map(|(name, streaming)| Some((EndpointName::parse(&name).ok()?, streaming)));
    for (name, streaming) in parsed {
        let is_known = manifest.endpoints.iter().any(|endpoint| endpoint.name == name);
        if !is_known && manifest.endpoints.len() < Manifest::MAX_ENDPOINTS {
            manifest.endpoints.push(EndpointManifest {
                name,
                description: String::new(),
                reads: Vec::new(),
                writes: Vec::new(),
                parameters: None,
                streaming,
            });
        }
    }
    manifest
}

/// Whether the other side said so itself.
fn is_answer(status: &Status) -> bool {
    std::error::Error::source(status).is_none()
}

fn refused(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(error) => format!("it does not answer as an executor: {}", innermost(error)),
        None => format!("it answers {:?}: {}", status.code(), super::failure::shown(status.message())),
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    super::failure::shown(&innermost.to_string())
}

impl tower::Service<http::Request<Body>> for Sender {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
