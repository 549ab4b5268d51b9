//! `grpc.health.v1`: each service serves exactly while the gateway is ready.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{self, HealthCheckRequest, HealthCheckResponse};

use crate::gate::Gate;

/// What may be asked about; the empty name stands for the whole gateway.
pub(crate) const SERVICES: [&str; 11] = [
    "",
    "jina.JinaRPC",
    "jina.JinaSingleDataRequestRPC",
    "jina.JinaSingleDocumentRequestRPC",
    "jina.JinaDiscoverEndpointsRPC",
    "jina.JinaGatewayDryRunRPC",
    "jina.JinaInfoRPC",
    "jina.JinaDataRequestRPC",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The health service of one gateway.
#[derive(Debug)]
pub(super) struct Health {
    gate: Arc<Gate>,
}

impl Health {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }

    fn status(&self, service: &str) -> Result<HealthCheckResponse, Status> {
        if !SERVICES.contains(&service) {
            return Err(Status::not_found("there is no such service here"));
        }
        let status =
            if self.gate.readiness().is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(HealthCheckResponse { status: status.into() })
    }
}

#[tonic::async_trait]
impl pb::health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.status(&request.get_ref().service).map(Response::new)
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// The state now, and once more when the gateway drains; then the stream ends, so that it holds up nothing.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
        let now = self.status(&request.get_ref().service).unwrap_or(unknown);
        let gate = self.gate.clone();
        let end = stream::once(async move {
            gate.drain.cancelled().await;
            Ok(HealthCheckResponse { status: ServingStatus::NotServing.into() })
        });
        Ok(Response::new(stream::iter([Ok(now)]).chain(end).boxed()))
    }
}
