//! One stage's call: within its time, and again where that is safe.
//!
//! A failure is retried only if its code says both that another try may succeed and that no executor has seen the
//! request. Waiting between tries doubles, is spread at random so that retries of many requests do not arrive together,
//! and honours the time that the refusal asked for. A clock is armed only for a call that did not answer at once.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use lockgate_domain::{ErrorCode, ExecutorName, LimitKind, Problem};

use crate::client::{ExecutorCall, ExecutorReply};
use crate::plan::StagePlan;

/// Pause before the first retry.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause that the host chooses itself.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Calls the executor. The call's deadline is the request's; the stage's own time is applied here.
pub(crate) async fn call(stage: &StagePlan, call: ExecutorCall) -> Result<ExecutorReply, Problem> {
    if stage.retries == 0 {
        return attempt(stage, call).await;
    }
    retrying(&stage.name, stage.retries, call, |call| attempt(stage, call)).await
}

/// Calls, and again where that is safe, so many times.
pub(crate) async fn retrying<F: Future<Output = Result<ExecutorReply, Problem>>>(
    name: &ExecutorName,
    retries: u32,
    call: ExecutorCall,
    attempt: impl Fn(ExecutorCall) -> F,
) -> Result<ExecutorReply, Problem> {
    let mut tries_left = retries;
    let mut pause = FIRST_PAUSE;
    while tries_left > 0 {
        let deadline = call.context.deadline;
        let problem = match attempt(call.clone()).await {
            Ok(reply) => return Ok(reply),
            Err(problem) => problem,
        };
        let wait = spread(pause).max(Duration::from_millis(problem.retry_after_ms().unwrap_or(0)));
        let next = now().checked_add(wait);
        if !is_safe_to_retry(&problem) || next.is_none() || deadline.is_some_and(|end| next >= Some(end)) {
            return Err(problem);
        }
        tracing::debug!(
            executor = %name,
            error = problem.code().as_str(),
            tries_left,
            "an executor refused a call, it is tried again"
        );
        tokio::time::sleep(wait).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        tries_left -= 1;
    }
    attempt(call).await
}

/// The clock that deadlines are compared with: tokio's, so that tests can stop it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn attempt(stage: &StagePlan, mut call: ExecutorCall) -> Result<ExecutorReply, Problem> {
    if call.context.fuel.left() == 0 {
        return Err(out_of_fuel(&stage.name, call.context.fuel.total()));
    }
    let requested = call.context.deadline;
    let own = stage.timeout.and_then(|timeout| now().checked_add(timeout));
    let deadline = match (requested, own) {
        (Some(requested), Some(own)) => Some(requested.min(own)),
        (either, None) | (None, either) => either,
    };
    call.context.deadline = deadline;
    match deadline {
        None => stage.client.call(call).await,
        Some(deadline) => match before(deadline, stage.client.call(call)).await {
            // The executor saw one deadline and cannot know that it was the stage's own.
            Some(Err(problem)) if is_late(&problem) && Some(deadline) != requested => Err(stage_late(stage)),
            Some(result) => result,
            None if Some(deadline) == requested => Err(request_late(stage)),
            None => Err(stage_late(stage)),
        },
    }
}

/// The future's output, or none when the deadline comes first. The timer is only built when the future is not ready.
async fn before<F: Future + Unpin>(deadline: Instant, mut future: F) -> Option<F::Output> {
    let first = poll_fn(|context| Poll::Ready(Pin::new(&mut future).poll(context))).await;
    if let Poll::Ready(output) = first {
        return Some(output);
    }
    let mut timer = pin!(tokio::time::sleep_until(deadline.into()));
    let mut is_registered = false;
    poll_fn(|context| {
        // The future has just registered this task; polling it again before something happened would be work for
        // nothing.
        if is_registered && let Poll::Ready(output) = Pin::new(&mut future).poll(context) {
            return Poll::Ready(Some(output));
        }
        is_registered = true;
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// A request that has no fuel left for this executor.
pub(crate) fn out_of_fuel(stage: &ExecutorName, total: u64) -> Problem {
    let message = format!("the request's fuel of {total} was used up before executor `{stage}`");
    Problem::limit(LimitKind::FlowFuel, total, message)
        .with_hint("raise `fuel` of the flow, or let its executors do less")
}

fn request_late(stage: &StagePlan) -> Problem {
    let message = format!("the request's deadline passed while executor `{}` was working", stage.name);
    Problem::new(ErrorCode::DeadlineExceeded, message)
        .with_hint("allow more time: the caller's own deadline, or `timeout` of the flow")
}

fn stage_late(stage: &StagePlan) -> Problem {
    let limit = stage.timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let message = format!("executor `{}` did not answer within {limit} ms", stage.name);
    Problem::limit(LimitKind::WallTime, limit, message).with_hint("raise `timeout_send` of the executor")
}

/// Whether a call ended at the deadline it was given, not at a limit of the executor.
fn is_late(problem: &Problem) -> bool {
    problem.code() == ErrorCode::DeadlineExceeded && problem.limit_passed().is_none()
}

fn is_safe_to_retry(problem: &Problem) -> bool {
    problem.code().retryable() && problem.code().has_no_side_effects()
}

/// Between half of the pause and all of it.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + 0.5 * fastrand::f64())
}
