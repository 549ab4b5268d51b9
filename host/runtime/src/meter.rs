//! Who is told what calls used: the consumer's trait, called once for each call that reached a guest.

use std::sync::Arc;
use std::time::Instant;

use lockgate_domain::Usage;

/// Adds up what calls of one executor use.
pub trait CallMeter: Send + Sync {
    /// Takes the sums of one call, whatever became of it, a dropped one included; or of building an instance, with
    /// `requests` 0. Must not block: it is called between the guest and the caller.
    fn record(&self, usage: Usage);

    /// Whether anybody reads it. Where nobody does, nothing is added up.
    fn is_read(&self) -> bool {
        true
    }
}

/// Counts nothing: a host that serves only its owner sends no bill.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMeter;

impl CallMeter for NoMeter {
    fn record(&self, _: Usage) {}

    fn is_read(&self) -> bool {
        false
    }
}

/// A pool's meter, as its instances have it.
#[derive(Clone, Default)]
pub(crate) struct Metered(Option<Arc<dyn CallMeter>>);

/// What one call or one building has used so far; none where nobody counts.
pub(crate) struct Bill {
    meter: Arc<dyn CallMeter>,
    since: Instant,
    usage: Usage,
}

impl Metered {
    pub(crate) fn new(meter: Arc<dyn CallMeter>) -> Self {
        Self(meter.is_read().then_some(meter))
    }

    /// Opens a bill; `usage` is asked only where somebody reads it.
    pub(crate) fn open(&self, since: Instant, usage: impl FnOnce() -> Usage) -> Option<Bill> {
        self.0.as_ref().map(|meter| Bill { meter: meter.clone(), since, usage: usage() })
    }
}

impl Bill {
    /// The call ended well with this answer.
    pub(crate) fn succeeded(&mut self, bytes_out: u64) {
        self.usage.failures = 0;
        self.usage.bytes_out = bytes_out;
    }

    /// Hands the sums over.
    pub(crate) fn close(mut self, fuel: u64, egress_bytes: u64) {
        self.usage.fuel = fuel;
        self.usage.egress_bytes = egress_bytes;
        self.usage.wall_time_us = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.meter.record(self.usage);
    }
}

impl std::fmt::Debug for Metered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Metered" } else { "Metered(nobody reads it)" })
    }
}
