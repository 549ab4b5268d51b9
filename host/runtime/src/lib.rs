//! The only crate that sees wasmtime: components, capabilities, limits, instances, pools.
//!
//! [`Runtime::load`] turns bytes of a stranger into a [`Component`] or says what is wrong with them; [`InstancePool`]
//! runs a component's instances, each in a store of its own, and answers an [`Invocation`] with the changed documents
//! or with one [`Problem`](lockgate_domain::Problem) that names the limit, the executor and the component. Nothing of
//! wasmtime shows in the public API.
//!
//! What bounds it: every instance holds a slot of the engine's pool, every call has fuel, a deadline and a memory
//! limit, every queue has a length. What follows from a trap, a timeout or a dropped call: the store is thrown away,
//! because wasmtime refuses to enter it again, and with it whatever the guest kept.

mod component;
mod egress;
mod engine;
mod failure;
mod footprint;
mod grants;
mod host;
mod instance;
mod invocation;
mod journal;
mod key_value;
mod limiter;
mod log;
mod meter;
mod metrics;
mod pool;
mod recording;
mod runtime;
mod schedule;
mod share;
mod slots;
mod state;

pub use crate::component::{CompilerCommand, Component, GrantedBy, Import, KnownComponent, compile_worker};
pub use crate::egress::EgressAllowance;
pub use crate::footprint::let_go_of_code;
pub use crate::invocation::{Inputs, Invocation, InvocationReply};
pub use crate::journal::{JournalEntry, MAX_JOURNAL_BYTES};
pub use crate::key_value::{KeyValueError, KeyValueStore, MemoryStore};
pub use crate::meter::{CallMeter, NoMeter};
pub use crate::metrics::{GuestMetric, MetricKind};
pub use crate::pool::{InstancePool, PoolSetup, PoolStats};
pub use crate::recording::{Recording, Replay, is_ended_from_outside};
pub use crate::runtime::{Runtime, RuntimeOptions};
pub use crate::schedule::{SchedulerStats, worker_threads};
pub use crate::share::TenantShare;

#[cfg(test)]
mod tests;
