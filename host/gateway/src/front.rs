//! The first thing a request meets: which protocol is it?

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use ::http::{Request, Response};
use axum::body::Body;
use hyper::body::Incoming;

use crate::gate::Gate;
use crate::websocket::PendingSession;
use crate::{grpc, http, websocket};

/// What every connection gets: the shared state, and the gRPC services over it.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    pub(crate) gate: Arc<Gate>,
    grpc: grpc::Services,
}

impl Front {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self { grpc: grpc::Services::new(gate.clone()), gate }
    }

    /// Answers one request. The future does all the work of it: dropping it stops the guests.
    pub(crate) async fn answer(
        self,
        pending: PendingSession,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        if grpc::is_wanted(&request) {
            self.grpc.answer(peer, request).await
        } else if websocket::is_wanted(&request) {
            Ok(websocket::shake_hands(&self.gate, &pending, peer, request))
        } else {
            Ok(http::answer(&self.gate, peer, request).await)
        }
    }
}
