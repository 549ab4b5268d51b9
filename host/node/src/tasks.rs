//! Where tasks are born. Every long-lived task has a kind, and the kind says what its end means.
//!
//! Tasks of one connection or one request are not here: they live in the connection's own set and die with it.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// accepts and serves connections
    Gateway,
    /// retires idle instances
    PoolSweeper,
}

/// What the end of a task means while nobody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnPanic {
    /// the node cannot do its job: drain
    Drain,
    /// a comfort is lost
    Log,
}

impl TaskKind {
    fn as_str(self) -> &'static str {
        match self {
            TaskKind::Gateway => "gateway",
            TaskKind::PoolSweeper => "pool-sweeper",
        }
    }

    fn on_panic(self) -> OnPanic {
        match self {
            TaskKind::Gateway => OnPanic::Drain,
            TaskKind::PoolSweeper => OnPanic::Log,
        }
    }
}

/// The tasks of a node. Cheap to clone; all clones are the same set.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    /// Told when a task that the node cannot do without is lost.
    drain: CancellationToken,
}

impl Tasks {
    pub(crate) fn new(drain: CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), drain }
    }

    /// Starts a task. It must end by itself once the node drains.
    pub(crate) fn spawn(&self, kind: TaskKind, task: impl Future<Output = ()> + Send + 'static) {
        let drain = self.drain.clone();
        self.tracker.spawn(async move {
            // The panic's message is in the log already, written by the panic hook.
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(task = kind.as_str(), "a task of the host ended in a panic");
                match kind.on_panic() {
                    OnPanic::Drain => drain.cancel(),
                    OnPanic::Log => {}
                }
            }
        });
    }

    /// Waits until all tasks have ended.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_lost_gateway_drains_the_node() {
        for (kind, drains) in [(TaskKind::Gateway, true), (TaskKind::PoolSweeper, false)] {
            let drain = CancellationToken::new();
            let tasks = Tasks::new(drain.clone());
            tasks.spawn(kind, async { panic!("on purpose") });
            tasks.ended().await;
            assert_eq!(drain.is_cancelled(), drains, "{kind:?}");
        }
    }
}
