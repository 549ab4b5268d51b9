//! Stages with branches, joins and conditions: calls in progress are polled together, a stage starts with the last of
//! its needs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join as both;
use futures_util::stream::{FuturesUnordered, StreamExt};
use lockgate_domain::{DocumentList, EndpointName, ExecutorName, Problem};

use super::floating::Floating;
use super::results::Collected;
use super::{
    FlowReply, FlowRequest, Outcome, Passage, StageRoute, emit_for, emitters, is_over, route, too_late,
};
use crate::client::{EmitSender, ExecutorCall, GivenResults, StageInput};
use crate::filter;
use crate::join::join;
use crate::plan::{ExecutionPlan, Source, StagePlan};
use crate::stage::{self, now};

pub(super) async fn run(plan: &ExecutionPlan, mut request: FlowRequest, started: Instant) -> FlowReply {
    let documents = std::mem::take(&mut request.documents);
    let floats = plan.stages().iter().any(|stage| stage.is_floating);
    let mut floating = match floats.then(|| Floating::begin(plan, &request, &documents, started)).transpose()
    {
        Ok(floating) => floating,
        Err(problem) => return FlowReply::refused(plan, documents, problem),
    };
    let own = floating.as_mut().and_then(Floating::take_own);
    let walk = Walk::new(plan, &request, documents, false).with_floating(floating);
    match own {
        None => walk.through(started).await,
        // Nobody drives them, so the request does.
        Some(own) => both(walk.through(started), own).await.0,
    }
}

/// What became of a stage's turn.
pub(super) struct Finished {
    pub(super) place: usize,
    /// What the executor was sent.
    sent: DocumentList,
    pub(super) result: Result<Done, Problem>,
}

pub(super) struct Done {
    pub(super) documents: DocumentList,
    results: GivenResults,
    fuel: u64,
    pub(super) outcome: Outcome,
}

/// A stage's turn, before it waits for anything.
pub(super) enum Begun<'a> {
    /// The documents pass unchanged.
    Passed(DocumentList),
    Turn(Turn<'a>),
    Failed {
        documents: DocumentList,
        problem: Problem,
    },
}

/// A stage that has something to do.
pub(super) struct Turn<'a> {
    place: usize,
    stage: &'a StagePlan,
    /// None if the executor has no such endpoint: then documents are chosen, but nobody is called.
    endpoint: Option<EndpointName>,
    input: Input,
    request: &'a FlowRequest,
    emit: Option<EmitSender>,
}

enum Input {
    Joined(DocumentList, Arc<[StageInput]>),
    /// What a condition has to choose from before it is joined.
    Parts(Vec<(ExecutorName, DocumentList)>),
}

impl Turn<'_> {
    pub(super) async fn take(self) -> Finished {
        let Self { place, stage, endpoint, input, request, emit } = self;
        let fail = |sent, problem| Finished { place, sent, result: Err(problem) };
        let (documents, inputs) = match input {
            Input::Joined(documents, inputs) => (documents, inputs),
            Input::Parts(parts) => match chosen(stage, &parts, request.context.deadline).await {
                Ok(joined) => joined,
                Err(problem) => return fail(first(parts), problem),
            },
        };
        let Some(endpoint) = endpoint else {
            let results = GivenResults::Nothing;
            let done = Done { documents: documents.clone(), results, fuel: 0, outcome: Outcome::Skipped };
            return Finished { place, sent: documents, result: Ok(done) };
        };
        let call = ExecutorCall {
            endpoint,
            documents: documents.clone(),
            parameters: request.parameters.scoped(&stage.name),
            inputs,
            context: request.context.clone(),
            emit,
        };
        let result = stage::call(stage, call).await.map(|reply| Done {
            documents: reply.documents,
            results: reply.results,
            fuel: reply.fuel,
            outcome: Outcome::Ran,
        });
        Finished { place, sent: documents, result }
    }
}

/// As Jina does, each part is chosen from on its own, then what is left is joined.
async fn chosen(
    stage: &StagePlan,
    parts: &[(ExecutorName, DocumentList)],
    deadline: Option<Instant>,
) -> Result<(DocumentList, Arc<[StageInput]>), Problem> {
    let mut kept = Vec::with_capacity(parts.len());
    for (executor, documents) in parts {
        let documents = match &stage.condition {
            Some(condition) => filter::satisfying(condition, documents, deadline).await?,
            None => documents.clone(),
        };
        kept.push((executor, documents));
    }
    let kept: Vec<(&ExecutorName, &DocumentList)> = kept.iter().map(|(name, list)| (*name, list)).collect();
    join(&kept, stage.reduce, &stage.limits)
}

fn first(parts: Vec<(ExecutorName, DocumentList)>) -> DocumentList {
    parts.into_iter().next().map_or_else(DocumentList::default, |(_, documents)| documents)
}

/// How far a request has come: with the stages that are waited for, or with those that float.
pub(super) struct Walk<'a> {
    plan: &'a ExecutionPlan,
    request: &'a FlowRequest,
    documents: DocumentList,
    outputs: Vec<Option<DocumentList>>,
    /// Per stage the needs that have not finished.
    missing: Vec<usize>,
    pub(super) ready: VecDeque<usize>,
    pub(super) routes: Vec<StageRoute>,
    emitters: Vec<bool>,
    results: Collected,
    fuel: u64,
    /// Which half of the plan this is.
    is_floating: bool,
    floating: Option<Floating>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        plan: &'a ExecutionPlan,
        request: &'a FlowRequest,
        documents: DocumentList,
        is_floating: bool,
    ) -> Self {
        let missing: Vec<usize> = plan.stages().iter().map(|stage| stage.upstream().count()).collect();
        let starts = plan.stages().iter().zip(&missing).zip(0..).filter_map(|((stage, missing), place)| {
            (*missing == 0 && stage.is_floating == is_floating).then_some(place)
        });
        Self {
            plan,
            request,
            documents,
            outputs: vec![None; missing.len()],
            ready: starts.collect(),
            missing,
            routes: plan.stages().iter().map(StageRoute::not_reached).collect(),
            emitters: if is_floating { Vec::new() } else { emitters(plan, request) },
            fuel: 0,
            results: Collected::default(),
            is_floating,
            floating: None,
        }
    }

    fn with_floating(mut self, floating: Option<Floating>) -> Self {
        self.floating = floating;
        self
    }

    async fn through(mut self, started: Instant) -> FlowReply {
        let mut running = FuturesUnordered::new();
        let mut clock = started;
        loop {
            while let Some(place) = self.ready.pop_front() {
                match self.begin(place, clock) {
                    Some(Begun::Passed(documents)) => self.finish(place, documents, clock),
                    Some(Begun::Turn(turn)) => running.push(turn.take()),
                    Some(Begun::Failed { documents, problem }) => {
                        return self.fail(place, documents, problem, clock);
                    }
                    None => {}
                }
            }
            let Some(Finished { place, sent, result }) = running.next().await else { break };
            clock = now();
            if let Err(problem) = result.and_then(|done| self.conclude(place, done, clock)) {
                // Returning drops `running`, and with it the calls of the other branches.
                return self.fail(place, sent, problem, clock);
            }
        }
        self.answer()
    }

    /// Starts a stage whose needs have finished.
    pub(super) fn begin(&mut self, place: usize, clock: Instant) -> Option<Begun<'a>> {
        let stage = self.plan.stages().get(place)?;
        if let Some(entry) = self.routes.get_mut(place) {
            entry.started = Some(clock);
        }
        let passage = route(stage, self.request);
        let chooses = stage.condition.is_some() && !matches!(passage, Passage::NotMeant);
        let input = if chooses {
            let part =
                |source: &Source| (self.plan.source_name(*source).clone(), self.output(*source).clone());
            Input::Parts(stage.sources.iter().map(part).collect())
        } else {
            match self.gather(stage) {
                Ok((documents, inputs)) => Input::Joined(documents, inputs),
                Err(problem) => {
                    return Some(Begun::Failed { documents: self.first_part(stage), problem });
                }
            }
        };
        let endpoint = match passage {
            Passage::Called(endpoint) => Some(endpoint),
            Passage::Unbound | Passage::NotMeant => None,
        };
        let (endpoint, input) = match (endpoint, input) {
            (None, Input::Joined(documents, _)) => {
                self.note(place, None, Outcome::Skipped);
                return Some(Begun::Passed(documents));
            }
            turn => turn,
        };
        if endpoint.is_some() && is_over(self.request, clock) {
            let documents = match input {
                Input::Joined(documents, _) => documents,
                Input::Parts(parts) => first(parts),
            };
            return Some(Begun::Failed { documents, problem: too_late(stage) });
        }
        let emit = emit_for(place, &self.emitters, self.request);
        Some(Begun::Turn(Turn { place, stage, endpoint, input, request: self.request, emit }))
    }

    /// Takes what a stage gave; refuses what it gave beside documents if that is too much.
    pub(super) fn conclude(&mut self, place: usize, done: Done, clock: Instant) -> Result<(), Problem> {
        if !self.is_floating
            && let Some(stage) = self.plan.stages().get(place)
        {
            self.results.add(place, stage, done.results)?;
        }
        let ended = (done.outcome == Outcome::Ran).then_some(clock);
        self.note(place, ended, done.outcome);
        self.fuel = self.fuel.saturating_add(done.fuel);
        self.finish(place, done.documents, clock);
        Ok(())
    }

    /// Keeps a stage's output and makes ready what waited for it alone.
    pub(super) fn finish(&mut self, place: usize, documents: DocumentList, clock: Instant) {
        let plan = self.plan;
        let dependents =
            plan.stages().get(place).map(|stage| stage.dependents.as_slice()).unwrap_or_default();
        let is_floating = |place: usize| plan.stages().get(place).is_some_and(|stage| stage.is_floating);
        if let Some(floating) = &self.floating
            && dependents.iter().any(|dependent| is_floating(*dependent))
        {
            floating.feed(place, documents.clone());
        }
        if let Some(output) = self.outputs.get_mut(place) {
            *output = Some(documents);
        }
        for &dependent in dependents {
            let Some(missing) = self.missing.get_mut(dependent) else { continue };
            *missing = missing.saturating_sub(1);
            if *missing > 0 {
                continue;
            }
            if is_floating(dependent) == self.is_floating {
                self.ready.push_back(dependent);
            } else if let Some(floating) = &self.floating {
                floating.started(dependent, clock);
            }
        }
    }

    pub(super) fn note(&mut self, place: usize, ended: Option<Instant>, outcome: Outcome) {
        if let Some(entry) = self.routes.get_mut(place) {
            (entry.ended, entry.outcome) = (ended, outcome);
        }
    }

    fn gather(&self, stage: &StagePlan) -> Result<(DocumentList, Arc<[StageInput]>), Problem> {
        let named = |source: &Source| (self.plan.source_name(*source), self.output(*source));
        let parts: Vec<(&ExecutorName, &DocumentList)> = stage.sources.iter().map(named).collect();
        join(&parts, stage.reduce, &stage.limits)
    }

    fn output(&self, source: Source) -> &DocumentList {
        match source {
            Source::Gateway => &self.documents,
            Source::Stage(place) => {
                self.outputs.get(place).and_then(Option::as_ref).unwrap_or(&self.documents)
            }
        }
    }

    /// What stands for the documents of a stage whose inputs were not joined.
    fn first_part(&self, stage: &StagePlan) -> DocumentList {
        stage.sources.first().map_or_else(DocumentList::default, |source| self.output(*source).clone())
    }

    fn fail(mut self, place: usize, documents: DocumentList, problem: Problem, clock: Instant) -> FlowReply {
        let problem = match self.plan.stages().get(place) {
            Some(stage) => problem.with_executor(&stage.name),
            None => problem,
        };
        self.note(place, Some(clock), Outcome::Failed(problem.clone()));
        self.reply(documents, Some(problem))
    }

    fn answer(self) -> FlowReply {
        let documents = self.output(self.plan.answer()).clone();
        self.reply(documents, None)
    }

    /// Routes as they are now, along the graph.
    fn reply(mut self, documents: DocumentList, failure: Option<Problem>) -> FlowReply {
        let documents = if self.plan.is_conditional() {
            filter::in_order_of(&self.documents, documents)
        } else {
            documents
        };
        if let Some(floating) = self.floating.take() {
            floating.tell(&mut self.routes);
        }
        let routes = self.plan.story().iter().filter_map(|place| self.routes.get(*place).cloned()).collect();
        FlowReply { documents, results: self.results.together(), routes, failure, fuel: self.fuel }
    }
}
