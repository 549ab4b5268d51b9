//! From a flow and its component files to pools, and what the user is told on the way.
//!
//! All or nothing: pools that were made for a deployment that fails are gone with it. A stage whose component, limits,
//! pool and configuration did not change keeps its pool, and with it whatever its instances hold in memory. A stage in
//! several shards has a pool and a store for each.

mod remote;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockgate_domain::spec::{ComponentRole, PoolOptions};
use lockgate_domain::{
    Capabilities, ComponentDigest, ExecutorName, FlowSpec, Limits, Manifest, Problem, StageSpec,
};
use lockgate_flow::client::ExecutorClient;
use lockgate_flow::plan::ExecutionPlan;
use lockgate_flow::shards::{ShardParts, ShardedExecutor};
use lockgate_runtime::{Component, InstancePool, MemoryStore, PoolSetup};
use serde_json::{Map, Value};

use crate::adapters::PoolExecutor;
use crate::capsule::Keeper;
use crate::node::Node;
use crate::serving;

use self::remote::Remotes;

/// A flow, and the component file of each of its stages.
#[derive(Debug, Clone)]
pub struct FlowSource {
    /// What the user wrote.
    pub spec: FlowSpec,
    /// The `.wasm` file of each component of each stage, whatever named it.
    pub components: BTreeMap<(ExecutorName, ComponentRole), PathBuf>,
}

/// What was deployed, for people to read.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// In the order of the flow.
    pub stages: Vec<Stage>,
}

/// One component of one stage of a deployment; most stages have one.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The stage's name.
    pub name: ExecutorName,
    /// What the component is to the stage.
    pub role: ComponentRole,
    /// Pools that the component has; each is as large as `pool` says.
    pub shards: u32,
    /// Where its input comes from; empty means the gateway's request.
    pub needs: Vec<ExecutorName>,
    /// Where it runs.
    pub home: Home,
    /// What it says about itself, under the flow's names.
    pub manifest: Manifest,
    /// Its ceilings.
    pub limits: Limits,
    /// Whether what the deployment before had of it was kept.
    pub is_kept: bool,
}

/// Where a stage runs.
#[derive(Debug, Clone)]
pub enum Home {
    /// In this process.
    Here {
        /// the component file
        path: PathBuf,
        /// bytes of the component
        size: u64,
        /// SHA-256 of the component
        digest: ComponentDigest,
        /// its pool
        pool: PoolOptions,
    },
    /// Elsewhere.
    Elsewhere {
        /// its addresses
        addresses: Vec<String>,
        /// how many of them are connected
        connected: usize,
    },
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
    /// An external executor is being waited for.
    Connecting(&'a ExecutorName),
    /// It is not there yet.
    Waiting {
        /// the stage
        name: &'a ExecutorName,
        /// what each address says, or the system in its place
        why: &'a str,
    },
    /// It can be called.
    Connected {
        /// the stage
        name: &'a ExecutorName,
        /// addresses that are connected
        connected: usize,
        /// addresses that the flow names
        addresses: usize,
    },
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
        /// which one
        role: ComponentRole,
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
    /// An external executor is not there.
    Unreachable {
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
            | DeployError::Unreachable { problem, .. }
            | DeployError::Plan(problem) => Some(problem),
            DeployError::NoComponent { .. } | DeployError::Unreadable { .. } => None,
        }
    }
}

impl fmt::Display for DeployError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeployError::NoComponent { stage, role: ComponentRole::Main } => {
                write!(f, "executor \"{stage}\" has no component")
            }
            DeployError::NoComponent { stage, role } => {
                write!(f, "executor \"{stage}\" has no component for `{}`", role.key())
            }
            DeployError::Unreadable { stage, path, .. } => {
                write!(f, "cannot read the component of executor \"{stage}\", {}", path.display())
            }
            DeployError::Refused { stage, path, .. } => {
                write!(f, "executor \"{stage}\" cannot run: {} was refused", path.display())
            }
            DeployError::NotWarm { stage, .. } => write!(f, "executor \"{stage}\" does not start"),
            DeployError::Unreachable { stage, .. } => write!(f, "executor \"{stage}\" is not there"),
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
            | DeployError::Unreachable { problem, .. }
            | DeployError::Plan(problem) => Some(problem),
        }
    }
}

/// Which pool of a flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct PoolName {
    stage: ExecutorName,
    role: ComponentRole,
    shard: u32,
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
    executors: BTreeMap<PoolName, (Setting, Arc<PoolExecutor>)>,
    remotes: Remotes,
    /// What executors keep, shard by shard: it outlives their pools, as it would in a store on disk.
    stores: BTreeMap<PoolName, Arc<MemoryStore>>,
}

impl Pools {
    /// The store of that pool, or a new one.
    fn store(&self, name: &PoolName) -> Arc<MemoryStore> {
        self.stores.get(name).cloned().unwrap_or_default()
    }

    fn find(&self, name: &PoolName, setting: &Setting) -> Option<Arc<PoolExecutor>> {
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
    // First of all connections begin, so that they are made while components compile.
    let remotes = remote::begin(node, &source.spec, current)?;
    let mut components = Vec::with_capacity(source.spec.stages.len());
    // A stage that passes documents on is the flow's own affair: no component, no pool.
    for spec in &source.spec.stages {
        for (role, _) in spec.components() {
            components.push((spec, role, load(node, source, spec, role, tell).await?));
        }
    }
    let (mut pools, mut stages) = (Pools::default(), Vec::with_capacity(components.len()));
    for (spec, role, (path, component)) in components {
        let part = Part { node, spec, role, path, component, tell };
        stages.push(part.prepare(current, &mut pools).await?);
    }
    stages.extend(remote::finish(&source.spec, &remotes, current, tell).await?);
    pools.remotes = remotes;
    // What callers read follows the file.
    let place = |stage: &Stage| source.spec.stages.iter().position(|spec| spec.name == stage.name);
    stages.sort_by_key(place);
    Ok((pools, Deployment { stages }))
}

/// What a stage calls.
type NamedClient = (ExecutorName, Arc<dyn ExecutorClient>);

/// One component of a stage, on its way to its pools.
struct Part<'a> {
    node: &'a Node,
    spec: &'a StageSpec,
    role: ComponentRole,
    path: PathBuf,
    component: Arc<Component>,
    tell: &'a (dyn Fn(StageEvent<'_>) + Sync),
}

impl Part<'_> {
    /// Takes or makes a pool for each shard.
    async fn prepare(self, current: &Pools, pools: &mut Pools) -> Result<Stage, DeployError> {
        let spec = self.spec;
        let manifest = self.component.manifest();
        let pool = spec.pool.resolve(manifest.stateful, self.node.cores());
        let shards = if self.role == ComponentRole::Main { spec.shards.count } else { 1 };
        let (mut is_kept, mut instances) = (true, 0);
        for shard in 0..shards {
            let name = PoolName { stage: spec.name.clone(), role: self.role, shard };
            let setting = Setting {
                digest: self.component.digest(),
                limits: spec.limits,
                pool,
                config: configuration(spec, shard, shards),
                capabilities: spec.capabilities.clone(),
            };
            let store = current.store(&name);
            let executor = match current.find(&name, &setting) {
                Some(executor) => executor,
                None => {
                    if std::mem::replace(&mut is_kept, false) {
                        (self.tell)(StageEvent::Warming(&spec.name));
                    }
                    self.warm(&setting, store.clone()).await?
                }
            };
            instances += executor.pool().stats().live;
            pools.stores.insert(name.clone(), store);
            pools.executors.insert(name, (setting, executor));
        }
        if !is_kept {
            (self.tell)(StageEvent::Warm { name: &spec.name, instances });
        }
        Ok(Stage {
            name: spec.name.clone(),
            role: self.role,
            shards,
            needs: spec.needs.clone(),
            home: Home::Here {
                path: self.path,
                size: self.component.size(),
                digest: self.component.digest(),
                pool,
            },
            manifest: manifest.clone(),
            limits: spec.limits,
            is_kept,
        })
    }

    async fn warm(
        &self,
        setting: &Setting,
        store: Arc<MemoryStore>,
    ) -> Result<Arc<PoolExecutor>, DeployError> {
        let (node, spec) = (self.node, self.spec);
        let setup = PoolSetup {
            limits: setting.limits,
            configuration: setting.config.clone(),
            capabilities: setting.capabilities.clone(),
            key_value: Some(store),
            ..PoolSetup::new(spec.name.clone(), self.component.clone(), setting.pool)
        };
        let keeper = node.capsules().map(|folder| Keeper {
            folder: folder.to_owned(),
            executor: spec.name.clone(),
            digest: setting.digest,
            limits: setting.limits,
            capabilities: setting.capabilities.clone(),
            configuration: setting.config.clone(),
            engine: node.runtime().engine_id().to_owned(),
            component: self.path.clone(),
        });
        let executor = PoolExecutor::new(InstancePool::new(node.runtime(), setup)).keeping(keeper);
        let executor = Arc::new(executor);
        executor
            .pool()
            .prewarm()
            .await
            .map_err(|problem| DeployError::NotWarm { stage: spec.name.clone(), problem })?;
        serving::enter(node.pool_book(), &executor);
        Ok(executor)
    }
}

/// What the guest reads: a shard learns which one it is, unless the flow uses the names for something else.
fn configuration(spec: &StageSpec, shard: u32, shards: u32) -> Map<String, Value> {
    let mut config = spec.config.clone();
    if shards > 1 {
        config.entry("shard_id").or_insert_with(|| shard.into());
        config.entry("shards").or_insert_with(|| shards.into());
    }
    config
}

impl Pools {
    /// The executors by name, for the planner; those in several shards put together.
    pub(crate) fn clients(&self, flow: &FlowSpec) -> Result<Vec<NamedClient>, Problem> {
        let mut clients: Vec<NamedClient> = Vec::with_capacity(flow.stages.len());
        for spec in &flow.stages {
            let find = |role, shard| {
                let name = PoolName { stage: spec.name.clone(), role, shard };
                self.executors.get(&name).map(|(_, executor)| executor.clone() as Arc<dyn ExecutorClient>)
            };
            let main = find(ComponentRole::Main, 0);
            let client = match main {
                Some(_) if spec.shards.count > 1 => {
                    let parts = ShardParts {
                        before: find(ComponentRole::Before, 0),
                        shards: (0..spec.shards.count)
                            .filter_map(|shard| find(ComponentRole::Main, shard))
                            .collect(),
                        after: find(ComponentRole::After, 0),
                    };
                    Arc::new(ShardedExecutor::new(spec, parts)?)
                }
                Some(client) => client,
                None => match self.remotes.get(&spec.name) {
                    Some((_, _, remote)) => remote.clone(),
                    None => continue,
                },
            };
            clients.push((spec.name.clone(), client));
        }
        Ok(clients)
    }
}

impl Deployment {
    /// Shows endpoints under the names that callers use.
    pub(crate) fn take_names(&mut self, plan: &ExecutionPlan) {
        for stage in self.stages.iter_mut().filter(|stage| stage.role == ComponentRole::Main) {
            if let Some(planned) = plan.stages().iter().find(|planned| planned.name == stage.name) {
                stage.manifest.clone_from(&planned.client.manifest());
            }
        }
    }
}

async fn load(
    node: &Node,
    source: &FlowSource,
    spec: &StageSpec,
    role: ComponentRole,
    tell: &(dyn Fn(StageEvent<'_>) + Sync),
) -> Result<(PathBuf, Arc<Component>), DeployError> {
    let stage = || spec.name.clone();
    let path = source
        .components
        .get(&(spec.name.clone(), role))
        .cloned()
        .ok_or_else(|| DeployError::NoComponent { stage: stage(), role })?;
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
