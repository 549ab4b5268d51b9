//! Stages one behind the other: a loop, and nothing that a graph needs.

use std::time::Instant;

use super::results::Collected;
use super::{
    FlowReply, FlowRequest, Outcome, Passage, StageRoute, emit_for, emitters, is_over, route, too_late,
};
use crate::client::ExecutorCall;
use crate::join;
use crate::plan::ExecutionPlan;
use crate::stage::{self, now};

pub(super) async fn run(plan: &ExecutionPlan, mut request: FlowRequest, started: Instant) -> FlowReply {
    let mut documents = std::mem::take(&mut request.documents);
    let mut routes = Vec::with_capacity(plan.stages().len());
    let (mut fuel, mut clock, mut results) = (0u64, started, Collected::default());
    let emitters = emitters(plan, &request);
    for (place, stage) in plan.stages().iter().enumerate() {
        let mut entry = StageRoute { started: Some(clock), ..StageRoute::not_reached(stage) };
        let Passage::Called(endpoint) = route(stage, &request) else {
            entry.outcome = Outcome::Skipped;
            routes.push(entry);
            continue;
        };
        let result = if is_over(&request, clock) {
            Err(too_late(stage))
        } else {
            let source = stage.sources.first().copied().unwrap_or(crate::plan::Source::Gateway);
            let call = ExecutorCall {
                endpoint,
                documents: documents.clone(),
                parameters: request.parameters.scoped(&stage.name),
                inputs: join::single(plan.source_name(source), &documents),
                context: request.context.clone(),
                emit: emit_for(place, &emitters, &request),
            };
            stage::call(stage, call).await
        };
        clock = now();
        entry.ended = Some(clock);
        let taken = result.and_then(|reply| {
            results.add(place, stage, reply.results)?;
            Ok((reply.documents, reply.fuel))
        });
        match taken {
            Ok((list, burned)) => {
                documents = list;
                fuel = fuel.saturating_add(burned);
                entry.outcome = Outcome::Ran;
                routes.push(entry);
            }
            Err(problem) => {
                let problem = problem.with_executor(&stage.name);
                entry.outcome = Outcome::Failed(problem.clone());
                routes.push(entry);
                routes.extend(plan.stages().iter().skip(place + 1).map(StageRoute::not_reached));
                let results = results.together();
                return FlowReply { documents, results, routes, failure: Some(problem), fuel };
            }
        }
    }
    FlowReply { documents, results: results.together(), routes, failure: None, fuel }
}
