//! Capabilities through the real command: what is granted in the flow file works, and nothing else does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lockgate_testkit::RunningHost;
use lockgate_testkit::host::HostOptions;
use serde_json::{Value, json};

use crate::support::{BINARY, assert_texts, flow, post, serve};

/// A server on this machine, by path. It ends with the process.
pub(crate) struct Server {
    port: u16,
    requests: Arc<AtomicU32>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicU32::new(0));
        let counted = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                std::thread::spawn(move || answer(stream, port, &counted));
            }
        });
        Self { port, requests }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Answers one request. What cannot be written is the client's doing.
fn answer(mut stream: TcpStream, port: u16, counted: &AtomicU32) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) < 3 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let whole = |text: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    match first.split(' ').nth(1).unwrap_or("") {
        "/hello" => stream.write_all(whole("hello").as_bytes()).ok(),
        "/count" => stream.write_all(whole(&format!("answer {number}")).as_bytes()).ok(),
        "/redirect" => {
            let head = "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: ";
            write!(stream, "{head}http://127.0.0.1:{port}/hello\r\n\r\n").ok()
        }
        "/length" => {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok();
            stream.write_all(whole(&format!("{length}")).as_bytes()).ok();
            // Hanging up before the client has said that its body is at its end would be an error to it.
            reader.read_exact(&mut [0]).ok()
        }
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok();
            while write!(stream, "1000\r\n{}\r\n", "x".repeat(4096)).is_ok() {}
            None
        }
        _ => {
            // Silent until the client gives up.
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).map(|_| ()).ok()
        }
    };
}

/// A flow of the reaching fixture with these capabilities.
async fn reaching(capabilities: &str) -> RunningHost {
    serve(&flow(&format!(
        "\n  - name: reaching\n    uses: {{capabilities}}\n    limits: {{ wall_time_ms: 8000 }}\n    capabilities: {capabilities}\n"
    )))
    .await
}

/// The only text of a call that succeeds.
async fn text(host: &RunningHost, endpoint: &str, parameters: Value) -> String {
    let answer = post(host, endpoint, &["a"], parameters).await;
    assert_eq!(answer.problem(), None, "{}", answer.text());
    answer.texts().concat()
}

/// The error of a call that fails: its status and its words.
async fn fails(host: &RunningHost, endpoint: &str, parameters: Value, status: &str, words: &str) {
    let answer = post(host, endpoint, &["a"], parameters.clone()).await;
    let problem = answer.problem().unwrap_or_else(|| panic!("{parameters}: {}", answer.text()));
    let shown = problem.to_string();
    assert!(shown.contains(words) && shown.to_lowercase().contains(status), "{parameters}: {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_without_its_grant_does_not_start() {
    let flow = flow("\n  - name: reaching\n    uses: {capabilities}\n");
    let error = HostOptions::flow_text(BINARY, &flow).try_start().await.map(|_| ()).unwrap_err();
    for words in ["reaching", "which needs the capability", "capabilities: {"] {
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_are_granted_are_reached_and_no_others() {
    let (server, other) = (Server::start(), Server::start());
    let granted = format!(
        "{{ key_value: {{ bytes: 1KiB }}, http: {{ hosts: [\"{}\"], private_networks: true, requests_per_call: 3, \
         response_bytes: 100kB }} }}",
        server.host()
    );
    let host = reaching(&granted).await;
    assert_eq!(text(&host, "/fetch", json!({ "url": server.url("/hello") })).await, "200 hello");
    assert_eq!(
        text(&host, "/send", json!({ "url": server.url("/length"), "times": 300_000 })).await,
        "300000"
    );
    let redirected = text(&host, "/fetch", json!({ "url": server.url("/redirect") })).await;
    assert!(redirected.starts_with("302 to http://127.0.0.1:"), "{redirected}");
    assert_eq!(server.requests(), 3, "a redirect is not followed");
    let denied = "is not granted";
    fails(&host, "/fetch", json!({ "url": other.url("/hello") }), "permission", denied).await;
    fails(
        &host,
        "/fetch",
        json!({ "url": server.url("/hello").replace("127.0.0.1", "localhost") }),
        "permission",
        denied,
    )
    .await;
    fails(&host, "/fetch", json!({ "url": server.url("/endless") }), "resource", "longer than").await;
    let slow = json!({ "url": server.url("/silent"), "milliseconds": 50 });
    fails(&host, "/fetch", slow, "deadline", "nothing came in time").await;
    fails(&host, "/fetch", json!({ "url": server.url("/hello"), "times": 4 }), "resource", "more requests")
        .await;
    let injected = json!({ "url": server.url("/hello"), "header": "a\r\nx-evil: b" });
    fails(&host, "/fetch", injected, "invalid", "a header has").await;
    fails(&host, "/fetch", json!({ "url": server.url("/a\r\nx-evil: b") }), "invalid", "path").await;
    assert_eq!(other.requests(), 0);
    assert_eq!(text(&host, "/fetch", json!({ "url": server.url("/hello") })).await, "200 hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_need_a_grant_of_their_own() {
    let server = Server::start();
    let port = server.port;
    let hosts = format!("[\"127.0.0.1:{port}\", \"localhost:{port}\", \"[::1]:{port}\", 169.254.169.254]");
    let host = reaching(&format!("{{ key_value: {{ bytes: 1KiB }}, http: {{ hosts: {hosts} }} }}")).await;
    for url in [
        format!("http://127.0.0.1:{port}/hello"),
        format!("http://localhost:{port}/hello"),
        format!("http://[::1]:{port}/hello"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        fails(&host, "/fetch", json!({ "url": url }), "permission", "address is not public").await;
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_kept_and_has_an_end() {
    let host = reaching("{ key_value: { bytes: 10kB }, http: { hosts: [example.org] } }").await;
    assert_texts(&post(&host, "/remember", &["a"], json!({})).await, &["a"]);
    assert_texts(&post(&host, "/remember", &["b"], json!({})).await, &["ab"]);
    assert_texts(&post(&host, "/remember", &["c"], json!({ "key": "other" })).await, &["c"]);
    assert_eq!(text(&host, "/forget", json!({})).await, "other texts");
    assert_texts(&post(&host, "/remember", &["d"], json!({})).await, &["d"]);
    assert_eq!(text(&host, "/fill", json!({ "bytes": 1000 })).await, "9 resource_exhausted");
    fails(&host, "/remember", json!({ "key": "k".repeat(1025) }), "invalid", "at most 1024 are taken").await;
    assert_eq!(text(&host, "/fill", json!({ "bytes": 2 << 20 })).await, "0 invalid_argument");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_can_be_coarse_and_numbers_repeatable() {
    let needed = "key_value: { bytes: 1KiB }, http: { hosts: [example.org] }";
    let look = async |more: &str| -> Value {
        let host = reaching(&format!("{{ {needed}{more} }}")).await;
        serde_json::from_str(&text(&host, "/look", json!({})).await).unwrap()
    };
    let first = look(", clock: coarse, random: { seeded: 7 }").await;
    let second = look(", clock: coarse, random: { seeded: 7 }").await;
    assert_eq!(first["numbers"], second["numbers"]);
    for told in [&first, &second] {
        assert_eq!(told["nanoseconds"].as_u64().unwrap() % 10_000_000, 0, "{told}");
        assert_eq!(told["elapsed"].as_u64().unwrap() % 10_000_000, 0, "{told}");
    }
    assert_ne!(look("").await["numbers"], first["numbers"]);
}
