//! Jina's gRPC services, health and reflection.
//!
//! Messages cross this module as bytes: the codecs of `wire` read and write them, so nothing is decoded twice. An
//! executor's failure is part of an OK reply; what the host or the caller did wrong is a status ([`status`]).
//!
//! The port is at once what clients talk to and what a gateway of Jina takes for an executor (`external: true`), which
//! the services of both sides are for. Every gRPC library offers to read compressed replies, wanted or not: they are
//! compressed where the request was.

mod call;
mod codec;
mod discovery;
mod documents;
pub(crate) mod health;
mod status;

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderName, HeaderValue, Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use lockgate_domain::{ErrorCode, Problem};
use lockgate_wire::{envelope, grpc as wire, proto};
use prost::Message;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder as ReflectionBuilder;
use tower::{ServiceExt, service_fn};

use self::codec::ReplyCodec;
use self::health::Health;
use self::status::{status_of, status_of_refusal};
use crate::admission::{BytesPermit, Guard};
use crate::approach::{Address, knock};
use crate::circumstances::{Arrival, Circumstances};
use crate::door::{Visit, Visitor};
use crate::gate::Gate;
use crate::http::body;
use crate::http::pages::status_entries;
use crate::serve::{Answer, Refusal, is_about_one_message, serve_request};

/// How tonic says that a message is too large; nothing else of ours says so.
const OUT_OF_RANGE: &str = "11";

/// How the messages of a request are compressed.
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// All services of one gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    gate: Arc<Gate>,
    beside: axum::Router,
}

/// Whether the request is gRPC.
pub(crate) fn is_wanted(request: &Request<Incoming>) -> bool {
    request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.as_bytes().strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Tells a caller in gRPC's words that it is not served here.
pub(crate) fn refuse(problem: &Problem) -> Response<axum::body::Body> {
    status_of(problem).into_http()
}

impl Services {
    /// The services over `gate`.
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        let health = HealthServer::new(Health::new(gate.clone()));
        let mut routes = tonic::service::Routes::new(health);
        let reflection = || {
            ReflectionBuilder::configure()
                .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET_V2)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Descriptors that do not parse are a mistake of the build; a test asks both services.
        if let Ok(service) = reflection().build_v1() {
            routes = routes.add_service(service);
        }
        if let Ok(service) = reflection().build_v1alpha() {
            routes = routes.add_service(service);
        }
        Self { gate, beside: routes.prepare().into_axum_router() }
    }

    /// Answers one request.
    pub(crate) async fn answer(
        self,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response<axum::body::Body>, Infallible> {
        if request.uri().path().starts_with("/grpc.") {
            return self.beside.oneshot(request).await;
        }
        let gate = self.gate;
        let (visitor, method) = match receive(&gate, &request, peer) {
            Ok(received) => received,
            Err(status) => return Ok(status.into_http()),
        };
        let response = match method {
            Method::Single => return Ok(single(&gate, &*visitor, request, decode).await),
            Method::List => return Ok(single(&gate, &*visitor, request, decode_list).await),
            Method::Stream => stream(gate, visitor, request).await,
            Method::StreamDocument => stream_document(gate, visitor, request).await,
            Method::DiscoverEndpoints => reply_once(&gate, visitor, request, discovery::endpoints).await,
            Method::DryRun => reply_once(&gate, visitor, request, dry_run).await,
            Method::Info => reply_once(&gate, visitor, request, info).await,
        };
        Ok(response.map(axum::body::Body::new))
    }
}

/// What is served here beside gRPC's own services.
#[derive(Debug, Clone, Copy)]
enum Method {
    Single,
    List,
    Stream,
    StreamDocument,
    DiscoverEndpoints,
    DryRun,
    Info,
}

impl Method {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/jina.JinaSingleDataRequestRPC/process_single_data" => Some(Self::Single),
            "/jina.JinaDataRequestRPC/process_data" => Some(Self::List),
            "/jina.JinaRPC/Call" => Some(Self::Stream),
            "/jina.JinaSingleDocumentRequestRPC/stream_doc" => Some(Self::StreamDocument),
            "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery" => Some(Self::DiscoverEndpoints),
            "/jina.JinaGatewayDryRunRPC/dry_run" => Some(Self::DryRun),
            "/jina.JinaInfoRPC/_status" => Some(Self::Info),
            _ => None,
        }
    }
}

/// Lets the caller in, before anything of the message is read.
fn receive(
    gate: &Gate,
    request: &Request<Incoming>,
    peer: IpAddr,
) -> Result<(Arc<dyn Visitor>, Method), Status> {
    let address = Address::of(request.uri().path()).map_err(|problem| status_of(&problem))?;
    let Some(method) = Method::of(address.path) else {
        return Err(Status::unimplemented(format!("there is no method {} here", address.path)));
    };
    let visitor = knock(&*gate.door, request.headers(), &address, peer);
    Ok((visitor.map_err(|problem| status_of(&problem))?, method))
}

/// A reply's body, and what is held until it has left.
struct Held {
    body: Body,
    _bytes: Option<BytesPermit>,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

async fn single(
    gate: &Gate,
    visitor: &dyn Visitor,
    request: Request<Incoming>,
    decode: Decode,
) -> Response<axum::body::Body> {
    let held = Mutex::new(None);
    let mut grpc = protocol(gate, &request);
    let method = service_fn(|request| async {
        let (reply, bytes) = process_data(gate, visitor, request, decode).await?;
        *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
        Ok(tonic::Response::new(reply))
    });
    let response = naming_the_limit(gate, grpc.unary(method, request).await);
    let bytes = held.into_inner().unwrap_or_else(PoisonError::into_inner);
    response.map(|body| axum::body::Body::new(Held { body, _bytes: bytes }))
}

/// tonic's words for a message that is too large, in ours.
fn naming_the_limit(gate: &Gate, response: Response<Body>) -> Response<Body> {
    if response.headers().get(Status::GRPC_STATUS).is_some_and(|code| code == OUT_OF_RANGE) {
        return status_of(&body::too_large(gate.options.max_message_bytes)).into_http();
    }
    response
}

/// Decodes, serves, encodes.
async fn process_data(
    gate: &Gate,
    visitor: &dyn Visitor,
    request: tonic::Request<Bytes>,
    decode: Decode,
) -> Result<(proto::DataRequestProto, BytesPermit), Status> {
    let arrival = Arrival::now();
    let circumstances =
        Circumstances::of(request.metadata().as_ref(), arrival).map_err(|problem| status_of(&problem))?;
    let message = request.into_inner();
    let permit = gate.admission.admit(message.len()).map_err(|problem| status_of(&problem))?;
    let visit = visitor.enter().map_err(|problem| status_of(&problem))?;
    let served = serve(gate, visit, message, circumstances, decode).await;
    let (reply, guard) = served.map_err(|refusal| status_of_refusal(&refusal))?;
    Ok((reply, permit.into_bytes(guard)))
}

/// What a message of a stream is answered with.
async fn answer(
    gate: &Gate,
    visitor: &dyn Visitor,
    message: Bytes,
    circumstances: Circumstances,
) -> Result<(proto::DataRequestProto, Option<Guard>), Refusal> {
    match visitor.enter() {
        Ok(visit) => serve(gate, visit, message, circumstances, decode).await,
        Err(problem) if is_about_one_message(&problem) => {
            let refusal = Answer::refusing(wire::decode_head(&message), &problem);
            Ok((wire::encode_reply(&refusal.reply()), None))
        }
        Err(problem) => Err(problem.into()),
    }
}

async fn serve(
    gate: &Gate,
    visit: Visit,
    message: Bytes,
    circumstances: Circumstances,
    decode: Decode,
) -> Result<(proto::DataRequestProto, Option<Guard>), Refusal> {
    let request = decode(gate, message)?;
    let mut answer = serve_request(visit, request, circumstances).await?;
    Ok((wire::encode_reply(&answer.reply()), answer.guard.take()))
}

async fn stream(gate: Arc<Gate>, visitor: Arc<dyn Visitor>, request: Request<Incoming>) -> Response<Body> {
    let mut grpc = protocol(&gate, &request);
    let method = service_fn(move |request| {
        let replies = call::replies(gate.clone(), visitor.clone(), request);
        async move { replies.map(tonic::Response::new) }
    });
    grpc.streaming(method, request).await
}

async fn stream_document(
    gate: Arc<Gate>,
    visitor: Arc<dyn Visitor>,
    request: Request<Incoming>,
) -> Response<Body> {
    let mut grpc = protocol(&gate, &request);
    let method = service_fn(|request| {
        let replies = documents::documents(&gate, &*visitor, request);
        async move { replies.map(tonic::Response::new) }
    });
    let response = grpc.server_streaming(method, request).await;
    naming_the_limit(&gate, response)
}

async fn reply_once<M: Message + 'static>(
    gate: &Arc<Gate>,
    visitor: Arc<dyn Visitor>,
    request: Request<Incoming>,
    reply: fn(&Gate, &dyn Visitor) -> Result<M, Problem>,
) -> Response<Body> {
    let mut grpc = protocol(gate, &request);
    let gate = gate.clone();
    let method = service_fn(move |_: tonic::Request<Bytes>| {
        let reply = reply(&gate, &*visitor).map(tonic::Response::new).map_err(|problem| status_of(&problem));
        async move { reply }
    });
    grpc.unary(method, request).await
}

/// How a message becomes a request.
type Decode = fn(&Gate, Bytes) -> Result<envelope::Request, Problem>;

/// Reads a request.
pub(crate) fn decode(gate: &Gate, message: Bytes) -> Result<envelope::Request, Problem> {
    wire::decode_request(read::<proto::DataRequestProto>(message, "DataRequestProto")?, &gate.options.limits)
}

/// Reads several requests as one.
fn decode_list(gate: &Gate, message: Bytes) -> Result<envelope::Request, Problem> {
    let message = read::<proto::DataRequestListProto>(message, "DataRequestListProto")?;
    wire::decode_requests(message, &gate.options.limits)
}

fn read<M: Message + Default>(message: Bytes, name: &str) -> Result<M, Problem> {
    M::decode(message).map_err(|error| {
        Problem::new(ErrorCode::InvalidRequest, format!("the message is not a {name}: {error}"))
    })
}

fn protocol<M: Message + 'static>(gate: &Gate, request: &Request<Incoming>) -> Grpc<ReplyCodec<M>> {
    let grpc = Grpc::new(ReplyCodec::new())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .max_decoding_message_size(gate.options.max_message_bytes);
    match request.headers().get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
        Some(b"gzip") => grpc.send_compressed(CompressionEncoding::Gzip),
        Some(b"deflate") => grpc.send_compressed(CompressionEncoding::Deflate),
        _ => grpc,
    }
}

fn dry_run(gate: &Gate, visitor: &dyn Visitor) -> Result<proto::StatusProto, Problem> {
    Ok(match gate.readiness().and_then(|()| visitor.flow()) {
        Ok(_) => proto::StatusProto::default(),
        Err(problem) => wire::status_proto(&problem),
    })
}

fn info(_: &Gate, visitor: &dyn Visitor) -> Result<proto::JinaInfoProto, Problem> {
    let jina =
        status_entries(&*visitor.flow()?).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Ok(proto::JinaInfoProto { jina, ..Default::default() })
}

/// Whether tonic found a message to be beyond the limit, by its length or while decompressing it.
fn is_too_large(status: &Status) -> bool {
    matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted)
}
