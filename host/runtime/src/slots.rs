//! Places in the engine's pool, handed out before an instance is built.
//!
//! The pooling allocator refuses an instance when it is full; here a builder waits for its place instead. Components
//! differ in what they take (QuickJS needs three memories, Rust one), so places are counted per kind and always taken
//! in the same order, which keeps two builders from waiting for each other.

use std::sync::Arc;

use lockgate_domain::{ErrorCode, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What instances of executors may take; the engine's pool has room for one more, which describes new components.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    /// component instances
    pub(crate) instances: u32,
    /// linear memories
    pub(crate) memories: u32,
    /// tables
    pub(crate) tables: u32,
}

/// What one instance of a component takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    /// linear memories
    pub(crate) memories: u32,
    /// tables
    pub(crate) tables: u32,
}

/// The free places. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    instances: Arc<Semaphore>,
    memories: Arc<Semaphore>,
    tables: Arc<Semaphore>,
    spare: Arc<Semaphore>,
}

/// A place that is taken until this is dropped; drop it after the store.
#[derive(Debug)]
pub(crate) struct Slot {
    _permits: [Option<OwnedSemaphorePermit>; 3],
}

impl Capacity {
    /// Room for `instances` instances of the usual two memories and four tables, and for one of the largest kind.
    pub(crate) fn of(instances: u32) -> Self {
        let instances = instances.max(1);
        Self {
            instances,
            memories: instances.saturating_mul(2).max(crate::engine::MAX_MEMORIES),
            tables: instances.saturating_mul(4).max(crate::engine::MAX_TABLES),
        }
    }
}

impl Slots {
    pub(crate) fn new(capacity: &Capacity) -> Self {
        let semaphore = |count: u32| Arc::new(Semaphore::new(count as usize));
        Self {
            instances: semaphore(capacity.instances),
            memories: semaphore(capacity.memories),
            tables: semaphore(capacity.tables),
            spare: semaphore(1),
        }
    }

    /// The place in which new components describe themselves, one at a time: it is there when all others are taken.
    pub(crate) async fn take_spare(&self) -> Result<Slot, Problem> {
        let spare = self.spare.clone().acquire_owned().await.map_err(closed)?;
        Ok(Slot { _permits: [Some(spare), None, None] })
    }

    /// A place if one is free now.
    pub(crate) fn try_take(&self, demand: Demand) -> Option<Slot> {
        let take =
            |semaphore: &Arc<Semaphore>, count: u32| semaphore.clone().try_acquire_many_owned(count).ok();
        let instance = take(&self.instances, 1)?;
        let memories = take(&self.memories, demand.memories)?;
        let tables = take(&self.tables, demand.tables)?;
        Some(Slot { _permits: [Some(instance), Some(memories), Some(tables)] })
    }

    /// Waits for a place, first come first served.
    pub(crate) async fn take(&self, demand: Demand) -> Result<Slot, Problem> {
        let instance = self.instances.clone().acquire_owned().await.map_err(closed)?;
        let memories = self.memories.clone().acquire_many_owned(demand.memories).await.map_err(closed)?;
        let tables = self.tables.clone().acquire_many_owned(demand.tables).await.map_err(closed)?;
        Ok(Slot { _permits: [Some(instance), Some(memories), Some(tables)] })
    }
}

fn closed(_: tokio::sync::AcquireError) -> Problem {
    Problem::new(ErrorCode::Unavailable, "the runtime is closed")
}
