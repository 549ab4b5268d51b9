//! `wasi:http/outgoing-handler`: HTTP to the hosts that the revision is granted, and to nothing else.
//!
//! The interface is in the linker of every component; without a grant each request fails before a name is looked up.
//! With one, this module decides and [`send`] connects. What bounds it: hosts and ports by the grant, addresses by
//! [`address`], requests of a call, open connections and name look-ups of a pool, bytes of heads and bodies, three
//! times that the guest may shorten and the call's own deadline, and the account's allowance of bytes. No redirect is
//! followed here, so a permitted host cannot send the executor on to one that is not.

mod address;
mod body;
mod journaled;
mod send;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::uri::Scheme;
use http::{HeaderName, Method, Request, Response, header};
use lockgate_domain::HttpGrant;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx,
    WasiHttpHooks,
};

use self::body::Tally;
pub(super) use self::journaled::link as link_journaled;
use self::send::{Destination, Permit};
use crate::egress::EgressAllowance;
use crate::state::InstanceState;

/// Interfaces that [`link`] offers, by package.
pub(super) const INTERFACES: &[(&str, &[&str])] = &[("wasi:http", &["types", "outgoing-handler"])];

/// Bytes of the fields of one head, either way.
const HEAD_BYTES: usize = 64 << 10;
/// Bytes of one request's body.
const REQUEST_BYTES: u64 = 64 << 20;
/// Connections that one pool has open at once.
const CONNECTIONS: usize = 64;
/// Names that one pool looks up at once; a look-up cannot be called off and holds a thread.
const LOOKUPS: usize = 4;
/// Times unless the guest asks for less.
const CONNECT_TIME: Duration = Duration::from_secs(10);
const FIRST_BYTE_TIME: Duration = Duration::from_secs(60);
const BETWEEN_BYTES_TIME: Duration = Duration::from_secs(30);

/// What all instances of one pool may do over HTTP.
#[derive(Debug)]
pub(crate) struct HttpAccess {
    grant: HttpGrant,
    allowance: EgressAllowance,
    connections: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
}

impl HttpAccess {
    pub(crate) fn new(grant: HttpGrant, allowance: EgressAllowance) -> Self {
        let (connections, lookups) =
            (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Semaphore::new(LOOKUPS)));
        Self { grant, allowance, connections, lookups }
    }
}

/// The outbound HTTP of one instance.
pub(crate) struct Outbound {
    pub(crate) context: WasiHttpCtx,
    pub(crate) hooks: Hooks,
}

/// What wasmtime-wasi-http asks us.
pub(crate) struct Hooks {
    access: Option<Arc<HttpAccess>>,
    /// Requests left in this call.
    left: u32,
    /// When the call must have ended.
    pub(crate) deadline: Instant,
    /// Whether answers come from a journal: then nothing is sent.
    pub(crate) is_replay: bool,
    spent: Arc<AtomicU64>,
}

impl Outbound {
    pub(crate) fn new(access: Option<Arc<HttpAccess>>, deadline: Instant) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(HEAD_BYTES);
        let left = access.as_ref().map_or(0, |access| access.grant.requests_per_call);
        let hooks = Hooks { access, left, deadline, is_replay: false, spent: Arc::default() };
        Self { context, hooks }
    }

    /// Another call begins: it has its own number of requests.
    pub(crate) fn begin(&mut self) {
        self.hooks.left = self.hooks.access.as_ref().map_or(0, |access| access.grant.requests_per_call);
    }

    /// Bytes sent and received since this was asked last.
    pub(crate) fn take_spent(&self) -> u64 {
        self.hooks.spent.swap(0, Ordering::Relaxed)
    }
}

pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

type Background = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Background), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sending {
        if self.is_replay {
            return Box::new(std::future::pending());
        }
        match self.decide(&request, options.unwrap_or_default()) {
            Ok((destination, permit)) => Box::new(send::send(request, destination, permit)),
            Err(error) => Box::new(std::future::ready(Err(error))),
        }
    }
}

impl Hooks {
    /// Whether this request may be sent, and where to.
    fn decide(
        &mut self,
        request: &Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<(Destination, Permit), Error> {
        let access = self.access.clone().ok_or(Error::HttpRequestDenied)?;
        self.left = self.left.checked_sub(1).ok_or(Error::ConnectionLimitReached)?;
        let tally = Tally { allowance: access.allowance.clone(), spent: self.spent.clone() };
        tally.check()?;
        if [Method::CONNECT, Method::TRACE].contains(request.method()) {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let destination = destination(request)?;
        let Destination { host, port, .. } = &destination;
        let usual = if destination.tls { 443 } else { 80 };
        if !access.grant.hosts.iter().any(|pattern| pattern.matches(host, *port, usual)) {
            return Err(Error::HttpRequestDenied);
        }
        let place = access.connections.clone().try_acquire_owned();
        let place = place.map_err(|_| Error::ConnectionLimitReached)?;
        let shorter = |asked: Option<Duration>, most: Duration| asked.map_or(most, |asked| asked.min(most));
        let permit = Permit {
            private_networks: access.grant.private_networks,
            response_bytes: access.grant.response_bytes,
            request_bytes: REQUEST_BYTES,
            lookups: access.lookups.clone(),
            connect: shorter(options.connect_timeout, CONNECT_TIME),
            first_byte: shorter(options.first_byte_timeout, FIRST_BYTE_TIME),
            between_bytes: shorter(options.between_bytes_timeout, BETWEEN_BYTES_TIME),
            until: self.deadline,
            tally,
            place,
        };
        Ok((destination, permit))
    }
}

/// Where a request goes. The name is the one that was checked: it is looked up, shown to TLS and sent as `host`.
fn destination(request: &Request<WasiBody>) -> Result<Destination, Error> {
    let uri = request.uri();
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    // A name and a password before the host would reach the other side in `host`.
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(Error::HttpRequestUriInvalid);
    }
    let tls = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(Error::HttpProtocolError),
    };
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None if authority.as_str().ends_with(':') => return Err(Error::HttpRequestUriInvalid),
        None if tls => 443,
        None => 80,
    };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    Ok(Destination { host, port, tls })
}

/// What describes the connection belongs to whoever holds it: us.
fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
        || [header::TE, header::TRAILER, header::EXPECT].contains(name)
        || name.as_str() == "http2-settings"
}
