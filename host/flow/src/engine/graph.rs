//! Stages with branches and joins: calls in progress are polled together, a stage starts with the last of its needs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};
use lockgate_domain::{DocumentList, ExecutorName, Limits, Problem};

use super::{FlowReply, FlowRequest, Outcome, StageRoute, emit_for, emitters, is_over, route, too_late};
use crate::client::{ExecutorCall, ExecutorReply, StageInput};
use crate::join::join;
use crate::plan::{ExecutionPlan, Source, StagePlan};
use crate::stage::{self, now};

pub(super) async fn run(plan: &ExecutionPlan, mut request: FlowRequest, started: Instant) -> FlowReply {
    let documents = std::mem::take(&mut request.documents);
    let mut walk = Walk::new(plan, &request, documents);
    let mut running = FuturesUnordered::new();
    let mut clock = started;
    loop {
        while let Some(place) = walk.ready.pop_front() {
            match walk.begin(place, clock) {
                Some(Begun::Passed(documents)) => walk.finish(place, documents),
                Some(Begun::Called { stage, call }) => running.push(invoke(place, stage, call)),
                Some(Begun::Failed { documents, problem }) => {
                    return walk.fail(place, documents, problem, clock);
                }
                None => {}
            }
        }
        let Some(finished) = running.next().await else { break };
        clock = now();
        match finished.result {
            Ok(reply) => {
                walk.note(finished.place, Some(clock), Outcome::Ran);
                walk.fuel = walk.fuel.saturating_add(reply.fuel);
                walk.finish(finished.place, reply.documents);
            }
            // Returning drops `running`, and with it the calls of the other branches.
            Err(problem) => return walk.fail(finished.place, finished.sent, problem, clock),
        }
    }
    walk.answer()
}

struct Finished {
    place: usize,
    sent: DocumentList,
    result: Result<ExecutorReply, Problem>,
}

async fn invoke(place: usize, stage: &StagePlan, call: ExecutorCall) -> Finished {
    let sent = call.documents.clone();
    Finished { place, sent, result: stage::call(stage, call).await }
}

enum Begun<'a> {
    /// The documents pass unchanged.
    Passed(DocumentList),
    Called {
        stage: &'a StagePlan,
        call: ExecutorCall,
    },
    Failed {
        documents: DocumentList,
        problem: Problem,
    },
}

/// How far a request has come.
struct Walk<'a> {
    plan: &'a ExecutionPlan,
    request: &'a FlowRequest,
    documents: DocumentList,
    outputs: Vec<Option<DocumentList>>,
    /// Per stage the needs that have not finished.
    missing: Vec<usize>,
    ready: VecDeque<usize>,
    routes: Vec<StageRoute>,
    emitters: Vec<bool>,
    fuel: u64,
}

impl<'a> Walk<'a> {
    fn new(plan: &'a ExecutionPlan, request: &'a FlowRequest, documents: DocumentList) -> Self {
        let missing: Vec<usize> = plan.stages().iter().map(|stage| stage.upstream().count()).collect();
        let ready = missing.iter().zip(0..).filter(|(missing, _)| **missing == 0).map(|(_, place)| place);
        Self {
            plan,
            request,
            documents,
            outputs: vec![None; missing.len()],
            ready: ready.collect(),
            missing,
            routes: plan.stages().iter().map(StageRoute::not_reached).collect(),
            emitters: emitters(plan, request),
            fuel: 0,
        }
    }

    /// Starts a stage whose needs have finished.
    fn begin(&mut self, place: usize, clock: Instant) -> Option<Begun<'a>> {
        let stage = self.plan.stages().get(place)?;
        if let Some(entry) = self.routes.get_mut(place) {
            entry.started = Some(clock);
        }
        let (documents, inputs) = match self.gather(&stage.sources, stage.reduce, &stage.limits) {
            Ok(gathered) => gathered,
            Err(problem) => {
                return Some(Begun::Failed { documents: self.first_part(&stage.sources), problem });
            }
        };
        let Some(endpoint) = route(stage, self.request) else {
            self.note(place, None, Outcome::Skipped);
            return Some(Begun::Passed(documents));
        };
        if is_over(self.request, clock) {
            return Some(Begun::Failed { documents, problem: too_late(stage) });
        }
        let call = ExecutorCall {
            endpoint,
            documents,
            parameters: self.request.parameters.scoped(&stage.name),
            inputs,
            context: self.request.context.clone(),
            emit: emit_for(place, &self.emitters, self.request),
        };
        Some(Begun::Called { stage, call })
    }

    /// Keeps a stage's output and makes ready what waited for it alone.
    fn finish(&mut self, place: usize, documents: DocumentList) {
        if let Some(output) = self.outputs.get_mut(place) {
            *output = Some(documents);
        }
        let plan = self.plan;
        for &dependent in
            plan.stages().get(place).map(|stage| stage.dependents.as_slice()).unwrap_or_default()
        {
            if let Some(missing) = self.missing.get_mut(dependent) {
                *missing = missing.saturating_sub(1);
                if *missing == 0 {
                    self.ready.push_back(dependent);
                }
            }
        }
    }

    fn note(&mut self, place: usize, ended: Option<Instant>, outcome: Outcome) {
        if let Some(entry) = self.routes.get_mut(place) {
            (entry.ended, entry.outcome) = (ended, outcome);
        }
    }

    fn gather(
        &self,
        sources: &[Source],
        is_reduced: bool,
        limits: &Limits,
    ) -> Result<(DocumentList, Arc<[StageInput]>), Problem> {
        let parts: Vec<(&ExecutorName, &DocumentList)> =
            sources.iter().map(|source| (self.plan.source_name(*source), self.output(*source))).collect();
        join(&parts, is_reduced, limits)
    }

    fn output(&self, source: Source) -> &DocumentList {
        match source {
            Source::Gateway => &self.documents,
            Source::Stage(place) => {
                self.outputs.get(place).and_then(Option::as_ref).unwrap_or(&self.documents)
            }
        }
    }

    /// What stands for the documents of a stage whose inputs cannot be joined.
    fn first_part(&self, sources: &[Source]) -> DocumentList {
        sources.first().map_or_else(DocumentList::default, |source| self.output(*source).clone())
    }

    fn fail(mut self, place: usize, documents: DocumentList, problem: Problem, clock: Instant) -> FlowReply {
        let problem = match self.plan.stages().get(place) {
            Some(stage) => problem.with_executor(&stage.name),
            None => problem,
        };
        self.note(place, Some(clock), Outcome::Failed(problem.clone()));
        FlowReply { documents, routes: self.routes, failure: Some(problem), fuel: self.fuel }
    }

    /// The ends joined by document id, in the order of the file.
    fn answer(self) -> FlowReply {
        let ends: Vec<Source> = self.plan.ends().iter().copied().map(Source::Stage).collect();
        match self.gather(&ends, true, self.plan.limits()) {
            Ok((documents, _)) => {
                FlowReply { documents, routes: self.routes, failure: None, fuel: self.fuel }
            }
            Err(problem) => FlowReply {
                documents: self.first_part(&ends),
                routes: self.routes,
                failure: Some(problem),
                fuel: self.fuel,
            },
        }
    }
}
