//! Who holds which instance: idle ones, leases, and calls that wait.
//!
//! All of it sits behind one lock that is held for a few instructions and never while an instance is built, called or
//! dropped. `live` counts idle, leased and reserved places alike; it goes down only in [`give`], so it cannot drift.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_domain::spec::{InstanceMode, PoolOptions};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Inner;
use crate::instance::Instance;

/// Idle instances and waiting calls of a pool.
#[derive(Default)]
pub(super) struct Desk(Mutex<State>);

#[derive(Default)]
struct State {
    /// used last, taken first: the others grow old and expire
    idle: Vec<Idle>,
    live: u32,
    waiting: VecDeque<Waiter>,
    waited: Waited,
    next_ticket: u64,
    closed: bool,
}

/// What calls waited for instances lately, all together.
#[derive(Default)]
struct Waited {
    since: Option<Instant>,
    time: Duration,
}

struct Idle {
    instance: Box<Instance>,
    since: Instant,
}

struct Waiter {
    ticket: u64,
    since: Instant,
    hand: oneshot::Sender<Lease>,
}

/// How a call enters.
pub(super) enum Entry {
    /// an idle instance
    Instance(Lease),
    /// a place to build one in
    Build(Lease),
    /// a place in the queue
    Wait(Ticket),
    /// no place in the queue
    Full,
    /// the pool is closed
    Closed,
}

/// A place among the pool's instances, empty until it is built. Dropping it returns or retires the instance and
/// serves whoever waits.
pub(super) struct Lease {
    pool: Arc<Inner>,
    instance: Option<Box<Instance>>,
    /// whether the place has been passed on already
    spent: bool,
}

/// A place in the queue; dropping it leaves the queue.
pub(super) struct Ticket {
    pool: Arc<Inner>,
    number: u64,
    hand: oneshot::Receiver<Lease>,
}

/// How a wait ended.
pub(super) enum WaitEnd {
    /// with an instance, or with a place to build one in
    Served(Lease),
    /// the time is over
    Late,
    /// the pool was closed
    Closed,
}

// === impl Desk ===

impl Desk {
    /// Takes an idle instance, a place to build one, or a place in the queue.
    pub(super) fn enter(pool: &Arc<Inner>) -> Entry {
        let options = &pool.options;
        let mut state = pool.desk.0.lock();
        if state.closed {
            return Entry::Closed;
        }
        if let Some(idle) = state.idle.pop() {
            return Entry::Instance(Lease::new(pool, Some(idle.instance)));
        }
        let now = Instant::now();
        // Fresh instances never come back, so there is nothing to wait for below the maximum.
        let at_once = options.mode == InstanceMode::Fresh || state.live < options.min.max(1);
        let grow_after = Duration::from_millis(options.grow_after_ms);
        if state.live < options.max && (at_once || state.waited.is_enough(now, grow_after)) {
            state.live += 1;
            return Entry::Build(Lease::new(pool, None));
        }
        if state.waiting.len() >= options.queue as usize {
            return Entry::Full;
        }
        let (hand, receiver) = oneshot::channel();
        let number = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(Waiter { ticket: number, since: now, hand });
        Entry::Wait(Ticket { pool: pool.clone(), number, hand: receiver })
    }

    /// Idle instances that are too old, oldest first, down to `min` live ones. The caller drops them.
    pub(super) fn expire(&self, now: Instant, options: &PoolOptions) -> Vec<impl Sized + use<>> {
        let mut state = self.0.lock();
        let spare = state.live.saturating_sub(options.min) as usize;
        let idle_time = Duration::from_millis(options.idle_ms);
        let is_old = |idle: &&Idle| now.saturating_duration_since(idle.since) >= idle_time;
        let old = state.idle.iter().take(spare).take_while(is_old).count();
        state.live = state.live.saturating_sub(u32::try_from(old).unwrap_or(u32::MAX));
        state.idle.drain(..old).collect::<Vec<_>>()
    }

    /// The instance that has been idle longest, if more than `min` are live. The caller drops it.
    pub(super) fn spare(&self, min: u32) -> Option<impl Sized + use<>> {
        let mut state = self.0.lock();
        if state.live <= min || state.idle.is_empty() {
            return None;
        }
        state.live -= 1;
        Some(state.idle.remove(0))
    }

    /// Live, idle, waiting.
    pub(super) fn look(&self) -> (u32, u32, u32) {
        let state = self.0.lock();
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        (state.live, count(state.idle.len()), count(state.waiting.len()))
    }

    /// Closes; what is returned is for the caller to drop without the lock.
    pub(super) fn close(&self) -> impl Sized + use<> {
        let mut state = self.0.lock();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        state.live = state.live.saturating_sub(u32::try_from(idle.len()).unwrap_or(u32::MAX));
        (idle, std::mem::take(&mut state.waiting))
    }
}

// === impl Waited ===

impl Waited {
    /// How far back it looks: a pool that is too small for short calls shows within that time.
    const WINDOW: Duration = Duration::from_secs(1);

    /// A call that waited since then waits no more.
    fn add(&mut self, now: Instant, since: Instant) {
        if self.since.is_none_or(|start| now.saturating_duration_since(start) > Self::WINDOW) {
            *self = Self { since: Some(now), time: Duration::ZERO };
        }
        self.time += now.saturating_duration_since(since);
    }

    /// Whether it was so long that there should be one instance more; then it begins anew.
    fn is_enough(&mut self, now: Instant, enough: Duration) -> bool {
        let is_recent = self.since.is_some_and(|start| now.saturating_duration_since(start) <= Self::WINDOW);
        let is_enough = is_recent && self.time >= enough;
        if is_enough {
            *self = Self::default();
        }
        is_enough
    }
}

// === impl Lease ===

impl Lease {
    fn new(pool: &Arc<Inner>, instance: Option<Box<Instance>>) -> Self {
        Self { pool: pool.clone(), instance, spent: false }
    }

    /// A place to build in, while fewer than `most` are live.
    pub(super) fn reserve(pool: &Arc<Inner>, most: u32) -> Option<Self> {
        let mut state = pool.desk.0.lock();
        if state.closed || state.live >= most {
            return None;
        }
        state.live += 1;
        Some(Self::new(pool, None))
    }

    pub(super) fn fill(&mut self, instance: Instance) {
        self.instance = Some(Box::new(instance));
    }

    /// Retires the instance and keeps its place.
    pub(super) fn empty(&mut self) {
        self.instance = None;
    }

    pub(super) fn is_filled(&self) -> bool {
        self.instance.is_some()
    }

    pub(super) fn instance(&mut self) -> Option<&mut Instance> {
        self.instance.as_deref_mut()
    }

    fn disarm(mut self) -> Option<Box<Instance>> {
        self.spent = true;
        self.instance.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.spent {
            return;
        }
        // A store is dropped before its place is offered again, and never under the lock.
        let kept = self.instance.take().filter(|instance| self.pool.keeps(instance));
        give(&self.pool, kept);
    }
}

/// Passes an instance, or an empty place, to whoever has waited longest; else an instance becomes idle and an empty
/// place is given up.
fn give(pool: &Arc<Inner>, mut instance: Option<Box<Instance>>) {
    loop {
        let mut state = pool.desk.0.lock();
        let next = if state.closed { None } else { state.waiting.pop_front() };
        let Some(waiter) = next else {
            match instance.take() {
                Some(instance) if !state.closed => state.idle.push(Idle { instance, since: Instant::now() }),
                retired => {
                    state.live = state.live.saturating_sub(1);
                    drop(state);
                    drop(retired);
                }
            }
            return;
        };
        state.waited.add(Instant::now(), waiter.since);
        drop(state);
        match waiter.hand.send(Lease::new(pool, instance.take())) {
            Ok(()) => return,
            // That call is gone: take it back and ask the next.
            Err(lease) => instance = lease.disarm(),
        }
    }
}

// === impl Ticket ===

impl Ticket {
    /// Waits to be served.
    pub(super) async fn wait(&mut self, until: Instant) -> WaitEnd {
        match tokio::time::timeout_at(until.into(), &mut self.hand).await {
            Ok(Ok(lease)) => WaitEnd::Served(lease),
            Ok(Err(_)) => WaitEnd::Closed,
            Err(_) => WaitEnd::Late,
        }
    }

    /// Leaves the queue with a place to build in, if the pool may grow.
    pub(super) fn grow(&mut self) -> Option<Lease> {
        if let Ok(lease) = self.hand.try_recv() {
            return Some(lease);
        }
        let lease = Lease::reserve(&self.pool, self.pool.options.max)?;
        self.leave();
        // Served between the two looks: use that one and give the place up.
        match self.hand.try_recv() {
            Ok(served) => Some(served),
            Err(_) => Some(lease),
        }
    }

    fn leave(&self) {
        let mut state = self.pool.desk.0.lock();
        if let Some(index) = state.waiting.iter().position(|waiter| waiter.ticket == self.number) {
            state.waiting.remove(index);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits as (when they ended, how long they were) in milliseconds, then whether 5 ms are enough at some time.
    #[test]
    fn many_short_waits_are_one_long_one() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let check = |waits: &[(u64, u64)], now: u64, expected: bool| {
            let mut waited = Waited::default();
            for &(end, length) in waits {
                waited.add(at(end), at(end - length));
            }
            let enough = Duration::from_millis(5);
            assert_eq!(waited.is_enough(at(now), enough), expected, "{waits:?} at {now}");
            assert!(!waited.is_enough(at(now), enough), "it begins anew");
        };
        check(&[], 10, false);
        check(&[(10, 5)], 11, true);
        check(&[(10, 2), (12, 2)], 13, false);
        check(&[(10, 2), (12, 2), (900, 1)], 901, true);
        check(&[(10, 2), (12, 2), (1500, 4)], 1501, false);
        check(&[(10, 2), (12, 2), (1500, 4), (1600, 1)], 1601, true);
        check(&[(10, 5)], 2000, false);
    }
}
