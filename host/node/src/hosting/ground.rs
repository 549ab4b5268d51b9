//! What all traffic of a host stands on: runtime, registry, ledger, and for each tenant its part of them.

use std::sync::Arc;

use lockgate_domain::hosting::{ExecutorReference, Revision, StoredComponent, Target};
use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{ErrorCode, ExecutorName, Problem, Tenant, TenantName, Timestamp};
use lockgate_registry::Registry;
use lockgate_registry::access::TenantAccess;
use lockgate_runtime::{EgressAllowance, KeyValueError, KeyValueStore, Runtime, TenantShare};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::capsules::CapsuleStore;
use super::clock::Clock;
use super::ledger::{ExecutorMeter, Ledger};
use super::quota::{MonthSums, TenantQuota};
use super::residents::Residents;
use super::shadow::ShadowQueue;
use crate::floating::{FloatingPlaces, FloatingTasks};

/// Components of one tenant that are brought into memory at once.
const OPENINGS: usize = 4;
/// Revisions of one tenant that are tried out at once.
const TRIALS: usize = 2;
/// Requests of one tenant whose floating stages may be at work at once, and bytes of their documents.
const FLOATING_RUNS: u32 = 64;
const FLOATING_BYTES: u64 = 64 << 20;

/// The shared parts of a host.
pub(crate) struct Ground {
    pub(crate) runtime: Runtime,
    pub(crate) registry: Registry,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Clock,
    pub(crate) residents: Residents,
    pub(crate) shadows: ShadowQueue,
    pub(crate) capsules: CapsuleStore,
    pub(crate) floating: FloatingTasks,
    pub(crate) cores: u32,
}

/// One tenant's part of them. Cheap to share.
pub(crate) struct Owner {
    pub(crate) name: TenantName,
    /// Tells a tenant from one of the same name that was before it.
    pub(crate) created_at: Timestamp,
    pub(crate) quota: Arc<TenantQuota>,
    pub(crate) share: TenantShare,
    pub(crate) egress: EgressAllowance,
    pub(crate) openings: Semaphore,
    pub(crate) trials: Semaphore,
    /// Places for what floats beside its requests.
    pub(crate) floating: Arc<FloatingPlaces>,
    /// The month for which `egress` was set.
    egress_month: Mutex<Timestamp>,
}

// === impl Ground ===

impl Ground {
    /// The host's own access to a tenant's things. Blocks nobody and proves nothing about a caller.
    pub(crate) fn access(&self, tenant: &TenantName) -> TenantAccess {
        TenantAccess::of_host(tenant.clone(), "serving")
    }

    /// The revision that a target means now. Blocks on the registry.
    pub(crate) fn revision(
        &self,
        tenant: &TenantName,
        executor: &ExecutorName,
        target: &Target,
    ) -> Result<Revision, Problem> {
        self.registry.resolve(&self.access(tenant), executor, target)
    }

    /// The revision that a reference with a target means now. Blocks on the registry.
    pub(crate) fn pinned(
        &self,
        tenant: &TenantName,
        reference: &ExecutorReference,
    ) -> Result<Revision, Problem> {
        let usual = Target::default();
        self.revision(tenant, &reference.executor, reference.target.as_ref().unwrap_or(&usual))
    }

    /// The component of a revision. Blocks on the registry.
    pub(crate) fn component(
        &self,
        tenant: &TenantName,
        revision: &Revision,
    ) -> Result<StoredComponent, Problem> {
        self.registry.component(&self.access(tenant), revision.spec.component)
    }

    /// The meter of an executor.
    pub(crate) fn meter(&self, owner: &Owner, executor: &ExecutorName) -> Arc<ExecutorMeter> {
        self.ledger.meter(&owner.name, executor, owner.quota.clone(), self.clock.clone())
    }

    /// The key-value store of an executor, as its instances see it.
    pub(crate) fn key_values(&self, tenant: &TenantName, executor: &ExecutorName) -> Arc<dyn KeyValueStore> {
        Arc::new(ExecutorKeys(self.registry.key_value_store(tenant.clone(), executor.clone())))
    }
}

/// Runs what blocks on the disk or on the compiler.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Problem::new(ErrorCode::HostFault, format!("a piece of work of the host did not end: {error}")))
    })
}

// === impl Owner ===

impl Owner {
    /// A tenant's part, with what it has used in this month. Blocks on the registry.
    pub(crate) fn new(ground: &Ground, tenant: &Tenant) -> Result<Arc<Self>, Problem> {
        let now = ground.clock.now();
        let used = ground.registry.month_usage(&tenant.name, now)?;
        let month = MonthSums { fuel: used.fuel, egress_bytes: used.egress_bytes, ..MonthSums::of(now) };
        let quota = TenantQuota::new(tenant.name.clone(), tenant.settings.clone(), month);
        let owner = Self {
            name: tenant.name.clone(),
            created_at: tenant.created_at,
            quota: Arc::new(quota),
            share: TenantShare::new(tenant.name.clone()),
            egress: EgressAllowance::default(),
            openings: Semaphore::new(OPENINGS),
            trials: Semaphore::new(TRIALS),
            floating: ground.floating.places(FLOATING_RUNS, FLOATING_BYTES),
            egress_month: Mutex::new(month.begin),
        };
        owner.change(&tenant.settings, now);
        Ok(Arc::new(owner))
    }

    /// Applies settings from the next request on.
    pub(crate) fn change(&self, settings: &TenantSettings, now: Timestamp) {
        self.quota.change(settings.clone());
        self.share.set_weight(settings.weight);
        self.share.set_memory_limit(settings.quota.instance_memory_bytes);
        let (month, left) = self.quota.egress_left(now);
        *self.egress_month.lock() = month;
        self.egress.set(left);
    }

    /// Gives a new month its bytes of HTTP.
    pub(crate) fn turn_month(&self, now: Timestamp) {
        let (month, left) = self.quota.egress_left(now);
        let mut known = self.egress_month.lock();
        if *known != month {
            *known = month;
            self.egress.set(left);
        }
    }
}

// === impl ExecutorKeys ===

/// The registry's store under the runtime's trait.
struct ExecutorKeys(lockgate_registry::ExecutorStore);

impl KeyValueStore for ExecutorKeys {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        self.0.get(key).map_err(translated)
    }

    fn set(&self, key: &str, value: &[u8], most_bytes: u64) -> Result<(), KeyValueError> {
        self.0.set(key, value, most_bytes).map_err(translated)
    }

    fn delete(&self, key: &str) -> Result<bool, KeyValueError> {
        self.0.delete(key).map_err(translated)
    }

    fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, KeyValueError> {
        self.0.keys(prefix, after, limit).map_err(translated)
    }
}

fn translated(fault: lockgate_registry::KeyValueFault) -> KeyValueError {
    use lockgate_registry::KeyValueFault;
    match fault {
        KeyValueFault::Full { limit } => KeyValueError::Full { limit },
        KeyValueFault::TooLarge { what, len, limit } => KeyValueError::TooLarge { what, len, limit },
        KeyValueFault::Failed(why) => KeyValueError::Failed(why),
    }
}
