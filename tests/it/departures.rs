//! Callers that go away: the guest stops, and its instance goes to whoever waits.
//!
//! The guest would run for the whole minute that the flow allows; a following call on a pool of one instance is
//! answered only when that guest was stopped.

use lockgate_testkit::websocket::{Message, WebSocket};
use lockgate_testkit::{RunningHost, wait_for};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::grpc;
use crate::support::{assert_texts, flow, post, request, serve};

/// One instance, and far more time and fuel than the test has patience.
const PATIENT: &str = "
  - name: neighbour
    uses: {neighbour}
    instances: { max: 1 }
    limits: { fuel: 1000000000000000, wall_time_ms: 3600000 }
";

const LIMITS: &str = "{ fuel: 1000000000000000, wall_time_ms: 3600000 }";

fn patient(executors: &str) -> String {
    flow(executors).replace("jtype: Flow", "jtype: Flow\nfuel: 1000000000000000\ntimeout: 3600000")
}

async fn patient_host() -> RunningHost {
    serve(&patient(PATIENT)).await
}

fn holding() -> serde_json::Value {
    request("/hold", &["x"], json!({ "milliseconds": 3_000_000 }))
}

/// Waits until a guest is busy for a departing caller; there must be `times` of them so far.
async fn wait_until_held(host: &RunningHost, times: usize) {
    wait_for("the guest to hold", async || (host.logs().matches("holding").count() >= times).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_hangs_up_over_http() {
    let host = patient_host().await;
    for turn in 1..=3 {
        let body = holding().to_string();
        let mut socket = TcpStream::connect(host.address()).await.unwrap();
        let head = format!(
            "POST /post HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        wait_until_held(&host, turn).await;
        drop(socket);
        assert_texts(&post(&host, "/upper", &["next"], json!({})).await, &["NEXT"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_resets_its_stream_over_grpc() {
    let host = patient_host().await;
    for turn in 1..=3 {
        let call = grpc::unary(&host, grpc::request("/hold", &["x"], &[("milliseconds", 3_000_000.0)]));
        tokio::select! {
            answer = call => panic!("answered: {answer:?}"),
            () = wait_until_held(&host, turn) => {}
        }
        assert_texts(&post(&host, "/upper", &["next"], json!({})).await, &["NEXT"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_closes_its_websocket() {
    let host = patient_host().await;
    for turn in 1..=3 {
        let mut socket = WebSocket::open(host.address(), Some("json")).await;
        assert!(socket.send(Message::text(holding().to_string())).await);
        wait_until_held(&host, turn).await;
        drop(socket);
        assert_texts(&post(&host, "/upper", &["next"], json!({})).await, &["NEXT"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_reset_without_end() {
    let mut host = patient_host().await;
    let before = host.resident_bytes();
    for _ in 0..500 {
        let body = holding().to_string();
        let mut socket = TcpStream::connect(host.address()).await.unwrap();
        let head = format!("POST /post HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        socket.write_all(head.as_bytes()).await.unwrap();
    }
    assert_texts(&post(&host, "/upper", &["next"], json!({})).await, &["NEXT"]);
    assert!(host.is_alive());
    wait_for("memory to return", async || (host.resident_bytes() < before + (96 << 20)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_of_the_caller_stops_the_guest() {
    let text = format!("{PATIENT}  - name: hostile\n    uses: {{hostile}}\n    limits: {LIMITS}\n");
    let host = serve(&patient(&text)).await;
    let mut socket = TcpStream::connect(host.address()).await.unwrap();
    let body = request("/spin", &["x"], json!({})).to_string();
    let head = format!(
        "POST /post HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-timeout-ms: 300\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("deadline_exceeded"), "{answer}");
    assert_texts(&post(&host, "/calm", &["next"], json!({})).await, &["NEXT"]);
}
