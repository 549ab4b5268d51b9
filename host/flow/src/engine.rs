//! Walks a plan with one request.
//!
//! Documents move from stage to stage by pointer. Everything happens in the caller's task: branches are polled
//! together, nothing is spawned, and dropping the future drops every call in progress and with it the guests. The first
//! failure ends the request: other branches are dropped, and the answer's documents are those that the failing executor
//! was sent. A chain of stages, the usual flow, is walked without the bookkeeping of a graph. Stages that float are the
//! one thing that outlives the future: whoever owns the plan drives them ([`crate::background`]).

mod chain;
mod floating;
mod graph;
mod results;
#[cfg(test)]
mod tests;

use std::time::Instant;

use lockgate_domain::{
    DocumentList, EndpointName, ErrorCode, ExecutorName, NamedResults, Parameters, Problem, RequestContext,
};

use crate::client::EmitSender;
use crate::plan::{ExecutionPlan, StagePlan};
use crate::stage::now;
use crate::target::TargetPattern;

/// One request of a flow.
#[derive(Debug, Clone)]
pub struct FlowRequest {
    /// What is asked of every executor.
    pub endpoint: EndpointName,
    /// Which executors are meant; none for all.
    pub target_executor: Option<TargetPattern>,
    /// The request's documents.
    pub documents: DocumentList,
    /// The request's parameters, not yet scoped to an executor.
    pub parameters: Parameters,
    /// Circumstances. The flow's own time limit applies if the deadline is later or missing.
    pub context: RequestContext,
    /// Where streaming endpoints emit. It goes to the executors behind which no other one runs: what they emit is what
    /// the caller would get.
    pub emit: Option<EmitSender>,
}

/// What a request gave.
#[derive(Debug, Clone)]
pub struct FlowReply {
    /// The answer's documents; after a failure those that the failing executor was sent.
    pub documents: DocumentList,
    /// What executors that answered gave beside documents, those before a failure as well.
    pub results: NamedResults,
    /// One entry per stage, along the graph: from each stage that takes the request down to the answer.
    pub routes: Vec<StageRoute>,
    /// Why it failed; names the executor.
    pub failure: Option<Problem>,
    /// Fuel that all calls that answered burned together.
    pub fuel: u64,
}

/// What became of one stage.
#[derive(Debug, Clone)]
pub struct StageRoute {
    /// The stage.
    pub executor: ExecutorName,
    /// When it was its turn.
    pub started: Option<Instant>,
    /// When its call ended; none unless it was called and gave an answer or an error.
    pub ended: Option<Instant>,
    /// What happened.
    pub outcome: Outcome,
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was called and answered.
    Ran,
    /// It has no such endpoint, or is not the target: documents passed unchanged.
    Skipped,
    /// It failed.
    Failed(Problem),
    /// Another stage failed first. One that had started was stopped.
    NotReached,
    /// It has begun, and nobody waits for it.
    Floating,
}

/// How documents come past a stage.
enum Passage {
    /// They go to the executor at this endpoint.
    Called(EndpointName),
    /// The executor has no such endpoint.
    Unbound,
    /// The request is not meant for it.
    NotMeant,
}

/// Runs requests on plans.
#[derive(Debug, Clone, Copy)]
pub struct FlowEngine;

impl FlowEngine {
    /// Runs one request. Deadlines need a tokio runtime with time; a request without a deadline gets the flow's.
    pub async fn run(plan: &ExecutionPlan, mut request: FlowRequest) -> FlowReply {
        let started = now();
        let latest = started.checked_add(plan.timeout());
        request.context.deadline = match (request.context.deadline, latest) {
            (Some(asked), Some(latest)) => Some(asked.min(latest)),
            (either, None) | (None, either) => either,
        };
        if plan.is_chain() {
            chain::run(plan, request, started).await
        } else {
            graph::run(plan, request, started).await
        }
    }
}

fn route(stage: &StagePlan, request: &FlowRequest) -> Passage {
    match &request.target_executor {
        Some(target) if !target.matches(&stage.name) => Passage::NotMeant,
        _ => stage.client.resolve(&request.endpoint).map_or(Passage::Unbound, Passage::Called),
    }
}

/// Per stage whether it may emit: it runs, and nothing behind it does that is waited for. Empty when nobody listens.
fn emitters(plan: &ExecutionPlan, request: &FlowRequest) -> Vec<bool> {
    if request.emit.is_none() {
        return Vec::new();
    }
    let count = plan.stages().len();
    let (mut emits, mut is_quiet) = (vec![false; count], vec![true; count]);
    for (place, stage) in plan.stages().iter().enumerate().rev() {
        // Dependents come later in the plan, so they have been decided.
        let is_last = stage.dependents.iter().all(|after| is_quiet.get(*after).copied().unwrap_or(true));
        let runs = !stage.is_floating && matches!(route(stage, request), Passage::Called(_));
        if let (Some(emits), Some(is_quiet)) = (emits.get_mut(place), is_quiet.get_mut(place)) {
            *emits = runs && is_last;
            *is_quiet = !runs && is_last;
        }
    }
    emits
}

fn emit_for(place: usize, emitters: &[bool], request: &FlowRequest) -> Option<EmitSender> {
    emitters.get(place).copied().unwrap_or(false).then(|| request.emit.clone()).flatten()
}

fn too_late(stage: &StagePlan) -> Problem {
    let message = format!("the request's deadline passed before executor `{}` was called", stage.name);
    Problem::new(ErrorCode::DeadlineExceeded, message)
        .with_hint("allow more time: the caller's own deadline, or `timeout` of the flow")
}

fn is_over(request: &FlowRequest, now: Instant) -> bool {
    request.context.deadline.is_some_and(|deadline| deadline <= now)
}

impl FlowReply {
    /// Nothing was called.
    fn refused(plan: &ExecutionPlan, documents: DocumentList, problem: Problem) -> Self {
        let stages = plan.story().iter().filter_map(|place| plan.stages().get(*place));
        Self {
            documents,
            results: NamedResults::default(),
            routes: stages.map(StageRoute::not_reached).collect(),
            failure: Some(problem),
            fuel: 0,
        }
    }
}

impl StageRoute {
    fn not_reached(stage: &StagePlan) -> Self {
        Self { executor: stage.name.clone(), started: None, ended: None, outcome: Outcome::NotReached }
    }
}
