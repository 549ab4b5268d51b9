//! How soon a component answers after its upload, and what a burst of uploads does to those who call.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::host::{Host, digest, variant};
use crate::drive::drive;
use crate::measure::{Row, Target, median};

const SECTION: &str = "uploads (over the control API, then one call over the data plane)";
/// Tries of what happens once.
const TRIES: u32 = 21;
/// Components of the burst: each compiles.
const BURST: u32 = 24;
/// Connections of those who call meanwhile.
const CONNECTIONS: usize = 4;

/// Measures uploads.
pub(crate) async fn rows(component: &[u8]) -> Vec<Row> {
    let host = Host::start(&[]).await;
    let tenant = host.tenant("acme", json!({})).await;
    let (mut new, mut known, mut published) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..TRIES {
        let bytes = variant(component, number);
        let executor = format!("new{number}");
        let start = Instant::now();
        let uploaded = tenant.upload(&bytes).await;
        tenant.publish(&executor, &uploaded, json!({})).await;
        tenant.call(&executor, "/reverse").await;
        new.push(start.elapsed().as_secs_f64() * 1e3);
        // Known now: what is left is the revision and the first call.
        let again = tenant.upload(&bytes).await;
        assert_eq!(again, digest(&bytes));
        let start = Instant::now();
        tenant.publish(&format!("known{number}"), &again, json!({ "number": number })).await;
        published.push(start.elapsed().as_secs_f64() * 1e3);
        tenant.call(&format!("known{number}"), "/reverse").await;
        known.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let size = component.len() >> 10;
    let mut rows = vec![
        Row::new(SECTION, format!("new component of {size} KiB: upload to first answer"), median(new), "ms")
            .with_target(Target::AtMost(1000.0)),
        Row::new(SECTION, "known digest: end of its upload to first answer", median(known), "ms")
            .with_target(Target::AtMost(10.0))
            .with_figures(json!({ "of_it_publishing_ms": median(published) })),
    ];
    rows.extend(burst(&host, component).await);
    rows
}

/// Calls one executor with and without a burst of uploads beside it, in turns.
async fn burst(host: &Host, component: &[u8]) -> Vec<Row> {
    let quiet = host.tenant("quiet", json!({ "quota": plenty() })).await;
    let uploaded = quiet.upload(component).await;
    quiet.publish("calm", &uploaded, json!({})).await;
    let busy = host.tenant("busy", json!({ "quota": plenty() })).await;
    let request = quiet.request("calm", "/reverse");
    let span = Duration::from_secs(1);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..BURST / 4 {
        alone.push(drive(host.data(), &request, CONNECTIONS, span).await.p99_us);
        let uploads = async {
            for number in 0..4 {
                busy.upload(&variant(component, 1000 + round * 4 + number)).await;
            }
        };
        // The uploads of one round fill its span or outlast it.
        let (rate, ()) = tokio::join!(drive(host.data(), &request, CONNECTIONS, span), uploads);
        beside.push(rate.p99_us);
    }
    let (alone, beside) = (median(alone), median(beside));
    vec![
        Row::new(SECTION, "p99 of calls while uploads compile / alone", beside / alone, "x")
            .with_target(Target::AtMost(2.0))
            .with_figures(json!({ "alone_us": alone, "beside_us": beside })),
    ]
}

/// A quota that does not get in the way.
pub(crate) fn plenty() -> Value {
    json!({
        "requests_per_second": 1_000_000_000u64, "concurrent_requests": 100_000, "components": 100_000,
        "executors": 100_000, "fuel_per_second": 1u64 << 60, "fuel_per_month": 1u64 << 62,
        "instance_memory_bytes": 8u64 << 30, "stored_bytes": 8u64 << 30,
    })
}
