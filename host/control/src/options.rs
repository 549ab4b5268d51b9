//! What the control API allows its callers: sizes, counts and waiting times. Every value is finite.

use std::time::Duration;

/// Configuration of one [`Control`](crate::Control).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlOptions {
    /// Whether nobody has to say who it is: everybody is the operator. Only for a host that listens on loopback; whoever
    /// binds the socket sees to that.
    pub dev: bool,
    /// Largest component in bytes.
    pub max_component_bytes: u64,
    /// Largest JSON or YAML body in bytes.
    pub max_body_bytes: usize,
    /// Uploads of one tenant at once; more are refused with a time to come back.
    pub uploads_per_tenant: u32,
    /// Requests of one tenant worked on at once, uploads included; more are refused with a time to come back.
    pub requests_per_tenant: u32,
    /// Requests worked on at once on all connections together; more are refused.
    pub max_concurrent_requests: usize,
    /// Open connections; the next one waits in the system's queue.
    pub max_connections: usize,
    /// Header lines of one request.
    pub max_headers: usize,
    /// Bytes of all header lines of one request.
    pub max_header_bytes: usize,
    /// Time to send a request's head; also how long a silent connection is kept.
    pub header_timeout: Duration,
    /// Longest silence inside a request's body.
    pub body_timeout: Duration,
    /// Longest time a peer may refuse to take any byte of what it asked for.
    pub write_timeout: Duration,
    /// How long requests in progress may take to finish when the API drains; then they are cut off.
    pub drain_timeout: Duration,
}

impl Default for ControlOptions {
    fn default() -> Self {
        Self {
            dev: false,
            max_component_bytes: 256 << 20,
            max_body_bytes: 2 << 20,
            uploads_per_tenant: 128,
            requests_per_tenant: 256,
            max_concurrent_requests: 1024,
            max_connections: 2048,
            max_headers: 128,
            max_header_bytes: 64 << 10,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
        }
    }
}
