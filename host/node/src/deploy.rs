//! From a flow and its component files to pools, and what the user is told on the way.
//!
//! All or nothing: pools that were made for a deployment that fails are gone with it. A stage whose component, limits,
//! pool and configuration did not change keeps its pool, and with it whatever its instances hold in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use lockgate_domain::spec::PoolOptions;
use lockgate_domain::{
    Capabilities, ComponentDigest, ExecutorName, FlowSpec, Limits, Manifest, Problem, StageSpec,
};
use lockgate_flow::client::ExecutorClient;
use lockgate_runtime::{Component, InstancePool, MemoryStore, PoolSetup};
use serde_json::{Map, Value};

use crate::adapters::PoolExecutor;
use crate::capsule::Keeper;
use crate::node::Node;

/// A flow, and the component file of each of its stages.
#[derive(Debug, Clone)]
pub struct FlowSource {
    /// What the user wrote.
    pub spec: FlowSpec,
    /// The `.wasm` file of each stage, whatever its `uses` was.
    pub components: BTreeMap<ExecutorName, PathBuf>,
}

/// What was deployed, for people to read.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// In the order of the flow.
    pub stages: Vec<Stage>,
}

/// One stage of a deployment.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name.
    pub name: ExecutorName,
    /// Where its input comes from; empty means the gateway's request.
    pub needs: Vec<ExecutorName>,
    /// The component file.
    pub path: PathBuf,
    /// Bytes of the component.
    pub size: u64,
    /// SHA-256 of the component.
    pub digest: ComponentDigest,
    /// What the component says about itself.
    pub manifest: Manifest,
    /// Its pool.
    pub pool: PoolOptions,
    /// Its ceilings.
    pub limits: Limits,
    /// Whether the pool of the deployment before was kept.
    pub is_kept: bool,
}

/// A step of a deployment.
#[derive(Debug, Clone, Copy)]
pub enum StageEvent<'a> {
    /// A component is being read and compiled.
    Compiling(&'a ExecutorName),
    /// It is ready to be instantiated.
    Compiled {
        /// the stage
        name: &'a ExecutorName,
        /// how long it took to compile or to map
        took: Duration,
        /// whether compiled code was there already
        from_cache: bool,
    },
    /// The first instances are being built.
    Warming(&'a ExecutorName),
    /// The stage can serve.
    Warm {
        /// the stage
        name: &'a ExecutorName,
        /// instances that wait for calls
        instances: u32,
    },
}

/// Why a flow was not deployed.
#[derive(Debug)]
pub enum DeployError {
    /// A stage has no component file.
    NoComponent {
        /// the stage
        stage: ExecutorName,
    },
    /// A component file cannot be read.
    Unreadable {
        /// the stage
        stage: ExecutorName,
        /// the file
        path: PathBuf,
        /// what the system says
        error: io::Error,
    },
    /// A component was refused.
    Refused {
        /// the stage
        stage: ExecutorName,
        /// the file
        path: PathBuf,
        /// why
        problem: Problem,
    },
    /// The first instance of a stage did not come up: `init` failed.
    NotWarm {
        /// the stage
        stage: ExecutorName,
        /// why
        problem: Problem,
    },
    /// The stages make no flow.
    Plan(Problem),
}

impl DeployError {
    /// The problem inside, in the words that callers would be told.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            DeployError::Refused { problem, .. }
            | DeployError::NotWarm { problem, .. }
            | DeployError::Plan(problem) => Some(problem),
            DeployError::NoComponent { .. } | DeployError::Unreadable { .. } => None,
        }
    }
}

impl fmt::Display for DeployError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeployError::NoComponent { stage } => write!(f, "executor \"{stage}\" has no component"),
            DeployError::Unreadable { stage, path, .. } => {
                write!(f, "cannot read the component of executor \"{stage}\", {}", path.display())
            }
            DeployError::Refused { stage, path, .. } => {
                write!(f, "executor \"{stage}\" cannot run: {} was refused", path.display())
            }
            DeployError::NotWarm { stage, .. } => write!(f, "executor \"{stage}\" does not start"),
            DeployError::Plan(_) => f.write_str("the flow cannot be planned"),
        }
    }
}

impl std::error::Error for DeployError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DeployError::Unreadable { error, .. } => Some(error),
            DeployError::NoComponent { .. } => None,
            DeployError::Refused { problem, .. }
            | DeployError::NotWarm { problem, .. }
            | DeployError::Plan(problem) => Some(problem),
        }
    }
}

/// What makes a pool another one.
#[derive(Debug, Clone, PartialEq)]
struct Setting {
    digest: ComponentDigest,
    limits: Limits,
    pool: PoolOptions,
    config: Map<String, Value>,
    capabilities: Capabilities,
}

/// The pools of the deployment that serves.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    executors: BTreeMap<ExecutorName, (Setting, Arc<PoolExecutor>)>,
    /// What executors keep: it outlives their pools, as it would in a store on disk.
    stores: BTreeMap<ExecutorName, Arc<MemoryStore>>,
}

impl Pools {
    /// The store of that executor, or a new one.
    fn store(&self, name: &ExecutorName) -> Arc<MemoryStore> {
        self.stores.get(name).cloned().unwrap_or_default()
    }

    fn find(&self, name: &ExecutorName, setting: &Setting) -> Option<Arc<PoolExecutor>> {
        self.executors.get(name).filter(|(known, _)| known == setting).map(|(_, executor)| executor.clone())
    }
}

/// The pools of a deployment to be: the kept ones and the new ones, every one warm.
pub(crate) async fn prepare(
    node: &Node,
    source: &FlowSource,
    current: &Pools,
    tell: &(dyn Fn(StageEvent<'_>) + Sync),
) -> Result<(Pools, Deployment), DeployError> {
    let mut components = Vec::with_capacity(source.spec.stages.len());
    // A stage that passes documents on is the flow's own affair: no component, no pool.
    for spec in source.spec.stages.iter().filter(|spec| !spec.is_passing()) {
        components.push((spec, load(node, source, spec, tell).await?));
    }
    let (mut pools, mut stages) = (Pools::default(), Vec::with_capacity(components.len()));
    for (spec, (path, component)) in components {
        let setting = Setting {
            digest: component.digest(),
            limits: spec.limits,
            pool: spec.pool.resolve(component.manifest().stateful, node.cores()),
            config: spec.config.clone(),
            capabilities: spec.capabilities.clone(),
        };
        let kept = current.find(&spec.name, &setting);
        let is_kept = kept.is_some();
        let store = current.store(&spec.name);
        let executor = match kept {
            Some(executor) => executor,
            None => warm(node, spec, &setting, component.clone(), store.clone(), &path, tell).await?,
        };
        stages.push(Stage {
            name: spec.name.clone(),
            needs: spec.needs.clone(),
            path,
            size: component.size(),
            digest: setting.digest,
            manifest: component.manifest().clone(),
            pool: setting.pool,
            limits: setting.limits,
            is_kept,
        });
        pools.stores.insert(spec.name.clone(), store);
        pools.executors.insert(spec.name.clone(), (setting, executor));
    }
    Ok((pools, Deployment { stages }))
}

impl Pools {
    /// The executors by name, for the planner.
    pub(crate) fn clients(&self) -> impl Iterator<Item = (ExecutorName, Arc<dyn ExecutorClient>)> {
        self.executors.iter().map(|(name, (_, executor))| (name.clone(), executor.clone() as _))
    }
}

async fn load(
    node: &Node,
    source: &FlowSource,
    spec: &StageSpec,
    tell: &(dyn Fn(StageEvent<'_>) + Sync),
) -> Result<(PathBuf, Arc<Component>), DeployError> {
    let stage = || spec.name.clone();
    let path = source
        .components
        .get(&spec.name)
        .cloned()
        .ok_or_else(|| DeployError::NoComponent { stage: stage() })?;
    tell(StageEvent::Compiling(&spec.name));
    let bytes = read(node, &path).await.map_err(|error| DeployError::Unreadable {
        stage: stage(),
        path: path.clone(),
        error,
    })?;
    let component = node.load(bytes).await.map_err(|problem| DeployError::Refused {
        stage: stage(),
        path: path.clone(),
        problem,
    })?;
    tell(StageEvent::Compiled {
        name: &spec.name,
        took: component.compile_time(),
        from_cache: component.loaded_from_cache(),
    });
    Ok((path, component))
}

/// Reads a component file; one that is too large is refused before it is in memory.
pub(crate) async fn read(node: &Node, path: &Path) -> io::Result<Vec<u8>> {
    let length = tokio::fs::metadata(path).await?.len();
    let limit = node.max_component_bytes();
    if length > limit {
        let message = format!("it has {length} bytes, components have at most {limit}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    tokio::fs::read(path).await
}

async fn warm(
    node: &Node,
    spec: &StageSpec,
    setting: &Setting,
    component: Arc<Component>,
    store: Arc<MemoryStore>,
    path: &Path,
    tell: &(dyn Fn(StageEvent<'_>) + Sync),
) -> Result<Arc<PoolExecutor>, DeployError> {
    tell(StageEvent::Warming(&spec.name));
    let setup = PoolSetup {
        limits: setting.limits,
        configuration: setting.config.clone(),
        capabilities: setting.capabilities.clone(),
        key_value: Some(store),
        ..PoolSetup::new(spec.name.clone(), component, setting.pool)
    };
    let keeper = node.capsules().map(|folder| Keeper {
        folder: folder.to_owned(),
        executor: spec.name.clone(),
        digest: setting.digest,
        limits: setting.limits,
        capabilities: setting.capabilities.clone(),
        configuration: setting.config.clone(),
        engine: node.runtime().engine_id().to_owned(),
        component: path.to_owned(),
    });
    let executor = PoolExecutor::new(InstancePool::new(node.runtime(), setup)).keeping(keeper);
    let executor = Arc::new(executor);
    executor
        .pool()
        .prewarm()
        .await
        .map_err(|problem| DeployError::NotWarm { stage: spec.name.clone(), problem })?;
    let book = node.pool_book();
    book.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&executor));
    tell(StageEvent::Warm { name: &spec.name, instances: executor.pool().stats().live });
    Ok(executor)
}
