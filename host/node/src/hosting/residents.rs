//! Which revisions have their code in memory, and which of them leave it.
//!
//! One that nobody has called for a while goes, and when too many are there the one that was called last longest ago,
//! out of the tenant that has most: a tenant with a thousand executors pushes out its own before it touches a
//! neighbour's. One that must stay (stateful, or `scale.min` above 0) and one with a call in progress never goes. The
//! book holds no revision: one that has no traffic any more is gone with its last call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lockgate_domain::{TenantName, Timestamp};
use parking_lot::Mutex;

use super::lane::Lane;

/// The book.
#[derive(Debug)]
pub(crate) struct Residents {
    lanes: Mutex<Vec<Weak<Lane>>>,
    evict_after: Duration,
    most: usize,
    opened: AtomicU64,
    evicted: AtomicU64,
}

/// What decides about one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) tenant: TenantName,
    /// When it was called last.
    pub(crate) used: Timestamp,
    /// Whether it may go at all.
    pub(crate) is_spare: bool,
}

// === impl Residents ===

impl Residents {
    pub(crate) fn new(evict_after: Duration, most: usize) -> Self {
        let (opened, evicted) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { lanes: Mutex::default(), evict_after, most, opened, evicted }
    }

    /// Enters one whose code has come into memory, and lets others go if there are too many.
    pub(crate) fn enter(&self, lane: &Arc<Lane>, now: Timestamp) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        {
            let mut lanes = self.lanes.lock();
            // One that left and came back since somebody looked still has its line.
            if !lanes.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(lane))) {
                lanes.push(Arc::downgrade(lane));
            }
        }
        // Nobody has been idle long enough for the other rule to count: that is the sweeper's.
        self.evict(now, Duration::MAX);
    }

    /// Retires idle instances, and lets go what nobody uses. Called about once a second.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let moment = Instant::now();
        for lane in self.alive() {
            lane.sweep(moment);
        }
        self.evict(now, self.evict_after);
    }

    /// Those whose code is in memory.
    pub(crate) fn alive(&self) -> Vec<Arc<Lane>> {
        let mut lanes = self.lanes.lock();
        let alive: Vec<Arc<Lane>> =
            lanes.iter().filter_map(Weak::upgrade).filter(|lane| lane.is_resident()).collect();
        *lanes = alive.iter().map(Arc::downgrade).collect();
        alive
    }

    /// How often code came into memory, and how often it left.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.opened.load(Ordering::Relaxed), self.evicted.load(Ordering::Relaxed))
    }

    fn evict(&self, now: Timestamp, idle: Duration) {
        let lanes = self.alive();
        let standings: Vec<Standing> = lanes.iter().map(|lane| lane.standing()).collect();
        for place in victims(&standings, now, idle, self.most) {
            if lanes.get(place).is_some_and(|lane| lane.evict()) {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The places of those that must go.
fn victims(standings: &[Standing], now: Timestamp, idle: Duration, most: usize) -> Vec<usize> {
    let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
    let is_old = |used: Timestamp| now.as_millis().saturating_sub(used.as_millis()) >= idle_ms;
    let mut gone: Vec<usize> = Vec::new();
    let mut left: Vec<(usize, &Standing)> = Vec::new();
    let mut held: HashMap<&TenantName, usize> = HashMap::new();
    for (place, standing) in standings.iter().enumerate() {
        if standing.is_spare && is_old(standing.used) {
            gone.push(place);
        } else {
            *held.entry(&standing.tenant).or_default() += 1;
            left.push((place, standing));
        }
    }
    let mut excess = left.len().saturating_sub(most);
    left.retain(|(_, standing)| standing.is_spare);
    while excess > 0 {
        let count = |standing: &Standing| held.get(&standing.tenant).copied().unwrap_or(0);
        let next = left
            .iter()
            .enumerate()
            .max_by_key(|(_, (_, standing))| (count(standing), std::cmp::Reverse(standing.used)));
        let Some((index, &(place, standing))) = next else { break };
        if let Some(held) = held.get_mut(&standing.tenant) {
            *held = held.saturating_sub(1);
        }
        left.swap_remove(index);
        gone.push(place);
        excess -= 1;
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_go_and_then_those_of_the_largest_tenant() {
        // Tenant, seconds since the last call, whether it may go.
        type Line = (&'static str, u64, bool);
        let check = |lines: &[Line], most: usize, expected: &[usize]| {
            let now = Timestamp::from_millis(1_000_000_000);
            let standing = |&(tenant, seconds, is_spare): &Line| Standing {
                tenant: tenant.parse().unwrap(),
                used: Timestamp::from_millis(now.as_millis() - seconds * 1000),
                is_spare,
            };
            let standings: Vec<Standing> = lines.iter().map(standing).collect();
            assert_eq!(victims(&standings, now, Duration::from_secs(60), most), expected, "{lines:?}");
        };
        check(&[], 0, &[]);
        check(&[("a", 59, true), ("a", 60, true), ("a", 600, false)], 10, &[1]);
        check(&[("a", 1, true), ("a", 3, true), ("a", 2, true)], 2, &[1]);
        check(&[("a", 1, true), ("a", 3, false), ("a", 2, true)], 2, &[2]);
        check(&[("quiet", 50, true), ("loud", 1, true), ("loud", 2, true), ("loud", 3, true)], 2, &[3, 2]);
        check(&[("quiet", 50, true), ("loud", 1, true)], 1, &[0]);
        check(&[("a", 100, false), ("b", 100, false)], 1, &[]);
        check(&[("a", 70, true), ("a", 1, true), ("a", 2, true)], 2, &[0]);
    }
}
