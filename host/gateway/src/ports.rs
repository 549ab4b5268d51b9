//! Ports and what is served on each: all protocols on one, or one protocol on a port of its own, as Jina has it.
//!
//! The pages of a machine's keeper (`/healthz`, `/readyz`, `/metrics`) and those with which Jina asks for life (`/`,
//! `/status`, `/dry_run`) are on every port that a browser or probe may find: they tell nothing that the port's own
//! protocol would not.

use lockgate_domain::spec::Protocol;
use lockgate_domain::{ErrorCode, GrpcCode, Problem};
use lockgate_socket::Listener;
use tokio::net::TcpListener;

/// A socket of the gateway.
#[derive(Debug)]
pub struct Port {
    /// Where it listens, and the TLS on it.
    pub listener: Listener,
    /// The only protocol that is served there; none serves all.
    pub protocol: Option<Protocol>,
}

impl From<Listener> for Port {
    fn from(listener: Listener) -> Self {
        Self { listener, protocol: None }
    }
}

impl From<TcpListener> for Port {
    fn from(listener: TcpListener) -> Self {
        Listener::from(listener).into()
    }
}

/// Refuses a protocol on the port of another one.
pub(crate) fn check(only: Option<Protocol>, wanted: Protocol) -> Result<(), Problem> {
    match only {
        None => Ok(()),
        Some(only) if only == wanted => Ok(()),
        Some(only) => {
            let message = format!("this port serves {}, not {}", shown(only), shown(wanted));
            Err(Problem::new(ErrorCode::NotFound, message)
                .with_grpc(GrpcCode::Unimplemented)
                .with_hint("each protocol of this flow has a port of its own: use the other one"))
        }
    }
}

fn shown(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Grpc => "gRPC",
        Protocol::Http => "HTTP",
        Protocol::WebSocket => "WebSocket",
    }
}
