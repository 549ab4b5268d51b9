//! A host from its start to its end: readiness, a change of sources under way, drain.

use lockgate_testkit::host::HostOptions;
use lockgate_testkit::{fixtures, wait_for};
use serde_json::json;

use crate::support::{BINARY, assert_texts, flow, post, serve};

const ONE_STAGE: &str = "\n  - name: neighbour\n    uses: {neighbour}\n";

/// A stage that may compute for as long as a test needs it to.
fn patient() -> String {
    let limits = "    limits: { fuel: 1000000000000000, wall_time_ms: 3600000 }\n";
    flow(&format!("{ONE_STAGE}{limits}")).replace("jtype: Flow", "jtype: Flow\nfuel: 1000000000000000")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readiness_line_says_what_runs() {
    let host = serve(&flow(ONE_STAGE)).await;
    let ready = host.ready();
    assert_eq!(ready["flow"], "test", "{ready}");
    assert_eq!(ready["stages"][0]["name"], "neighbour", "{ready}");
    assert_eq!(ready["stages"][0]["endpoints"][0], "/upper", "{ready}");
    assert_eq!(ready["port"], host.address().port(), "{ready}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_finishes_what_has_begun() {
    let mut host = serve(&patient()).await;
    let holding = post(&host, "/hold", &["finished"], json!({ "milliseconds": 1500 }));
    let drained = async {
        host.wait_for_log("holding").await;
        host.terminate();
    };
    let (answer, ()) = tokio::join!(holding, drained);
    assert_texts(&answer, &["FINISHED"]);
    let status = host.ended().await;
    assert!(status.success(), "{status}: {}", host.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let mut host = serve(&patient()).await;
    let url = host.url("/post");
    let body = crate::support::request("/hold", &["never"], json!({ "milliseconds": 50_000 }));
    let client = lockgate_testkit::http::HttpClient::http1();
    let holding = client.try_send(http::Method::POST, &url, &[], body.to_string().into());
    let ended = async {
        host.wait_for_log("holding").await;
        host.terminate();
        host.wait_for_log("draining").await;
        host.terminate();
        host.ended().await
    };
    let (answer, status) = tokio::join!(holding, ended);
    assert!(!status.success(), "{status}");
    assert!(!host.logs().contains("panicked"), "{}", host.logs());
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.texts() != ["NEVER"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_flow_is_swapped_in_without_a_failed_request() {
    let host = HostOptions::flow_text(BINARY, &flow(ONE_STAGE)).word("--watch").start().await;
    assert_texts(&post(&host, "/count", &["x"], json!({})).await, &["1"]);
    let path = host.folder().join("flow.yml");
    let two_stages = format!("{ONE_STAGE}  - name: hostile\n    uses: {{hostile}}\n");
    std::fs::write(&path, flow(&two_stages)).unwrap();
    // Requests go on all the while; each is answered by the one flow or the other.
    let executors = wait_for("the second stage", async || {
        let answer = post(&host, "/calm", &["x"], json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.problem(), None);
        let routes = answer.json()["routes"].as_array().map_or(0, Vec::len);
        (routes == 3).then(|| answer.texts())
    })
    .await;
    assert_eq!(executors, ["X"]);
    // What did not change kept its instances, and what they remember.
    let count = post(&host, "/count", &["x"], json!({})).await.texts();
    assert_ne!(count, ["1"]);
    // A flow that is wrong leaves the one before it serving.
    std::fs::write(&path, "jtype: Flow\nexecutors: [").unwrap();
    host.wait_for_log("error:").await;
    assert_texts(&post(&host, "/calm", &["x"], json!({})).await, &["X"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_cache_is_compiled_again() {
    let cache = tempfile::TempDir::new().unwrap();
    let folder = cache.path().display().to_string();
    let text = flow(ONE_STAGE);
    let start =
        async || HostOptions::flow_text(BINARY, &text).word("--cache-dir").word(&folder).start().await;
    drop(start().await);
    let mut damaged = 0;
    let mut folders = vec![cache.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut bytes = std::fs::read(&path).unwrap();
            if bytes.len() > 10_000 {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&path, bytes).unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0, "the cache holds no compiled code");
    let host = start().await;
    assert_texts(&post(&host, "/upper", &["mended"], json!({})).await, &["MENDED"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_told() {
    let first = serve(&flow(ONE_STAGE)).await;
    let mut command = lockgate_testkit::host::lockgate(BINARY.as_ref());
    let component = fixtures::component("neighbour");
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("flow.yml");
    let text = format!("jtype: Flow\nexecutors:\n  - name: a\n    uses: {}\n", component.display());
    std::fs::write(&path, text).unwrap();
    let port = first.address().port().to_string();
    let output = command.arg("up").arg(&path).args(["--port", &port]).output().await.unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(words.contains(&format!("port {port} is in use")) && words.contains("hint:"), "{words}");
}
