//! What one tenant has of this process: its part of the processor and its allowance of instance memory; and what all
//! tenants have in common.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use lockgate_domain::TenantName;
use parking_lot::Mutex;

use crate::limiter::GrowthRefused;
use crate::pool;
use crate::schedule::{Carrier, Scheduler};

/// One tenant's share, held by all its pools. Cheap to clone; all clones are the same share. A host makes one for each
/// tenant: two shares are two tenants to the scheduler, whatever their names.
#[derive(Debug, Clone)]
pub struct TenantShare(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tenant: TenantName,
    lane: u64,
    weight: AtomicU32,
    memory: Allowance,
    processor_ns: AtomicU64,
}

/// Bytes in use, and how many there may be.
#[derive(Debug)]
struct Allowance {
    used: AtomicU64,
    limit: AtomicU64,
}

/// What all pools of a runtime share.
pub(crate) struct Commons {
    pub(crate) scheduler: Scheduler,
    pub(crate) carrier: Carrier,
    /// on whose account components describe themselves before they are anybody's
    pub(crate) examining: TenantShare,
    memory: Allowance,
    pools: Mutex<Vec<Weak<pool::Inner>>>,
}

/// Linear memory that one store holds on a tenant's account; dropping it gives all back.
pub(crate) struct Holding {
    share: TenantShare,
    commons: Arc<Commons>,
    bytes: u64,
}

// === impl TenantShare ===

impl TenantShare {
    /// A share of weight 100 without a bound on memory but the host's own.
    pub fn new(tenant: TenantName) -> Self {
        static LANES: AtomicU64 = AtomicU64::new(0);
        let lane = LANES.fetch_add(1, Ordering::Relaxed);
        let (weight, memory) = (AtomicU32::new(100), Allowance::new(u64::MAX));
        Self(Arc::new(Inner { tenant, lane, weight, memory, processor_ns: AtomicU64::new(0) }))
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantName {
        &self.0.tenant
    }

    /// Sets the weight against other tenants that compute at the same time.
    pub fn set_weight(&self, weight: u32) {
        self.0.weight.store(weight.max(1), Ordering::Relaxed);
    }

    /// The weight against other tenants that compute at the same time.
    pub fn weight(&self) -> u32 {
        self.0.weight.load(Ordering::Relaxed)
    }

    /// Sets the bytes of linear memory that all its live instances may have together. Instances that exist keep what
    /// they have.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.0.memory.limit.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of linear memory of its live instances.
    pub fn memory_used(&self) -> u64 {
        self.0.memory.used.load(Ordering::Relaxed)
    }

    /// Time that its guests computed, on all cores together.
    pub fn processor_time(&self) -> Duration {
        Duration::from_nanos(self.0.processor_ns.load(Ordering::Relaxed))
    }

    pub(crate) fn computed(&self, nanoseconds: u64) {
        self.0.processor_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Its lane in the scheduler.
    pub(crate) fn lane(&self) -> u64 {
        self.0.lane
    }

    /// Whether both are one share.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

// === impl Allowance ===

impl Allowance {
    fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    /// Takes bytes, or says the limit and how many bytes there would be.
    fn take(&self, bytes: u64) -> Result<(), (u64, u64)> {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(|_| ()).map_err(|used| (limit, used.saturating_add(bytes)))
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// === impl Commons ===

impl Commons {
    pub(crate) fn new(scheduler: Scheduler, memory_limit: u64) -> Self {
        let examining = TenantShare::new(TenantName::local());
        Self {
            scheduler,
            carrier: Carrier::default(),
            examining,
            memory: Allowance::new(memory_limit),
            pools: Mutex::default(),
        }
    }

    /// Remembers a pool, to take idle instances from when something runs out.
    pub(crate) fn register(&self, pool: &Arc<pool::Inner>) {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Retires one idle instance of a pool that can spare it, of this share's pools if one is named; says whether there
    /// was one.
    pub(crate) fn reclaim(&self, of: Option<&TenantShare>) -> bool {
        let pools: Vec<Arc<pool::Inner>> = self.pools.lock().iter().filter_map(Weak::upgrade).collect();
        let wanted = |pool: &&Arc<pool::Inner>| of.is_none_or(|share| share.is(pool.share()));
        pools.iter().filter(wanted).any(|pool| pool.reclaim())
    }

    /// Bytes of linear memory of all live instances.
    pub(crate) fn memory_used(&self) -> u64 {
        self.memory.used.load(Ordering::Relaxed)
    }

    /// Pools that are alive.
    #[cfg(test)]
    pub(crate) fn pools(&self) -> usize {
        self.pools.lock().iter().filter(|pool| pool.strong_count() > 0).count()
    }
}

// === impl Holding ===

impl Holding {
    pub(crate) fn new(share: TenantShare, commons: Arc<Commons>) -> Self {
        Self { share, commons, bytes: 0 }
    }

    /// Takes bytes on the tenant's account and the host's; idle instances make way first, the tenant's own for the
    /// tenant's limit.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), GrowthRefused> {
        let memory = &self.share.0.memory;
        while let Err((limit, wanted)) = memory.take(bytes) {
            if !self.commons.reclaim(Some(&self.share)) {
                let tenant = self.share.tenant().clone();
                return Err(GrowthRefused::Tenant { tenant, limit, wanted });
            }
        }
        while let Err((limit, wanted)) = self.commons.memory.take(bytes) {
            if !self.commons.reclaim(None) {
                memory.give_back(bytes);
                return Err(GrowthRefused::Host { limit, wanted });
            }
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back what was taken last and could not be used.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.share.0.memory.give_back(bytes);
        self.commons.memory.give_back(bytes);
        self.bytes -= bytes;
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

impl std::fmt::Debug for Holding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Holding({}: {} bytes)", self.share.tenant(), self.bytes)
    }
}

impl std::fmt::Debug for Commons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commons").field("memory", &self.memory).finish_non_exhaustive()
    }
}
