//! A revision that runs beside the one that answers, to be compared with it.
//!
//! The copy of a request is offered only after its answer is known and on its way, so neither the caller's time nor its
//! result can change. It runs in one task of the host with a queue, at most so many at once, within its own fuel and
//! time; what does not fit is skipped and counted. Its usage is the tenant's like that of any other call: a shadow that
//! nobody paid for would be a way to compute for nothing. It writes into a key-value store of its own, in memory, so
//! that nothing is written twice; what it sends over HTTP it does send.
//!
//! Once enough was compared there is a verdict, and with `promote_or_refuse` it is carried out by whoever holds the
//! other end of the queue.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use lockgate_domain::FuelBudget;
use lockgate_domain::hosting::{RevisionNumber, ShadowDecision, ShadowReport, ShadowSpec, ShadowVerdict};
use lockgate_flow::client::{ExecutorCall, ExecutorReply};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::choice::Share;
use super::compare::compare;
use super::lane::Lane;
use super::verdict::{Effort, Tally};

/// Copies that wait for their turn, of all executors.
const QUEUE: usize = 256;
/// Bytes of documents and results that they may hold together.
const MOST_BYTES: u64 = 256 << 20;
/// Copies of one shadow, waiting or running.
const MOST_OF_ONE: usize = 16;

/// One shadow and what was compared so far.
pub(crate) struct Shadow {
    lane: Arc<Lane>,
    primary: RevisionNumber,
    spec: ShadowSpec,
    share: Share,
    tally: Mutex<Tally>,
    pending: AtomicUsize,
    queue: ShadowQueue,
}

/// Where copies are offered. Cheap to clone; all clones are the same queue.
#[derive(Debug, Clone)]
pub(crate) struct ShadowQueue {
    sender: mpsc::Sender<ShadowCall>,
    bytes: Arc<AtomicU64>,
}

/// The other end of the queue.
pub(crate) struct ShadowRunner {
    receiver: mpsc::Receiver<ShadowCall>,
    most_at_once: usize,
}

/// Carries a verdict out.
pub(crate) trait Referee: Send + Sync {
    /// Called once for each shadow that has one and asked for it.
    fn decide(self: Arc<Self>, shadow: Arc<Shadow>, verdict: ShadowVerdict) -> BoxFuture<'static, ()>;
}

/// The copy of one request.
struct ShadowCall {
    call: ExecutorCall,
    answer: ExecutorReply,
    effort: Effort,
    place: Place,
}

/// What a copy takes of the bounds, until it is dropped.
struct Place {
    shadow: Arc<Shadow>,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shadow.pending.fetch_sub(1, Ordering::Relaxed);
        self.shadow.queue.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A queue and its end, which runs `most_at_once` copies at once.
pub(crate) fn queue(most_at_once: usize) -> (ShadowQueue, ShadowRunner) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let most_at_once = most_at_once.max(1);
    (ShadowQueue { sender, bytes: Arc::default() }, ShadowRunner { receiver, most_at_once })
}

// === impl Shadow ===

impl Shadow {
    pub(crate) fn new(
        lane: Arc<Lane>,
        primary: RevisionNumber,
        spec: ShadowSpec,
        queue: ShadowQueue,
    ) -> Arc<Self> {
        let tally = Mutex::new(Tally::new(primary, lane.number()));
        let (share, pending) = (Share::percent(spec.percent), AtomicUsize::new(0));
        Arc::new(Self { lane, primary, spec, share, tally, pending, queue })
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(crate) fn spec(&self) -> &ShadowSpec {
        &self.spec
    }

    pub(crate) fn primary(&self) -> RevisionNumber {
        self.primary
    }

    /// Draws whether this request is compared. What the canary answers never is.
    pub(crate) fn wants(&self, revision: RevisionNumber) -> bool {
        revision == self.primary && self.share.holds(fastrand::f64())
    }

    /// What is known so far.
    pub(crate) fn report(&self) -> ShadowReport {
        self.tally.lock().report().clone()
    }

    /// Hands over the copy of a request that was answered. Never waits.
    pub(crate) fn offer(self: &Arc<Self>, mut call: ExecutorCall, answer: &ExecutorReply, effort: Effort) {
        call.emit = None;
        let answered = answer.documents.bytes().saturating_add(answer.results.bytes());
        let bytes = call.documents.bytes().saturating_add(answered);
        let taken = self.pending.fetch_add(1, Ordering::Relaxed);
        let held = self.queue.bytes.fetch_add(bytes, Ordering::Relaxed);
        let place = Place { shadow: self.clone(), bytes };
        let has_room = taken < MOST_OF_ONE && held.saturating_add(bytes) <= MOST_BYTES;
        let copy = ShadowCall { call, answer: answer.clone(), effort, place };
        if !has_room || self.queue.sender.try_send(copy).is_err() {
            self.tally.lock().skip();
        }
    }

    /// Runs one copy and compares; gives a verdict if this one brought it about.
    async fn run(
        self: &Arc<Self>,
        mut call: ExecutorCall,
        answer: &ExecutorReply,
        effort: Effort,
    ) -> Option<ShadowVerdict> {
        let limits = &self.lane.revision().spec.limits;
        call.context.fuel = FuelBudget::new(limits.fuel);
        let started = Instant::now();
        call.context.deadline = started.checked_add(Duration::from_millis(limits.wall_time_ms));
        match self.lane.call(call).await {
            Ok(reply) => {
                let own = Effort { fuel: reply.fuel, time: started.elapsed() };
                let found = compare(answer, &reply, self.spec.accept.embedding_distance);
                self.tally.lock().add(effort, own, found);
            }
            // The host had no room for it: nothing is known about the revision.
            Err(problem) if problem.code().has_no_side_effects() && problem.code().retryable() => {
                self.tally.lock().skip();
            }
            Err(problem) => self.tally.lock().add_failure(&problem),
        }
        self.tally.lock().decide(self.spec.decide_after, &self.spec.accept)
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow")
            .field("lane", &self.lane)
            .field("primary", &self.primary)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ShadowCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShadowCall").field("shadow", &self.place.shadow).finish_non_exhaustive()
    }
}

// === impl ShadowRunner ===

impl ShadowRunner {
    /// Runs copies until `ended` is cancelled; what runs then is dropped.
    pub(crate) async fn run(mut self, referee: Weak<dyn Referee>, ended: CancellationToken) {
        let mut running = JoinSet::new();
        loop {
            let has_room = running.len() < self.most_at_once;
            tokio::select! {
                biased;
                () = ended.cancelled() => break,
                Some(done) = running.join_next() => {
                    if let Err(error) = done {
                        tracing::error!(%error, "comparing a shadow ended in a panic");
                    }
                }
                copy = self.receiver.recv(), if has_room => match copy {
                    Some(copy) => {
                        running.spawn(run(copy, referee.clone()));
                    }
                    None => break,
                },
            }
        }
        running.shutdown().await;
    }
}

async fn run(copy: ShadowCall, referee: Weak<dyn Referee>) {
    let ShadowCall { call, answer, effort, place } = copy;
    let shadow = place.shadow.clone();
    let verdict = shadow.run(call, &answer, effort).await;
    drop(place);
    let Some(verdict) = verdict else { return };
    tracing::info!(
        tenant = %shadow.lane.owner().name,
        executor = %shadow.lane.executor(),
        revision = %shadow.lane.number(),
        is_within = verdict == ShadowVerdict::Within,
        "a shadow has been judged"
    );
    if shadow.spec.decision == ShadowDecision::PromoteOrRefuse
        && let Some(referee) = referee.upgrade()
    {
        referee.decide(shadow, verdict).await;
    }
}
