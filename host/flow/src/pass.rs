//! The executor of a stage without a component: it gives back what it gets.
//!
//! Jina's `BaseExecutor`, which its joins use. It answers to every endpoint, so its route ends as those of executors
//! that work do, and lists none, so a flow's description is that of the other stages.

use std::sync::{Arc, LazyLock};

use futures_util::future::{BoxFuture, ready};
use lockgate_domain::{EndpointName, Manifest, Problem};

use crate::client::{ExecutorCall, ExecutorClient, ExecutorReply, GivenResults};

/// Gives back the documents of each call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassingExecutor;

static MANIFEST: LazyLock<Arc<Manifest>> = LazyLock::new(Arc::default);

impl ExecutorClient for PassingExecutor {
    fn manifest(&self) -> Arc<Manifest> {
        MANIFEST.clone()
    }

    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
        Some(wanted.clone())
    }

    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        let results = GivenResults::Nothing;
        Box::pin(ready(Ok(ExecutorReply { documents: call.documents, results, fuel: 0 })))
    }
}
