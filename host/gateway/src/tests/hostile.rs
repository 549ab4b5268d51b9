//! Callers that mean harm: each is turned away or cut off, its guests stop, and the next caller is served.

use ::http::{Method, Request, StatusCode, Version};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const SHORT: Duration = Duration::from_millis(100);

fn impatient() -> GatewayOptions {
    GatewayOptions {
        header_timeout: SHORT,
        body_timeout: SHORT,
        write_timeout: SHORT,
        keepalive_interval: SHORT,
        keepalive_timeout: SHORT,
        ..GatewayOptions::default()
    }
}

async fn is_alive(host: &Host) {
    let (status, _) = http::post(host, "/upper", &[], json!({ "data": [{ "text": "x" }] })).await;
    assert_eq!(status, StatusCode::OK);
}

/// What the gateway says to raw bytes until it hangs up.
pub(super) async fn say(host: &Host, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(host.address).await.unwrap();
    // The gateway may hang up before it has read everything.
    drop(socket.write_all(bytes).await);
    let mut said = Vec::new();
    // Hanging up on what is still on its way is an error here, after the reply was read.
    drop(within(socket.read_to_end(&mut said)).await);
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn slow_and_silent_callers_are_cut_off() {
    let host = Host::with(impatient()).await;
    let check = async |bytes: &[u8], expected: &str| {
        let said = say(&host, bytes).await;
        assert!(said.contains(expected), "{:?}: {said:?}", String::from_utf8_lossy(bytes));
    };
    check(b"", "").await;
    check(b"PRI * HT", "").await;
    check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "").await;
    check(b"POST /upper HTTP/1.1\r\nhost: a\r\nx-slow: ", "").await;
    check(b"POST /upper HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{", "504").await;
    check(b"POST /upper HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"dat\r\n", "504")
        .await;
    is_alive(&host).await;
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let host = Host::with(impatient()).await;
    let check = async |bytes: &[u8], status: &str| {
        let said = say(&host, bytes).await;
        let start = String::from_utf8_lossy(bytes.get(..60.min(bytes.len())).unwrap()).into_owned();
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{start:?}: {said:?}");
    };
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(1000));
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let path = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "y".repeat(1 << 20));
    check(many.as_bytes(), "431").await;
    check(long.as_bytes(), "431").await;
    check(path.as_bytes(), "431").await;
    check(b"nonsense\r\n\r\n", "400").await;
    let post = |body: &[u8]| {
        let head = format!(
            "POST /upper HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    check(&post(b"{\"data\": [{\"text\": \"\xff\xfe\"}]}"), "422").await;
    check(&post(&b"[".repeat(1 << 20)), "422").await;
    check(&post(b"{\"data\": [{\"text\": NaN}]}"), "422").await;
    check(&post(b""), "422").await;
    check(b"POST /upper HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999\r\n\r\n", "413").await;
    is_alive(&host).await;
}

#[tokio::test]
async fn a_caller_that_never_reads_is_cut_off() {
    let host = Host::with(impatient()).await;
    let mut socket = TcpStream::connect(host.address).await.unwrap();
    let body = json!({ "data": [{ "text": "x".repeat(32) }] }).to_string();
    let request = format!("POST /big HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut calls = host.script.active.subscribe();
    within(calls.wait_for(|active| *active == 0)).await.unwrap();
    // The gateway drains without cutting anything off only once the connection is gone.
    within(async {
        while host.calls() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    host.shutdown.cancel();
    assert_eq!(host.drained().await, Drained { cut_off: 0 });
    drop(socket);
}

#[tokio::test]
async fn a_stream_that_takes_no_replies_is_cut_off() {
    let host = Host::with(impatient()).await;
    // Each reply is larger than all windows together.
    let messages = (0..20).map(|number| grpc::message(&number.to_string(), "/big", &["0123456789"]));
    let messages = stream::iter(messages.collect::<Vec<_>>());
    let hang = stream::iter([grpc::message("hang", "/hang", &["x"])]);
    let replies = grpc::call(&host, &[], messages.chain(hang).chain(stream::pending())).await;
    within(async {
        while host.calls() < 21 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    host.active(0).await;
    drop(replies);
    is_alive(&host).await;
}

#[tokio::test]
async fn a_half_open_websocket_is_cut_off() {
    let host = Host::with(impatient()).await;
    let mut socket = websocket::connect(&host, "/", None).await;
    socket.send(websocket::frame("x", "/hang", "x")).await.unwrap();
    host.active(1).await;
    // A client answers pings only while it reads: this one does not.
    host.active(0).await;
    drop(socket);
    let host = Host::with(GatewayOptions { keepalive_timeout: PATIENCE, ..impatient() }).await;
    let mut lively = websocket::connect(&host, "/", None).await;
    for _ in 0..3 {
        let frame = within(lively.next()).await.unwrap().unwrap();
        assert!(frame.is_ping(), "{frame:?}");
    }
}

#[tokio::test]
async fn a_broken_websocket_is_told_why() {
    let host = Host::with(impatient()).await;
    let handshake = b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let check = async |frame: &[u8], code: u16| {
        let mut socket = TcpStream::connect(host.address).await.unwrap();
        socket.write_all(handshake).await.unwrap();
        socket.write_all(frame).await.unwrap();
        let mut said = Vec::new();
        within(socket.read_to_end(&mut said)).await.unwrap();
        let end = said.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let said = &said[end..];
        assert_eq!((said[0], u16::from_be_bytes([said[2], said[3]])), (0x88, code), "{frame:?}: {said:?}");
    };
    // unmasked; reserved bits; 1 EiB; text that is not UTF-8
    check(&[0x81, 1, b'x'], 1002).await;
    check(&[0xf1, 0x80, 0, 0, 0, 0], 1002).await;
    check(&[0x82, 0xff, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1009).await;
    check(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe], 1007).await;
    is_alive(&host).await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection_and_nothing_else() {
    let host = Host::start().await;
    let client = http::client(Version::HTTP_2);
    for _ in 0..500 {
        let uri = format!("http://{}/hang", host.address);
        let request =
            ::http::Request::post(uri).version(Version::HTTP_2).body("{\"data\":[]}".into()).unwrap();
        let call = client.request(request);
        tokio::select! {
            biased;
            _ = call => {}
            () = tokio::task::yield_now() => {}
        }
    }
    host.active(0).await;
    is_alive(&host).await;
}

#[tokio::test]
async fn callers_that_open_no_window_are_cut_off() {
    let host = Host::with(impatient()).await;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .http2_initial_stream_window_size(0)
        .build_http::<Full<Bytes>>();
    let pages = [("/upper", json!({ "data": [{ "text": "x" }] }).to_string()), ("/docs", String::new())];
    for (path, body) in pages {
        let method = if body.is_empty() { Method::GET } else { Method::POST };
        let request = Request::builder().method(method).uri(format!("http://{}{path}", host.address));
        let response = within(client.request(request.body(Full::from(body)).unwrap())).await.unwrap();
        assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
        assert!(within(response.into_body().collect()).await.is_err(), "{path}");
    }
    is_alive(&host).await;
}

#[tokio::test]
async fn one_peer_has_its_share_of_connections() {
    let options = GatewayOptions { max_connections_per_peer: 2, ..GatewayOptions::default() };
    let host = Host::with(options).await;
    let connect = async || TcpStream::connect(host.address).await.unwrap();
    let (first, second) = (connect().await, connect().await);
    // The gateway takes connections in their order.
    let mut third = connect().await;
    assert!(matches!(within(third.read(&mut [0])).await, Ok(0) | Err(_)));
    drop((first, second));
    // Room comes back as soon as the gateway has seen them go.
    let alive = async {
        loop {
            let mut socket = connect().await;
            let asked = socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
            if asked.is_ok() && matches!(socket.read(&mut [0]).await, Ok(1)) {
                return;
            }
        }
    };
    within(alive).await;
}
