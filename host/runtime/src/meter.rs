//! Who is told what calls used: the consumer's trait, called once for each call that reached a guest.

use lockgate_domain::Usage;

/// Adds up what calls of one executor use.
pub trait CallMeter: Send + Sync {
    /// Takes the sums of one call, whatever became of it, a dropped one included; or of building an instance, with
    /// `requests` 0. Must not block: it is called between the guest and the caller.
    fn record(&self, usage: Usage);
}

/// Counts nothing: a host that serves only its owner sends no bill.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMeter;

impl CallMeter for NoMeter {
    fn record(&self, _: Usage) {}
}
