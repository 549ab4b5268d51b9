//! One address: the task that keeps a connection to it, and what calls have seen of it.
//!
//! The task connects, asks what is there, and waits until the connection ends or somebody wants a new one. While it
//! cannot connect it waits longer and longer, up to [`LONGEST_PAUSE`]; a request that finds no address shortens the
//! wait. After [`STRIKES`] calls in a row without an answer the address is a suspect: it gets calls only if there is
//! no other, until a new connection has answered questions (`connection::open` asks).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use lockgate_domain::spec::ExternalAddress;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::connection::{self, Connection};

/// Calls in a row without an answer that make an address a suspect.
const STRIKES: u32 = 3;
/// Time to connect, to shake hands and to learn what is there.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Shortest pause before another try.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before another try.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// One address of an external executor.
#[derive(Debug)]
pub(super) struct Address {
    url: String,
    spec: ExternalAddress,
    connection: ArcSwapOption<Connection>,
    in_flight: AtomicUsize,
    calls: AtomicU64,
    /// Of calls that are over.
    nanoseconds: AtomicU64,
    strikes: AtomicU32,
    suspect: AtomicBool,
    /// Wakes the task that keeps the connection.
    wanted: Notify,
    trouble: Mutex<Option<String>>,
}

/// A call on its way. A call that is dropped after its deadline was left unanswered.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    address: &'a Address,
    began: Instant,
    deadline: Option<Instant>,
    is_answered: bool,
}

impl Address {
    pub(super) fn new(spec: &ExternalAddress) -> Self {
        Self {
            url: spec.to_string(),
            spec: spec.clone(),
            connection: ArcSwapOption::empty(),
            in_flight: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            strikes: AtomicU32::new(0),
            suspect: AtomicBool::new(false),
            wanted: Notify::new(),
            trouble: Mutex::default(),
        }
    }

    /// The address as people write it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn spec(&self) -> &ExternalAddress {
        &self.spec
    }

    pub(super) fn connection(&self) -> Option<Arc<Connection>> {
        self.connection.load_full()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.load().is_some()
    }

    /// Whether it leaves calls unanswered.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    /// Calls that wait for its answer.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Time of the calls that are over.
    pub(super) fn time(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }

    /// Why it is not connected; none if it is, or was not tried to the end.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A call begins.
    pub(super) fn enter(&self, deadline: Option<Instant>) -> Visit<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Visit { address: self, began: Instant::now(), deadline, is_answered: false }
    }

    /// That connection is of no use: calls pass it by, and a new one is made.
    pub(super) fn renew(&self, used: &Arc<Connection>) {
        let current = self.connection.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, used)) {
            self.connection.compare_and_swap(&current, None);
        }
        self.wanted.notify_one();
    }

    /// Somebody waits for it.
    pub(super) fn look_again(&self) {
        self.wanted.notify_one();
    }

    fn strike(&self) {
        if self.strikes.fetch_add(1, Ordering::Relaxed) + 1 >= STRIKES
            && !self.suspect.swap(true, Ordering::Relaxed)
        {
            self.wanted.notify_one();
        }
    }

    fn publish(&self, connection: Arc<Connection>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.connection.store(Some(connection));
        self.strikes.store(0, Ordering::Relaxed);
        self.suspect.store(false, Ordering::Relaxed);
    }

    /// Nothing came of it; says whether that is news. A suspect whose connection cannot be renewed is gone.
    fn fail(&self, why: &str) -> bool {
        self.connection.store(None);
        let trouble = format!("{}: {why}", self.url);
        let mut place = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        place.replace(trouble).is_none()
    }
}

impl Visit<'_> {
    /// The other side said something.
    pub(super) fn answered(&mut self) {
        self.is_answered = true;
        if self.address.strikes.load(Ordering::Relaxed) > 0 {
            self.address.strikes.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.address.in_flight.fetch_sub(1, Ordering::Relaxed);
        let took = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.address.nanoseconds.fetch_add(took, Ordering::Relaxed);
        if !self.is_answered && self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.address.strike();
        }
    }
}

/// Keeps a connection to that address, for as long as the task lives.
pub(super) async fn keep(address: Arc<Address>, shared: Arc<Shared>) {
    // Connections that were replaced go on until their calls have ended.
    let mut drivers = JoinSet::new();
    let mut pause = FIRST_PAUSE;
    loop {
        while drivers.try_join_next().is_some() {}
        let opened = timeout(CONNECT_TIME, connection::open(&address, &shared, &mut drivers)).await;
        let late = || Err(format!("no answer within {} s", CONNECT_TIME.as_secs()));
        match opened.unwrap_or_else(|_| late()) {
            Ok((connection, manifest)) => {
                let began = Instant::now();
                shared.learn(manifest);
                use_up(&address, &shared, Arc::new(connection)).await;
                // One that ends at once is no better than none.
                pause = if began.elapsed() > LONGEST_PAUSE { FIRST_PAUSE } else { longer(pause) };
            }
            Err(why) => {
                if address.fail(&why) {
                    tracing::warn!(
                        executor = %shared.name,
                        address = address.url(),
                        why,
                        "an external executor cannot be reached"
                    );
                }
                shared.tell_news();
                pause = longer(pause);
            }
        }
        wait(&address, pause).await;
    }
}

/// Gives calls this connection until it ends or another one is wanted.
async fn use_up(address: &Address, shared: &Shared, connection: Arc<Connection>) {
    if address.trouble().is_some() {
        tracing::info!(
            executor = %shared.name,
            address = address.url(),
            "an external executor is there again"
        );
    }
    address.publish(connection.clone());
    shared.tell_news();
    loop {
        tokio::select! {
            () = connection.ended() => return address.renew(&connection),
            () = address.wanted.notified() => {
                // Somebody may have wanted the one before.
                if address.is_suspect() || !address.is_connected() {
                    return;
                }
            }
        }
    }
}

/// The pause between two tries; while nobody can call, a request cuts it short.
async fn wait(address: &Address, pause: Duration) {
    sleep(FIRST_PAUSE).await;
    let rest = spread(pause).saturating_sub(FIRST_PAUSE);
    if !rest.is_zero() && !address.is_connected() {
        tokio::select! {
            () = sleep(rest) => {}
            () = address.wanted.notified() => {}
        }
    }
}

fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(LONGEST_PAUSE)
}

/// Between half of the pause and all of it: hosts that lost the same address do not come back together.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + 0.5 * fastrand::f64())
}
