//! WebSocket at `/` and `/ws`: the handshake, and what a connection becomes after it.
//!
//! A browser cannot set headers here, so its key may come as one of the subprotocols it offers, `bearer.KEY`, beside the
//! one that is spoken. It is read and never sent back.
//!
//! The session itself runs in the task of its connection once HTTP is over ([`session`]), so it ends with it.

mod frames;
mod session;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use lockgate_domain::{ErrorCode, Problem};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::approach::{Address, BEARER, knock};
use crate::circumstances::{Arrival, Circumstances};
use crate::door::Visitor;
use crate::gate::Gate;
use crate::http::render_problem;
pub(crate) use session::Session;

/// What is spoken on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subprotocol {
    format: Format,
    /// Whether documents leave as they are emitted. Jina's clients take the first frame of a request for its answer, so
    /// this is for those who ask for it.
    streams: bool,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// text frames, as bodies of `POST /post`
    Json,
    /// binary frames, each one serialised `DataRequestProto`
    Bytes,
}

/// What the session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// requests to the flow
    Flow,
    /// one frame that says whether the flow is ready
    DryRun,
}

/// The session that a connection turns into when its HTTP part is over, if it does.
#[derive(Debug, Clone, Default)]
pub(crate) struct PendingSession(Arc<Mutex<Option<Session>>>);

impl PendingSession {
    fn put(&self, session: Session) {
        if let Ok(mut place) = self.0.lock() {
            *place = Some(session);
        }
    }

    /// Takes it, once.
    pub(crate) fn take(&self) -> Option<Session> {
        self.0.lock().ok()?.take()
    }
}

/// Whether the request asks for a WebSocket.
pub(crate) fn is_wanted(request: &Request<Incoming>) -> bool {
    request.headers().get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers the handshake.
pub(crate) fn shake_hands(
    gate: &Arc<Gate>,
    pending: &PendingSession,
    peer: IpAddr,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let address = match Address::of(request.uri().path()) {
        Ok(address) => address,
        Err(problem) => return render_problem(None, &problem),
    };
    let handshake = match Handshake::read(&request, address.path) {
        Ok(handshake) => handshake,
        Err((status, problem)) => return refuse(status, &problem),
    };
    let (visitor, circumstances) = match receive(gate, &request, &address, peer, handshake.purpose) {
        Ok(received) => received,
        Err(problem) => return render_problem(None, &problem),
    };
    pending.put(Session {
        gate: gate.clone(),
        visitor,
        upgrade: hyper::upgrade::on(&mut request),
        subprotocol: handshake.subprotocol.unwrap_or(Subprotocol::JSON),
        purpose: handshake.purpose,
        circumstances,
    });
    handshake.accept()
}

/// Lets the caller in. That there is a flow for it is asked now: a refusal of the handshake says more than a close
/// frame.
fn receive(
    gate: &Gate,
    request: &Request<Incoming>,
    address: &Address<'_>,
    peer: IpAddr,
    purpose: Purpose,
) -> Result<(Arc<dyn Visitor>, Circumstances), Problem> {
    let visitor = knock(&*gate.door, request.headers(), address, peer)?;
    if purpose == Purpose::Flow {
        gate.readiness()?;
        visitor.flow()?;
    }
    Ok((visitor, Circumstances::of(request.headers(), Arrival::now())?))
}

#[derive(Debug)]
struct Handshake {
    accept_key: HeaderValue,
    subprotocol: Option<Subprotocol>,
    purpose: Purpose,
}

impl Handshake {
    fn read(request: &Request<Incoming>, path: &str) -> Result<Self, (StatusCode, Problem)> {
        let refused = |status, code, message: &str| Err((status, Problem::new(code, message)));
        let purpose = match path {
            "/" | "/ws" => Purpose::Flow,
            "/dry_run" => Purpose::DryRun,
            _ => {
                return refused(
                    StatusCode::NOT_FOUND,
                    ErrorCode::NotFound,
                    "there is no WebSocket here: connect to / or /ws",
                );
            }
        };
        let headers = request.headers();
        if request.method() != Method::GET || !lists(headers, &CONNECTION, "upgrade") {
            return refused(
                StatusCode::BAD_REQUEST,
                ErrorCode::InvalidRequest,
                "a WebSocket begins with GET and `Connection: Upgrade`",
            );
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return refused(
                StatusCode::UPGRADE_REQUIRED,
                ErrorCode::InvalidRequest,
                "only version 13 of WebSocket is spoken here",
            );
        }
        let accept_key = headers
            .get(SEC_WEBSOCKET_KEY)
            .filter(|key| key.len() == 24)
            .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok());
        let Some(accept_key) = accept_key else {
            return refused(
                StatusCode::BAD_REQUEST,
                ErrorCode::InvalidRequest,
                "header sec-websocket-key must be 24 characters",
            );
        };
        let offered = || {
            let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
            lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
        };
        let subprotocol = offered().find_map(Subprotocol::of);
        if subprotocol.is_none() && offered().any(|name| name.starts_with(BEARER)) {
            return refused(
                StatusCode::BAD_REQUEST,
                ErrorCode::InvalidRequest,
                "a key among the subprotocols needs one to speak beside it: offer json or bytes as well",
            );
        }
        Ok(Self { accept_key, subprotocol, purpose })
    }

    /// Echoes the subprotocol, without which a browser that asked for one hangs up.
    fn accept(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept_key);
        if let Some(subprotocol) = self.subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol.name()));
        }
        response
    }
}

impl Subprotocol {
    pub(crate) const JSON: Self = Self { format: Format::Json, streams: false };

    fn of(name: &str) -> Option<Self> {
        let (format, streams) = match name {
            "json" => (Format::Json, false),
            "json.stream" => (Format::Json, true),
            "bytes" => (Format::Bytes, false),
            "bytes.stream" => (Format::Bytes, true),
            _ => return None,
        };
        Some(Self { format, streams })
    }

    fn name(self) -> &'static str {
        match (self.format, self.streams) {
            (Format::Json, false) => "json",
            (Format::Json, true) => "json.stream",
            (Format::Bytes, false) => "bytes",
            (Format::Bytes, true) => "bytes.stream",
        }
    }
}

fn refuse(status: StatusCode, problem: &Problem) -> Response<Body> {
    let mut response = render_problem(None, problem);
    *response.status_mut() = status;
    response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(wanted))
}
