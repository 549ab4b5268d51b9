//! A thousand executors, each with a component of its own, deployed on one host: what they hold in memory when they are
//! cold, and how long the way back takes.

use std::time::{Duration, Instant};

use serde_json::json;

use super::host::{Host, variant};
use super::uploads::plenty;
use crate::measure::{Row, Target};

const SECTION: &str = "density";
const EXECUTORS: u32 = 1000;

/// Deploys, calls all, waits until they are evicted, and calls all again.
pub(crate) async fn rows(component: &[u8]) -> Vec<Row> {
    let host = Host::start(&["--evict-after", "2s"]).await;
    let tenant = host.tenant("acme", json!({ "quota": plenty() })).await;
    let empty = host.resident_mib();
    for number in 0..EXECUTORS {
        let digest = tenant.upload(&variant(component, number)).await;
        tenant.publish(&format!("ex{number}"), &digest, json!({})).await;
    }
    let deployed = call_all(&tenant).await;
    let full = host.resident_mib();
    let cold = settle(&host, full).await;
    let back = call_all(&tenant).await;
    let at = |times: &[f64], share: f64| {
        times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN)
    };
    vec![
        Row::new(
            SECTION,
            format!("executors deployed and answering of {EXECUTORS}"),
            back.len() as f64,
            "executors",
        )
        .with_target(Target::AtLeast(f64::from(EXECUTORS))),
        Row::new(
            SECTION,
            "memory of one that is cold (resident, over an empty host)",
            (cold - empty) * 1024.0 / f64::from(EXECUTORS),
            "KiB",
        )
        .with_figures(json!({ "empty_mib": empty, "all_called_mib": full, "cold_mib": cold })),
        Row::new(SECTION, "first call of a cold one, median", at(&back, 0.5), "ms")
            .with_target(Target::AtMost(10.0)),
        Row::new(SECTION, "first call of a cold one, p99", at(&back, 0.99), "ms"),
        Row::new(SECTION, "first call after its deployment, median", at(&deployed, 0.5), "ms"),
    ]
}

/// Milliseconds of one call of each, sorted.
async fn call_all(tenant: &super::host::TenantOfHost<'_>) -> Vec<f64> {
    let mut times = Vec::new();
    for number in 0..EXECUTORS {
        times.push(tenant.call(&format!("ex{number}"), "/reverse").await);
    }
    times.sort_by(f64::total_cmp);
    times
}

/// Waits until memory has gone down and stays; gives what is left in MiB.
async fn settle(host: &Host, full: f64) -> f64 {
    let start = Instant::now();
    let mut lowest = full;
    let mut since = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = host.resident_mib();
        if now < lowest - 1.0 {
            (lowest, since) = (now, Instant::now());
        } else if since.elapsed() > Duration::from_secs(8) {
            break;
        }
    }
    lowest
}
