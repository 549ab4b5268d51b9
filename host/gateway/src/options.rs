//! What the gateway allows its callers: sizes, counts and waiting times.
//!
//! Every value is finite. A flow's author sets the few that callers notice ([`GatewaySpec`]); the rest are defences
//! against slow, silent or greedy peers, with defaults that no honest client meets.

use std::time::Duration;

use lockgate_domain::Limits;
use lockgate_domain::spec::GatewaySpec;

/// Configuration of one [`Gateway`](crate::Gateway).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayOptions {
    /// Largest request message in bytes, after decompression.
    pub max_message_bytes: usize,
    /// Requests of one gRPC stream or WebSocket that are worked on at once.
    pub prefetch: usize,
    /// Requests worked on at once on all connections together; more are refused.
    pub max_concurrent_requests: usize,
    /// Bytes of request messages held at once on all connections together; more are refused.
    pub max_buffered_bytes: u64,
    /// Open connections; the next one waits in the system's queue.
    pub max_connections: usize,
    /// Open connections of one peer: an IPv4 address, or the first half of an IPv6 one. The next one is closed at once,
    /// so that one peer cannot keep all others out.
    pub max_connections_per_peer: usize,
    /// Whether pages of any origin may call over HTTP, without credentials of the browser's.
    pub cors: bool,
    /// Whether everybody who can connect may read the numbers at `/metrics`.
    pub metrics: bool,
    /// Bounds of a request's documents.
    pub limits: Limits,
    /// HTTP/2 streams of one connection.
    pub max_streams: u32,
    /// Header lines of one request.
    pub max_headers: usize,
    /// Bytes of all header lines of one request.
    pub max_header_bytes: usize,
    /// Time to send a request's head; also how long a silent HTTP/1.1 connection is kept.
    pub header_timeout: Duration,
    /// Longest silence inside a request's body.
    pub body_timeout: Duration,
    /// Longest time a peer may refuse to take any byte of what it asked for.
    pub write_timeout: Duration,
    /// Silence after which an HTTP/2 or WebSocket peer is asked whether it is there.
    pub keepalive_interval: Duration,
    /// Time it has to answer.
    pub keepalive_timeout: Duration,
    /// How long new connections are still taken after `/readyz` has turned: the time a load balancer needs to see it.
    pub drain_notice: Duration,
    /// How long requests in progress may take to finish when the gateway drains; then they are cut off.
    pub drain_timeout: Duration,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self::from_spec(&GatewaySpec::default())
    }
}

impl GatewayOptions {
    /// What a flow's author wrote, and the defaults for the rest.
    pub fn from_spec(spec: &GatewaySpec) -> Self {
        Self {
            // Beyond 1 GiB neither protobuf nor WebSocket implementations agree on what is allowed.
            max_message_bytes: usize::try_from(spec.max_message_bytes.clamp(1, 1 << 30)).unwrap_or(1 << 30),
            prefetch: usize::try_from(spec.prefetch.max(1)).unwrap_or(1),
            max_concurrent_requests: usize::try_from(spec.max_concurrent_requests.max(1)).unwrap_or(1),
            max_buffered_bytes: spec.max_message_bytes.saturating_mul(8).max(1 << 30),
            max_connections: 16 << 10,
            max_connections_per_peer: 8 << 10,
            cors: spec.cors,
            metrics: true,
            limits: Limits::default(),
            max_streams: 512,
            max_headers: 128,
            max_header_bytes: 64 << 10,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            drain_notice: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
        }
    }
}
