//! The fuel that one request may burn in all its stages together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shared allowance of a flow's request. Stages that run at once draw from the same budget.
#[derive(Debug, Clone)]
pub struct FuelBudget {
    total: u64,
    left: Arc<AtomicU64>,
}

impl FuelBudget {
    /// A budget of `total` units.
    pub fn new(total: u64) -> Self {
        Self { total, left: Arc::new(AtomicU64::new(total)) }
    }

    /// The allowance at the start.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What is left now.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Takes up to `wanted` units out of the budget for one call; what the call does not burn goes back with
    /// [`FuelBudget::give_back`]. Gives 0 when the budget is used up.
    pub fn take(&self, wanted: u64) -> u64 {
        let mut left = self.left();
        loop {
            let granted = left.min(wanted);
            match self.left.compare_exchange_weak(left, left - granted, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return granted,
                Err(now) => left = now,
            }
        }
    }

    /// Returns unburned units.
    pub fn give_back(&self, unburned: u64) {
        self.left.fetch_add(unburned, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_no_more_than_is_left() {
        let budget = FuelBudget::new(10);
        assert_eq!(budget.take(7), 7);
        let shared = budget.clone();
        assert_eq!(shared.take(7), 3);
        assert_eq!(budget.take(7), 0);
        budget.give_back(4);
        assert_eq!(budget.left(), 4);
    }
}
