//! The first thing a request meets: which protocol is it?

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use ::http::{Request, Response};
use axum::body::Body;
use hyper::body::Incoming;
use lockgate_domain::spec::Protocol;

use crate::gate::Gate;
use crate::http::cors;
use crate::ports;
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

    /// Answers one request on a port that serves `only` that protocol, or all. The future does all the work of it:
    /// dropping it stops the guests.
    pub(crate) async fn answer(
        self,
        only: Option<Protocol>,
        pending: PendingSession,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        if grpc::is_wanted(&request) {
            match ports::check(only, Protocol::Grpc) {
                Ok(()) => self.grpc.answer(peer, request).await,
                Err(problem) => Ok(grpc::refuse(&problem)),
            }
        } else if websocket::is_wanted(&request) {
            Ok(match ports::check(only, Protocol::WebSocket) {
                Ok(()) => websocket::shake_hands(&self.gate, &pending, peer, request),
                Err(problem) => http::render_problem(None, &problem),
            })
        } else {
            Ok(self.answer_http(only, peer, request).await)
        }
    }

    async fn answer_http(
        &self,
        only: Option<Protocol>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let cors = self.gate.options.cors;
        if cors && let Some(answer) = cors::preflight(&request) {
            return answer;
        }
        let mut response = match ports::check(only, Protocol::Http) {
            Err(problem) if !http::pages::are_everywhere(request.uri().path()) => {
                http::render_problem(None, &problem)
            }
            Ok(()) | Err(_) => http::answer(&self.gate, peer, request).await,
        };
        if cors {
            cors::open(&mut response);
        }
        response
    }
}
