//! The real Jina client against a flow of ours: gRPC, HTTP and WebSocket.
//!
//! Python and its packages are made by the test kit; without `python3` this test fails with one line that says so.

use lockgate_testkit::{RunningHost, python, repository};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{flow, serve};

const TWO_STAGES: &str = "
  - name: first
    uses: {neighbour}
  - name: second
    uses: {hostile}
";

async fn call(host: &RunningHost, protocol: &str, endpoint: &str) -> Value {
    let requirements = repository().join("tests/jina/requirements-docarray-v1.txt");
    let python = tokio::task::spawn_blocking(move || python::jina_python(&requirements)).await.unwrap();
    let python = python.unwrap_or_else(|why| panic!("{why}"));
    let request = json!({
        "protocol": protocol,
        "port": host.address().port(),
        "endpoint": endpoint,
        "texts": ["hello", "größe", ""],
        "parameters": { "k": 1 },
    });
    let output = Command::new(python)
        .arg(repository().join("tests/jina/client.py"))
        .arg(request.to_string())
        .env("JINA_OPTOUT_TELEMETRY", "1")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = words.lines().rfind(|line| line.starts_with('{'));
    let answer = line.and_then(|line| serde_json::from_str(line).ok());
    answer.unwrap_or_else(|| {
        panic!("{protocol} {endpoint}: {words}\n{}\n{}", String::from_utf8_lossy(&output.stderr), host.logs())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_client_is_served_over_every_protocol() {
    let host = serve(&flow(TWO_STAGES)).await;
    for protocol in ["grpc", "http", "websocket"] {
        let answer = call(&host, protocol, "/upper").await;
        assert_eq!(answer["texts"], json!(["HELLO", "GRÖSSE", ""]), "{protocol}: {answer}");
        assert_eq!(answer["executors"], json!(["gateway", "first", "second"]), "{protocol}: {answer}");
        assert_eq!(answer["parameters"]["k"].as_f64(), Some(1.0), "{protocol}: {answer}");
        assert_eq!(answer["ready"], true, "{protocol}: {answer}");
        let failed = call(&host, protocol, "/fail").await;
        let words = failed.to_string();
        assert!(words.contains("the neighbour will not do that"), "{protocol}: {failed}");
    }
}
