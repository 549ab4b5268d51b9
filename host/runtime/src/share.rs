//! What one tenant has of this process: its part of the processor and its allowance of instance memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lockgate_domain::TenantName;

/// One tenant's share, held by all its pools. Cheap to clone; all clones are the same share.
#[derive(Debug, Clone)]
pub struct TenantShare(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tenant: TenantName,
    weight: AtomicU32,
    memory_limit: AtomicU64,
}

impl TenantShare {
    /// A share of weight 100 without a bound on memory but the host's own.
    pub fn new(tenant: TenantName) -> Self {
        let (weight, memory_limit) = (AtomicU32::new(100), AtomicU64::new(u64::MAX));
        Self(Arc::new(Inner { tenant, weight, memory_limit }))
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantName {
        &self.0.tenant
    }

    /// Sets the weight against other tenants that compute at the same time.
    pub fn set_weight(&self, weight: u32) {
        self.0.weight.store(weight.max(1), Ordering::Relaxed);
    }

    /// Sets the bytes of linear memory that all its live instances may have together.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.0.memory_limit.store(bytes, Ordering::Relaxed);
    }
}
