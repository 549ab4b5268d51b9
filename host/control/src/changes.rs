//! Tasks in which changes run to their end, whatever becomes of the caller.
//!
//! They belong to one set, which draining waits for and dropping ends. Their number is bounded by the places for requests.

use std::future::Future;
use std::time::Duration;

use lockgate_domain::{ErrorCode, Problem};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Changes in progress.
#[derive(Debug, Default)]
pub(crate) struct Changes(Mutex<JoinSet<()>>);

impl Changes {
    /// Runs one and waits for it. Dropping the future leaves the change running.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut tasks = self.0.lock();
            while let Some(ended) = tasks.try_join_next() {
                report(ended.err());
            }
            tasks.spawn(async move {
                // The caller may be gone: then nobody reads the answer, and the change is made all the same.
                drop(sender.send(work.await));
            });
        }
        let lost = || Problem::new(ErrorCode::HostFault, "the change ended in a fault of the host");
        receiver.await.map_err(|_| lost())
    }

    /// Waits for all of them, as long as `patience` lasts; what is left then is cut off and counted.
    pub(crate) async fn finish(&self, patience: Duration) -> usize {
        let mut tasks = std::mem::take(&mut *self.0.lock());
        let end = Instant::now() + patience;
        while let Ok(Some(ended)) = timeout_at(end, tasks.join_next()).await {
            report(ended.err());
        }
        let left = tasks.len();
        tasks.shutdown().await;
        left
    }
}

fn report(error: Option<tokio::task::JoinError>) {
    if let Some(error) = error.filter(tokio::task::JoinError::is_panic) {
        tracing::error!(%error, "a change ended in a panic");
    }
}
