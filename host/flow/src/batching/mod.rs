//! Dynamic batching: requests to the same endpoint of a stage, with the same parameters and of the same tenant, share a
//! call of the executor.
//!
//! A [`Batcher`] stands in front of a stage's executor, and only where the flow asks for it. Requests gather in
//! [`queue`] until there are enough documents or bytes, or one of them can wait no longer; [`course`] then calls the
//! executor, and [`split`] gives back to each what is its own.
//!
//! Nothing is spawned. What drives a batch is one of its requests, whichever; if that one is dropped, another takes over
//! where it was, and with the last one the batch is dropped and its guest stops. So no call outlives its callers, and
//! none of them can stop the others. Waiting is bounded by `max_waiting`; one more is refused like by a pool's queue.

mod course;
mod queue;
mod split;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use lockgate_domain::request::STICKY;
use lockgate_domain::spec::BatchingSpec;
use lockgate_domain::{
    EndpointName, ErrorCode, ExecutorName, FlushReason, LimitKind, Limits, Manifest, Problem, StageSpec,
};
use tokio::sync::{Notify, oneshot};

use self::course::Course;
use self::queue::{Arrival, Closed, Key, Queues, Ticket};
use crate::adapted::unknown_to;
use crate::client::{ExecutorCall, ExecutorClient, ExecutorReply};
use crate::stage::now;

/// An executor whose calls gather.
pub struct Batcher {
    stage: ExecutorName,
    inner: Arc<dyn ExecutorClient>,
    rules: BTreeMap<EndpointName, BatchingSpec>,
    limits: Limits,
    shared: Arc<Shared>,
}

/// What a batcher has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchStats {
    /// Batches, in the order of [`FlushReason::ALL`].
    pub batches: [u64; FlushReason::ALL.len()],
    /// Requests in them.
    pub requests: u64,
    /// Their documents.
    pub documents: u64,
    /// Requests that ran again on their own because their batch failed.
    pub alone: u64,
    /// Requests that wait now.
    pub waiting: u32,
}

/// What the batches of one batcher have in common.
#[derive(Default)]
struct Shared {
    queues: Mutex<Queues<Waiter, Arc<Batch>>>,
    batches: [AtomicU64; FlushReason::ALL.len()],
    requests: AtomicU64,
    documents: AtomicU64,
    alone: AtomicU64,
}

/// A request in a batch.
struct Waiter {
    call: ExecutorCall,
    since: Instant,
    answer: oneshot::Sender<Settled>,
}

/// What becomes of a request of a batch.
enum Settled {
    Done(Result<ExecutorReply, Problem>),
    /// The batch failed, and the request is to be called on its own.
    Alone,
}

/// One batch, held by its requests and, while it is open, by the queue.
struct Batch {
    signal: Arc<Signal>,
    /// One permit, for whoever is to drive.
    baton: Notify,
    /// What is driven, while nobody does. It must not hold the batch, or neither would ever be dropped.
    course: Mutex<Option<BoxFuture<'static, ()>>>,
}

/// How a course learns that its batch gathers no longer, or is due sooner.
#[derive(Default)]
struct Signal {
    closed: Mutex<Option<Closed<Waiter>>>,
    changed: Notify,
}

impl Batcher {
    /// Puts a batcher in front of a stage's executor; none if the flow asks for none.
    pub(crate) fn new(spec: &StageSpec, inner: &Arc<dyn ExecutorClient>) -> Option<Arc<Self>> {
        (!spec.batching.is_empty()).then(|| {
            // A flow speaks of endpoints under the names that it gave them, calls come under the executor's own.
            let own = |name: &EndpointName| spec.requests.get(name).unwrap_or(name).clone();
            let rules = spec.batching.iter().map(|(name, rule)| (own(name), *rule));
            Arc::new(Self {
                stage: spec.name.clone(),
                inner: inner.clone(),
                rules: rules.collect(),
                limits: spec.limits,
                shared: Arc::default(),
            })
        })
    }

    /// What `uses_dynamic_batching` names that neither the flow nor the executor has.
    pub(crate) fn unknown_endpoints(manifest: &Manifest, spec: &StageSpec) -> Vec<String> {
        let names = spec.batching.keys().filter(|name| !spec.requests.contains_key(name));
        unknown_to(manifest, spec, "uses_dynamic_batching", names)
    }

    /// The stage.
    pub fn stage(&self) -> &ExecutorName {
        &self.stage
    }

    /// Sends what waits, and lets nothing wait any more.
    pub fn drain(&self) {
        let closed = self.shared.queues().drain();
        closed.into_iter().for_each(|(batch, closed)| batch.close(closed));
    }

    /// Numbers so far.
    pub fn stats(&self) -> BatchStats {
        let Shared { batches, requests, documents, alone, .. } = &*self.shared;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        BatchStats {
            batches: batches.each_ref().map(read),
            requests: read(requests),
            documents: read(documents),
            alone: read(alone),
            waiting: self.shared.queues().waiting(),
        }
    }

    /// The rule for a call that may share one. Documents that a streaming endpoint emits, several upstream lists, and
    /// no documents at all belong to one request.
    fn rule(&self, call: &ExecutorCall) -> Option<&BatchingSpec> {
        let is_shareable = call.emit.is_none() && call.inputs.len() <= 1 && !call.documents.is_empty();
        let rule = self.rules.get(&call.endpoint).filter(|_| is_shareable)?;
        let manifest = self.inner.manifest();
        let mut endpoints = manifest.endpoints.iter();
        endpoints.all(|endpoint| !endpoint.streaming || endpoint.name != call.endpoint).then_some(rule)
    }

    async fn gather(&self, rule: &BatchingSpec, call: ExecutorCall) -> Result<ExecutorReply, Problem> {
        let own = rule.isolate_failures.then(|| call.clone());
        let (answer, settled) = oneshot::channel();
        let place = self.enter(rule, call, answer)?;
        match (place.settled(settled).await, own) {
            (Some(Settled::Done(result)), _) => result,
            (Some(Settled::Alone), Some(call)) => {
                let reply = self.inner.call(call).await;
                reply.and_then(|reply| only_documents(&self.stage, reply))
            }
            (Some(Settled::Alone), None) | (None, _) => {
                let message = format!("the batch of executor `{}` was lost in the host", self.stage);
                Err(Problem::new(ErrorCode::HostFault, message))
            }
        }
    }

    fn enter(
        &self,
        rule: &BatchingSpec,
        call: ExecutorCall,
        answer: oneshot::Sender<Settled>,
    ) -> Result<Place<'_>, Problem> {
        let (documents, deadline, since) = (call.documents.clone(), call.context.deadline, now());
        let arrival = Arrival { bytes: documents.bytes(), documents: &documents, now: since, deadline };
        let key = Key {
            tenant: call.context.tenant.clone(),
            endpoint: call.endpoint.clone(),
            // Keys of a JSON object are sorted, so equal parameters are equal texts.
            parameters: serde_json::to_string(call.parameters.map()).unwrap_or_default(),
            sticky: call.context.headers.get(STICKY).map(str::to_owned),
        };
        let waiter = Waiter { call, since, answer };
        let begin = |key: &Arc<Key>, number| self.begin(rule, key, number);
        let entered = self.shared.queues().enter(key, &arrival, rule, &self.limits, waiter, begin);
        let entered = entered.ok_or_else(|| self.full(rule))?;
        if entered.is_sooner {
            entered.handle.signal.changed.notify_one();
        }
        entered.closed.into_iter().for_each(|(batch, closed)| batch.close(closed));
        Ok(Place { shared: &self.shared, ticket: entered.ticket, batch: entered.handle })
    }

    fn begin(&self, rule: &BatchingSpec, key: &Arc<Key>, number: u64) -> Arc<Batch> {
        let signal = Arc::<Signal>::default();
        let course = Course {
            stage: self.stage.clone(),
            inner: self.inner.clone(),
            rule: *rule,
            limits: self.limits,
            shared: self.shared.clone(),
            signal: signal.clone(),
            key: key.clone(),
            number,
        };
        let baton = Notify::new();
        baton.notify_one();
        Arc::new(Batch { signal, baton, course: Mutex::new(Some(Box::pin(course.run()))) })
    }

    fn full(&self, rule: &BatchingSpec) -> Problem {
        let most = rule.max_waiting;
        let message = format!("{most} requests wait already to be batched for executor `{}`", self.stage);
        Problem::limit(LimitKind::Queue, most.into(), message)
            .with_hint(
                "raise `max_waiting` of `uses_dynamic_batching`, or let requests wait less: lower `timeout`",
            )
            .with_executor(&self.stage)
            .with_retry_after_ms(rule.timeout_ms.clamp(1, 1000))
    }
}

impl ExecutorClient for Batcher {
    fn manifest(&self) -> Arc<Manifest> {
        self.inner.manifest()
    }

    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
        self.inner.resolve(wanted)
    }

    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        match self.rule(&call) {
            Some(rule) => Box::pin(self.gather(rule, call)),
            None => self.inner.call(call),
        }
    }
}

impl fmt::Debug for Batcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher")
            .field("stage", &self.stage)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// The reply of a call at an endpoint that is batched. What is given beside documents has no place to tell whose it is;
/// a batch of one request is no exception, for its author would learn of it from the second caller.
fn only_documents(stage: &ExecutorName, reply: ExecutorReply) -> Result<ExecutorReply, Problem> {
    if reply.results.is_empty() {
        return Ok(reply);
    }
    let message = format!(
        "executor `{stage}` gave results beside the documents of a batch, and it cannot be told whose they are"
    );
    Err(Problem::new(ErrorCode::ContractViolation, message)
        .with_executor(stage)
        .with_hint("write them into the documents, or take the endpoint out of `uses_dynamic_batching`"))
}

// === impl Shared ===

impl Shared {
    fn queues(&self) -> MutexGuard<'_, Queues<Waiter, Arc<Batch>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, closed: &Closed<Waiter>) {
        let places = FlushReason::ALL.iter().zip(&self.batches);
        let reason = places.filter(|(reason, _)| **reason == closed.reason).map(|(_, count)| count);
        reason.for_each(|count| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        self.requests.fetch_add(closed.members.len() as u64, Ordering::Relaxed);
        self.documents.fetch_add(closed.documents.into(), Ordering::Relaxed);
    }
}

// === impl Batch ===

impl Batch {
    fn close(&self, closed: Closed<Waiter>) {
        *self.signal.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(closed);
        self.signal.changed.notify_one();
    }

    fn course(&self) -> MutexGuard<'_, Option<BoxFuture<'static, ()>>> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's place in its batch: dropping it takes the request out, if the batch has not been sent.
struct Place<'a> {
    shared: &'a Shared,
    ticket: Ticket,
    batch: Arc<Batch>,
}

impl Place<'_> {
    /// Waits, and drives the batch when it is this request's turn. None if the batch was lost.
    async fn settled(&self, mut answer: oneshot::Receiver<Settled>) -> Option<Settled> {
        loop {
            tokio::select! {
                biased;
                settled = &mut answer => return settled.ok(),
                () = self.batch.baton.notified() => {}
            }
            let Some(lead) = Lead::take(&self.batch) else { continue };
            tokio::select! {
                biased;
                // Others may still be on their way: dropping the lead hands it on.
                settled = &mut answer => return settled.ok(),
                () = lead => {}
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let left = self.shared.queues().leave(&self.ticket);
        // What is dropped here was inside the queue, and is dropped after the lock.
        drop(left);
    }
}

/// Whoever has this drives the batch. Dropping it before the end hands it on.
struct Lead<'a> {
    batch: &'a Batch,
    course: Option<BoxFuture<'static, ()>>,
}

impl<'a> Lead<'a> {
    fn take(batch: &'a Batch) -> Option<Self> {
        let course = batch.course().take();
        course.map(|course| Self { batch, course: Some(course) })
    }
}

impl Future for Lead<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(course) = &mut self.course else { return Poll::Ready(()) };
        let polled = course.as_mut().poll(context);
        if polled.is_ready() {
            self.course = None;
        }
        polled
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        // What panicked must not be polled again; without it, everybody learns that the batch is lost.
        let Some(course) = self.course.take().filter(|_| !std::thread::panicking()) else { return };
        *self.batch.course() = Some(course);
        self.batch.baton.notify_one();
    }
}
