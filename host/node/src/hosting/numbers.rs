//! What the serving side adds to the control API's page at `/metrics`: tenants, and the pools that are in memory.
//!
//! Series are bounded by the tenants there are and by the revisions that may be resident; guests' own metrics are not
//! here, because tenants read none of this page. The data plane has no such page.

use std::sync::Arc;

use lockgate_domain::FlushReason;
use lockgate_telemetry::inventory::{
    EVICTED, OPENED, RESIDENT, TENANT_BATCHED_DOCUMENTS, TENANT_BATCHED_REQUESTS, TENANT_BATCHES,
    TENANT_CALLS, TENANT_FUEL, TENANT_INSTANCES, TENANT_MEMORY, TENANT_PROCESSOR, TENANT_REFUSED,
    TENANT_REQUESTS, TENANT_SHED, TENANT_TRAPS, TENANT_WAITING,
};
use lockgate_telemetry::page::Page;

use super::platform::Platform;
use super::tenant::TenantServing;

/// Reads everything, each time it is asked.
pub(crate) fn source(platform: Arc<Platform>) -> Arc<dyn Fn(&mut Page) + Send + Sync> {
    Arc::new(move |page| add(&platform, page))
}

fn add(platform: &Platform, page: &mut Page) {
    let residents = &platform.ground.residents;
    let lanes = residents.alive();
    let (opened, evicted) = residents.counts();
    page.add(&RESIDENT, &[], lanes.len() as f64);
    page.add(&OPENED, &[], opened as f64);
    page.add(&EVICTED, &[], evicted as f64);
    for serving in platform.tenants() {
        let owner = &serving.owner;
        let tenant = [owner.name.as_str()];
        page.add(&TENANT_REQUESTS, &tenant, owner.quota.in_progress().into());
        page.add(&TENANT_REFUSED, &tenant, owner.quota.refused() as f64);
        page.add(&TENANT_MEMORY, &tenant, owner.share.memory_used() as f64);
        page.add(&TENANT_PROCESSOR, &tenant, owner.share.processor_time().as_secs_f64());
        add_batches(&serving, page);
    }
    for lane in lanes {
        let (labels, stats) = ([lane.owner().name.as_str(), lane.executor().as_str()], lane.stats());
        for (metric, value) in [
            (&TENANT_CALLS, stats.calls),
            (&TENANT_TRAPS, stats.traps),
            (&TENANT_SHED, stats.shed),
            (&TENANT_FUEL, stats.fuel),
            (&TENANT_INSTANCES, stats.live.into()),
            (&TENANT_WAITING, stats.waiting.into()),
        ] {
            page.add(metric, &labels, value as f64);
        }
    }
}

/// The batchers of a tenant's flows; an executor on its own has none.
fn add_batches(serving: &TenantServing, page: &mut Page) {
    let tenant = serving.owner.name.as_str();
    for flow in serving.flows() {
        for batcher in flow.plan().batchers() {
            let (executor, stats) = (batcher.stage().as_str(), batcher.stats());
            for (reason, count) in FlushReason::ALL.iter().zip(stats.batches) {
                page.add(&TENANT_BATCHES, &[tenant, executor, reason.as_str()], count as f64);
            }
            page.add(&TENANT_BATCHED_REQUESTS, &[tenant, executor], stats.requests as f64);
            page.add(&TENANT_BATCHED_DOCUMENTS, &[tenant, executor], stats.documents as f64);
        }
    }
}
