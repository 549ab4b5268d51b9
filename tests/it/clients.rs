//! Hostile clients: what they send is refused with a reason, and nobody else waits for them.

use lockgate_testkit::RunningHost;
use lockgate_testkit::http::HttpClient;
use lockgate_testkit::websocket::{Message, WebSocket};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{assert_texts, flow, post, serve, shown};

const SMALL_MESSAGES: &str = "\n  - name: neighbour\n    uses: {neighbour}\n";

async fn host() -> RunningHost {
    let text = flow(SMALL_MESSAGES).replace("  name: test", "  name: test\n  max_message_bytes: 1000000");
    serve(&text).await
}

async fn assert_serves(host: &RunningHost) {
    assert_texts(&post(host, "/upper", &["still here"], json!({})).await, &["STILL HERE"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_no_requests() {
    let mut host = host().await;
    let client = HttpClient::http1();
    let deep = format!("{{\"data\": {}{}}}", "[".repeat(400_000), "]".repeat(400_000));
    let chunks = format!(
        "{{\"data\": [{}{}]}}",
        "{\"chunks\": [".repeat(5_000),
        format_args!("{}{}", "{}", "]}".repeat(5_000))
    );
    let number = format!("{{\"data\": [{{\"weight\": {}}}]}}", "9".repeat(900_000));
    let large = format!("{{\"data\": [{{\"text\": \"{}\"}}]}}", "x".repeat(1_100_000));
    let check = async |body: &str, statuses: &[u16], code: &str| {
        let body = bytes::Bytes::from(body.to_owned());
        let head: String = String::from_utf8_lossy(&body).chars().take(60).collect();
        let answer = client
            .send(http::Method::POST, &host.url("/upper"), &[("content-type", "application/json")], body)
            .await;
        let text = shown(&answer.text());
        assert!(statuses.contains(&answer.status.as_u16()), "{head}: {} {text}", answer.status);
        let problem = answer.problem().unwrap_or_else(|| panic!("{head}: no problem in {text}"));
        assert_eq!(problem["code"], code, "{head}: {text}");
        assert_eq!(problem["source"], "client", "{head}: {text}");
        assert!(answer.body.len() < 8192, "{head}: an answer of {} bytes", answer.body.len());
    };
    let invalid = "invalid_request";
    check("", &[400, 422], invalid).await;
    check("no json", &[400, 422], invalid).await;
    check("{\"data\": [{\"text\": 5}]}", &[400, 422], invalid).await;
    check("{\"data\": [{\"text\": NaN}]}", &[400, 422], invalid).await;
    check("{\"data\": [{\"blob\": \"!!!! no base64\"}]}", &[400, 422], invalid).await;
    check("{\"data\": [{\"embedding\": [[1, 2], [3]]}]}", &[400, 422], invalid).await;
    check("{\"data\": 7}", &[400, 422], invalid).await;
    check("{\"data\": [], \"execEndpoint\": [1]}", &[400, 422], invalid).await;
    check(&deep, &[400, 422], invalid).await;
    check(&large, &[413], "request_too_large").await;
    for body in [chunks, number] {
        let answer = client
            .send(
                http::Method::POST,
                &host.url("/upper"),
                &[("content-type", "application/json")],
                body.into(),
            )
            .await;
        assert!(answer.status.as_u16() < 500, "{}", shown(&answer.text()));
    }
    assert_serves(&host).await;
    assert!(host.is_alive());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_never_end_and_heads_that_are_too_large() {
    let host = host().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut socket = TcpStream::connect(host.address()).await.unwrap();
        socket.write_all(b"POST /post HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        slow.push(socket);
    }
    assert_serves(&host).await;
    let mut socket = TcpStream::connect(host.address()).await.unwrap();
    let giant = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-giant: {}\r\n\r\n", "x".repeat(1 << 20));
    // The host may close before all of it was taken.
    drop(socket.write_all(giant.as_bytes()).await);
    let mut answer = Vec::new();
    drop(socket.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{}", shown(&answer));
    // Each of them is closed by the host in the end, without an answer or with a refusal.
    for mut socket in slow {
        let mut rest = Vec::new();
        drop(socket.read_to_end(&mut rest).await);
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }
    assert_serves(&host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_too_large_or_no_requests() {
    let host = host().await;
    let mut socket = WebSocket::open(host.address(), Some("json")).await;
    socket.send(Message::text("x".repeat(3_000_000))).await;
    // Whatever it says, it ends: with a refusal, a close frame, or the end of the connection.
    while socket.next().await.is_some() {}
    for (subprotocol, frame) in [
        ("json", Message::text("no json")),
        ("json", Message::text("{\"data\": [{\"text\": 5}]}")),
        ("bytes", Message::binary(vec![0xffu8; 1000])),
    ] {
        let mut socket = WebSocket::open(host.address(), Some(subprotocol)).await;
        socket.send(frame).await;
        socket
            .send(if subprotocol == "json" { Message::text("{}") } else { Message::binary(vec![0u8]) })
            .await;
        while let Some(message) = socket.next().await {
            if let Message::Text(text) = message {
                assert!(text.contains("invalid_request") || text.contains("\"code\""), "{text}");
            }
        }
    }
    // A length of an exabyte, and nothing behind it.
    let mut raw = TcpStream::connect(host.address()).await.unwrap();
    let head = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    raw.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0u8; 1024];
    assert!(raw.read(&mut buffer).await.unwrap() > 0);
    raw.write_all(&[0x81, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]).await.unwrap();
    let mut rest = Vec::new();
    drop(raw.read_to_end(&mut rest).await);
    assert_serves(&host).await;
}

/// HTTP/2 frames by hand: streams opened and reset at once, thousands of times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets() {
    let mut host = host().await;
    let before = host.resident_bytes();
    let mut socket = TcpStream::connect(host.address()).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, 4, 0, 0, &[]);
    // :method POST, :scheme http, :path /, literal :authority x
    let headers = [0x83, 0x86, 0x84, 0x41, 0x01, b'x'];
    for turn in 0..20_000u32 {
        frame(&mut bytes, 1, 4, turn * 2 + 1, &headers);
        frame(&mut bytes, 3, 0, turn * 2 + 1, &8u32.to_be_bytes());
    }
    // The host closes the connection long before the end.
    drop(socket.write_all(&bytes).await);
    let mut rest = Vec::new();
    drop(socket.read_to_end(&mut rest).await);
    let goes_away = rest.windows(9).any(|window| window[3] == 7 && window[4..9] == [0, 0, 0, 0, 0]);
    assert!(goes_away || rest.len() < 1 << 20, "the host answered {} bytes and no GOAWAY", rest.len());
    assert_serves(&host).await;
    assert!(host.is_alive());
    let allowed = before + (64 << 20);
    lockgate_testkit::wait_for("memory to return", async || (host.resident_bytes() < allowed).then_some(()))
        .await;
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let len = payload.len() as u32;
    out.extend_from_slice(&len.to_be_bytes()[1..]);
    out.push(kind);
    out.push(flags);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
