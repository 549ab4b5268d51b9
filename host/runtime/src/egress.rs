//! How many bytes of outbound HTTP are left: one number that all pools of an account share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An allowance of bytes, sent and received together. Cheap to clone; all clones are the same allowance.
#[derive(Debug, Clone)]
pub struct EgressAllowance(Arc<AtomicU64>);

impl EgressAllowance {
    /// So many bytes.
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// Sets what is left: a new month, another quota.
    pub fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Bytes left.
    pub fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes bytes that have moved; false when there were not so many. What moved has moved, so then nothing is left.
    pub fn take(&self, bytes: u64) -> bool {
        let take = |left: u64| Some(left.saturating_sub(bytes));
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(before) | Err(before) => before >= bytes,
        }
    }
}

impl Default for EgressAllowance {
    /// More than can be moved.
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_ends_at_nothing() {
        let allowance = EgressAllowance::new(10);
        let shared = allowance.clone();
        assert!(allowance.take(4));
        assert!(shared.take(6));
        assert!(!allowance.take(1));
        shared.set(3);
        assert!(!allowance.take(4));
        assert_eq!(shared.left(), 0);
    }
}
