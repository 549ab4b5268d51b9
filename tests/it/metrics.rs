//! What a collector reads at `/metrics`: what was called, what trapped, and what guests recorded themselves.

use lockgate_testkit::RunningHost;
use lockgate_testkit::http::HttpClient;
use serde_json::json;

use crate::support::{assert_texts, flow, hostile_flow, post, serve};

async fn page(host: &RunningHost) -> String {
    let answer = HttpClient::http1().get(&host.url("/metrics")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    answer.text()
}

/// The value of one series.
#[track_caller]
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in:\n{page}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_and_an_error_are_counted() {
    let host = serve(&flow("\n  - name: neighbour\n    uses: {neighbour}\n")).await;
    let check = async |calls: f64, errors: f64| {
        let page = page(&host).await;
        assert_eq!(value(&page, r#"lockgate_calls_total{executor="neighbour"}"#), calls);
        assert_eq!(value(&page, r#"lockgate_guest_errors_total{executor="neighbour"}"#), errors);
        assert_eq!(value(&page, "lockgate_requests_in_flight"), 0.0);
        assert_eq!(value(&page, "lockgate_draining"), 0.0);
        page
    };
    check(0.0, 0.0).await;
    assert_texts(&post(&host, "/upper", &["one"], json!({})).await, &["ONE"]);
    let counted = check(1.0, 0.0).await;
    assert!(counted.contains("\nlockgate_calls_total{executor=\"neighbour\"} 1\n"), "{counted}");
    assert!(value(&counted, r#"lockgate_fuel_total{executor="neighbour"}"#) > 0.0);
    post(&host, "/fail", &["x"], json!({})).await;
    check(2.0, 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_is_counted_and_guests_names_are_bounded() {
    let host = serve(&hostile_flow()).await;
    let traps = r#"lockgate_traps_total{executor="hostile"}"#;
    assert_eq!(value(&page(&host).await, traps), 0.0);
    post(&host, "/trap", &["hello"], json!({})).await;
    let after = page(&host).await;
    assert_eq!(value(&after, traps), 1.0);
    assert_eq!(value(&after, r#"lockgate_traps_total{executor="neighbour"}"#), 0.0);
    assert_texts(&post(&host, "/metric-names", &["hello"], json!({ "names": 2_000 })).await, &["hello"]);
    let flooded = page(&host).await;
    let series = flooded.lines().filter(|line| line.starts_with("lockgate_guest_counter_total{")).count();
    assert_eq!(series, 64, "{flooded}");
    assert_eq!(value(&flooded, r#"lockgate_guest_counter_total{executor="hostile",name="name0"}"#), 1.0);
    assert!(value(&flooded, r#"lockgate_guest_dropped_total{executor="hostile"}"#) >= 1.0);
}
