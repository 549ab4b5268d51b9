//! The time of day as the serving side sees it: the system's, or one that a test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use lockgate_domain::Timestamp;

/// A clock; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// This moment.
    pub(crate) fn now(&self) -> Timestamp {
        match &self.0 {
            None => Timestamp::from_system(SystemTime::now()),
            Some(moved) => Timestamp::from_millis(moved.load(Ordering::Relaxed)),
        }
    }

    /// A clock that stands still, and the hand that moves it.
    #[cfg(test)]
    pub(crate) fn standing_at(moment: Timestamp) -> (Self, Arc<AtomicU64>) {
        let hand = Arc::new(AtomicU64::new(moment.as_millis()));
        (Self(Some(hand.clone())), hand)
    }
}
