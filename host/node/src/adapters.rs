//! What the flow engine sees in the place of executors: pools, and drafts for plans that nobody runs.
//!
//! One `PoolExecutor` per pool; plans share it. The last plan that holds it is dropped with its last request, and only
//! then the pool closes: a swap never takes an instance from under a request.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lockgate_domain::{EndpointName, ErrorCode, FlowSpec, Manifest, Problem};
use lockgate_flow::client::{ExecutorCall, ExecutorClient, ExecutorReply};
use lockgate_flow::plan::ExecutionPlan;
use lockgate_runtime::{Inputs, InstancePool, Invocation, InvocationReply, Recording};

use crate::capsule::Keeper;
use crate::gathering::Gathering;

/// An executor in this process.
#[derive(Debug)]
pub struct PoolExecutor {
    pool: InstancePool,
    manifest: Arc<Manifest>,
    /// Keeps failed requests for replay.
    keeper: Option<Arc<Keeper>>,
}

impl PoolExecutor {
    /// Takes the pool, and closes it when the last plan lets go.
    pub fn new(pool: InstancePool) -> Self {
        let manifest = Arc::new(pool.component().manifest().clone());
        Self { pool, manifest, keeper: None }
    }

    /// Runs each call in an instance of its own and keeps those that fail.
    pub(crate) fn keeping(mut self, keeper: Option<Keeper>) -> Self {
        self.keeper = keeper.map(Arc::new);
        self
    }

    pub(crate) fn pool(&self) -> &InstancePool {
        &self.pool
    }

    /// Runs one call in an instance of its own, and gives what is needed to run it again. The answer is what the guest
    /// returned; the gathering makes of it what the caller gets.
    pub(crate) async fn call_recorded(&self, mut call: ExecutorCall) -> RecordedCall {
        let mut gathering = Gathering::begin(&self.manifest, self.pool.limits(), &mut call);
        let (answer, recording) = match gathering.beside(self.pool.invoke_recorded(invocation(call))).await {
            Ok(recorded) => recorded,
            Err(problem) => (Err(problem), None),
        };
        RecordedCall { answer, recording, gathering }
    }

    async fn call_kept(&self, keeper: &Arc<Keeper>, call: ExecutorCall) -> Result<ExecutorReply, Problem> {
        let RecordedCall { answer, recording, gathering } = self.call_recorded(call).await;
        if let (Err(_), Some(recording)) = (&answer, recording) {
            Keeper::keep(keeper, recording, &answer).await;
        }
        gathering.reply(answer?)
    }
}

/// One call in an instance of its own.
pub(crate) struct RecordedCall {
    pub(crate) answer: Result<InvocationReply, Problem>,
    pub(crate) recording: Option<Recording>,
    pub(crate) gathering: Gathering,
}

fn invocation(call: ExecutorCall) -> Invocation {
    let ExecutorCall { endpoint, documents, parameters, inputs, context, emit } = call;
    let inputs: Inputs =
        inputs.iter().map(|input| (input.executor.clone(), input.first, input.count)).collect();
    Invocation { endpoint, documents, parameters, inputs, context, emit }
}

impl ExecutorClient for PoolExecutor {
    fn manifest(&self) -> Arc<Manifest> {
        self.manifest.clone()
    }

    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
        self.manifest.resolve(wanted).map(|endpoint| endpoint.name.clone())
    }

    fn call(&self, mut call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        if let Some(keeper) = &self.keeper {
            return Box::pin(self.call_kept(keeper, call));
        }
        let mut gathering = Gathering::begin(&self.manifest, self.pool.limits(), &mut call);
        Box::pin(async move {
            let answer = gathering.beside(self.pool.invoke(invocation(call))).await?;
            gathering.reply(answer?)
        })
    }
}

impl Drop for PoolExecutor {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// Plans a flow without its components: whether the graph makes sense, and in which order it would run. Calling its
/// executors is refused.
pub fn draft(spec: &FlowSpec) -> Result<ExecutionPlan, Problem> {
    let client = |stage: &lockgate_domain::StageSpec| {
        (stage.name.clone(), Arc::new(DraftExecutor::default()) as Arc<dyn ExecutorClient>)
    };
    ExecutionPlan::new(spec, spec.stages.iter().map(client))
}

/// The place of an executor in a draft.
#[derive(Debug, Default)]
struct DraftExecutor {
    manifest: Arc<Manifest>,
}

impl ExecutorClient for DraftExecutor {
    fn manifest(&self) -> Arc<Manifest> {
        self.manifest.clone()
    }

    fn resolve(&self, _wanted: &EndpointName) -> Option<EndpointName> {
        None
    }

    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        let message = format!("nothing answers to {} in the draft of a flow", call.endpoint);
        Box::pin(std::future::ready(Err(Problem::new(ErrorCode::Unavailable, message))))
    }
}
