//! Dynamic batching with real guests: requests of several connections become one call, and each gets its own back.

use http::Method;
use lockgate_testkit::RunningHost;
use lockgate_testkit::http::{Answer, HttpClient};
use serde_json::{Value, json};

use crate::support::{assert_texts, flow, post, request, serve};

/// Waits for a minute, so that what is sent was sent for another reason.
const BATCHED: &str = "
  - name: first
    uses: {neighbour}
    uses_dynamic_batching:
      /upper: { preferred_batch_size: 6, timeout: 60s }
      /count: { preferred_batch_size: 100, preferred_batch_bytes: 2KiB, timeout: 60s, flush_all: true }
      /echo: { preferred_batch_size: 3, timeout: 60s }
      /fail: { preferred_batch_size: 2, timeout: 60s, isolate_failures: true }
";

async fn ask(host: &RunningHost, endpoint: &str, texts: &[&str]) -> Answer {
    let body = request(endpoint, texts, json!({})).to_string();
    let headers = [("content-type", "application/json"), ("lockgate-explain", "batch")];
    HttpClient::http1().send(Method::POST, &host.url("/post"), &headers, body.into()).await
}

/// What an answer says about its batch.
#[track_caller]
fn told(answer: &Answer) -> Value {
    answer.json()["parameters"]["__explain__"]["batches"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_several_connections_become_one_call() {
    let host = serve(&flow(BATCHED)).await;
    let (a, b, c) = tokio::join!(
        ask(&host, "/upper", &["one"]),
        ask(&host, "/upper", &["two", "three"]),
        ask(&host, "/upper", &["four", "five", "six"]),
    );
    assert_texts(&a, &["ONE"]);
    assert_texts(&b, &["TWO", "THREE"]);
    assert_texts(&c, &["FOUR", "FIVE", "SIX"]);
    for answer in [&a, &b, &c] {
        let batch = told(answer);
        assert_eq!([&batch["requests"], &batch["documents"]].map(Value::as_f64), [Some(3.0), Some(6.0)]);
        assert_eq!((&batch["flushed"], &batch["batch"]), (&json!("size"), &told(&a)["batch"]));
    }
    // The guest counts its own calls: by bytes, one more for all of them.
    let long = "x".repeat(1500);
    let long = [&*long];
    let (a, b) = tokio::join!(ask(&host, "/count", &long), ask(&host, "/count", &long));
    for answer in [&a, &b] {
        assert_texts(answer, &["1"]);
        assert_eq!(told(answer)["flushed"], "bytes");
    }
    let page = HttpClient::http1().get(&host.url("/metrics")).await.text();
    for series in [
        r#"lockgate_batches_total{executor="first",reason="size"} 1"#,
        r#"lockgate_batches_total{executor="first",reason="bytes"} 1"#,
        r#"lockgate_batched_requests_total{executor="first"} 5"#,
        r#"lockgate_batched_documents_total{executor="first"} 8"#,
        r#"lockgate_batch_waiting{executor="first"} 0"#,
        r#"lockgate_calls_total{executor="first"} 2"#,
    ] {
        assert!(page.lines().any(|line| line == series), "{series} is not in:\n{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_see_the_batch_as_one_request() {
    let host = serve(&flow(BATCHED)).await;
    let echo = async |texts: &[&str], parameters: Value| post(&host, "/echo", texts, parameters).await;
    let (a, b, c) = tokio::join!(
        echo(&["a"], json!({ "k": 1 })),
        echo(&["b", "c"], json!({ "k": 1 })),
        // Other parameters are another batch, large enough by itself.
        echo(&["d", "e", "f"], json!({ "k": 2 })),
    );
    let tags = |answer: &Answer| answer.json()["data"][0]["tags"].clone();
    assert_eq!(tags(&a), tags(&b));
    assert_eq!(tags(&a)["inputs"], json!([["gateway", 0, 3]]));
    assert_eq!(tags(&a)["parameters"]["k"].as_f64(), Some(1.0));
    assert_eq!(tags(&c)["parameters"]["k"].as_f64(), Some(2.0));
    assert_ne!(tags(&c)["request"], tags(&a)["request"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_batch_runs_again_one_by_one_where_that_is_allowed() {
    let host = serve(&flow(BATCHED)).await;
    let (a, b) = tokio::join!(ask(&host, "/fail", &["a"]), ask(&host, "/fail", &["b"]));
    for answer in [&a, &b] {
        let problem = answer.problem().map(|problem| problem.to_string()).unwrap_or_default();
        assert!(problem.contains("the neighbour will not do that"), "{}", answer.text());
        assert_eq!(told(answer)["alone"], true, "{}", answer.text());
    }
    let page = HttpClient::http1().get(&host.url("/metrics")).await.text();
    assert!(page.contains("lockgate_batch_reruns_total{executor=\"first\"} 2\n"), "{page}");
    assert!(page.contains("lockgate_calls_total{executor=\"first\"} 3\n"), "{page}");
}
