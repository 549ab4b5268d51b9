//! One component that this host can run: compiled, judged, and asked what it is.
//!
//! The order of checks is the order of cost: header, our own static pass, names of the imports, then the compiler,
//! types of the functions, and at last `describe` in an instance that is granted nothing.

mod cache;
mod compiler;
mod describe;
mod screen;

pub(crate) use cache::{ArtefactCache, map_bytes};
pub(crate) use compiler::{Apart, compile, compile_apart};
pub use compiler::{CompilerCommand, compile_worker};

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_domain::hosting::{ComponentReport, ImportReport, StoredComponent};
use lockgate_domain::{
    Capabilities, CapabilityKind, ComponentDigest, EndpointName, ErrorCode, Manifest, Problem,
};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component as Compiled, ComponentExportIndex, InstancePre};

use crate::engine::{MAX_MEMORIES, MAX_TABLES};
use crate::grants;
use crate::host::{CONTRACT_VERSION, EXECUTOR, Offered, functions_of, judge};
use crate::log::escape;
use crate::runtime::Runtime;
use crate::slots::Demand;
use crate::state::InstanceState;

/// A component that was accepted. Shared by all pools that run it.
pub struct Component {
    digest: ComponentDigest,
    size: u64,
    report: ComponentReport,
    imports: Vec<Import>,
    compile_time: Duration,
    from_cache: bool,
    /// the manifest's endpoints as the guest is called with them
    endpoints: Vec<Arc<str>>,
    linked: Linked,
}

/// A component that was examined before, and what was found out then.
#[derive(Debug, Clone, Copy)]
pub struct KnownComponent<'a> {
    /// SHA-256 of its bytes
    pub digest: ComponentDigest,
    /// bytes
    pub size: u64,
    /// what [`Component::report`] said
    pub report: &'a ComponentReport,
}

impl<'a> From<&'a StoredComponent> for KnownComponent<'a> {
    fn from(stored: &'a StoredComponent) -> Self {
        Self { digest: stored.digest, size: stored.size, report: &stored.report }
    }
}

/// Machine code in memory, and how it came there.
pub(crate) struct Machined {
    pub(crate) compiled: Compiled,
    pub(crate) from_cache: bool,
    /// most bytes of memory that a compiling process of its own held
    pub(crate) memory: Option<u64>,
}

/// One interface that a component imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// full name with version
    pub interface: String,
    /// whether the host has it for this component; always true for a component that was accepted
    pub granted: bool,
    /// whose interface it is
    pub by: GrantedBy,
    /// the capability without which no instance is built
    pub needs: Option<CapabilityKind>,
}

/// Whose interface an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantedBy {
    /// the executor contract
    Lockgate,
    /// WASI
    Wasi,
}

/// What is needed to build instances.
#[derive(Clone)]
pub(crate) struct Linked {
    pub(crate) pre: InstancePre<InstanceState>,
    pub(crate) describe: ComponentExportIndex,
    pub(crate) init: ComponentExportIndex,
    pub(crate) call: ComponentExportIndex,
    pub(crate) demand: Demand,
}

impl GrantedBy {
    /// `lockgate` or `wasi`.
    pub fn as_str(self) -> &'static str {
        match self {
            GrantedBy::Lockgate => "lockgate",
            GrantedBy::Wasi => "wasi",
        }
    }
}

impl Component {
    /// SHA-256 of its bytes.
    pub fn digest(&self) -> ComponentDigest {
        self.digest
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.report.manifest
    }

    /// The interfaces it imports, in its own order.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// Whether these grants cover what it imports; the problem names the import and shows the grant.
    pub fn check_capabilities(&self, capabilities: &Capabilities) -> Result<(), Problem> {
        grants::check(&self.imports, capabilities).map_err(|problem| problem.with_digest(self.digest))
    }

    /// The names it exports.
    pub fn exports(&self) -> &[String] {
        &self.report.exports
    }

    /// What was found out about it: a registry keeps it, and [`Runtime::open`] takes it back.
    pub fn report(&self) -> &ComponentReport {
        &self.report
    }

    /// Bytes of the component as it was given.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How long it took to compile, or to map when it was compiled before.
    pub fn compile_time(&self) -> Duration {
        self.compile_time
    }

    /// Whether the compiled code came from the cache on disk.
    pub fn loaded_from_cache(&self) -> bool {
        self.from_cache
    }

    /// Linear memories of one instance.
    pub fn memories(&self) -> u32 {
        self.linked.demand.memories
    }

    /// Tables of one instance.
    pub fn tables(&self) -> u32 {
        self.linked.demand.tables
    }

    pub(crate) fn linked(&self) -> &Linked {
        &self.linked
    }

    /// The guest's name of the endpoint that serves `wanted`; none if the executor serves neither it nor `/default`.
    pub(crate) fn resolve(&self, wanted: &EndpointName) -> Option<Arc<str>> {
        let find = |name: &str| self.endpoints.iter().find(|endpoint| &***endpoint == name);
        find(wanted.as_str()).or_else(|| find(EndpointName::FALLBACK)).cloned()
    }

    /// Takes bytes of a stranger. Blocks while it compiles.
    pub(crate) fn load(runtime: &Runtime, digest: ComponentDigest, bytes: &[u8]) -> Result<Self, Problem> {
        let screened = screen::screen(bytes)?;
        let imports = screened.imports.into_iter().map(granted).collect::<Result<Vec<_>, Problem>>()?;
        let executor = executor_export(&screened.exports)?;
        let started = Instant::now();
        let Machined { compiled, from_cache, memory } = runtime.compile(digest, bytes)?;
        let compile_time = started.elapsed();
        check_functions(runtime.engine(), &compiled)?;
        let linked = link(runtime, &compiled, &executor)?;
        let (manifest, instantiated) = describe::describe(runtime, digest, &linked)?;
        let report = ComponentReport {
            manifest,
            imports: imports.iter().map(reported).collect(),
            exports: screened.exports,
            compile_ms: (!from_cache).then_some(compile_time.as_secs_f64() * 1e3),
            compile_memory_bytes: memory,
            code_bytes: compiled.text().len() as u64,
            instantiate_us: instantiated.as_secs_f64() * 1e6,
            engine: runtime.engine_id().to_owned(),
        };
        let (size, endpoints) = (bytes.len() as u64, endpoints(&report.manifest));
        Ok(Self { digest, size, report, imports, compile_time, from_cache, endpoints, linked })
    }

    /// Takes a component that was examined before: maps its machine code and links it. `read` is asked for the bytes
    /// only where the code must be compiled again; they are not trusted more than at an upload.
    pub(crate) fn open(
        runtime: &Runtime,
        known: &KnownComponent<'_>,
        read: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> Result<Self, Problem> {
        let KnownComponent { digest, size, report } = *known;
        let imports = report.imports.iter().map(|import| granted(import.interface.clone()));
        let imports = imports.collect::<Result<Vec<_>, Problem>>()?;
        let executor = executor_export(&report.exports)?;
        let started = Instant::now();
        let Machined { compiled, from_cache, .. } = match runtime.map(digest) {
            Some(mapped) => mapped,
            None => {
                let bytes = read_known(known, read)?;
                screen::screen(&bytes)?;
                runtime.compile(digest, &bytes)?
            }
        };
        let compile_time = started.elapsed();
        if report.engine != runtime.engine_id() {
            check_functions(runtime.engine(), &compiled)?;
        }
        let linked = link(runtime, &compiled, &executor)?;
        let (report, endpoints) = (report.clone(), endpoints(&report.manifest));
        Ok(Self { digest, size, report, imports, compile_time, from_cache, endpoints, linked })
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("digest", &self.digest)
            .field("manifest", &self.report.manifest)
            .finish()
    }
}

/// The bytes of a known component, if they still are its bytes.
fn read_known(
    known: &KnownComponent<'_>,
    read: impl FnOnce() -> io::Result<Vec<u8>>,
) -> Result<Vec<u8>, Problem> {
    let fault = |what: String| {
        let message = format!("the bytes of component {} {what}", known.digest);
        Problem::new(ErrorCode::HostFault, message).with_digest(known.digest)
    };
    let bytes = read().map_err(|error| fault(format!("cannot be read: {error}")))?;
    if ComponentDigest::from_sha256(Sha256::digest(&bytes).into()) != known.digest {
        return Err(fault("are damaged: their SHA-256 is another one".into())
            .with_hint("upload the component again, or restore the data directory from a copy"));
    }
    Ok(bytes)
}

/// The manifest's endpoints as the guest is called with them.
fn endpoints(manifest: &Manifest) -> Vec<Arc<str>> {
    manifest.endpoints.iter().map(|endpoint| endpoint.name.as_str().into()).collect()
}

fn reported(import: &Import) -> ImportReport {
    let (interface, owner) = (import.interface.clone(), import.by.as_str().to_owned());
    ImportReport { needs: import.needs, interface, owner }
}

/// The capability without which an interface is of no use. Types alone reach nothing.
pub(crate) fn needs(interface: &str) -> Option<CapabilityKind> {
    match interface.split('@').next() {
        Some("wasi:http/outgoing-handler") => Some(CapabilityKind::Http),
        Some("lockgate:executor/key-value") => Some(CapabilityKind::KeyValue),
        _ => None,
    }
}

fn granted(interface: String) -> Result<Import, Problem> {
    match judge(&interface) {
        Offered::Yes(by) => Ok(Import { needs: needs(&interface), interface, granted: true, by }),
        Offered::No(problem) => Err(problem),
    }
}

/// The full name under which the component exports the executor interface.
fn executor_export(exports: &[String]) -> Result<String, Problem> {
    let versions = exports.iter().filter_map(|name| {
        let version = name.strip_prefix(EXECUTOR)?.strip_prefix('@')?;
        Some((name, version))
    });
    let mut other = None;
    for (name, version) in versions {
        if version.starts_with("0.1.") {
            return Ok(name.clone());
        }
        other = Some(version);
    }
    let message = match other {
        Some(version) => format!(
            "the component exports {EXECUTOR}@{version}, this host speaks {CONTRACT_VERSION}",
            version = escape(version, 32)
        ),
        None => format!("the component does not export {EXECUTOR}@{CONTRACT_VERSION}"),
    };
    let hint = match exports {
        [] => "it exports nothing; build it for the world `lockgate:executor/executor-world`".into(),
        names => {
            let names: Vec<String> = names.iter().take(8).map(|name| escape(name, 80)).collect();
            format!(
                "it exports {}; build it for the world `lockgate:executor/executor-world`",
                names.join(", ")
            )
        }
    };
    Err(Problem::new(ErrorCode::InvalidComponent, message).with_hint(hint))
}

/// A component of a newer contract imports functions that do not exist yet: name them.
fn check_functions(engine: &Engine, compiled: &Compiled) -> Result<(), Problem> {
    let ty = compiled.component_type();
    for (name, import) in ty.imports(engine) {
        let (Some(offered), ComponentItem::ComponentInstance(instance)) = (functions_of(name), &import.ty)
        else {
            continue;
        };
        let unknown = instance.exports(engine).find(|(function, export)| {
            matches!(export.ty, ComponentItem::ComponentFunc(_)) && !offered.contains(function)
        });
        if let Some((function, _)) = unknown {
            let message = format!(
                "the component uses {function} of {name}, which version {CONTRACT_VERSION} does not have",
                function = escape(function, 80),
                name = escape(name, 80)
            );
            return Err(Problem::new(ErrorCode::InvalidComponent, message)
                .with_hint("upgrade the host, or rebuild the component with an older SDK"));
        }
    }
    Ok(())
}

fn link(runtime: &Runtime, compiled: &Compiled, executor: &str) -> Result<Linked, Problem> {
    let invalid = |message: String| Problem::new(ErrorCode::InvalidComponent, message);
    let demand = demand(compiled)?;
    let pre = runtime.linker().instantiate_pre(compiled).map_err(|error| {
        let causes: Vec<String> = error.chain().map(|cause| escape(&cause.to_string(), 200)).collect();
        invalid(format!("the component does not fit the contract: {}", causes.join(": ")))
            .with_hint("rebuild it with the SDK of this host's version")
    })?;
    let interface = compiled.get_export_index(None, executor);
    let function = |name: &str| {
        let index = interface.as_ref().and_then(|interface| compiled.get_export_index(Some(interface), name));
        index.ok_or_else(|| invalid(format!("the component's {executor} has no function {name}")))
    };
    let (describe, init, call) = (function("describe")?, function("init")?, function("call")?);
    Ok(Linked { pre, describe, init, call, demand })
}

fn demand(compiled: &Compiled) -> Result<Demand, Problem> {
    let invalid = |message: String| Problem::new(ErrorCode::InvalidComponent, message);
    let Some(required) = compiled.resources_required() else {
        return Err(invalid("the component imports core modules, which no host interface has".into()));
    };
    let (memories, tables) = (required.num_memories, required.num_tables);
    if memories > MAX_MEMORIES || tables > MAX_TABLES {
        return Err(invalid(format!(
            "the component needs {memories} memories and {tables} tables, {MAX_MEMORIES} and {MAX_TABLES} are the most"
        )));
    }
    Ok(Demand { memories, tables })
}
