//! Memory, tables and counts of one store, and which of them was refused.
//!
//! A refused growth traps at once: a guest that only saw `memory.grow` fail would die a few instructions later in its
//! own way, and nothing in that error would name memory.

use std::time::{Duration, Instant};

use lockgate_domain::{Limits, TenantName};
use wasmtime::ResourceLimiter;

use crate::engine::{MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::share::Holding;

/// The moment `milliseconds` after `now`; at most some years, because clocks end and limits are a user's numbers.
pub(crate) fn after(now: Instant, milliseconds: u64) -> Instant {
    const TEN_YEARS_MS: u64 = 10 * 365 * 24 * 3600 * 1000;
    now + Duration::from_millis(milliseconds.min(TEN_YEARS_MS))
}

/// Ceilings of one store and what it uses.
#[derive(Debug)]
pub(crate) struct StoreLimiter {
    holding: Holding,
    memory_limit: usize,
    memory_used: usize,
    /// Bytes granted last, until the growth is known to have worked.
    memory_pending: usize,
    table_limit: usize,
    instance_limit: usize,
}

/// A growth that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrowthRefused {
    /// All memories together.
    #[error("linear memory would grow to {wanted} bytes, {limit} are allowed")]
    Memory {
        /// bytes allowed
        limit: u64,
        /// bytes asked for
        wanted: u64,
    },
    /// All memories of all instances of the tenant.
    #[error("the instances of tenant {tenant} would hold {wanted} bytes, {limit} are allowed")]
    Tenant {
        /// whose
        tenant: TenantName,
        /// bytes allowed
        limit: u64,
        /// bytes asked for
        wanted: u64,
    },
    /// All memories of all instances.
    #[error("all instances would hold {wanted} bytes, this host has {limit} for them")]
    Host {
        /// bytes allowed
        limit: u64,
        /// bytes asked for
        wanted: u64,
    },
    /// One table.
    #[error("a table would grow to {wanted} elements, {limit} are allowed")]
    Table {
        /// elements allowed
        limit: u64,
        /// elements asked for
        wanted: u64,
    },
}

impl StoreLimiter {
    pub(crate) fn new(limits: &Limits, holding: Holding) -> Self {
        Self {
            holding,
            memory_limit: usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX),
            memory_used: 0,
            memory_pending: 0,
            table_limit: (limits.table_elements as usize).min(MAX_TABLE_ELEMENTS),
            instance_limit: limits.core_instances as usize,
        }
    }

    /// Bytes of linear memory now: memories never shrink, so this is the high-water mark as well.
    pub(crate) fn memory_used(&self) -> u64 {
        self.memory_used as u64
    }
}

impl ResourceLimiter for StoreLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let wanted = self.memory_used.saturating_add(growth);
        if wanted > self.memory_limit {
            let (limit, wanted) = (self.memory_limit as u64, wanted as u64);
            return Err(GrowthRefused::Memory { limit, wanted }.into());
        }
        self.holding.grow(growth as u64)?;
        (self.memory_used, self.memory_pending) = (wanted, growth);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_used = self.memory_used.saturating_sub(self.memory_pending);
        self.holding.shrink(self.memory_pending as u64);
        self.memory_pending = 0;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_limit {
            let (limit, wanted) = (self.table_limit as u64, desired as u64);
            return Err(GrowthRefused::Table { limit, wanted }.into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instance_limit
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}
