//! All tenants at work: what the door asks, what the control API asks, and what shadows decide.
//!
//! The map of tenants is replaced as a whole when one comes or goes; each tenant changes by itself. At the start
//! everything that the registry has is entered and no component is opened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use lockgate_control::{CapsuleEntry, Change, RevisionStatus, Serving};
use lockgate_domain::hosting::{ExampleOutcome, ExecutorReference, RevisionSpec, ShadowReport};
use lockgate_domain::{ErrorCode, ExecutorName, FlowName, Problem, TenantName};
use tokio_util::sync::CancellationToken;

use super::flows::ReadFlow;
use super::ground::{Ground, blocking};
use super::lane::Lane;
use super::tenant::TenantServing;
use super::trial;

/// Longest time that all golden examples of a revision may take together.
const TRIAL_TIME: Duration = Duration::from_secs(120);

/// The serving side of a host.
pub(crate) struct Platform {
    pub(crate) ground: Arc<Ground>,
    tenants: ArcSwap<BTreeMap<TenantName, Arc<TenantServing>>>,
    /// One coming or going at a time.
    changing: tokio::sync::Mutex<()>,
    draining: CancellationToken,
}

impl Platform {
    /// Enters everything that the registry has. Blocks on it.
    pub(crate) fn load(ground: Arc<Ground>, draining: CancellationToken) -> Result<Arc<Self>, Problem> {
        let mut tenants = BTreeMap::new();
        for tenant in ground.registry.all_tenants() {
            tenants.insert(tenant.name.clone(), TenantServing::load(&ground, &tenant)?);
        }
        let tenants = ArcSwap::from_pointee(tenants);
        Ok(Arc::new(Self { ground, tenants, changing: tokio::sync::Mutex::default(), draining }))
    }

    /// One tenant.
    pub(crate) fn tenant(&self, name: &TenantName) -> Option<Arc<TenantServing>> {
        self.tenants.load().get(name).cloned()
    }

    /// All tenants.
    pub(crate) fn tenants(&self) -> Vec<Arc<TenantServing>> {
        self.tenants.load().values().cloned().collect()
    }

    /// Whether new calls are wanted.
    pub(crate) fn is_ready(&self) -> Result<(), Problem> {
        if self.draining.is_cancelled() {
            return Err(Problem::new(ErrorCode::Unavailable, "the host is draining")
                .with_hint("send the request to another replica"));
        }
        Ok(())
    }

    /// Writes what was metered. Blocks on the registry.
    pub(crate) fn settle(&self) -> Result<(), Problem> {
        self.ground.ledger.settle(&self.ground.registry)
    }

    fn known(&self, name: &TenantName) -> Result<Arc<TenantServing>, Problem> {
        self.tenant(name).ok_or_else(|| {
            Problem::new(ErrorCode::NotFound, format!("there is no tenant {:?}", name.as_str()))
        })
    }

    async fn apply_tenant(&self, name: &TenantName) -> Result<(), Problem> {
        let _turn = self.changing.lock().await;
        match (self.ground.registry.tenant(name), self.tenant(name)) {
            (Some(tenant), Some(serving)) if serving.owner.created_at == tenant.created_at => {
                serving.owner.change(&tenant.settings, self.ground.clock.now());
            }
            (Some(tenant), _) => {
                let ground = self.ground.clone();
                let serving = blocking(move || TenantServing::load(&ground, &tenant)).await?;
                self.tenants.rcu(|tenants| {
                    let mut tenants = BTreeMap::clone(tenants);
                    tenants.insert(name.clone(), serving.clone());
                    tenants
                });
            }
            (None, _) => {
                self.tenants.rcu(|tenants| {
                    let mut tenants = BTreeMap::clone(tenants);
                    tenants.remove(name);
                    tenants
                });
                let (ground, name) = (self.ground.clone(), name.clone());
                blocking(move || ground.capsules.forget(&name)).await?;
            }
        }
        Ok(())
    }

    /// Makes traffic follow one change of the registry.
    pub(crate) async fn apply_change(&self, name: &TenantName, change: Change) -> Result<(), Problem> {
        match change {
            Change::Tenant => self.apply_tenant(name).await,
            Change::Executor(executor) => self.known(name)?.apply_executor(&executor).await,
            Change::Flow(flow) => self.known(name)?.apply_flow(&flow).await,
            // The door asks the key book for every message.
            Change::Keys => Ok(()),
        }
    }
}

// === impl Serving ===

impl Serving for Platform {
    fn try_out<'a>(
        &'a self,
        tenant: &'a TenantName,
        executor: &'a ExecutorName,
        spec: &'a RevisionSpec,
    ) -> BoxFuture<'a, Result<Vec<ExampleOutcome>, Problem>> {
        Box::pin(async move {
            let serving = self.known(tenant)?;
            let trial = trial::run(&self.ground, &serving.owner, executor, spec);
            tokio::time::timeout(TRIAL_TIME, trial).await.unwrap_or_else(|_| {
                let seconds = TRIAL_TIME.as_secs();
                let message =
                    format!("the golden examples of executor {executor} take longer than {seconds} s");
                Err(Problem::new(ErrorCode::Conflict, message).with_hint("give it fewer or smaller examples"))
            })
        })
    }

    fn check_flow(
        &self,
        _tenant: &TenantName,
        flow: &FlowName,
        yaml: &str,
    ) -> Result<Vec<ExecutorReference>, Problem> {
        Ok(ReadFlow::parse(flow, yaml)?.references())
    }

    fn apply<'a>(&'a self, tenant: &'a TenantName, change: Change) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(self.apply_change(tenant, change))
    }

    fn readiness(&self) -> Result<(), Problem> {
        self.is_ready()
    }

    fn shadow_report(&self, tenant: &TenantName, executor: &ExecutorName) -> Option<ShadowReport> {
        self.tenant(tenant)?.shadow_report(executor)
    }

    fn status(&self, tenant: &TenantName, executor: &ExecutorName) -> Vec<RevisionStatus> {
        let lanes = self.tenant(tenant).map(|serving| serving.lanes(executor)).unwrap_or_default();
        let mut by_revision: BTreeMap<u32, RevisionStatus> = BTreeMap::new();
        for lane in lanes {
            let status = status_of(&lane);
            match by_revision.get_mut(&status.revision) {
                Some(sum) => add_status(sum, &status),
                None => drop(by_revision.insert(status.revision, status)),
            }
        }
        by_revision.into_values().collect()
    }

    fn settle_usage(&self) -> Result<(), Problem> {
        self.settle()
    }

    fn capsules(&self, tenant: &TenantName) -> Result<Vec<CapsuleEntry>, Problem> {
        self.ground.capsules.list(tenant)
    }

    fn capsule(&self, tenant: &TenantName, id: &str) -> Result<Option<Vec<u8>>, Problem> {
        self.ground.capsules.read(tenant, id)
    }
}

fn status_of(lane: &Lane) -> RevisionStatus {
    let stats = lane.stats();
    RevisionStatus {
        revision: lane.number().get(),
        resident: lane.is_resident(),
        instances: stats.live,
        idle: stats.idle,
        waiting: stats.waiting,
        calls: stats.calls,
        traps: stats.traps,
    }
}

/// A revision can serve in several ways: the deployment, a pinned reference, a shadow.
fn add_status(sum: &mut RevisionStatus, more: &RevisionStatus) {
    sum.resident |= more.resident;
    sum.instances = sum.instances.saturating_add(more.instances);
    sum.idle = sum.idle.saturating_add(more.idle);
    sum.waiting = sum.waiting.saturating_add(more.waiting);
    sum.calls = sum.calls.saturating_add(more.calls);
    sum.traps = sum.traps.saturating_add(more.traps);
}
