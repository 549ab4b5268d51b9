//! One revision of an executor as traffic reaches it: cold, or with its code in memory and a pool of instances.
//!
//! A cold one is opened by its first call; calls that come meanwhile wait for it, at most [`MOST_WAITING`] of them, and
//! one tenant opens a few at a time. Evicting drops the pool, which closes with its last call: a call holds the pool
//! that it began with, so neither a swap nor an eviction takes an instance from under it. Secrets are filled into the
//! configuration when a pool is made and are nowhere else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use lockgate_domain::hosting::{CapsulePolicy, Revision, RevisionNumber, Scale};
use lockgate_domain::spec::{InstanceMode, PoolOptions, PoolSpec};
use lockgate_domain::{ErrorCode, ExecutorName, LimitKind, Manifest, Problem, Timestamp};
use lockgate_flow::client::{ExecutorCall, ExecutorClient, ExecutorReply};
use lockgate_runtime::{
    InstancePool, InvocationReply, KnownComponent, MemoryStore, PoolSetup, PoolStats, Recording,
};
use serde_json::{Map, Value};

use super::capsules::CapsuleFacts;
use super::ground::{Ground, Owner, blocking};
use super::residents::Standing;
use super::secrets;
use crate::adapters::{PoolExecutor, RecordedCall};
use crate::capsule::{CapsuleSetting, seal};

/// Calls that wait for one revision to be opened.
const MOST_WAITING: u32 = 1024;
/// Instances of an executor that says nothing about it: enough for calls that wait for something outside.
const USUAL_INSTANCES: u32 = 16;

/// What a lane is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Callers get its answers.
    Traffic,
    /// Nobody gets its answers: what it writes into a key-value store goes to one of its own, in memory.
    Shadow,
}

/// What makes a lane another one of the same executor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LaneKey {
    pub(crate) revision: RevisionNumber,
    pub(crate) scale: Scale,
    /// Which requests are kept for replay.
    pub(crate) capsules: CapsulePolicy,
    pub(crate) role: Role,
}

impl LaneKey {
    /// Of a revision that was asked for by name: scaled as usual, nothing kept.
    pub(crate) fn pinned(revision: RevisionNumber) -> Self {
        Self { revision, scale: Scale::default(), capsules: CapsulePolicy::default(), role: Role::Traffic }
    }
}

/// A revision that traffic can reach.
pub(crate) struct Lane {
    ground: Arc<Ground>,
    owner: Arc<Owner>,
    executor: ExecutorName,
    key: LaneKey,
    /// without its examples, which traffic has no use for
    revision: Revision,
    manifest: Arc<Manifest>,
    options: PoolOptions,
    warm: ArcSwapOption<Warm>,
    opening: tokio::sync::Mutex<()>,
    waiting: AtomicU32,
    used: AtomicU64,
    /// What pools counted that are closed.
    past_calls: AtomicU64,
    past_traps: AtomicU64,
}

/// A lane's pool, and the configuration it was made with.
struct Warm {
    pool: Arc<PoolExecutor>,
    configuration: Map<String, Value>,
}

impl Lane {
    /// A cold lane. Blocks on the registry.
    pub(crate) fn new(
        ground: &Arc<Ground>,
        owner: &Arc<Owner>,
        executor: &ExecutorName,
        key: LaneKey,
        mut revision: Revision,
    ) -> Result<Arc<Self>, Problem> {
        let component = ground.component(&owner.name, &revision)?;
        // A deployed executor that nobody calls should cost no more than this.
        let manifest = Manifest { examples: Vec::new(), ..component.report.manifest };
        let manifest = Arc::new(manifest);
        revision.spec.examples = Vec::new();
        revision.examples = Vec::new();
        let options = pool_options(&key, manifest.stateful, ground.cores);
        Ok(Arc::new(Self {
            ground: ground.clone(),
            owner: owner.clone(),
            executor: executor.clone(),
            key,
            revision,
            manifest,
            options,
            warm: ArcSwapOption::empty(),
            opening: tokio::sync::Mutex::default(),
            waiting: AtomicU32::new(0),
            used: AtomicU64::new(ground.clock.now().as_millis()),
            past_calls: AtomicU64::new(0),
            past_traps: AtomicU64::new(0),
        }))
    }

    pub(crate) fn key(&self) -> &LaneKey {
        &self.key
    }

    pub(crate) fn number(&self) -> RevisionNumber {
        self.key.revision
    }

    pub(crate) fn revision(&self) -> &Revision {
        &self.revision
    }

    pub(crate) fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    pub(crate) fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    pub(crate) fn executor(&self) -> &ExecutorName {
        &self.executor
    }

    /// Whether its code is in memory.
    pub(crate) fn is_resident(&self) -> bool {
        self.warm.load().is_some()
    }

    /// Whether it has to be warm before traffic comes, and stays so.
    pub(crate) fn is_pinned(&self) -> bool {
        self.manifest.stateful || self.options.min > 0
    }

    /// Runs one call. The pool is held until the call has ended.
    pub(crate) async fn call(self: &Arc<Self>, call: ExecutorCall) -> Result<ExecutorReply, Problem> {
        if self.revision.spec.capabilities.http.is_some() {
            self.owner.quota.allow_egress(self.ground.clock.now())?;
        }
        let warm = self.open().await?;
        let reply = match self.key.role {
            Role::Traffic if self.key.capsules.keeps_any() => self.call_recorded(&warm, call).await,
            Role::Traffic | Role::Shadow => warm.pool.call(call).await,
        };
        self.used.store(self.ground.clock.now().as_millis(), Ordering::Relaxed);
        reply
    }

    /// Runs one call and keeps it for replay, if the deployment asks for that. The capsule is on disk before the caller
    /// has its answer, because whoever is told of a failure may look for it at once.
    async fn call_recorded(&self, warm: &Warm, call: ExecutorCall) -> Result<ExecutorReply, Problem> {
        let RecordedCall { answer, recording, gathering } = warm.pool.call_recorded(call).await;
        let policy = &self.key.capsules;
        let is_kept = match &answer {
            Err(_) => policy.failures,
            Ok(_) => fastrand::f64() * 100.0 < policy.sample_percent,
        };
        if let (true, Some(recording)) = (is_kept, recording)
            && let Err(problem) = self.keep(&recording, &answer).await
        {
            // The request itself is none the worse.
            tracing::warn!(tenant = %self.owner.name, executor = %self.executor, %problem, "no capsule was kept");
        }
        gathering.reply(answer?)
    }

    async fn keep(
        &self,
        recording: &Recording,
        answer: &Result<InvocationReply, Problem>,
    ) -> Result<(), Problem> {
        let spec = &self.revision.spec;
        let setting = CapsuleSetting {
            executor: &self.executor,
            digest: spec.component,
            limits: &spec.limits,
            capabilities: &spec.capabilities,
            // As it was written: secrets stay names.
            configuration: &spec.configuration,
            engine: self.ground.runtime.engine_id(),
        };
        let bytes = seal(&setting, recording, answer)?;
        let facts = CapsuleFacts {
            request: recording.request.clone(),
            executor: self.executor.clone(),
            endpoint: recording.endpoint.to_string(),
            at: self.ground.clock.now(),
            error: answer.as_ref().err().map(Problem::code),
        };
        let (ground, tenant) = (self.ground.clone(), self.owner.name.clone());
        blocking(move || ground.capsules.keep(&tenant, &facts, &bytes).map(drop)).await
    }

    /// Brings the code into memory and builds the instances that are kept; both may be there already.
    pub(crate) async fn prepare(self: &Arc<Self>) -> Result<(), Problem> {
        let warm = self.open().await?;
        warm.pool.pool().prewarm().await
    }

    async fn open(self: &Arc<Self>) -> Result<Arc<Warm>, Problem> {
        if let Some(warm) = self.warm.load_full() {
            return Ok(warm);
        }
        let _waiting = Waiting::begin(self)?;
        let _turn = self.opening.lock().await;
        if let Some(warm) = self.warm.load_full() {
            return Ok(warm);
        }
        let closed = |_| Problem::new(ErrorCode::Unavailable, "the host is ending");
        let _permit = self.owner.openings.acquire().await.map_err(closed)?;
        let lane = self.clone();
        let warm = blocking(move || lane.build().map(Arc::new)).await?;
        let now = self.ground.clock.now();
        self.used.store(now.as_millis(), Ordering::Relaxed);
        self.warm.store(Some(warm.clone()));
        self.ground.residents.enter(self, now);
        Ok(warm)
    }

    /// Maps the code and makes an empty pool. Blocks.
    fn build(&self) -> Result<Warm, Problem> {
        let Self { ground, owner, .. } = self;
        let named = |problem: Problem| problem.with_executor(&self.executor);
        let configuration = self.filled().map_err(named)?;
        let access = ground.access(&owner.name);
        let stored = ground.component(&owner.name, &self.revision).map_err(named)?;
        let known = KnownComponent::from(&stored);
        let path = ground.registry.component_path(&access, stored.digest).map_err(named)?;
        let component = ground.runtime.open(&known, || std::fs::read(path)).map_err(named)?;
        let spec = &self.revision.spec;
        let key_value = spec.capabilities.key_value.map(|_| match self.key.role {
            Role::Traffic => ground.key_values(&owner.name, &self.executor),
            Role::Shadow => Arc::new(MemoryStore::default()),
        });
        let setup = PoolSetup {
            limits: spec.limits,
            configuration: configuration.clone(),
            capabilities: spec.capabilities.clone(),
            key_value,
            egress: owner.egress.clone(),
            share: owner.share.clone(),
            meter: ground.meter(owner, &self.executor),
            ..PoolSetup::new(self.executor.clone(), component, self.options)
        };
        let pool = Arc::new(PoolExecutor::new(InstancePool::new(&ground.runtime, setup)));
        Ok(Warm { pool, configuration })
    }

    /// The configuration with its secrets. Blocks on the registry.
    fn filled(&self) -> Result<Map<String, Value>, Problem> {
        secrets::filled(&self.ground.registry, &self.ground.access(&self.owner.name), &self.revision.spec)
    }

    /// Whether a pool that was made now would be like the one there is. Blocks on the registry.
    pub(crate) fn is_current(&self) -> bool {
        match self.warm.load_full() {
            None => true,
            Some(warm) => self.filled().is_ok_and(|configuration| configuration == warm.configuration),
        }
    }

    // === residents ===

    pub(crate) fn standing(&self) -> Standing {
        let is_idle = self.warm.load_full().is_some_and(|warm| Arc::strong_count(&warm) <= 2);
        Standing {
            tenant: self.owner.name.clone(),
            used: Timestamp::from_millis(self.used.load(Ordering::Relaxed)),
            is_spare: is_idle && !self.is_pinned(),
        }
    }

    pub(crate) fn sweep(&self, now: Instant) {
        if let Some(warm) = self.warm.load_full() {
            warm.pool.pool().sweep(now);
        }
    }

    /// Lets the code go; says whether it was there.
    pub(crate) fn evict(&self) -> bool {
        let Some(warm) = self.warm.swap(None) else { return false };
        let stats = warm.pool.pool().stats();
        self.past_calls.fetch_add(stats.calls, Ordering::Relaxed);
        self.past_traps.fetch_add(stats.traps, Ordering::Relaxed);
        true
    }

    /// Numbers of its pool, with the calls and traps of those before; zeros while it is cold.
    pub(crate) fn stats(&self) -> PoolStats {
        let mut stats = self.warm.load_full().map(|warm| warm.pool.pool().stats()).unwrap_or_default();
        stats.calls = stats.calls.saturating_add(self.past_calls.load(Ordering::Relaxed));
        stats.traps = stats.traps.saturating_add(self.past_traps.load(Ordering::Relaxed));
        stats
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_resident() { "resident" } else { "cold" };
        write!(f, "Lane({}/{}@{}, {state})", self.owner.name, self.executor, self.key.revision)
    }
}

/// What a hosted executor's pool is like: fresh instances and none kept, unless it is stateful or somebody said so.
pub(crate) fn pool_options(key: &LaneKey, is_stateful: bool, cores: u32) -> PoolOptions {
    let Scale { min, max, mode, queue, idle_ms, max_calls } = key.scale;
    let usual = if is_stateful { InstanceMode::Reused } else { InstanceMode::Fresh };
    let usual_max = (!is_stateful).then_some(cores.saturating_mul(2).max(USUAL_INSTANCES));
    // Only a call in a fresh instance depends on nothing but what a capsule holds.
    let mode = if key.capsules.keeps_any() { InstanceMode::Fresh } else { mode.unwrap_or(usual) };
    PoolSpec {
        min: Some(min.unwrap_or_else(|| u32::from(is_stateful))),
        max: max.or(usual_max),
        mode: Some(mode),
        queue,
        idle_ms,
        max_calls,
        ..PoolSpec::default()
    }
    .resolve(is_stateful, cores)
}

/// A place among those that wait for a lane to open.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(lane: &'a Lane) -> Result<Self, Problem> {
        let before = lane.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(&lane.waiting);
        if before < MOST_WAITING {
            return Ok(place);
        }
        let message = format!("{MOST_WAITING} calls wait already for executor {} to start", lane.executor);
        Err(Problem::limit(LimitKind::Queue, MOST_WAITING.into(), message)
            .with_executor(&lane.executor)
            .with_retry_after_ms(1000))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_of_strangers_are_fresh_unless_they_keep_something() {
        use InstanceMode::{Fresh, Reused};
        let check = |scale: Scale, failures, is_stateful, expected: (u32, u32, InstanceMode)| {
            let capsules = CapsulePolicy { failures, sample_percent: 0.0 };
            let key = LaneKey { scale, capsules, ..LaneKey::pinned(RevisionNumber::FIRST) };
            let options = pool_options(&key, is_stateful, 4);
            assert_eq!((options.min, options.max, options.mode), expected, "{scale:?} {is_stateful}");
        };
        let usual = Scale::default();
        check(usual, false, false, (0, 16, Fresh));
        check(usual, false, true, (1, 1, Reused));
        check(
            Scale { min: Some(2), max: Some(3), mode: Some(Reused), ..usual },
            false,
            false,
            (2, 3, Reused),
        );
        check(Scale { min: Some(9), max: Some(3), ..usual }, false, false, (3, 3, Fresh));
        check(Scale { mode: Some(Reused), ..usual }, true, false, (0, 16, Fresh));
    }
}
