//! Ten thousand swaps under load: no request may fail, and memory must stay where it was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::host::{Host, variant};
use super::uploads::plenty;
use crate::drive::drive_while;
use crate::measure::{Row, Target};

const SECTION: &str = "swaps under load";
/// Moves of the tag.
const SWAPS: u32 = 10_000;
/// Swaps before memory is read the first time: pools, caches and the log of changes have their usual size then.
const WARM_UP: u32 = 1_000;
/// Connections that call meanwhile.
const CONNECTIONS: usize = 4;

/// Swaps between two components while clients call.
pub(crate) async fn rows(component: &[u8]) -> Vec<Row> {
    let host = Host::start(&[]).await;
    let tenant = host.tenant("acme", json!({ "quota": plenty() })).await;
    for number in 0..2 {
        let digest = tenant.upload(&variant(component, number)).await;
        tenant.publish("swapped", &digest, json!({ "number": number })).await;
    }
    let request = tenant.request("swapped", "/reverse");
    let over = AtomicBool::new(false);
    let swaps = async {
        let (mut before, start) = (0.0, Instant::now());
        for number in 0..SWAPS {
            tenant.put("executors/swapped/tags/latest", &json!({ "revision": number % 2 + 1 })).await;
            if number == WARM_UP {
                before = host.resident_mib();
            }
        }
        let spent = start.elapsed();
        let after = host.resident_mib();
        over.store(true, Ordering::Relaxed);
        (before, after, spent)
    };
    let load = drive_while(host.data(), &request, CONNECTIONS, &over);
    let ((before, after, spent), tally) = tokio::join!(swaps, load);
    vec![
        Row::new(
            SECTION,
            format!("failed requests of {} during {SWAPS} swaps", tally.answers),
            tally.failed as f64,
            "requests",
        )
        .with_target(Target::AtMost(0.0)),
        Row::new(SECTION, "time of one swap, from request to answer", per_swap(spent), "ms"),
        Row::new(SECTION, "resident memory after the last swap / after the first 1,000", after / before, "x")
            .with_target(Target::AtMost(1.1))
            .with_figures(json!({ "before_mib": before, "after_mib": after })),
    ]
}

fn per_swap(spent: Duration) -> f64 {
    spent.as_secs_f64() * 1e3 / f64::from(SWAPS)
}
