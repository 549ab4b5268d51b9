//! What the flow engine needs of an executor: something that can be called.
//!
//! Three things implement it: a pool of instances in this process, an executor on another node, and a script in tests.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lockgate_domain::{
    DocumentList, EndpointName, ExecutorName, Manifest, NamedResults, Parameters, Problem, RequestContext,
    Results,
};
use tokio::sync::mpsc;

/// Where a streaming endpoint's documents go. Bounded: a full channel makes the guest wait.
pub type EmitSender = mpsc::Sender<DocumentList>;

/// One call of one stage.
#[derive(Debug, Clone)]
pub struct ExecutorCall {
    /// The endpoint as the executor's manifest names it.
    pub endpoint: EndpointName,
    /// What the stage gets; cheap to clone, so a retry sends the same.
    pub documents: DocumentList,
    /// What this executor sees of the request's parameters.
    pub parameters: Parameters,
    /// The upstream lists that were joined into `documents`.
    pub inputs: Arc<[StageInput]>,
    /// Circumstances of the request; the deadline is this call's own.
    pub context: RequestContext,
    /// Where to emit; none when nobody listens.
    pub emit: Option<EmitSender>,
}

/// One upstream list inside a stage's documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageInput {
    /// Where it comes from.
    pub executor: ExecutorName,
    /// Its first row.
    pub first: u32,
    /// Its rows.
    pub count: u32,
}

/// What a call gave.
#[derive(Debug, Clone)]
pub struct ExecutorReply {
    /// The documents after the call.
    pub documents: DocumentList,
    /// What it gave beside them.
    pub results: GivenResults,
    /// Fuel burned.
    pub fuel: u64,
}

/// What a call gave beside documents.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum GivenResults {
    /// Nothing.
    #[default]
    Nothing,
    /// What one executor gave; whoever called it knows its name.
    Own(Box<Results>),
    /// What those gave of whom it is made.
    Named(NamedResults),
}

impl GivenResults {
    /// The same by name; what has none yet gets this one.
    #[must_use]
    pub fn named(self, name: impl FnOnce() -> String) -> NamedResults {
        match self {
            Self::Nothing => NamedResults::default(),
            Self::Own(results) => {
                let mut named = NamedResults::default();
                named.insert(name(), *results);
                named
            }
            Self::Named(results) => results,
        }
    }

    /// Whether there is anything.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Own(_) => false,
            Self::Named(results) => results.is_empty(),
        }
    }

    /// About the bytes that it holds.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Own(results) => results.bytes(),
            Self::Named(results) => results.bytes(),
        }
    }
}

impl From<Option<Box<Results>>> for GivenResults {
    fn from(results: Option<Box<Results>>) -> Self {
        results.map_or(Self::Nothing, Self::Own)
    }
}

impl From<NamedResults> for GivenResults {
    fn from(results: NamedResults) -> Self {
        if results.is_empty() { Self::Nothing } else { Self::Named(results) }
    }
}

/// Something that can be called as an executor.
pub trait ExecutorClient: Send + Sync {
    /// What it says about itself now. Whoever asks again after a swap may get another one; as long as nothing was
    /// swapped it is the same allocation, so that what was made of it can be kept.
    fn manifest(&self) -> Arc<Manifest>;

    /// The endpoint that serves a request for `wanted` now; none if the executor is passed by. Asked for every request
    /// and every stage.
    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName>;

    /// Calls it. Dropping the future stops the guest.
    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>>;
}
