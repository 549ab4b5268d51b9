//! What a store holds besides the guest: the call in progress, limits, log, and WASI without any grant.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use lockgate_domain::document::Overlay;
use lockgate_domain::{ComponentDigest, DocumentList, ExecutorName, Limits, Parameters, RequestContext};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::grants::Grants;
use crate::host::{Outbound, Random, wasi};
use crate::invocation::Inputs;
use crate::journal::Journal;
use crate::limiter::StoreLimiter;
use crate::log::GuestLog;
use crate::meter::Metered;
use crate::metrics::GuestMetrics;
use crate::share::{Commons, Holding, TenantShare};

/// Streams, pollables and the like that one instance may hold at once.
const MAX_RESOURCES: usize = 1024;

/// What all instances of one pool share.
pub(crate) struct Setting {
    /// none while a component is only asked to describe itself
    pub(crate) executor: Option<ExecutorName>,
    pub(crate) digest: ComponentDigest,
    pub(crate) limits: Limits,
    pub(crate) configuration: Map<String, Value>,
    pub(crate) metrics: GuestMetrics,
    pub(crate) standing: Standing,
    pub(crate) grants: Grants,
    configuration_text: OnceLock<Arc<str>>,
}

/// On whose account instances compute and hold memory, and who is told what calls use.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) share: TenantShare,
    pub(crate) meter: Metered,
    pub(crate) commons: Arc<Commons>,
}

/// Data of one store.
pub(crate) struct InstanceState {
    pub(crate) setting: Arc<Setting>,
    pub(crate) limiter: StoreLimiter,
    pub(crate) log: GuestLog,
    pub(crate) call: Option<Call>,
    /// When the guest must have returned; the epoch callback looks at it.
    pub(crate) deadline: Instant,
    /// Outbound HTTP, which a setting without the grant refuses.
    pub(crate) outbound: Outbound,
    pub(crate) random: Random,
    pub(crate) journal: Journal,
    wasi: Option<Box<WasiCtx>>,
    table: ResourceTable,
}

/// One call as the guest's imports see it.
pub(crate) struct Call {
    pub(crate) documents: Overlay,
    pub(crate) parameters: Parameters,
    pub(crate) inputs: Inputs,
    pub(crate) context: RequestContext,
    pub(crate) emit: Option<mpsc::Sender<DocumentList>>,
}

/// A guest reached for the documents or the request while no call was in progress: in `describe` or in `init`.
#[derive(Debug, thiserror::Error)]
#[error("documents and request exist only while `call` runs, not in `describe` or `init`")]
pub(crate) struct NoCall;

impl Setting {
    pub(crate) fn new(
        executor: Option<ExecutorName>,
        digest: ComponentDigest,
        limits: Limits,
        configuration: Map<String, Value>,
        standing: Standing,
    ) -> Self {
        let metrics = GuestMetrics::default();
        let (grants, configuration_text) = (Grants::default(), OnceLock::new());
        Self { executor, digest, limits, configuration, metrics, standing, grants, configuration_text }
    }

    /// The same with grants.
    pub(crate) fn granting(self, grants: Grants) -> Self {
        Self { grants, ..self }
    }

    /// The configuration as JSON text, written once for all instances.
    pub(crate) fn configuration_text(&self) -> Arc<str> {
        let write = || serde_json::to_string(&self.configuration).unwrap_or_else(|_| "{}".into()).into();
        self.configuration_text.get_or_init(write).clone()
    }
}

impl fmt::Debug for Setting {
    /// Without the configuration: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { executor, digest, limits, grants, .. } = self;
        f.debug_struct("Setting")
            .field("executor", executor)
            .field("digest", digest)
            .field("limits", limits)
            .field("grants", grants)
            .finish_non_exhaustive()
    }
}

impl InstanceState {
    pub(crate) fn new(setting: Arc<Setting>, deadline: Instant) -> Self {
        let Standing { share, commons, .. } = setting.standing.clone();
        let limiter = StoreLimiter::new(&setting.limits, Holding::new(share, commons));
        let log = GuestLog::new(setting.executor.clone(), &setting.limits);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let outbound = Outbound::new(setting.grants.http.clone(), deadline);
        let random = Random::new(setting.grants.random);
        let journal = Journal::Off;
        Self { setting, limiter, log, call: None, deadline, outbound, random, journal, wasi: None, table }
    }

    /// Resources of the guest.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Keeps answers, or takes them from a journal, from now on.
    pub(crate) fn set_journal(&mut self, journal: Journal) {
        self.outbound.hooks.is_replay = journal.is_replay();
        self.journal = journal;
    }

    /// The call in progress.
    pub(crate) fn call(&self) -> Result<&Call, NoCall> {
        self.call.as_ref().ok_or(NoCall)
    }

    /// The call in progress, to write to it.
    pub(crate) fn call_mut(&mut self) -> Result<&mut Call, NoCall> {
        self.call.as_mut().ok_or(NoCall)
    }
}

impl WasiView for InstanceState {
    /// Built when first asked for: seeding its random generators costs more than a short call.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx =
            self.wasi.get_or_insert_with(|| Box::new(wasi::context(&self.log, self.setting.grants.clock)));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Outbound { context, hooks } = &mut self.outbound;
        hooks.deadline = self.deadline;
        WasiHttpCtxView { hooks, table: &mut self.table, ctx: context }
    }
}
