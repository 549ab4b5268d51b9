//! Instances of one revision, and the queue in front of them.
//!
//! An idle instance is taken at once; else the call waits, first come first served. Once calls have waited for
//! `grow_after_ms`, one alone or within a second all together, another is built if the pool may grow: short calls that
//! wait often for a moment each show a pool that is too small as much as one that waits long. The queue has a length,
//! and one call more is refused with a time to come back, as is a call whose deadline passes while it waits. A full
//! engine looks the same from here: its slots are waited for, never an error of the allocator. Every instance is a
//! [`Lease`] while it is out, and the lease's drop is the one place where it returns or is retired, whatever became of
//! the call.

mod lease;
mod setup;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use lockgate_domain::spec::{InstanceMode, PoolOptions};
use lockgate_domain::{ErrorCode, ExecutorName, LimitKind, Limits, Problem};

use self::lease::{Desk, Entry, Lease};
pub use self::setup::PoolSetup;
use crate::component::Component;
use crate::grants::Grants;
use crate::instance::{Instance, Traced};
use crate::invocation::{Invocation, InvocationReply};
use crate::journal::Journal;
use crate::limiter::after;
use crate::meter::Metered;
use crate::metrics::GuestMetric;
use crate::recording::{Recording, Replay, Sketch};
use crate::runtime::Runtime;
use crate::schedule::{Work, ended};
use crate::share::TenantShare;
use crate::state::{Setting, Standing};

/// A pool; cheap to clone.
#[derive(Clone)]
pub struct InstancePool(Arc<Inner>);

pub(crate) struct Inner {
    runtime: Runtime,
    component: Arc<Component>,
    setting: Arc<Setting>,
    executor: ExecutorName,
    options: PoolOptions,
    desk: Desk,
    counts: Counts,
    /// What the component imports and is not granted: no instance is built.
    denied: Option<Problem>,
}

/// What happened since the pool was made.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    calls: AtomicU64,
    traps: AtomicU64,
    guest_errors: AtomicU64,
    built: AtomicU64,
    recycled: AtomicU64,
    expired: AtomicU64,
    shed: AtomicU64,
    fuel: AtomicU64,
}

/// A look at a pool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PoolStats {
    /// instances that exist or are being built
    pub live: u32,
    /// instances without a call
    pub idle: u32,
    /// calls that wait for an instance
    pub waiting: u32,
    /// calls that reached a guest
    pub calls: u64,
    /// calls after which the instance could not be entered again: traps, limits, deadlines, dropped calls
    pub traps: u64,
    /// calls that an executor answered with an error of its own
    pub guest_errors: u64,
    /// instances built
    pub built: u64,
    /// sound instances retired after their call: fresh mode, number of calls, memory
    pub recycled: u64,
    /// idle instances retired for their age
    pub expired: u64,
    /// calls refused because the queue was full or the wait too long
    pub shed: u64,
    /// fuel burned by calls that ended well
    pub fuel: u64,
    /// metrics that the guests recorded, by name
    pub metrics: std::collections::BTreeMap<Box<str>, GuestMetric>,
    /// metric records that were dropped for their name or number
    pub metrics_dropped: u64,
}

impl InstancePool {
    /// An empty pool.
    pub fn new(runtime: &Runtime, setup: PoolSetup) -> Self {
        let PoolSetup { executor, component, limits, options, configuration, share, meter, .. } = setup;
        let PoolSetup { capabilities, key_value, egress, .. } = setup;
        let denied = component.check_capabilities(&capabilities).err();
        let denied = denied.map(|problem| problem.with_executor(&executor));
        let standing = Standing { share, meter: Metered::new(meter), commons: runtime.commons().clone() };
        let setting =
            Setting::new(Some(executor.clone()), component.digest(), limits, configuration, standing);
        let setting = setting.granting(Grants::new(&capabilities, key_value, &egress));
        let options =
            PoolOptions { max: options.max.max(1), min: options.min.min(options.max.max(1)), ..options };
        let counts = Counts::default();
        let (runtime, setting, desk) = (runtime.clone(), Arc::new(setting), Desk::default());
        let inner = Arc::new(Inner { runtime, component, setting, executor, options, desk, counts, denied });
        inner.runtime.commons().register(&inner);
        Self(inner)
    }

    /// The component that it runs.
    pub fn component(&self) -> &Arc<Component> {
        &self.0.component
    }

    /// The executor whose calls it takes.
    pub fn executor(&self) -> &ExecutorName {
        &self.0.executor
    }

    /// The ceilings of each of its calls.
    pub fn limits(&self) -> &Limits {
        &self.0.setting.limits
    }

    /// On whose account it runs.
    pub fn share(&self) -> &TenantShare {
        self.0.share()
    }

    /// Builds instances, `init` included, until there are `min`. Safe to call again when some were lost.
    pub async fn prewarm(&self) -> Result<(), Problem> {
        let inner = self.0.clone();
        self.carry(Box::pin(async move { inner.prewarm().await })).await?
    }

    /// Runs one call. An endpoint that the executor does not serve passes the documents through.
    pub fn invoke(
        &self,
        invocation: Invocation,
    ) -> impl Future<Output = Result<InvocationReply, Problem>> + Send + '_ {
        // Boxed before anything is awaited: a future that holds it unboxed is as large, and is moved with every call.
        let call = self.carry(Box::pin(self.0.clone().invoke(invocation)));
        async move { call.await? }
    }

    /// Runs it on threads of its own once it turns out to be long.
    async fn carry<T: Send + 'static>(&self, work: Work<T>) -> Result<T, Problem> {
        self.0.runtime.commons().carrier.carry(work).await.ok_or_else(ended)
    }

    /// Runs one call in an instance of its own and gives what is needed to run it again; nothing where that cannot be
    /// told, because the call never came to a guest, the executor lives from what it remembers, or the journal grew
    /// over its bound.
    pub async fn invoke_recorded(
        &self,
        invocation: Invocation,
    ) -> (Result<InvocationReply, Problem>, Option<Recording>) {
        let inner = self.0.clone();
        let answer = self.carry(Box::pin(async move { inner.invoke_recorded(invocation).await })).await;
        answer.unwrap_or_else(|problem| (Err(problem), None))
    }

    /// Runs a recorded call again, with the recorded answers and without reaching for anything. Where the outcome had
    /// been decided from outside, it is stopped at the fuel of the recording.
    pub async fn replay(
        &self,
        recording: &Recording,
        is_ended_from_outside: bool,
    ) -> Result<Replay, Problem> {
        let inner = &self.0;
        let Some(endpoint) = inner.component.resolve(&recording.endpoint) else {
            let message = format!("the component serves no endpoint {}", recording.endpoint);
            return Err(Problem::new(ErrorCode::NotFound, message));
        };
        let mut lease = inner.lease(Instant::now(), None).await?;
        lease.empty();
        let mut traced = recording.traced(is_ended_from_outside);
        let until = after(Instant::now(), inner.setting.limits.wall_time_ms);
        let mut lease = match inner.build_with(lease, until, &mut traced).await {
            Ok(lease) => lease,
            Err(problem) => {
                let fuel = (traced.fuel, None);
                return Ok(Replay::new(Err(problem), fuel, traced.journal, is_ended_from_outside));
            }
        };
        let Some(instance) = lease.instance() else { return Err(inner.closed()) };
        let outcome =
            instance.replay(endpoint, recording.invocation(is_ended_from_outside), traced.until).await;
        let fuel = (traced.fuel, Some(instance.burned()));
        Ok(Replay::new(outcome, fuel, instance.take_journal(), is_ended_from_outside))
    }

    /// Retires idle instances above `min` that nobody used for `idle_ms`. Call it about once a second.
    pub fn sweep(&self, now: Instant) {
        let expired = self.0.desk.expire(now, &self.0.options);
        self.0.counts.expired.fetch_add(expired.len() as u64, Ordering::Relaxed);
        drop(expired);
    }

    /// Numbers for metrics and status pages.
    pub fn stats(&self) -> PoolStats {
        let (live, idle, waiting) = self.0.desk.look();
        let counts = &self.0.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (metrics, metrics_dropped) = self.0.setting.metrics.read();
        PoolStats {
            live,
            idle,
            waiting,
            calls: read(&counts.calls),
            traps: read(&counts.traps),
            guest_errors: read(&counts.guest_errors),
            built: read(&counts.built),
            recycled: read(&counts.recycled),
            expired: read(&counts.expired),
            shed: read(&counts.shed),
            fuel: read(&counts.fuel),
            metrics,
            metrics_dropped,
        }
    }

    /// Refuses new and waiting calls and retires idle instances; calls in progress end as they would have.
    pub fn close(&self) {
        drop(self.0.desk.close());
    }
}

impl Inner {
    /// How long a call may wait for an instance: as long as its caller does, and never longer than a call may take.
    fn wait_until(&self, now: Instant, deadline: Option<Instant>) -> Instant {
        let own = after(now, self.setting.limits.wall_time_ms);
        deadline.map_or(own, |deadline| deadline.min(own))
    }

    pub(crate) fn share(&self) -> &TenantShare {
        &self.setting.standing.share
    }

    /// Retires one idle instance that this pool can spare; says whether there was one.
    pub(crate) fn reclaim(&self) -> bool {
        self.desk.spare(self.options.min).is_some()
    }

    async fn prewarm(self: &Arc<Self>) -> Result<(), Problem> {
        self.check_grants()?;
        let until = after(Instant::now(), self.setting.limits.wall_time_ms);
        while let Some(lease) = Lease::reserve(self, self.options.min) {
            let lease = self.build(lease, until).await?;
            drop(lease);
        }
        Ok(())
    }

    async fn invoke(self: Arc<Self>, invocation: Invocation) -> Result<InvocationReply, Problem> {
        let Some(endpoint) = self.component.resolve(&invocation.endpoint) else {
            return Ok(InvocationReply { documents: invocation.documents, results: None, fuel: 0 });
        };
        let now = Instant::now();
        if invocation.context.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(self.deadline_problem());
        }
        let mut lease = self.lease(now, invocation.context.deadline).await?;
        if !lease.is_filled() {
            let until = self.wait_until(now, invocation.context.deadline);
            // Rare and large, so it is not part of every call's future.
            lease = Box::pin(self.build(lease, until)).await?;
        }
        let Some(instance) = lease.instance() else { return Err(self.closed()) };
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        let answer = instance.invoke(endpoint, invocation, Instant::now()).await;
        self.count(&answer);
        answer
    }

    async fn invoke_recorded(
        self: &Arc<Self>,
        invocation: Invocation,
    ) -> (Result<InvocationReply, Problem>, Option<Recording>) {
        let now = Instant::now();
        let deadline = invocation.context.deadline;
        let is_late = deadline.is_some_and(|deadline| deadline <= now);
        let endpoint = self.component.resolve(&invocation.endpoint);
        let (Some(endpoint), false, false) = (endpoint, is_late, self.component.manifest().stateful) else {
            return (self.clone().invoke(invocation).await, None);
        };
        let mut lease = match self.lease(now, deadline).await {
            Ok(lease) => lease,
            Err(problem) => return (Err(problem), None),
        };
        // What a warm instance remembers is in no journal.
        lease.empty();
        let sketch = Sketch::of(&invocation);
        let mut traced = Traced { journal: Journal::record(), ..Traced::default() };
        let until = self.wait_until(now, deadline);
        let mut lease = match self.build_with(lease, until, &mut traced).await {
            Ok(lease) => lease,
            Err(problem) => return (Err(problem), sketch.not_built(traced)),
        };
        let Some(instance) = lease.instance() else { return (Err(self.closed()), None) };
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        let answer = instance.invoke(endpoint, invocation, Instant::now()).await;
        self.count(&answer);
        let recording = sketch.called(instance, traced.fuel);
        (answer, recording)
    }

    /// A place among the pool's instances, with an idle one in it or empty.
    async fn lease(self: &Arc<Self>, now: Instant, deadline: Option<Instant>) -> Result<Lease, Problem> {
        match Desk::enter(self) {
            Entry::Instance(lease) | Entry::Build(lease) => Ok(lease),
            Entry::Wait(ticket) => self.wait(ticket, self.wait_until(now, deadline), deadline).await,
            Entry::Full => Err(self.shed("the queue in front of it is full")),
            Entry::Closed => Err(self.closed()),
        }
    }

    /// Adds what became of a call to the numbers of the pool.
    fn count(&self, answer: &Result<InvocationReply, Problem>) {
        match answer {
            Ok(reply) => {
                self.counts.fuel.fetch_add(reply.fuel, Ordering::Relaxed);
            }
            Err(problem) if problem.code() == ErrorCode::GuestError => {
                self.counts.guest_errors.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {}
        }
    }

    fn check_grants(&self) -> Result<(), Problem> {
        self.denied.clone().map_or(Ok(()), Err)
    }

    /// Fills a reserved place.
    async fn build(&self, lease: Lease, until: Instant) -> Result<Lease, Problem> {
        self.build_with(lease, until, &mut Traced::default()).await
    }

    /// The same with a journal.
    async fn build_with(
        &self,
        mut lease: Lease,
        until: Instant,
        traced: &mut Traced,
    ) -> Result<Lease, Problem> {
        self.check_grants()?;
        let linked = self.component.linked();
        let free = || self.runtime.slots().try_take(linked.demand);
        let mut slot = free();
        while slot.is_none() && self.runtime.commons().reclaim(None) {
            slot = free();
        }
        let slot = match slot {
            Some(slot) => slot,
            None => {
                let wait = tokio::time::timeout_at(until.into(), self.runtime.slots().take(linked.demand));
                wait.await.map_err(|_| self.shed("all instances of this host are in use"))??
            }
        };
        let instance = Instance::build(linked, self.setting.clone(), slot, traced).await?;
        self.counts.built.fetch_add(1, Ordering::Relaxed);
        lease.fill(instance);
        Ok(lease)
    }

    /// Waits in the queue; after `grow_after_ms` alone builds an instance if there may be one more.
    async fn wait(
        self: &Arc<Self>,
        mut ticket: lease::Ticket,
        until: Instant,
        deadline: Option<Instant>,
    ) -> Result<Lease, Problem> {
        let grow_at = after(Instant::now(), self.options.grow_after_ms);
        let lease = match ticket.wait(grow_at.min(until)).await {
            lease::WaitEnd::Served(lease) => lease,
            lease::WaitEnd::Closed => return Err(self.closed()),
            lease::WaitEnd::Late => match ticket.grow() {
                Some(lease) => lease,
                None => match ticket.wait(until).await {
                    lease::WaitEnd::Served(lease) => lease,
                    lease::WaitEnd::Closed => return Err(self.closed()),
                    lease::WaitEnd::Late if deadline.is_some_and(|deadline| deadline <= until) => {
                        self.counts.shed.fetch_add(1, Ordering::Relaxed);
                        return Err(self.deadline_problem());
                    }
                    lease::WaitEnd::Late => return Err(self.shed("no instance came free in time")),
                },
            },
        };
        Ok(lease)
    }

    fn shed(&self, why: &str) -> Problem {
        self.counts.shed.fetch_add(1, Ordering::Relaxed);
        let (live, _, waiting) = self.desk.look();
        let queue = u64::from(self.options.queue);
        let message = format!(
            "executor {} is overloaded: {why} ({live} of {} instances, {waiting} calls waiting)",
            self.executor, self.options.max
        );
        Problem::limit(LimitKind::Queue, queue, message)
            .with_executor(&self.executor)
            .with_digest(self.component.digest())
            .with_retry_after_ms(1000)
            .with_hint(
                "try again later, or raise the executor's `replicas` or the `queue` of its `instances`",
            )
    }

    fn deadline_problem(&self) -> Problem {
        let message =
            format!("the request's deadline passed before executor {} had an instance for it", self.executor);
        Problem::new(ErrorCode::DeadlineExceeded, message).with_executor(&self.executor)
    }

    fn closed(&self) -> Problem {
        let message = format!("executor {} is being shut down", self.executor);
        Problem::new(ErrorCode::Unavailable, message).with_executor(&self.executor).with_retry_after_ms(1000)
    }

    /// Whether an instance goes on to another call.
    fn keeps(&self, instance: &Instance) -> bool {
        let options = &self.options;
        if !instance.is_sound() {
            self.counts.traps.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let used = instance.calls() > 0;
        let worn = options.max_calls.is_some_and(|most| instance.calls() >= most)
            || options.recycle_memory_bytes.is_some_and(|most| instance.memory() > most);
        if used && (options.mode == InstanceMode::Fresh || worn) {
            self.counts.recycled.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        true
    }
}

impl std::fmt::Debug for InstancePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (live, idle, waiting) = self.0.desk.look();
        write!(f, "InstancePool({}: {live} live, {idle} idle, {waiting} waiting)", self.0.executor)
    }
}
