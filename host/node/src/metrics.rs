//! What the node adds to the page at `/metrics`: the numbers of its pools and of executors elsewhere.
//!
//! While a swap goes on, an executor has two pools, and the page shows their sum; when the old one has ended, its
//! counts are gone, which a collector takes for a restart. Series are bounded: by the stages of the flow, and for
//! names that guests choose by what the runtime keeps.

use std::sync::Arc;

use lockgate_domain::FlushReason;
use lockgate_flow::batching::Batcher;
use lockgate_gateway::Routes;
use lockgate_runtime::{GuestMetric, InstancePool, MetricKind};
use lockgate_telemetry::inventory::{
    BATCH_RERUNS, BATCH_WAITING, BATCHED_DOCUMENTS, BATCHED_REQUESTS, BATCHES, BUILT, CALLS, EXPIRED,
    FLOATING, FLOATING_REFUSED, FUEL, GUEST_COUNTER, GUEST_DROPPED, GUEST_ERRORS, GUEST_GAUGE,
    GUEST_OBSERVATIONS, GUEST_OBSERVED, INSTANCES, INSTANCES_IDLE, RECYCLED, SHED, TRAPS, WAITING,
};
use lockgate_telemetry::page::Page;

use crate::floating::FloatingPlaces;
use crate::remote::RemoteExecutor;
use crate::serving::{Book, PoolBook, alive};

/// Where the numbers are.
pub(crate) struct Sources {
    pub(crate) pools: PoolBook,
    pub(crate) remotes: Book<RemoteExecutor>,
    pub(crate) routes: Routes,
    pub(crate) places: Arc<FloatingPlaces>,
}

impl Sources {
    /// Reads all pools and external executors that exist, the batchers of what is served and what floats, each time it
    /// is asked.
    pub(crate) fn read(self) -> Arc<dyn Fn(&mut Page) + Send + Sync> {
        Arc::new(move |page| {
            let (floating, refused) = self.places.numbers();
            page.add(&FLOATING, &[], floating as f64);
            page.add(&FLOATING_REFUSED, &[], refused as f64);
            alive(&self.pools).iter().for_each(|executor| add(page, executor.pool()));
            alive(&self.remotes).iter().for_each(|remote| remote.add_to(page));
            for flow in self.routes.flows() {
                flow.plan().batchers().for_each(|batcher| add_batches(page, batcher));
            }
        })
    }
}

fn add_batches(page: &mut Page, batcher: &Batcher) {
    let (executor, stats) = (batcher.stage().as_str(), batcher.stats());
    for (reason, count) in FlushReason::ALL.iter().zip(stats.batches) {
        page.add(&BATCHES, &[executor, reason.as_str()], count as f64);
    }
    for (metric, value) in [
        (BATCHED_REQUESTS, stats.requests),
        (BATCHED_DOCUMENTS, stats.documents),
        (BATCH_RERUNS, stats.alone),
        (BATCH_WAITING, stats.waiting.into()),
    ] {
        page.add(&metric, &[executor], value as f64);
    }
}

fn add(page: &mut Page, pool: &InstancePool) {
    let (executor, stats) = (pool.executor().as_str(), pool.stats());
    for (metric, value) in [
        (CALLS, stats.calls),
        (TRAPS, stats.traps),
        (GUEST_ERRORS, stats.guest_errors),
        (SHED, stats.shed),
        (FUEL, stats.fuel),
        (BUILT, stats.built),
        (RECYCLED, stats.recycled),
        (EXPIRED, stats.expired),
        (INSTANCES, stats.live.into()),
        (INSTANCES_IDLE, stats.idle.into()),
        (WAITING, stats.waiting.into()),
        (GUEST_DROPPED, stats.metrics_dropped),
    ] {
        page.add(&metric, &[executor], value as f64);
    }
    for (name, GuestMetric { kind, value, count }) in &stats.metrics {
        let series = [executor, &**name];
        match kind {
            MetricKind::Counter => page.add(&GUEST_COUNTER, &series, *value),
            MetricKind::Gauge => page.add(&GUEST_GAUGE, &series, *value),
            MetricKind::Histogram => {
                page.add(&GUEST_OBSERVED, &series, *value);
                page.add(&GUEST_OBSERVATIONS, &series, *count as f64);
            }
        }
    }
}
