//! A flow that calls another host, and what its callers see when that host is late, gone, or nothing of the kind.

use std::path::Path;

use lockgate_testkit::host::{HostOptions, lockgate};
use lockgate_testkit::http::HttpClient;
use lockgate_testkit::{RunningHost, TestCertificate, wait_for};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{BINARY, assert_texts, flow, post};

const EXECUTORS: &str = "\n  - name: neighbour\n    uses: {neighbour}\n";

/// A flow whose one stage is elsewhere.
fn calling(keys: &str) -> String {
    flow(&format!("\n  - name: far\n    external: true\n    {keys}\n"))
}

async fn host() -> RunningHost {
    HostOptions::flow_text(BINARY, &flow(EXECUTORS)).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_calls_another_host_and_says_when_it_is_gone() {
    let mut far = host().await;
    let address = far.address();
    let near = HostOptions::flow_text(BINARY, &calling(&format!("host: 'grpc://{address}'"))).start().await;
    let stage = &near.ready()["stages"][0];
    assert_eq!(stage["external"]["addresses"], json!([format!("grpc://{address}")]), "{stage}");
    assert!(stage["endpoints"].to_string().contains("/upper"), "{stage}");
    assert_texts(&post(&near, "/upper", &["hello", "world"], json!({})).await, &["HELLO", "WORLD"]);
    far.terminate();
    assert!(far.ended().await.success());
    let answer = wait_for("the host to miss the other one", async || {
        let answer = post(&near, "/upper", &["hello"], json!({})).await;
        (answer.status == 503).then_some(answer)
    });
    let told = answer.await.text();
    assert!(told.contains("far") && told.contains(&address.to_string()), "{told}");
    near.wait_for_log("an external executor cannot be reached").await;
    // It comes back, and nobody has to be told.
    let port = format!("with:\n  port: {}\n", address.port());
    let again = HostOptions::flow_text(BINARY, &flow(EXECUTORS).replace("with:\n", &port));
    let _again = again.with_own_ports().start().await;
    wait_for("the other host to be found again", async || {
        let answer = post(&near, "/upper", &["hello"], json!({})).await;
        (answer.status == 200).then(|| assert_texts(&answer, &["HELLO"]))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_the_other_host_and_says_so() {
    // A port that was free a moment ago, and on which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let keys = format!("port: {port}\n    timeout_ready: 200ms");
    let told = HostOptions::flow_text(BINARY, &calling(&keys)).try_start().await.err().unwrap_or_default();
    for part in [
        "executor \"far\" is not there",
        &format!("grpc://127.0.0.1:{port}"),
        "Connection refused",
        "timeout_ready",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(told.contains("waiting for far"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_host_may_speak_tls() {
    let certificate = TestCertificate::new();
    let words = [certificate.chain(), certificate.key()].map(|path| path.display().to_string());
    let far = HostOptions::flow_text(BINARY, &flow(EXECUTORS));
    let far = far.word("--tls-cert").word(&words[0]).word("--tls-key").word(&words[1]).start().await;
    let keys =
        format!("host: localhost\n    port: {}\n    tls: true\n    timeout_ready: 5s", far.address().port());
    let stranger =
        HostOptions::flow_text(BINARY, &calling(&keys)).try_start().await.err().unwrap_or_default();
    assert!(stranger.contains("nobody that is trusted here signed its certificate"), "{stranger}");
    let near = HostOptions::flow_text(BINARY, &calling(&keys))
        .environment("SSL_CERT_FILE", &certificate.authority().display().to_string());
    let near = near.start().await;
    assert_texts(&post(&near, "/upper", &["hello"], json!({})).await, &["HELLO"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_streams_there_streams_here() {
    let far = host().await;
    let address = far.address();
    let near = HostOptions::flow_text(BINARY, &calling(&format!("host: 'grpc://{address}'"))).start().await;
    let call = |scheme: &str, text: &str| {
        let mut command = lockgate(Path::new(BINARY));
        let url = format!("{scheme}://{}", near.address());
        command.args(["call", &url, "--stream", "--json", "--endpoint", "/words", "--text", text]);
        command
    };
    for scheme in ["grpc", "http", "ws"] {
        let output = call(scheme, "to fail").output().await.unwrap();
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(out.contains(r#""text":"to""#) && out.lines().count() == 1, "{scheme}: {out}{error}");
        assert!(error.contains("the neighbour will not do that"), "{scheme}: {error}");
        // One without an end comes as it is made, and ends in both hosts with its caller.
        let mut child =
            call(scheme, "*").stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(line.contains(r#""text":"*""#), "{scheme}: {line}");
        }
        child.kill().await.unwrap();
        for host in [&near, &far] {
            wait_for("the request to be over", async || {
                let page = page(host).await;
                page.lines().any(|line| line == "lockgate_requests_in_flight 0").then_some(())
            })
            .await;
        }
    }
    // Nobody listens: all at once.
    assert_texts(&post(&near, "/words", &["to be"], json!({})).await, &["to", "be"]);
}

async fn page(host: &RunningHost) -> String {
    HttpClient::http1().get(&host.url("/metrics")).await.text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_by_address() {
    let mut far = host().await;
    let address = far.address();
    let near = HostOptions::flow_text(BINARY, &calling(&format!("host: 'grpc://{address}'"))).start().await;
    let value = |page: &str, metric: &str, more: &str| {
        let series = match metric {
            "failures_total" => format!("lockgate_external_failures_total{{executor=\"far\"{more}}} "),
            _ => {
                format!("lockgate_external_{metric}{{executor=\"far\",address=\"grpc://{address}\"{more}}} ")
            }
        };
        page.lines().find_map(|line| line.strip_prefix(&series)?.parse::<f64>().ok())
    };
    assert_texts(&post(&near, "/upper", &["hello"], json!({})).await, &["HELLO"]);
    post(&near, "/fail", &["x"], json!({})).await;
    let counted = page(&near).await;
    assert_eq!(value(&counted, "calls_total", ""), Some(2.0), "{counted}");
    assert!(value(&counted, "seconds_total", "").is_some_and(|seconds| seconds > 0.0), "{counted}");
    assert_eq!(value(&counted, "in_flight", ""), Some(0.0), "{counted}");
    assert_eq!(value(&counted, "failures_total", ",code=\"guest_error\""), Some(1.0), "{counted}");
    for (state, expected) in [("connected", 1.0), ("silent", 0.0), ("gone", 0.0)] {
        let state = format!(",state=\"{state}\"");
        assert_eq!(value(&counted, "address", &state), Some(expected), "{counted}");
    }
    far.terminate();
    assert!(far.ended().await.success());
    wait_for("the address to be gone", async || {
        post(&near, "/upper", &["hello"], json!({})).await;
        let page = page(&near).await;
        let is_gone = value(&page, "address", ",state=\"gone\"") == Some(1.0);
        let failed = value(&page, "failures_total", ",code=\"unavailable\"").is_some_and(|count| count > 0.0);
        (is_gone && failed).then_some(())
    })
    .await;
}
