//! The stages of a request that nobody waits for.
//!
//! They are walked by a future of their own, which the plan's [`Background`](crate::background::Background) drives; it
//! gets each list that it needs as soon as there is one, and ends when nothing is running and nothing can come any
//! more. What it holds is bounded: it has the request's deadline and draws on the request's fuel. Its failures are told
//! in its routes, for as long as the answer has not left, and in the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use lockgate_domain::{DocumentList, Problem};
use tokio::sync::mpsc;

use super::graph::{Begun, Finished, Walk};
use super::{FlowRequest, Outcome, StageRoute};
use crate::plan::ExecutionPlan;
use crate::stage::now;

/// What the request's own walk knows of them.
pub(super) struct Floating {
    feed: mpsc::Sender<(usize, DocumentList)>,
    board: Board,
    /// The work, if the request has to do it itself.
    own: Option<BoxFuture<'static, ()>>,
}

/// What became of them so far, by place.
type Board = Arc<Mutex<Vec<StageRoute>>>;

impl Floating {
    /// Finds a place for them, and starts those that take the request itself.
    pub(super) fn begin(
        plan: &ExecutionPlan,
        request: &FlowRequest,
        documents: &DocumentList,
        clock: Instant,
    ) -> Result<Self, Problem> {
        let background = plan.background();
        let place = background.map(|background| background.admit(documents.bytes())).transpose()?;
        // Each stage feeds once, so nobody ever waits for room.
        let (feed, fed) = mpsc::channel(plan.stages().len().max(1));
        let board: Board = Arc::new(Mutex::new(plan.stages().iter().map(StageRoute::not_reached).collect()));
        let own_request = FlowRequest { emit: None, documents: documents.clone(), ..request.clone() };
        let work = Box::pin(drive(plan.clone(), own_request, fed, board.clone()));
        let mut floating = Self { feed, board, own: None };
        for (stage, place) in plan.stages().iter().zip(0..) {
            if stage.is_floating && stage.upstream().next().is_none() {
                floating.started(place, clock);
            }
        }
        match (background, place) {
            (Some(background), Some(place)) => background.drive(place, work),
            _ => floating.own = Some(work),
        }
        Ok(floating)
    }

    pub(super) fn take_own(&mut self) -> Option<BoxFuture<'static, ()>> {
        self.own.take()
    }

    /// Hands on what a stage gave.
    pub(super) fn feed(&self, place: usize, documents: DocumentList) {
        if self.feed.try_send((place, documents)).is_err() {
            tracing::debug!("floating executors ended before they had all they need");
        }
    }

    /// It is a stage's turn, whenever it gets to it.
    pub(super) fn started(&self, place: usize, clock: Instant) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = board.get_mut(place).filter(|route| route.started.is_none()) {
            (route.started, route.outcome) = (Some(clock), Outcome::Floating);
        }
    }

    /// Adds how far they are.
    pub(super) fn tell(self, routes: &mut [StageRoute]) {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        for (route, told) in routes.iter_mut().zip(board.iter()) {
            if told.started.is_some() {
                route.clone_from(told);
            }
        }
    }
}

async fn drive(
    plan: ExecutionPlan,
    mut request: FlowRequest,
    mut feed: mpsc::Receiver<(usize, DocumentList)>,
    board: Board,
) {
    let documents = std::mem::take(&mut request.documents);
    let mut walk = Walk::new(&plan, &request, documents, true);
    let (mut running, mut is_fed) = (FuturesUnordered::new(), true);
    loop {
        while let Some(place) = walk.ready.pop_front() {
            let clock = now();
            match walk.begin(place, clock) {
                Some(Begun::Passed(documents)) => walk.finish(place, documents, clock),
                Some(Begun::Turn(turn)) => running.push(turn.take()),
                Some(Begun::Failed { problem, .. }) => failed(&plan, &mut walk, place, problem, clock),
                None => {}
            }
            post(&board, &walk, place);
        }
        tokio::select! {
            biased;
            Some(Finished { place, result, .. }) = running.next(), if !running.is_empty() => {
                let clock = now();
                if let Err(problem) = result.and_then(|done| walk.conclude(place, done, clock)) {
                    failed(&plan, &mut walk, place, problem, clock);
                }
                post(&board, &walk, place);
            }
            fed = feed.recv(), if is_fed => match fed {
                Some((place, documents)) => walk.finish(place, documents, now()),
                None => is_fed = false,
            },
            else => break,
        }
    }
}

fn failed(plan: &ExecutionPlan, walk: &mut Walk<'_>, place: usize, problem: Problem, clock: Instant) {
    let Some(stage) = plan.stages().get(place) else { return };
    let problem = problem.with_executor(&stage.name);
    // Once per call at most, as often as a caller likes: not a warning.
    tracing::debug!(
        flow = %plan.name(),
        executor = %stage.name,
        error = problem.code().as_str(),
        %problem,
        "a floating executor failed, and nobody waits for it"
    );
    walk.note(place, Some(clock), Outcome::Failed(problem));
}

/// Shows a stage's route as the walk has it.
fn post(board: &Board, walk: &Walk<'_>, place: usize) {
    let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(shown), Some(route)) = (board.get_mut(place), walk.routes.get(place)) {
        let started = shown.started.or(route.started);
        let outcome = match &route.outcome {
            Outcome::NotReached => Outcome::Floating,
            outcome => outcome.clone(),
        };
        *shown = StageRoute { executor: route.executor.clone(), started, ended: route.ended, outcome };
    }
}
