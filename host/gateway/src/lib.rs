//! The data plane: gRPC, HTTP and WebSocket on one port.
//!
//! Every protocol does the same three things: it decodes what a caller sent, has [`serve`] run the flow, and encodes
//! the answer. What protects the host from callers is here too: sizes, counts and waiting times ([`GatewayOptions`]),
//! admission before work, backpressure on streams. Nothing that a caller started outlives the caller: a request is
//! worked on inside the task of its connection or stream, and the end of that stops the guests.
//!
//! Who calls and which flow is meant is for a [`Door`] to say; the gateway only reads off a request what it shows there.
//! The [`OpenDoor`] leads to a snapshot ([`Routes`]) that can be replaced at any moment: a request finishes on the plan
//! it began with.

mod admission;
mod approach;
mod circumstances;
mod cork;
mod departures;
mod door;
mod front;
mod gate;
mod grpc;
mod http;
mod in_flight;
mod listener;
mod metrics;
mod options;
mod parts;
mod ports;
mod routes;
mod serve;
mod streams;
mod websocket;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use lockgate_telemetry::page::Page;
use tokio_util::sync::CancellationToken;

pub use crate::door::{Credential, Door, Knock, OpenDoor, Visit, Visitor, Wanted};
pub use crate::listener::Drained;
pub use crate::options::GatewayOptions;
pub use crate::ports::Port;
pub use crate::routes::{Routes, ServedFlow};

/// The gateway of one host.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<gate::Gate>);

impl Gateway {
    /// A gateway whose callers go where `door` leads them.
    pub fn new(options: GatewayOptions, door: Arc<dyn Door>) -> Self {
        Self(Arc::new(gate::Gate::new(options, door)))
    }

    /// Has `source` add its numbers to the page at `/metrics`, each time somebody asks. The first source stands.
    pub fn with_metrics(self, source: Arc<dyn Fn(&mut Page) + Send + Sync>) -> Self {
        self.0.metrics.set(source);
        self
    }

    /// Adds the gateway's own numbers to a page that is read elsewhere.
    pub fn add_numbers(&self, page: &mut Page) {
        metrics::add(&self.0, page);
    }

    /// Serves on these ports until `shutdown` is cancelled, then drains: readiness turns, new connections are taken for
    /// `drain_notice` more, requests in progress have `drain_timeout` to finish, and what is left is cut off.
    /// Dropping the future cuts everything off at once.
    pub async fn serve(&self, ports: Vec<Port>, shutdown: CancellationToken) -> Drained {
        listener::serve(self.0.clone(), ports, shutdown).await
    }
}
