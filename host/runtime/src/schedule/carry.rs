//! Calls that turn out to be long are carried to threads of their own.
//!
//! A call begins on the thread that serves its socket. Once it has computed for a slice and its tenant is owed nothing,
//! its future moves to another runtime, whose threads have a lower priority, and stays there. So the threads that serve
//! sockets never compute for long, and the kernel lets them in at once; a thread that does both is made to wait for
//! the kernel's next tick, some milliseconds, whenever it has had more than its part lately. Because the kernel prefers
//! the one kind, time on the other is what the processor spent, not what passed.
//!
//! What follows: such a future owns all it needs, a call that is dropped after it moved is stopped at the end of its
//! stint instead of at once, and the threads exist from the first long call on.

use std::cell::{Cell, OnceCell};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use lockgate_domain::{ErrorCode, Problem};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::fair::Nanos;

/// How much lower the priority of the threads for long calls is, in the kernel's steps.
const NICE: i32 = 10;

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place::Anywhere) };
    /// On a thread for long calls: whether its carrier is gone.
    static ENDING: OnceCell<Arc<AtomicBool>> = const { OnceCell::new() };
}

/// What a guest that is polled on this thread may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It may compute, and cannot be moved.
    Anywhere,
    /// It is on a thread that serves, and can be moved.
    Serving,
    /// The same, and it asked for it.
    Leaving,
    /// It is on a thread for long calls.
    Computing,
}

/// Whether the guest polled on this thread is better moved before it goes on.
pub(super) fn is_serving() -> bool {
    PLACE.get() == Place::Serving
}

/// The guest polled on this thread is to be moved.
pub(super) fn leave() {
    PLACE.set(Place::Leaving);
}

/// Whether this thread is about to end, and with it the call that it polls. Clocks may be gone by now: whoever asks one
/// panics.
pub(super) fn is_ending() -> bool {
    PLACE.get() == Place::Computing
        && ENDING.with(|ending| ending.get().is_some_and(|ending| ending.load(Ordering::Relaxed)))
}

/// Measures slices.
pub(super) enum Clock {
    /// on a thread that serves, by what passed
    Wall(Instant),
    /// on a thread for long calls, by what its processor spent
    Processor(Nanos),
}

/// The threads for long calls.
#[derive(Default)]
pub(crate) struct Carrier {
    runtime: OnceLock<Option<Runtime>>,
    ending: Arc<AtomicBool>,
}

/// A call that moves when it turns out to be long; dropping it stops the call.
pub(crate) struct Carried<'a, T> {
    carrier: &'a Carrier,
    state: State<T>,
}

/// A call that owns all it needs, so that it can move.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

enum State<T> {
    Here(Work<T>),
    Moved(JoinHandle<T>),
    Over,
}

/// One poll on a thread that serves. Ends with its drop, a panic of the engine included.
struct Stay {
    before: Place,
}

// === impl Stay ===

impl Stay {
    fn begin() -> Self {
        let before = PLACE.get();
        // A call made from a thread for long calls is where it should be.
        if before != Place::Computing {
            PLACE.set(Place::Serving);
        }
        Self { before }
    }

    fn is_leaving(&self) -> bool {
        PLACE.get() == Place::Leaving
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        PLACE.set(self.before);
    }
}

// === impl Clock ===

impl Clock {
    pub(super) fn start(now: Instant) -> Self {
        if PLACE.get() == Place::Computing { Clock::Processor(processor_time()) } else { Clock::Wall(now) }
    }

    /// Time since the start or the last lap.
    pub(super) fn lap(&mut self, now: Instant) -> Nanos {
        match self {
            Clock::Wall(since) => {
                let lap = now.saturating_duration_since(std::mem::replace(since, now));
                u64::try_from(lap.as_nanos()).unwrap_or(u64::MAX)
            }
            Clock::Processor(since) => {
                let now = processor_time();
                now.saturating_sub(std::mem::replace(since, now))
            }
        }
    }
}

fn processor_time() -> Nanos {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanoseconds.unwrap_or(0))
}

// === impl Carrier ===

impl Carrier {
    /// Runs `work` here, and elsewhere once it turns out to be long.
    pub(crate) fn carry<T: Send + 'static>(&self, work: Work<T>) -> Carried<'_, T> {
        Carried { carrier: self, state: State::Here(work) }
    }

    /// The runtime; none where its threads do not start.
    fn runtime(&self) -> Option<&Runtime> {
        let start = || {
            let (threads, ending) = (2 * super::cores(), self.ending.clone());
            let runtime = Builder::new_multi_thread()
                .worker_threads(threads)
                .thread_name("computing")
                .on_thread_start(move || {
                    // Where the priority cannot be lowered, long calls are computed all the same.
                    rustix::process::nice(NICE).ok();
                    PLACE.set(Place::Computing);
                    ENDING.with(|known| known.set(ending.clone()).ok());
                })
                .enable_all()
                .build();
            runtime
                .inspect_err(|error| tracing::error!(%error, "the threads for long calls do not start"))
                .ok()
        };
        self.runtime.get_or_init(start).as_ref()
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // Whoever drops it may be one of its own threads, or one on which nothing may block.
        if let Some(runtime) = self.runtime.take().flatten() {
            runtime.shutdown_background();
        }
    }
}

// === impl Carried ===

impl<T: Send + 'static> Future for Carried<'_, T> {
    /// None when the threads ended before the call did.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let State::Here(work) = &mut self.state {
            let stay = Stay::begin();
            let polled = work.as_mut().poll(cx);
            let is_leaving = stay.is_leaving();
            if let Poll::Ready(answer) = polled {
                self.state = State::Over;
                return Poll::Ready(Some(answer));
            }
            if !is_leaving {
                return Poll::Pending;
            }
            self.move_on();
        }
        let State::Moved(handle) = &mut self.state else {
            // Not moved: it has asked for its next slice and is woken for it.
            return if matches!(self.state, State::Here(_)) { Poll::Pending } else { Poll::Ready(None) };
        };
        let ended = ready!(Pin::new(handle).poll(cx));
        self.state = State::Over;
        match ended {
            Ok(answer) => Poll::Ready(Some(answer)),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Poll::Ready(None),
            },
        }
    }
}

impl<T: Send + 'static> Carried<'_, T> {
    /// Moves the call, or leaves it where it is if the threads for it do not start.
    fn move_on(&mut self) {
        self.state = match (std::mem::replace(&mut self.state, State::Over), self.carrier.runtime()) {
            (State::Here(work), Some(runtime)) => {
                State::Moved(runtime.spawn(work.instrument(tracing::Span::current())))
            }
            (state, _) => state,
        };
    }
}

impl<T> Drop for Carried<'_, T> {
    fn drop(&mut self) {
        if let State::Moved(handle) = &self.state {
            handle.abort();
        }
    }
}

/// What a call ends with when its threads do.
pub(crate) fn ended() -> Problem {
    Problem::new(ErrorCode::Unavailable, "the host ended before the call did")
}
