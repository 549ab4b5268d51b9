//! Jina's gRPC services, health and reflection.
//!
//! Messages cross this module as bytes: the codecs of `wire` read and write them, so nothing is decoded twice. An
//! executor's failure is part of an OK reply; what the host or the caller did wrong is a status ([`status`]).

mod call;
mod codec;
mod health;
mod status;

use std::convert::Infallible;
use std::sync::Arc;

use ::http::header::CONTENT_TYPE;
use ::http::{Request, Response};
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
use crate::circumstances::{Arrival, Circumstances};
use crate::gate::Gate;
use crate::http::body;
use crate::http::pages::status_entries;
use crate::serve::{Refusal, serve_request};

/// How tonic says that a message is too large; nothing else of ours says so.
const OUT_OF_RANGE: &str = "11";

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
        request: Request<Incoming>,
    ) -> Result<Response<axum::body::Body>, Infallible> {
        let gate = self.gate;
        let response = match request.uri().path() {
            "/jina.JinaSingleDataRequestRPC/process_single_data" => single(gate, request).await,
            "/jina.JinaRPC/Call" => stream(gate, request).await,
            "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery" => {
                reply_once(&gate, request, discover_endpoints).await
            }
            "/jina.JinaGatewayDryRunRPC/dry_run" => reply_once(&gate, request, dry_run).await,
            "/jina.JinaInfoRPC/_status" => reply_once(&gate, request, info).await,
            path if path.starts_with("/grpc.") => return self.beside.oneshot(request).await,
            path => Status::unimplemented(format!("there is no method {path} here")).into_http(),
        };
        Ok(response.map(axum::body::Body::new))
    }
}

async fn single(gate: Arc<Gate>, request: Request<Incoming>) -> Response<Body> {
    let limit = gate.options.max_message_bytes;
    let mut grpc = protocol(&gate);
    let method = service_fn(move |request| {
        let gate = gate.clone();
        async move { process_single_data(&gate, request).await.map(tonic::Response::new) }
    });
    let response = grpc.unary(method, request).await;
    if response.headers().get(Status::GRPC_STATUS).is_some_and(|code| code == OUT_OF_RANGE) {
        return status_of(&body::too_large(limit)).into_http();
    }
    response
}

/// Decodes, serves, encodes.
async fn process_single_data(
    gate: &Gate,
    request: tonic::Request<Bytes>,
) -> Result<proto::DataRequestProto, Status> {
    let arrival = Arrival::now();
    let circumstances =
        Circumstances::of(request.metadata().as_ref(), arrival).map_err(|problem| status_of(&problem))?;
    let message = request.into_inner();
    let _permit = gate.admission.admit(message.len()).map_err(|problem| status_of(&problem))?;
    answer(gate, message, circumstances).await.map_err(|refusal| status_of_refusal(&refusal))
}

/// What a message is answered with, on whichever stream it came.
pub(crate) async fn answer(
    gate: &Gate,
    message: Bytes,
    circumstances: Circumstances,
) -> Result<proto::DataRequestProto, Refusal> {
    let flow = gate.routes.resolve()?;
    let request = decode(gate, message)?;
    let answer = serve_request(flow, request, circumstances).await?;
    Ok(wire::encode_reply(&answer.reply()))
}

async fn stream(gate: Arc<Gate>, request: Request<Incoming>) -> Response<Body> {
    let mut grpc = protocol(&gate);
    let method = service_fn(move |request| {
        let replies = call::replies(gate.clone(), request);
        async move { replies.map(tonic::Response::new) }
    });
    grpc.streaming(method, request).await
}

async fn reply_once<M: Message + 'static>(
    gate: &Arc<Gate>,
    request: Request<Incoming>,
    reply: fn(&Gate) -> Result<M, Status>,
) -> Response<Body> {
    let mut grpc = protocol(gate);
    let gate = gate.clone();
    let method = service_fn(move |_: tonic::Request<Bytes>| {
        let reply = reply(&gate).map(tonic::Response::new);
        async move { reply }
    });
    grpc.unary(method, request).await
}

/// Reads a request.
pub(crate) fn decode(gate: &Gate, message: Bytes) -> Result<envelope::Request, Problem> {
    let message = proto::DataRequestProto::decode(message).map_err(|error| {
        Problem::new(ErrorCode::InvalidRequest, format!("the message is not a DataRequestProto: {error}"))
    })?;
    wire::decode_request(message, &gate.options.limits)
}

fn protocol<M: Message + 'static>(gate: &Gate) -> Grpc<ReplyCodec<M>> {
    Grpc::new(ReplyCodec::new())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .max_decoding_message_size(gate.options.max_message_bytes)
}

fn discover_endpoints(gate: &Gate) -> Result<proto::EndpointsProto, Status> {
    let flow = gate.routes.resolve().map_err(|problem| status_of(&problem))?;
    let mut endpoints: Vec<String> = flow
        .executors()
        .flat_map(|(_, manifest)| &manifest.endpoints)
        .map(|endpoint| endpoint.name.to_string())
        .collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    Ok(proto::EndpointsProto { endpoints, ..Default::default() })
}

fn dry_run(gate: &Gate) -> Result<proto::StatusProto, Status> {
    Ok(match gate.readiness() {
        Ok(()) => proto::StatusProto::default(),
        Err(problem) => wire::status_proto(&problem),
    })
}

fn info(gate: &Gate) -> Result<proto::JinaInfoProto, Status> {
    let jina = status_entries(gate).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Ok(proto::JinaInfoProto { jina, ..Default::default() })
}

/// Whether tonic found a message to be beyond the limit, by its length or while decompressing it.
fn is_too_large(status: &Status) -> bool {
    matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted)
}
