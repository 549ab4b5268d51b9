//! The runtime of a process: engine, linker, slots, compile cache, and the components that are loaded.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use lockgate_domain::{ComponentDigest, ErrorCode, LimitKind, Problem};
use parking_lot::{Condvar, Mutex};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::component::{
    Apart, ArtefactCache, CompilerCommand, Component, KnownComponent, Machined, compile, compile_apart,
    map_bytes,
};
use crate::schedule::{Scheduler, SchedulerStats};
use crate::share::Commons;
use crate::slots::{Capacity, Slots};
use crate::state::InstanceState;
use crate::{engine, host};

/// What a runtime is made of.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// where compiled code is kept; none compiles at every start
    pub cache_dir: Option<PathBuf>,
    /// bytes of compiled code kept in `cache_dir`
    pub cache_bytes: u64,
    /// most instances of all executors at once; each reserves 8 GiB of address space, not memory
    pub max_instances: u32,
    /// largest component in bytes
    pub max_component_bytes: u64,
    /// components that may wait while another one is compiled
    pub compile_queue: u32,
    /// most bytes of linear memory of all instances together; none is three quarters of the machine's memory
    pub max_memory_bytes: Option<u64>,
    /// whether tenants share the processor by weight; without it whoever computes most gets most
    pub fair_shares: bool,
    /// the process that compiles; none compiles here, where a hostile component can take minutes
    pub compiler: Option<CompilerCommand>,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            cache_bytes: 4 << 30,
            max_instances: 1024,
            max_component_bytes: 64 << 20,
            compile_queue: 64,
            max_memory_bytes: None,
            fair_shares: true,
            compiler: None,
        }
    }
}

/// Compilations at once. A stranger can make one that takes its whole time limit, so there is a second place for
/// everybody else (whoever asks for compilations sees to it that no tenant has both); more would starve serving.
const COMPILING: u32 = 2;

/// A few compilations at a time; so many may wait.
#[derive(Default)]
struct CompilerDoor {
    taken: Mutex<u32>,
    free: Condvar,
    inside: AtomicU64,
    compiled: AtomicU64,
}

/// A place at the compiler; dropping it makes room for the next.
struct CompilerTurn<'a>(&'a CompilerDoor);

impl Drop for CompilerTurn<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock() -= 1;
        self.0.free.notify_one();
    }
}

impl CompilerDoor {
    fn turn(&self) -> CompilerTurn<'_> {
        let mut taken = self.taken.lock();
        self.free.wait_while(&mut taken, |taken| *taken >= COMPILING);
        *taken += 1;
        CompilerTurn(self)
    }

    /// Compiles when it is this one's turn; refuses when too many wait.
    fn pass<T>(&self, most: u32, compile: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
        let most = u64::from(most);
        let entered = self.inside.fetch_add(1, Ordering::Relaxed);
        let done = if entered >= most.saturating_add(COMPILING.into()) {
            let message = format!("{most} components wait to be compiled already");
            Err(Problem::limit(LimitKind::Queue, most, message)
                .with_retry_after_ms(5000)
                .with_hint("upload it again later; what is stored already stays"))
        } else {
            let _turn = self.turn();
            self.compiled.fetch_add(1, Ordering::Relaxed);
            compile()
        };
        self.inside.fetch_sub(1, Ordering::Relaxed);
        done
    }
}

/// Handle of the runtime; cheap to clone.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    options: RuntimeOptions,
    engine: Engine,
    engine_id: String,
    linker: Linker<InstanceState>,
    slots: Slots,
    commons: Arc<Commons>,
    /// Threads of low priority that compile.
    compilers: rayon::ThreadPool,
    cache: Option<ArtefactCache>,
    door: CompilerDoor,
    /// Components in use; the inner lock makes the second of two equal uploads wait for the first.
    loaded: Mutex<HashMap<ComponentDigest, Arc<Mutex<Weak<Component>>>>>,
}

impl Runtime {
    /// Starts the engine.
    pub fn new(options: RuntimeOptions) -> Result<Self, Problem> {
        let capacity = Capacity::of(options.max_instances);
        let engine = engine::build(&capacity)?;
        let linker = host::linker(&engine).map_err(|error| {
            Problem::new(
                ErrorCode::HostFault,
                format!("the host interfaces do not link: {}", error.root_cause()),
            )
        })?;
        let cache = options.cache_dir.as_deref();
        let cache = cache.map(|dir| ArtefactCache::open(dir, options.cache_bytes, &engine)).transpose()?;
        let (slots, compilers) = (Slots::new(&capacity), compilers()?);
        let scheduler = Scheduler::new(options.fair_shares);
        engine::start_ticker(engine.weak(), scheduler.clone())?;
        let memory = options.max_memory_bytes.unwrap_or_else(most_memory);
        let commons = Arc::new(Commons::new(scheduler, memory));
        let (door, loaded) = (CompilerDoor::default(), Mutex::default());
        Ok(Self(Arc::new(Inner {
            options,
            engine_id: engine::identify(&engine),
            engine,
            linker,
            slots,
            commons,
            compilers,
            cache,
            door,
            loaded,
        })))
    }

    /// Takes a component: checks it, compiles it or maps what was compiled before, and asks it what it is.
    ///
    /// Blocks for as long as compiling takes; call it where blocking is allowed. The same bytes loaded twice at once
    /// are compiled once and give the same component.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Component>, Problem> {
        let limit = self.0.options.max_component_bytes;
        if bytes.len() as u64 > limit {
            let message = format!("the component has {} bytes, {limit} are taken", bytes.len());
            return Err(Problem::limit(LimitKind::RequestBytes, limit, message));
        }
        let digest = ComponentDigest::from_sha256(Sha256::digest(bytes).into());
        self.once(digest, || Component::load(self, digest, bytes))
    }

    /// Takes a component that was examined before: maps its compiled code, in about a millisecond, and asks it nothing.
    ///
    /// Where the code is missing, damaged or another engine's, `read` is asked for the component's bytes, which are
    /// verified and compiled; this blocks like [`Runtime::load`] then. A component that is in use is shared.
    pub fn open(
        &self,
        known: &KnownComponent<'_>,
        read: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> Result<Arc<Component>, Problem> {
        self.once(known.digest, || Component::open(self, known, read))
    }

    /// Names the engine: its version, and all that its machine code depends on.
    pub fn engine_id(&self) -> &str {
        &self.0.engine_id
    }

    /// Numbers of the scheduler that shares the processor between tenants.
    pub fn scheduler(&self) -> SchedulerStats {
        self.0.commons.scheduler.stats()
    }

    /// Components that were compiled, well or not, since the start.
    pub fn compiled(&self) -> u64 {
        self.0.door.compiled.load(Ordering::Relaxed)
    }

    /// Components that are being compiled or wait for it.
    pub fn compiling(&self) -> u64 {
        self.0.door.inside.load(Ordering::Relaxed)
    }

    /// Bytes of linear memory of all live instances.
    pub fn memory_used(&self) -> u64 {
        self.0.commons.memory_used()
    }

    /// The component of that digest that is in use, or the one that `make` gives. The same digest is made once at a
    /// time.
    fn once(
        &self,
        digest: ComponentDigest,
        make: impl FnOnce() -> Result<Component, Problem>,
    ) -> Result<Arc<Component>, Problem> {
        let place = self.0.loaded.lock().entry(digest).or_default().clone();
        let mut known = place.lock();
        if let Some(component) = known.upgrade() {
            return Ok(component);
        }
        let made = make().map(Arc::new);
        if let Ok(component) = &made {
            *known = Arc::downgrade(component);
        }
        drop(known);
        drop(place);
        self.forget_unused();
        made.map_err(|problem| problem.with_digest(digest))
    }

    /// Machine code that is on disk and sound.
    pub(crate) fn map(&self, digest: ComponentDigest) -> Option<Machined> {
        let compiled = self.0.cache.as_ref()?.get(&self.0.engine, digest)?;
        Some(Machined { compiled, from_cache: true, memory: None })
    }

    /// Machine code of a component, from disk or from the compiler.
    pub(crate) fn compile(&self, digest: ComponentDigest, bytes: &[u8]) -> Result<Machined, Problem> {
        let Inner { options, engine, cache, compilers, door, commons, .. } = &*self.0;
        if let Some(mapped) = self.map(digest) {
            return Ok(mapped);
        }
        let Apart { artefact, memory } = door.pass(options.compile_queue, || match &options.compiler {
            // All cores while nobody computes; else one, of the lowest priority.
            Some(command) => {
                let threads =
                    if commons.scheduler.stats().running == 0 { compilers.current_num_threads() } else { 1 };
                compile_apart(command, bytes, threads)
            }
            None => Ok(Apart { artefact: compilers.install(|| compile(engine, bytes))?, memory: None }),
        })?;
        let machined = |compiled| Machined { compiled, from_cache: false, memory };
        if let Some(cache) = cache {
            cache.put(digest, &artefact);
            if let Some(compiled) = cache.get(engine, digest) {
                return Ok(machined(compiled));
            }
        }
        match map_bytes(engine, &artefact) {
            Ok(compiled) => Ok(machined(compiled)),
            Err(error) => {
                let message = format!("the compiled component does not load: {}", error.root_cause());
                Err(Problem::new(ErrorCode::HostFault, message))
            }
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn linker(&self) -> &Linker<InstanceState> {
        &self.0.linker
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.0.slots
    }

    pub(crate) fn commons(&self) -> &Arc<Commons> {
        &self.0.commons
    }

    /// Forgets digests that nothing uses and nobody loads.
    fn forget_unused(&self) {
        self.0.loaded.lock().retain(|_, place| {
            Arc::strong_count(place) > 1 || place.try_lock().is_none_or(|known| known.strong_count() > 0)
        });
    }
}

/// Three quarters of the machine's memory; without a bound where the machine does not say.
fn most_memory() -> u64 {
    let total = || {
        let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some((kibibytes << 10) / 4 * 3)
    };
    total().unwrap_or(u64::MAX)
}

/// Compiling takes every core for seconds; serving goes first.
fn compilers() -> Result<rayon::ThreadPool, Problem> {
    const NICE: i32 = 10;
    let pool = rayon::ThreadPoolBuilder::new()
        .thread_name(|index| format!("compile-{index}"))
        // On Linux a thread has its own priority. Where it cannot be lowered, compiling works all the same.
        .start_handler(|_| {
            rustix::process::nice(NICE).ok();
        })
        .build();
    pool.map_err(|error| {
        Problem::new(ErrorCode::HostFault, format!("the compiler's threads do not start: {error}"))
    })
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("options", &self.0.options).finish()
    }
}
