//! Where stages run that nobody waits for.
//!
//! The engine hands over one piece of work per request that has floating stages; each is a task of the node, and a
//! bounded number of them, with a bounded number of bytes of documents, exist at once. Every one ends by itself, by its
//! request's deadline at the latest. When the node ends they have as long as requests had, then they are dropped, which
//! stops their guests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lockgate_domain::{ErrorCode, LimitKind, Problem};
use lockgate_flow::background::{Background, Place};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::tasks::{TaskKind, Tasks};

/// Milliseconds after which a refused caller may come back.
const RETRY_AFTER_MS: u64 = 1000;
/// Bytes are counted in units of this size: a semaphore counts to a 32-bit number at a time.
const UNIT: u64 = 1024;

/// The tasks of all floating stages of a process.
#[derive(Debug, Clone)]
pub(crate) struct FloatingTasks {
    tasks: Tasks,
    stop: Arc<Mutex<CancellationToken>>,
}

/// The places for them of one flow, or of one tenant.
pub(crate) struct FloatingPlaces {
    tasks: FloatingTasks,
    runs: Arc<Semaphore>,
    run_limit: u32,
    units: Arc<Semaphore>,
    unit_limit: u32,
    refused: AtomicU64,
}

// === impl FloatingTasks ===

impl FloatingTasks {
    pub(crate) fn new() -> Self {
        // Nothing depends on them, so none of them drains the node.
        Self { tasks: Tasks::new(CancellationToken::new()), stop: Arc::default() }
    }

    /// Places for so many requests at once, with so many bytes of documents.
    pub(crate) fn places(&self, runs: u32, bytes: u64) -> Arc<FloatingPlaces> {
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        let semaphore = |count: u32| Arc::new(Semaphore::new(count as usize));
        Arc::new(FloatingPlaces {
            tasks: self.clone(),
            runs: semaphore(runs),
            run_limit: runs,
            units: semaphore(units),
            unit_limit: units,
            refused: AtomicU64::new(0),
        })
    }

    /// Waits for what is at work, but no longer than so; then drops it and waits until it is gone.
    pub(crate) async fn settle(&self, patience: Duration) {
        if tokio::time::timeout(patience, self.tasks.ended()).await.is_err() {
            tracing::warn!("floating executors were still at work and are stopped");
        }
        self.stop().await;
    }

    /// Drops what is at work.
    pub(crate) async fn stop(&self) {
        let stop = std::mem::take(&mut *self.stop.lock().unwrap_or_else(PoisonError::into_inner));
        stop.cancel();
        self.tasks.ended().await;
    }
}

// === impl FloatingPlaces ===

impl FloatingPlaces {
    /// Requests whose floating stages are at work, and those that found no place so far.
    pub(crate) fn numbers(&self) -> (u64, u64) {
        let free = u64::try_from(self.runs.available_permits()).unwrap_or(u64::MAX);
        (u64::from(self.run_limit).saturating_sub(free), self.refused.load(Ordering::Relaxed))
    }

    fn refuse(&self, problem: Problem) -> Problem {
        self.refused.fetch_add(1, Ordering::Relaxed);
        problem
            .with_hint(
                "retry after the stated time; executors with `floating: true` are slower than requests come",
            )
            .with_retry_after_ms(RETRY_AFTER_MS)
    }
}

impl Background for FloatingPlaces {
    fn admit(&self, bytes: u64) -> Result<Place, Problem> {
        // One that is larger than all of it waits for all of it.
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.unit_limit);
        let run = self.runs.clone().try_acquire_owned().map_err(|_| {
            let limit = self.run_limit;
            let message =
                format!("floating executors are at work on {limit} requests already, as many as may be");
            self.refuse(Problem::limit(LimitKind::Queue, u64::from(limit), message))
        })?;
        let units = self.units.clone().try_acquire_many_owned(units).map_err(|_| {
            let limit = u64::from(self.unit_limit) * UNIT;
            let message =
                format!("floating executors hold {limit} bytes of documents already, as many as they may");
            self.refuse(Problem::new(ErrorCode::Overloaded, message))
        })?;
        Ok(Box::new((run, units)))
    }

    fn drive(&self, place: Place, work: BoxFuture<'static, ()>) {
        let stop = self.tasks.stop.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.tasks.tasks.spawn(TaskKind::Floating, async move {
            let _place = place;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }
}

impl fmt::Debug for FloatingPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FloatingPlaces").field("numbers", &self.numbers()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn places_are_bounded_by_number_and_by_bytes() {
        let tasks = FloatingTasks::new();
        let places = tasks.places(2, 10 * UNIT);
        let (first, second) = (places.admit(1).unwrap(), places.admit(UNIT).unwrap());
        let problem = places.admit(1).unwrap_err();
        assert_eq!((problem.code(), problem.retry_after_ms()), (ErrorCode::Overloaded, Some(RETRY_AFTER_MS)));
        assert_eq!(problem.limit_passed(), Some((LimitKind::Queue, 2)));
        drop((first, second));
        let all = places.admit(u64::MAX).unwrap();
        let problem = places.admit(1).unwrap_err();
        assert!(problem.message().contains("10240 bytes"), "{}", problem.message());
        assert_eq!(places.numbers(), (1, 2));
        drop(all);
        assert_eq!(places.numbers(), (0, 2));
    }

    #[tokio::test]
    async fn a_place_is_held_until_the_work_ends_or_is_stopped() {
        let tasks = FloatingTasks::new();
        let places = tasks.places(4, 1 << 20);
        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        places.drive(places.admit(1).unwrap(), async move { drop(wait.await) }.boxed());
        places.drive(places.admit(1).unwrap(), std::future::pending().boxed());
        assert_eq!(places.numbers(), (2, 0));
        done.send(()).unwrap();
        while places.numbers() != (1, 0) {
            tokio::task::yield_now().await;
        }
        tasks.settle(Duration::ZERO).await;
        assert_eq!(places.numbers(), (0, 0));
        // Who comes afterwards is not stopped with those before.
        places.drive(places.admit(1).unwrap(), async {}.boxed());
        tasks.settle(Duration::from_secs(600)).await;
        assert_eq!(places.numbers(), (0, 0));
    }
}
