//! What one batch does from its first request to its last answer. It is driven by its requests, in turn.
//!
//! The executor is called on behalf of all whose documents are in the call: under the batch's own id, without anybody's
//! metadata, until the last of them has to have its answer, and with the fuel that all of them have left. What it burned
//! is charged by documents. A batch of one request is that request's own call.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Instant;

use lockgate_domain::document::concat;
use lockgate_domain::request::{Headers, STICKY};
use lockgate_domain::spec::BatchingSpec;
use lockgate_domain::{
    BatchExplanation, DocumentList, ErrorCode, ErrorSource, ExecutorName, FuelBudget, Limits, Problem,
    RequestContext, RequestId,
};
use tokio::sync::oneshot;

use super::queue::{Closed, Due, Key};
use super::split::{Misfit, Part, assign, cut, shares};
use super::{Settled, Shared, Signal, Waiter, only_documents};
use crate::client::{ExecutorCall, ExecutorClient, ExecutorReply, GivenResults};
use crate::join;
use crate::stage::{now, out_of_fuel};

/// Documents that were counted before are not counted again on their way back.
const UNBOUNDED: Limits = Limits {
    fuel: u64::MAX,
    wall_time_ms: u64::MAX,
    memory_bytes: u64::MAX,
    table_elements: u32::MAX,
    core_instances: u32::MAX,
    host_call_bytes: u64::MAX,
    written_bytes: u64::MAX,
    documents: u32::MAX,
    columns: u32::MAX,
    log_line_bytes: u32::MAX,
    log_lines: u32::MAX,
};

/// A batch to be.
pub(super) struct Course {
    pub(super) stage: ExecutorName,
    pub(super) inner: Arc<dyn ExecutorClient>,
    pub(super) rule: BatchingSpec,
    pub(super) limits: Limits,
    pub(super) shared: Arc<Shared>,
    pub(super) signal: Arc<Signal>,
    pub(super) key: Arc<Key>,
    pub(super) number: u64,
}

/// A request of a batch that is being called.
struct Member {
    call: ExecutorCall,
    waited_us: u64,
    /// None once it has its answer.
    answer: Option<oneshot::Sender<Settled>>,
    /// What has come back of its documents.
    done: Vec<DocumentList>,
    /// Documents that have not been called.
    missing: u32,
    fuel: u64,
}

/// What is said about the batch to those of its requests that asked.
struct Story {
    batch: RequestId,
    closed: Closed<()>,
    requests: u32,
    calls: u32,
}

impl Course {
    pub(super) async fn run(self) {
        let Some(closed) = self.gathered().await else { return };
        let sent = now();
        self.shared.count(&closed);
        let Closed { members, documents, bytes, reason } = closed;
        let mut members: Vec<Member> = members.into_iter().map(|waiter| Member::new(waiter, sent)).collect();
        let most = if self.rule.flush_all { u32::MAX } else { self.rule.preferred_documents };
        let calls = cut(members.iter().map(|member| member.missing), most);
        let story = Story {
            batch: RequestId::fresh(),
            closed: Closed { members: Vec::new(), documents, bytes, reason },
            requests: u32::try_from(members.len()).unwrap_or(u32::MAX),
            calls: u32::try_from(calls.len()).unwrap_or(u32::MAX),
        };
        tracing::debug!(
            executor = %self.stage,
            batch.id = story.batch.as_str(),
            requests = story.requests,
            documents,
            reason = reason.as_str(),
            "a batch is sent"
        );
        for mut parts in calls {
            // Whoever left, or has an answer already, is not worked for.
            parts.retain(|part| members.get(part.member).is_some_and(Member::is_waiting));
            if parts.is_empty() {
                continue;
            }
            match self.call(&mut members, &parts, &story).await {
                Some(result) => self.settle(&mut members, &parts, result, &story),
                // Everybody in it left.
                None => continue,
            }
        }
    }

    /// Waits until the batch is to be sent.
    async fn gathered(&self) -> Option<Closed<Waiter>> {
        loop {
            let due = self.shared.queues().due(&self.key, self.number, now());
            let until = match due {
                Due::Now(closed) => return Some(closed),
                Due::Gone => return self.signal.closed.lock().unwrap_or_else(PoisonError::into_inner).take(),
                Due::At(until) => until,
            };
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = self.signal.changed.notified() => {}
            }
        }
    }

    /// One call; the documents that come back are those of each part. None if all of its requests were dropped.
    async fn call(
        &self,
        members: &mut [Member],
        parts: &[Part],
        story: &Story,
    ) -> Option<Result<Vec<DocumentList>, Problem>> {
        let (call, budget) = match self.assemble(members, parts, story) {
            Ok(assembled) => assembled,
            Err(problem) => return Some(Err(problem)),
        };
        let (sent, fuel) = (call.documents.clone(), budget.left());
        let result = unless_deserted(members, parts, self.inner.call(call)).await?;
        let result = result.and_then(|reply| only_documents(&self.stage, reply));
        let burned = fuel.saturating_sub(budget.left());
        match parts {
            [part] => {
                if let Some(member) = members.get_mut(part.member) {
                    member.fuel = member.fuel.saturating_add(burned);
                }
                Some(result.map(|reply| vec![reply.documents]))
            }
            _ => {
                charge(members, parts, burned);
                Some(result.and_then(|reply| self.split(parts, &sent, &reply.documents)))
            }
        }
    }

    /// What the executor is called with, and the budget it burns from.
    fn assemble(
        &self,
        members: &[Member],
        parts: &[Part],
        story: &Story,
    ) -> Result<(ExecutorCall, FuelBudget), Problem> {
        let involved =
            || parts.iter().filter_map(|part| members.get(part.member).map(|member| (part, member)));
        let lists: Vec<DocumentList> =
            involved().map(|(part, member)| member.rows(part)).collect::<Result<_, _>>()?;
        if let (Some((_, only)), [list]) = (involved().next(), lists.as_slice()) {
            let budget = only.call.context.fuel.clone();
            let inputs = match only.call.inputs.first() {
                Some(input) => join::single(&input.executor, list),
                None => only.call.inputs.clone(),
            };
            return Ok((ExecutorCall { documents: list.clone(), inputs, ..only.call.clone() }, budget));
        }
        let lists: Vec<&DocumentList> = lists.iter().collect();
        let documents = concat(&lists, &self.limits).map_err(|error| {
            let message = format!("the documents of a batch cannot stand in one list: {error}");
            Problem::new(ErrorCode::HostFault, message)
        })?;
        let left =
            involved().fold(0u64, |sum, (_, member)| sum.saturating_add(member.call.context.fuel.left()));
        if left == 0 {
            let total = involved().map(|(_, member)| member.call.context.fuel.total()).max().unwrap_or(0);
            return Err(out_of_fuel(&self.stage, total));
        }
        let Some((_, first)) = involved().next() else {
            return Err(Problem::new(ErrorCode::HostFault, "a batch without requests was sent"));
        };
        let budget = FuelBudget::new(left);
        let sticky = self.key.sticky.clone().map(|value| (STICKY.to_owned(), value));
        let deadlines = involved().map(|(_, member)| member.call.context.deadline);
        let context = RequestContext {
            headers: Headers::new(sticky.into_iter().collect()),
            deadline: latest(deadlines),
            ..RequestContext::new(story.batch.clone(), self.key.tenant.clone(), budget.clone())
        };
        let inputs = match first.call.inputs.first() {
            Some(input) => join::single(&input.executor, &documents),
            None => first.call.inputs.clone(),
        };
        Ok((ExecutorCall { documents, inputs, context, ..first.call.clone() }, budget))
    }

    fn split(
        &self,
        parts: &[Part],
        sent: &DocumentList,
        reply: &DocumentList,
    ) -> Result<Vec<DocumentList>, Problem> {
        let counts: Vec<u32> = parts.iter().map(|part| part.count).collect();
        let rows = assign(sent, &counts, reply).map_err(|misfit| self.mixed_up(sent, reply, &misfit))?;
        rows.iter().map(|rows| select(reply, rows)).collect()
    }

    fn mixed_up(&self, sent: &DocumentList, reply: &DocumentList, misfit: &Misfit) -> Problem {
        let (stage, sent, got) = (&self.stage, sent.len(), reply.len());
        let found = match misfit {
            Misfit::Unknown(id) => format!("no request sent a document with the id {:?}", shown(id)),
            Misfit::Ambiguous(id) => format!("several requests sent a document with the id {:?}", shown(id)),
            Misfit::Anonymous => "one of them has no id".to_owned(),
        };
        let message = format!(
            "executor `{stage}` gave {got} documents for a batch of {sent}, and it cannot be told whose they are: {found}"
        );
        Problem::new(ErrorCode::ContractViolation, message).with_executor(stage).with_hint(
            "keep the number and the order of documents at an endpoint that is batched, or take it out of `uses_dynamic_batching`",
        )
    }

    fn settle(
        &self,
        members: &mut [Member],
        parts: &[Part],
        result: Result<Vec<DocumentList>, Problem>,
        story: &Story,
    ) {
        match result {
            Ok(lists) => {
                for (part, list) in parts.iter().zip(lists) {
                    if let Some(member) = members.get_mut(part.member) {
                        member.take(part, list);
                        if member.missing == 0 {
                            let settled = member.complete();
                            self.answer(member, settled, story);
                        }
                    }
                }
            }
            Err(problem) => {
                let runs_again = self.rule.isolate_failures
                    && parts.len() > 1
                    && problem.source() == ErrorSource::Guest
                    // What nobody has seen is for the stage to try again.
                    && !problem.code().has_no_side_effects();
                for member in parts.iter().map(|part| part.member) {
                    if let Some(member) = members.get_mut(member) {
                        let settled = if runs_again {
                            self.shared.alone.fetch_add(1, Ordering::Relaxed);
                            Settled::Alone
                        } else {
                            Settled::Done(Err(problem.clone()))
                        };
                        self.answer(member, settled, story);
                    }
                }
            }
        }
    }

    fn answer(&self, member: &mut Member, settled: Settled, story: &Story) {
        let Some(answer) = member.answer.take() else { return };
        if let Some(explanations) = &member.call.context.explanations {
            explanations.add(BatchExplanation {
                executor: self.stage.clone(),
                endpoint: self.key.endpoint.clone(),
                batch: story.batch.clone(),
                requests: story.requests,
                documents: story.closed.documents,
                bytes: story.closed.bytes,
                calls: story.calls,
                waited_us: member.waited_us,
                flushed: story.closed.reason,
                alone: matches!(settled, Settled::Alone),
            });
        }
        // Whoever was dropped this moment needs no answer.
        answer.send(settled).ok();
    }
}

impl Member {
    fn new(waiter: Waiter, sent: Instant) -> Self {
        let waited = sent.saturating_duration_since(waiter.since);
        Self {
            missing: waiter.call.documents.len(),
            call: waiter.call,
            waited_us: u64::try_from(waited.as_micros()).unwrap_or(u64::MAX),
            answer: Some(waiter.answer),
            done: Vec::new(),
            fuel: 0,
        }
    }

    fn is_waiting(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.is_closed())
    }

    fn rows(&self, part: &Part) -> Result<DocumentList, Problem> {
        let list = &self.call.documents;
        if part.count == list.len() {
            return Ok(list.clone());
        }
        let rows: Vec<u32> = (part.first..part.first.saturating_add(part.count)).collect();
        select(list, &rows)
    }

    fn take(&mut self, part: &Part, list: DocumentList) {
        self.missing = self.missing.saturating_sub(part.count);
        self.done.push(list);
    }

    /// All its documents, in one list again.
    fn complete(&mut self) -> Settled {
        let lists: Vec<&DocumentList> = self.done.iter().collect();
        let documents = concat(&lists, &UNBOUNDED).map_err(|error| {
            let message = format!("the parts of a large request cannot stand in one list again: {error}");
            Problem::new(ErrorCode::ContractViolation, message)
                .with_hint("let the executor write each field with one kind, or set `flush_all: true`")
        });
        let reply = |documents| ExecutorReply { documents, results: GivenResults::Nothing, fuel: self.fuel };
        Settled::Done(documents.map(reply))
    }
}

/// The future's output; none as soon as nobody waits for it. Requests of other calls of the batch may go on.
async fn unless_deserted<T>(
    members: &mut [Member],
    parts: &[Part],
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        let mut is_deserted = true;
        for part in parts {
            let answer = members.get_mut(part.member).and_then(|member| member.answer.as_mut());
            is_deserted &= answer.is_none_or(|answer| answer.poll_closed(context).is_ready());
        }
        if is_deserted { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Takes what was burned out of the budgets of those whose documents were in the call.
fn charge(members: &mut [Member], parts: &[Part], burned: u64) {
    let counts: Vec<u32> = parts.iter().map(|part| part.count).collect();
    let left = parts.iter().map(|part| members.get(part.member).map_or(0, |m| m.call.context.fuel.left()));
    let left: Vec<u64> = left.collect();
    for (part, share) in parts.iter().zip(shares(burned, &counts, &left)) {
        if let Some(member) = members.get_mut(part.member) {
            let paid = member.call.context.fuel.take(share);
            member.fuel = member.fuel.saturating_add(paid);
        }
    }
}

/// The latest of them; none if one of them is none.
fn latest(deadlines: impl Iterator<Item = Option<Instant>>) -> Option<Instant> {
    deadlines.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b))).flatten()
}

fn select(list: &DocumentList, rows: &[u32]) -> Result<DocumentList, Problem> {
    list.select(rows).map_err(|error| {
        Problem::new(ErrorCode::HostFault, format!("the documents of a batch cannot be told apart: {error}"))
    })
}

/// A stranger's id, short enough for a message.
fn shown(id: &str) -> String {
    id.chars().take(40).collect()
}
