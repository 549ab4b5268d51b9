//! A quiet tenant beside one that computes on every core without an end: what its calls cost then, over the sockets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::host::{Host, fixture};
use super::uploads::plenty;
use crate::drive::{Rate, drive_while, paced};
use crate::measure::{Row, Target, median};

const SECTION: &str = "neighbours";
/// Calls of the spinner at once.
const SPINNING: usize = 64;
/// Connections of the quiet tenant, and how long each of them waits between two requests: it is quiet, not one more that
/// takes a core.
const CONNECTIONS: usize = 4;
const PAUSE: Duration = Duration::from_millis(5);
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(1);

/// Calls the quiet tenant's executor with and without the spinner, in turns.
pub(crate) async fn rows(component: &[u8]) -> Vec<Row> {
    let host = Host::start(&[]).await;
    let quiet = host.tenant("quiet", json!({ "quota": plenty() })).await;
    let digest = quiet.upload(component).await;
    quiet.publish("calm", &digest, json!({})).await;
    let spinner = host.tenant("spinner", json!({ "quota": plenty() })).await;
    let digest = spinner.upload(&fixture("hostile")).await;
    spinner.publish("spin", &digest, json!({})).await;
    spinner.put("executors/spin/deployment", &json!({ "scale": { "max": SPINNING } })).await;
    let (request, spin) = (quiet.request("calm", "/reverse"), spinner.request("spin", "/spin"));
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(paced(host.data(), &request, CONNECTIONS, ROUND, PAUSE).await);
        let over = AtomicBool::new(false);
        let calls = async {
            // The spinner's calls are on their way before the quiet tenant's are counted.
            paced(host.data(), &request, CONNECTIONS, ROUND / 4, PAUSE).await;
            let rate = paced(host.data(), &request, CONNECTIONS, ROUND, PAUSE).await;
            over.store(true, Ordering::Relaxed);
            rate
        };
        let (rate, _) = tokio::join!(calls, drive_while(host.data(), &spin, SPINNING, &over));
        beside.push(rate);
    }
    let middle = |rates: &[Rate], pick: fn(&Rate) -> f64| median(rates.iter().map(pick).collect());
    let (p50, p99) = (middle(&alone, |rate| rate.p50_us), middle(&alone, |rate| rate.p99_us));
    let (p50_beside, p99_beside) = (middle(&beside, |rate| rate.p50_us), middle(&beside, |rate| rate.p99_us));
    vec![
        Row::new(
            SECTION,
            format!("p99 beside a tenant with {SPINNING} endless calls / alone"),
            p99_beside / p99,
            "x",
        )
        .with_target(Target::AtMost(2.0))
        .with_figures(json!({ "alone_p99_us": p99, "beside_p99_us": p99_beside })),
        Row::new(SECTION, "p50 beside it / alone", p50_beside / p50, "x")
            .with_figures(json!({ "alone_p50_us": p50, "beside_p50_us": p50_beside })),
    ]
}
