//! A flow that calls another host, and what its callers see when that host is late, gone, or nothing of the kind.

use lockgate_testkit::host::HostOptions;
use lockgate_testkit::{RunningHost, TestCertificate, wait_for};
use serde_json::json;

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
