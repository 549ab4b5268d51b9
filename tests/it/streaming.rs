//! `lockgate call --stream`: what a streaming endpoint gives, as it comes, over every protocol.

use std::path::Path;
use std::process::{Output, Stdio};

use lockgate_testkit::host::lockgate;
use lockgate_testkit::http::HttpClient;
use lockgate_testkit::{RunningHost, wait_for};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::{BINARY, flow, serve};

const PROTOCOLS: [&str; 3] = ["grpc", "http", "ws"];

fn command(host: &RunningHost, scheme: &str, words: &[&str]) -> Command {
    let mut command = lockgate(Path::new(BINARY));
    command.arg("call").arg(format!("{scheme}://{}", host.address())).arg("--stream").args(words);
    command.env("XDG_CONFIG_HOME", host.folder().join("config"));
    command
}

async fn run(host: &RunningHost, scheme: &str, words: &[&str]) -> Output {
    command(host, scheme, words).output().await.unwrap()
}

fn texts(lines: &str) -> Vec<String> {
    let text = |line: &str| {
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        document["text"].as_str().unwrap_or_default().to_owned()
    };
    lines.lines().map(text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_printed_one_by_one() {
    let host = serve(&flow("\n  - name: neighbour\n    uses: {neighbour}\n")).await;
    let check = async |words: &[&str], expected: &[&str], told: &str| {
        for scheme in PROTOCOLS {
            let output = run(&host, scheme, &[&["--json"], words].concat()).await;
            let (out, error) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!(texts(&out), expected, "{scheme} {words:?}: {error}");
            assert!(error.contains(told), "{scheme} {words:?}: {error}");
            assert_eq!(output.status.success(), told.is_empty(), "{scheme} {words:?}: {error}");
        }
    };
    check(&["--endpoint", "/words", "--text", "to be", "--text", "or"], &["to", "be", "or"], "").await;
    // What does not stream is given when it is done.
    check(&["--endpoint", "/upper", "--text", "a"], &["A"], "").await;
    check(&["--endpoint", "/words", "--text", "to fail"], &["to"], "one document came before").await;
    check(&["--endpoint", "/words", "--text", "to fail"], &["to"], "the neighbour will not do that").await;
    check(&["--endpoint", "/words", "--no-documents"], &[], "a stream begins with a document").await;
    let output = run(&host, "grpc", &["--endpoint", "/words", "--text", "to be"]).await;
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("to") && shown.contains("be") && shown.lines().count() >= 2, "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_waited_for_and_who_leaves_ends_it() {
    let host = serve(&flow("\n  - name: neighbour\n    uses: {neighbour}\n")).await;
    for scheme in PROTOCOLS {
        let mut command = command(&host, scheme, &["--json", "--endpoint", "/words", "--text", "*"]);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            assert_eq!(texts(&lines.next_line().await.unwrap().unwrap()), ["*"], "{scheme}");
        }
        child.kill().await.unwrap();
        let client = HttpClient::http1();
        wait_for("the request to be over", async || {
            let page = client.get(&host.url("/metrics")).await.text();
            page.lines().any(|line| line == "lockgate_requests_in_flight 0").then_some(())
        })
        .await;
    }
}

/// Answers every request with the same, once.
async fn answering(answer: &'static [u8]) -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut answering = JoinSet::new();
    answering.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            drop(stream.read(&mut asked).await);
            drop(stream.write_all(answer).await);
        }
    });
    (address, answering)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_stream_is_told() {
    let check = async |scheme: &str, answer: &'static [u8], expected: &str| {
        let (address, _answering) = answering(answer).await;
        let mut command = lockgate(Path::new(BINARY));
        let url = format!("{scheme}://{address}");
        let output =
            command.args(["call", &url, "--stream", "--json", "--text", "a"]).output().await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(expected) && !output.status.success(), "{error}");
    };
    let plain = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    check("http", plain, "does not stream: it answered HTTP 200 OK without events").await;
    let cut = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\nevent: en";
    check("http", cut, "broke off before its end").await;
    let refused = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
    check("ws", refused, "does not speak WebSocket: it answered HTTP 403").await;
}
