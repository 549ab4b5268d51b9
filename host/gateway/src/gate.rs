//! What all connections of one gateway share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lockgate_domain::{ErrorCode, Problem};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::door::Door;
use crate::metrics::Metrics;
use crate::options::GatewayOptions;

/// The shared state of one gateway.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) options: GatewayOptions,
    pub(crate) door: Arc<dyn Door>,
    pub(crate) admission: Admission,
    pub(crate) metrics: Metrics,
    /// Cancelled when connections are to finish.
    pub(crate) drain: CancellationToken,
    leaving: AtomicBool,
}

impl Gate {
    pub(crate) fn new(options: GatewayOptions, door: Arc<dyn Door>) -> Self {
        let admission = Admission::new(options.max_concurrent_requests, options.max_buffered_bytes);
        Self {
            options,
            door,
            admission,
            metrics: Metrics::default(),
            drain: CancellationToken::new(),
            leaving: AtomicBool::new(false),
        }
    }

    /// From now on no new traffic is wanted; what comes is still served until the listener closes.
    pub(crate) fn stop_being_ready(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the end has begun.
    pub(crate) fn is_draining(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Whether new traffic is wanted, and if not, why.
    pub(crate) fn readiness(&self) -> Result<(), Problem> {
        if self.is_draining() {
            return Err(Problem::new(ErrorCode::Unavailable, "the gateway is draining")
                .with_hint("send the request to another replica"));
        }
        self.door.readiness()
    }
}
