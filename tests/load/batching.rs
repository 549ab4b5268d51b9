//! What dynamic batching brings for an executor that costs a millisecond a call, however many documents it gets: the
//! same flow over HTTP with and without it, under the same load of requests with one document each.

use std::path::Path;
use std::time::Duration;

use lockgate_domain::EndpointName;
use lockgate_domain::spec::{BatchingSpec, InstanceMode};
use serde_json::json;

use crate::drive::{self, Rate, drive};
use crate::flows;
use crate::http::serve;
use crate::measure::{Row, Target, median};

const SECTION: &str = "batching (an executor of 1 ms a call, requests of 1 document over HTTP)";
/// Callers, each of whom waits for its answer.
const CONNECTIONS: usize = 32;
/// Rounds per flow; odd, so that there is a middle one.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(700);

/// Measures both flows in turn.
pub(crate) fn rows(tokio: &tokio::runtime::Runtime, wasm: &Path) -> Vec<Row> {
    tokio.block_on(async {
        let rule = BatchingSpec { preferred_documents: 16, timeout_ms: 2, ..BatchingSpec::default() };
        let plain = flows::spec(1, InstanceMode::Reused);
        let mut batched = plain.clone();
        for stage in &mut batched.stages {
            stage.batching.insert(EndpointName::parse("/fixed").expect("an endpoint"), rule);
        }
        let (plain, batched) = (serve(wasm, plain).await, serve(wasm, batched).await);
        let body =
            json!({ "data": [{ "id": "d", "text": "the quick brown fox" }], "execEndpoint": "/fixed" });
        let request = drive::post("/fixed", &body.to_string());
        let servers = [plain.address(), batched.address()];
        for address in servers {
            drive(address, &request, CONNECTIONS, ROUND / 2).await;
        }
        let mut rates: [Vec<Rate>; 2] = Default::default();
        for _ in 0..ROUNDS {
            for (address, rates) in servers.iter().zip(&mut rates) {
                rates.push(drive(*address, &request, CONNECTIONS, ROUND).await);
            }
        }
        compare(&rates)
    })
}

fn compare(rates: &[Vec<Rate>; 2]) -> Vec<Row> {
    let middle =
        |pick: fn(&Rate) -> f64| rates.each_ref().map(|rates| median(rates.iter().map(pick).collect()));
    let [plain, batched] = middle(|rate| rate.per_second);
    let [plain_p50, batched_p50] = middle(|rate| rate.p50_us);
    let [plain_p99, batched_p99] = middle(|rate| rate.p99_us);
    let figures = json!({
        "plain": { "requests_per_s": plain, "p50_us": plain_p50, "p99_us": plain_p99 },
        "batched": { "requests_per_s": batched, "p50_us": batched_p50, "p99_us": batched_p99 },
    });
    vec![
        Row::new(SECTION, "one call a request", plain, "requests/s"),
        Row::new(SECTION, "batches of 16, at most 2 ms later", batched, "requests/s"),
        Row::new(SECTION, "batched / one call a request", batched / plain, "x")
            .with_target(Target::AtLeast(4.0))
            .with_figures(figures),
        Row::new(SECTION, "p50, batched / one call a request", batched_p50 / plain_p50, "x"),
    ]
}
