//! The node itself: what one process owns.
//!
//! One runtime, one table of routes, and the pools of the deployment that serves. Deployments take turns: a second one
//! waits for the first, so that "the one before" always means the same.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockgate_domain::{ErrorCode, FlowName, Problem};
use lockgate_flow::plan::ExecutionPlan;
use lockgate_gateway::{Gateway, GatewayOptions, OpenDoor, Port, Routes, ServedFlow};
use lockgate_runtime::{CompilerCommand, Component, Runtime, RuntimeOptions};
use tokio::sync::Mutex;

use crate::deploy::{self, DeployError, Deployment, FlowSource, Pools, StageEvent};
use crate::floating::{FloatingPlaces, FloatingTasks};
use crate::inspect::Inspection;
use crate::metrics;
use crate::remote::RemoteExecutor;
use crate::serving::{Book, PoolBook, Serving};

/// Configuration of a node.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// Where compiled components are kept; none compiles at every start.
    pub cache_dir: Option<PathBuf>,
    /// The process that compiles; none compiles in this one, where a hostile component can take minutes.
    pub compiler: Option<CompilerCommand>,
    /// Where requests that an executor fails are kept for replay; none keeps none.
    pub capsules: Option<PathBuf>,
}

/// One host process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Node(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Runtime,
    max_component_bytes: u64,
    cores: u32,
    routes: Routes,
    deployed: Mutex<Deployed>,
    pools: PoolBook,
    remotes: Book<RemoteExecutor>,
    capsules: Option<PathBuf>,
    floating: FloatingTasks,
    places: Arc<FloatingPlaces>,
}

/// Requests whose floating stages may be at work at once, and bytes of their documents.
const FLOATING_RUNS: u32 = 1024;
const FLOATING_BYTES: u64 = 512 << 20;

#[derive(Debug, Default)]
struct Deployed {
    flow: Option<FlowName>,
    pools: Pools,
}

impl Node {
    /// Starts the wasm engine. Nothing is served yet.
    pub fn new(options: NodeOptions) -> Result<Self, Problem> {
        let runtime_options = RuntimeOptions {
            cache_dir: options.cache_dir,
            compiler: options.compiler,
            ..RuntimeOptions::default()
        };
        let max_component_bytes = runtime_options.max_component_bytes;
        let runtime = Runtime::new(runtime_options)?;
        let floating = FloatingTasks::new();
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Ok(Self(Arc::new(Inner {
            runtime,
            max_component_bytes,
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            routes: Routes::default(),
            deployed: Mutex::default(),
            pools: PoolBook::default(),
            remotes: Book::default(),
            capsules: options.capsules,
            places: floating.places(FLOATING_RUNS, FLOATING_BYTES),
            floating,
        })))
    }

    /// Serves this flow in the place of the one before, which finishes its requests. `tell` hears of each step.
    ///
    /// On an error the flow before goes on as if nothing had been asked.
    pub async fn deploy(
        &self,
        source: &FlowSource,
        tell: &(dyn Fn(StageEvent<'_>) + Sync),
    ) -> Result<Deployment, DeployError> {
        let mut deployed = self.0.deployed.lock().await;
        let (pools, mut deployment) = deploy::prepare(self, source, &deployed.pools, tell).await?;
        let plan = pools
            .clients(&source.spec)
            .and_then(|clients| ExecutionPlan::new(&source.spec, clients))
            .map_err(DeployError::Plan)?
            .with_background(self.0.places.clone());
        deployment.take_names(&plan);
        self.0.routes.publish(ServedFlow::new(&source.spec, Arc::new(plan)));
        let flow = source.spec.name.clone();
        if let Some(before) = deployed.flow.replace(flow.clone()).filter(|before| *before != flow) {
            self.0.routes.withdraw(&before);
        }
        // The pools of the flow before live on in its plan, until its last request has ended.
        deployed.pools = pools;
        tracing::debug!(flow = %flow, stages = deployment.stages.len(), "deployed");
        Ok(deployment)
    }

    /// Serves what is deployed on these ports, until the handle ends it.
    pub fn serve(&self, ports: Vec<Port>, options: GatewayOptions) -> io::Result<Serving> {
        let numbers = metrics::Sources {
            pools: self.0.pools.clone(),
            remotes: self.0.remotes.clone(),
            routes: self.0.routes.clone(),
            places: self.0.places.clone(),
        };
        let metrics = numbers.read();
        let floating = (self.0.floating.clone(), options.drain_timeout);
        let door = Arc::new(OpenDoor::new(self.0.routes.clone()));
        let gateway = Gateway::new(options, door).with_metrics(metrics);
        Serving::start(gateway, ports, self.0.pools.clone(), floating)
    }

    /// Looks at a component without serving it.
    pub async fn inspect(&self, path: &Path) -> Result<Inspection, Problem> {
        let bytes = deploy::read(self, path).await.map_err(|error| {
            Problem::new(ErrorCode::InvalidComponent, format!("cannot read {}: {error}", path.display()))
        })?;
        self.load(bytes).await.map(Inspection::new)
    }

    /// Compiles where blocking is allowed.
    pub(crate) async fn load(&self, bytes: Vec<u8>) -> Result<Arc<Component>, Problem> {
        let runtime = self.0.runtime.clone();
        let loaded = tokio::task::spawn_blocking(move || runtime.load(&bytes)).await;
        loaded.unwrap_or_else(|error| {
            Err(Problem::new(
                ErrorCode::HostFault,
                format!("loading the component failed in the host: {error}"),
            ))
        })
    }

    /// The folder for capsules of failed requests.
    pub(crate) fn capsules(&self) -> Option<&Path> {
        self.0.capsules.as_deref()
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    pub(crate) fn cores(&self) -> u32 {
        self.0.cores
    }

    pub(crate) fn max_component_bytes(&self) -> u64 {
        self.0.max_component_bytes
    }

    pub(crate) fn pool_book(&self) -> &PoolBook {
        &self.0.pools
    }

    pub(crate) fn remote_book(&self) -> &Book<RemoteExecutor> {
        &self.0.remotes
    }
}
