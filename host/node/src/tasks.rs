//! Where tasks are born. Every long-lived task has a kind, and the kind says what its end means.
//!
//! Tasks of one connection or one request are not here: they live in the connection's own set and die with it. What
//! floats beside a request is, because nobody waits for it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// accepts and serves connections
    Gateway,
    /// retires idle instances
    PoolSweeper,
    /// serves the control API
    Control,
    /// writes what calls used
    Ledger,
    /// puts what executors keep on the disk
    KeyValues,
    /// runs and compares shadows
    Shadows,
    /// examines again after the engine has changed
    Examiner,
    /// reads certificates again that have changed
    Certificates,
    /// walks the stages of one request that nobody waits for
    Floating,
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
            TaskKind::Control => "control",
            TaskKind::Ledger => "ledger",
            TaskKind::KeyValues => "key-values",
            TaskKind::Shadows => "shadows",
            TaskKind::Examiner => "examiner",
            TaskKind::Certificates => "certificates",
            TaskKind::Floating => "floating",
        }
    }

    fn on_panic(self) -> OnPanic {
        match self {
            // Usage that is never written is lost, so nothing more may be served.
            TaskKind::Gateway | TaskKind::Control | TaskKind::Ledger => OnPanic::Drain,
            TaskKind::PoolSweeper
            | TaskKind::KeyValues
            | TaskKind::Shadows
            | TaskKind::Examiner
            | TaskKind::Certificates
            | TaskKind::Floating => OnPanic::Log,
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

/// When a task that does the same again and again has its turn: now, and after each interval until the end.
pub(crate) struct Turns {
    ticks: Interval,
    ended: CancellationToken,
}

impl Turns {
    /// Work that takes longer than the interval delays the next turn.
    pub(crate) fn new(interval: Duration, ended: CancellationToken) -> Self {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, ended }
    }

    /// Waits for the next turn; false when there is none.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.ended.cancelled() => false,
            _ = self.ticks.tick() => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_the_node_cannot_do_without_drains_it() {
        for (kind, drains) in [
            (TaskKind::Gateway, true),
            (TaskKind::Control, true),
            (TaskKind::Ledger, true),
            (TaskKind::PoolSweeper, false),
            (TaskKind::Shadows, false),
            (TaskKind::Floating, false),
        ] {
            let drain = CancellationToken::new();
            let tasks = Tasks::new(drain.clone());
            tasks.spawn(kind, async { panic!("on purpose") });
            tasks.ended().await;
            assert_eq!(drain.is_cancelled(), drains, "{kind:?}");
        }
    }
}
