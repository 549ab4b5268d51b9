//! The one engine of the process, and the thread that ticks its epoch.
//!
//! Decisions, each measured: fuel and epochs both on (fuel is the budget, the epoch the clock); pooling allocator with
//! copy-on-write images, because a fresh instance per call does not scale over threads otherwise; four GiB of address
//! space per memory, because less brings bounds checks back; no concurrency support, because a call is three times
//! dearer with it and one instance serves one call at a time anyway. NaN bits are left as the processor makes them:
//! canonicalising costs float code half its speed, and no guest can learn more from them than from a clock.

use std::hash::{Hash, Hasher};
use std::thread;
use std::time::Duration;

use lockgate_domain::{ErrorCode, Problem};
use sha2::{Digest, Sha256};
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    Strategy,
};

use crate::schedule::Scheduler;
use crate::slots::Capacity;

/// Period of the epoch: how late a deadline may be noticed, and how long a guest computes before others get a turn.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// The same while somebody waits.
const SLICE_TICK: Duration = Duration::from_millis(1);

/// Stack of one guest call in bytes; passing it is a trap of its own.
pub(crate) const STACK_BYTES: usize = 1 << 20;

/// Most linear memories and tables of one component, all its core instances together.
pub(crate) const MAX_MEMORIES: u32 = 8;
pub(crate) const MAX_TABLES: u32 = 16;
/// Most elements that a table can have at all; an executor's limit lies at or below.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 1 << 20;
/// Most core instances of one component.
pub(crate) const MAX_CORE_INSTANCES: u32 = 64;

const FIBER_STACK_BYTES: usize = 2 << 20;
const MEMORY_RESERVATION: u64 = 4 << 30;
const MEMORY_GUARD: u64 = 32 << 20;
/// User space has 128 TiB; the rest of the process needs some of it.
const MAX_ADDRESS_SPACE: u64 = 96 << 40;
/// Pages kept with an unused slot, which are cleared one by one and not given back to the kernel.
const KEEP_RESIDENT: usize = 8 << 20;
/// The same for a table. Giving the page of a small table back takes two system calls for each instance, and stops all
/// other threads each time.
const KEEP_TABLE_RESIDENT: usize = 64 << 10;
/// Unused slots that keep their pages: what the process holds after a burst is about this times `KEEP_RESIDENT`.
const WARM_SLOTS: u32 = 32;

/// The version of wasmtime that this is built with; a test compares.
pub(crate) const WASMTIME: &str = "48.0.8";

/// Names everything that machine code of this engine depends on besides the component: version, processor, settings.
pub(crate) fn identify(engine: &Engine) -> String {
    let mut hasher = WideHasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let hash: String = hasher.0.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("wasmtime-{WASMTIME}-{hash}")
}

/// All 256 bits of what wasmtime hashes, where the standard hasher would keep 64.
struct WideHasher(Sha256);

impl Hasher for WideHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}

/// Builds the engine. Its epoch stands still until [`start_ticker`].
pub(crate) fn build(capacity: &Capacity) -> Result<Engine, Problem> {
    let wanted =
        u64::from(capacity.memories.saturating_add(MAX_MEMORIES)) * (MEMORY_RESERVATION + MEMORY_GUARD);
    if wanted > MAX_ADDRESS_SPACE {
        let most = MAX_ADDRESS_SPACE / (MEMORY_RESERVATION + MEMORY_GUARD) / 2;
        return Err(host_fault(format!(
            "{} instances do not fit into the address space",
            capacity.instances
        ))
        .with_hint(format!("ask for at most {most} instances on one node")));
    }
    // Without the kernel's page scan, keeping pages makes two threads slower than one.
    let engine = new_engine(&config(pool(capacity, true)))
        .or_else(|_| new_engine(&config(pool(capacity, false))))
        .map_err(|error| {
            host_fault(format!("the wasm engine does not start: {}", error.root_cause())).with_hint(
                "the pool reserves 4 GiB of address space per memory: lift `ulimit -v`, or ask for fewer instances",
            )
        })?;
    Ok(engine)
}

/// An engine whose code fits the other one's, and which builds no instances.
pub(crate) fn build_for_compiling() -> Result<Engine, Problem> {
    new_engine(&config(InstanceAllocationStrategy::OnDemand))
        .map_err(|error| host_fault(format!("the wasm engine does not start: {}", error.root_cause())))
}

#[expect(clippy::disallowed_methods, reason = "this is the one constructor that the rule names")]
fn new_engine(config: &Config) -> wasmtime::Result<Engine> {
    Engine::new(config)
}

#[expect(clippy::disallowed_methods, reason = "this is the one constructor that the rule names")]
fn config(allocation: InstanceAllocationStrategy) -> Config {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    config.cranelift_opt_level(OptLevel::Speed);
    config.cranelift_nan_canonicalization(false);
    config.relaxed_simd_deterministic(true);
    config.parallel_compilation(true);
    config.consume_fuel(true);
    config.epoch_interruption(true);
    config.wasm_component_model(true);
    config.wasm_memory64(false);
    config.concurrency_support(false);
    config.max_wasm_stack(STACK_BYTES);
    config.async_stack_size(FIBER_STACK_BYTES);
    config.memory_reservation(MEMORY_RESERVATION);
    config.memory_guard_size(MEMORY_GUARD);
    config.memory_init_cow(true);
    config.allocation_strategy(allocation);
    config
}

fn pool(capacity: &Capacity, page_scan: bool) -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::default();
    // One more than executors may take: the place for describing.
    let instances = capacity.instances.saturating_add(1);
    pool.total_component_instances(instances);
    pool.total_core_instances(instances.saturating_mul(MAX_CORE_INSTANCES));
    pool.total_memories(capacity.memories.saturating_add(MAX_MEMORIES));
    pool.total_tables(capacity.tables.saturating_add(MAX_TABLES));
    pool.total_stacks(instances);
    pool.max_memories_per_component(MAX_MEMORIES);
    pool.max_memories_per_module(MAX_MEMORIES);
    pool.max_tables_per_component(MAX_TABLES);
    pool.max_tables_per_module(MAX_TABLES);
    pool.max_core_instances_per_component(MAX_CORE_INSTANCES);
    pool.table_elements(MAX_TABLE_ELEMENTS);
    pool.max_unused_warm_slots(WARM_SLOTS);
    pool.linear_memory_keep_resident(if page_scan { KEEP_RESIDENT } else { 0 });
    pool.table_keep_resident(KEEP_TABLE_RESIDENT);
    pool.pagemap_scan(if page_scan { Enabled::Yes } else { Enabled::No });
    InstanceAllocationStrategy::Pooling(pool)
}

/// Starts the epoch, which ends with the last handle of the engine. While calls wait for a slice it ticks once a slice:
/// fuel alone would let code that is slow for its fuel keep a core for longer.
pub(crate) fn start_ticker(engine: EngineWeak, scheduler: Scheduler) -> Result<(), Problem> {
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            scheduler.tick();
            thread::sleep(if scheduler.is_contended() { SLICE_TICK } else { TICK });
        }
    };
    match thread::Builder::new().name("epoch".into()).spawn(tick) {
        Ok(_) => Ok(()),
        Err(error) => Err(host_fault(format!("the epoch thread does not start: {error}"))),
    }
}

fn host_fault(message: String) -> Problem {
    Problem::new(ErrorCode::HostFault, message)
}
