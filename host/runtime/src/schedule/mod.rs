//! Shares of the processor: every poll of a guest is one slice, and a slice needs a grant.
//!
//! A guest gives its thread back every [`YIELD_FUEL`] units and at every tick of the epoch, which is about a
//! millisecond; then whoever is owed most goes on ([`fair`] decides). Where fewer slices are wanted than there are
//! cores, asking is one lock that nobody holds for longer than a few instructions. A tenant that is owed time is let in
//! at once and runs beyond the number of cores; the kernel divides them. So the threads that poll guests must be more
//! than the cores, see [`worker_threads`], and a call that goes on computing stays on its thread for a while.
//!
//! What follows: a future that holds a grant and is not polled loses it after some milliseconds, or a caller that stops
//! reading could hold a core for ever.
//!
//! [`YIELD_FUEL`]: crate::instance::YIELD_FUEL

mod carry;
mod fair;

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub(crate) use self::carry::{Carrier, Work, ended};
use self::fair::{Entry, Fair, LaneId, Nanos, SLICE, Ticket};
use crate::share::TenantShare;

/// Threads that a host needs to poll guests: as many as may compute at once, those owed time included, and one more,
/// so that sockets are served while all of them do.
pub fn worker_threads() -> usize {
    2 * cores() + 1
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How long one call may compute on a thread before it goes back to the queue, while no other tenant is to be served.
const STINT: Duration = Duration::from_millis(20);

/// The scheduler of a process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Scheduler(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    start: Instant,
    next_ticket: AtomicU64,
    /// Whether it decides anything; off only to measure what it is worth.
    is_on: bool,
}

struct State {
    fair: Fair,
    /// whom to wake when a ticket is granted
    wakers: HashMap<Ticket, Waker>,
    slices: u64,
    waits: u64,
    beyond: u64,
}

/// What a scheduler did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchedulerStats {
    /// slices that run now
    pub running: u64,
    /// calls that wait for a slice now
    pub waiting: u64,
    /// slices that were run
    pub slices: u64,
    /// slices that had to be waited for
    pub waits: u64,
    /// slices of tenants that were owed time, run beyond the number of cores
    pub beyond: u64,
}

/// One future's way through the scheduler; dropping it leaves the queue and returns the grant.
struct Turn<'a> {
    scheduler: &'a Scheduler,
    share: &'a TenantShare,
    ticket: Ticket,
    place: Place,
    /// time computed so far
    computed: Nanos,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    /// In the queue, or granted and not picked up.
    Waiting,
    /// In a slice.
    Inside,
    /// In a slice that it is owed, while every core is taken.
    Beyond,
}

// === impl Scheduler ===

impl Scheduler {
    pub(crate) fn new(is_on: bool) -> Self {
        Self::with_cores(cores(), is_on)
    }

    fn with_cores(cores: usize, is_on: bool) -> Self {
        let fair = Fair::new(cores);
        let state = State { fair, wakers: HashMap::new(), slices: 0, waits: 0, beyond: 0 };
        let (start, next_ticket) = (Instant::now(), AtomicU64::new(0));
        Self(Arc::new(Inner { state: Mutex::new(state), start, next_ticket, is_on }))
    }

    /// The future's output, or none if `until` comes first. Each poll of it is a slice on the account of `share`. The
    /// timer is armed only once the future has to wait, so a short call never touches it.
    pub(crate) async fn within<F: Future>(
        &self,
        share: &TenantShare,
        until: Instant,
        future: F,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        let ticket = self.0.next_ticket.fetch_add(1, Ordering::Relaxed);
        let mut turn = Turn { scheduler: self, share, ticket, place: Place::Outside, computed: 0 };
        let mut timer: Option<Pin<Box<tokio::time::Sleep>>> = None;
        poll_fn(|cx| {
            if let Poll::Ready(output) = turn.poll(future.as_mut(), cx) {
                return Poll::Ready(Some(output));
            }
            if carry::is_ending() {
                return Poll::Pending;
            }
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// Lets go of grants that nobody picked up. Called at every tick of the epoch.
    pub(crate) fn tick(&self) {
        let now = self.now(Instant::now());
        let mut state = self.0.state.lock();
        if state.fair.lapse(now) > 0 {
            let woken = state.hand_out(now);
            drop(state);
            woken.into_iter().for_each(Waker::wake);
        }
    }

    pub(crate) fn stats(&self) -> SchedulerStats {
        let state = self.0.state.lock();
        SchedulerStats {
            running: state.fair.running() as u64,
            waiting: state.fair.waiting() as u64,
            slices: state.slices,
            waits: state.waits,
            beyond: state.beyond,
        }
    }

    /// Whether somebody waits for a slice.
    pub(crate) fn is_contended(&self) -> bool {
        !self.0.state.lock().wakers.is_empty()
    }

    fn now(&self, now: Instant) -> Nanos {
        let since = now.saturating_duration_since(self.0.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl State {
    /// Grants what can be granted; the caller wakes without the lock.
    fn hand_out(&mut self, now: Nanos) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(ticket) = self.fair.next(now) {
            woken.extend(self.wakers.remove(&ticket));
        }
        woken
    }
}

// === impl Turn ===

impl Turn<'_> {
    fn poll<F: Future>(&mut self, mut future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.scheduler.0.is_on && !self.enter(cx) {
            return Poll::Pending;
        }
        let started = Instant::now();
        let mut clock = carry::Clock::start(started);
        loop {
            let polled = future.as_mut().poll(cx);
            let ended = Instant::now();
            let time = clock.lap(ended);
            self.share.computed(time);
            if !self.scheduler.0.is_on {
                return polled;
            }
            self.computed = self.computed.saturating_add(time);
            // A guest that computed for so long most likely yielded and goes on; if it waits for something instead, one
            // poll too many tells.
            let again = polled.is_pending() && time >= SLICE / 50;
            if again && ended - started < STINT && self.goes_on(time) {
                continue;
            }
            self.exit(time, self.scheduler.now(ended), again.then_some(cx));
            return polled;
        }
    }

    /// Whether the next slice may follow on this thread.
    fn goes_on(&self, time: Nanos) -> bool {
        let mut state = self.scheduler.0.state.lock();
        let may_stay = match self.place {
            Place::Inside => !self.is_to_move(&state.fair),
            Place::Beyond => state.fair.is_owed(self.lane()),
            Place::Outside | Place::Waiting => false,
        };
        let goes_on = may_stay && state.fair.go_on(self.lane(), time);
        state.slices += u64::from(goes_on);
        goes_on
    }

    /// Whether it has turned out to be long, on a thread that serves, for a tenant that is owed nothing.
    fn is_to_move(&self, fair: &Fair) -> bool {
        self.computed >= SLICE && carry::is_serving() && !fair.is_owed(self.lane())
    }

    fn lane(&self) -> LaneId {
        self.share.lane()
    }

    /// Whether a slice may run now; else the task is woken when it may.
    fn enter(&mut self, cx: &Context<'_>) -> bool {
        let mut state = self.scheduler.0.state.lock();
        if self.place == Place::Waiting {
            if state.fair.pick_up(self.ticket) {
                state.slices += 1;
                self.place = Place::Inside;
                return true;
            }
            if let Some(waker) = state.wakers.get_mut(&self.ticket) {
                waker.clone_from(cx.waker());
                return false;
            }
            // Granted and lapsed: it asks again.
            self.place = Place::Outside;
        }
        match state.fair.ask(self.lane(), self.share.weight(), self.ticket) {
            Entry::Wait => {
                self.wait(&mut state, cx);
                false
            }
            entry => {
                state.slices += 1;
                self.place = Place::Inside;
                if entry == Entry::RunBeyond {
                    self.place = Place::Beyond;
                    state.beyond += 1;
                }
                true
            }
        }
    }

    fn wait(&mut self, state: &mut State, cx: &Context<'_>) {
        state.waits += 1;
        state.wakers.insert(self.ticket, cx.waker().clone());
        self.place = Place::Waiting;
    }

    /// Ends a slice, asks for the next one in the same breath if there is one, and wakes who is next.
    fn exit(&mut self, time: Nanos, now: Nanos, again: Option<&Context<'_>>) {
        let mut state = self.scheduler.0.state.lock();
        state.fair.end(self.lane(), time);
        self.place = Place::Outside;
        if let Some(cx) = again {
            if self.is_to_move(&state.fair) {
                carry::leave();
            }
            match state.fair.ask_again(self.lane(), self.share.weight(), self.ticket) {
                Entry::Wait => self.wait(&mut state, cx),
                Entry::Run | Entry::RunBeyond => {
                    state.fair.hand(self.lane(), self.ticket, now);
                    self.place = Place::Waiting;
                    cx.waker().wake_by_ref();
                }
            }
        }
        let woken = state.hand_out(now);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.place == Place::Outside {
            return;
        }
        let now = self.scheduler.now(Instant::now());
        let mut state = self.scheduler.0.state.lock();
        let waker = state.wakers.remove(&self.ticket);
        if !state.fair.leave(self.lane(), self.ticket) && matches!(self.place, Place::Inside | Place::Beyond)
        {
            // Dropped in the middle of its slice, by a panic.
            state.fair.end(self.lane(), SLICE);
        }
        let woken = state.hand_out(now);
        drop(state);
        drop(waker);
        woken.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
