//! WebSocket in both subprotocols.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::grpc::{message, read};
use super::*;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) async fn connect(host: &Host, path: &str, subprotocol: Option<&'static str>) -> Socket {
    let mut request = format!("ws://{}{path}", host.address).into_client_request().unwrap();
    if let Some(subprotocol) = subprotocol {
        request.headers_mut().insert("sec-websocket-protocol", subprotocol.parse().unwrap());
    }
    let (socket, response) = within(connect_async(request)).await.unwrap();
    let echoed = response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap());
    assert_eq!(echoed, subprotocol);
    socket
}

pub(super) fn frame(id: &str, endpoint: &str, text: &str) -> Message {
    let body = json!({
        "header": { "request_id": id }, "execEndpoint": endpoint, "data": [{ "text": text }],
    });
    Message::text(body.to_string())
}

/// The ids of the replies until the close frame, and its code.
pub(super) async fn replies(socket: &mut Socket) -> (Vec<String>, CloseCode, String) {
    let mut ids = Vec::new();
    loop {
        match within(socket.next()).await.unwrap().unwrap() {
            Message::Text(text) => {
                let reply: Value = serde_json::from_str(&text).unwrap();
                ids.push(reply["header"]["request_id"].as_str().unwrap().to_owned());
            }
            Message::Binary(bytes) => {
                ids.push(read(lockgate_wire::proto::DataRequestProto::decode(bytes).unwrap()).request_id);
            }
            Message::Close(frame) => {
                let frame = frame.unwrap();
                return (ids, frame.code, frame.reason.to_string());
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn json_requests_are_served_and_the_end_is_orderly() {
    let host = Host::start().await;
    for (path, subprotocol) in [("/", Some("json")), ("/ws", None)] {
        let mut socket = connect(&host, path, subprotocol).await;
        socket.send(frame("first", "/upper", "a")).await.unwrap();
        let Message::Text(text) = within(socket.next()).await.unwrap().unwrap() else { panic!("text") };
        let reply: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(reply["data"][0]["text"], "A");
        assert_eq!(reply["header"]["request_id"], "first");
        assert_eq!(reply["header"]["exec_endpoint"], "/upper");
        socket.send(frame("pending", "/wait", "x")).await.unwrap();
        socket.send(Message::text("{}")).await.unwrap();
        host.active(1).await;
        host.release(1);
        let (ids, code, _) = replies(&mut socket).await;
        assert_eq!((ids, code), (vec!["pending".to_owned()], CloseCode::Normal));
    }
}

#[tokio::test]
async fn json_answers_are_written_in_snake_case_with_zones() {
    let host = Host::start().await;
    let mut socket = connect(&host, "/", Some("json")).await;
    for request in [
        r#"{"data": [{"text": "a"}], "exec_endpoint": "/upper"}"#,
        r#"{"data": {"docs": [{"text": "a"}]}, "header": {"exec_endpoint": "/upper"}}"#,
        r#"{"data": {"text": "a"}, "execEndpoint": "/upper", "targetExecutor": "scr", "unknown": [1]}"#,
    ] {
        socket.send(Message::text(request)).await.unwrap();
        let Message::Text(text) = within(socket.next()).await.unwrap().unwrap() else { panic!("text") };
        let reply: Value = serde_json::from_str(&text).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&reply), ["data", "header", "parameters", "routes"]);
        assert_eq!(keys(&reply["header"]), ["exec_endpoint", "request_id", "target_executor"]);
        for route in reply["routes"].as_array().unwrap() {
            assert_eq!(keys(route), ["end_time", "executor", "start_time"]);
            assert!(route["start_time"].as_str().unwrap().ends_with('Z'), "{route}");
        }
        assert_eq!(reply["data"][0]["text"], "A");
    }
}

#[tokio::test]
async fn an_unknown_subprotocol_means_json_and_is_not_echoed() {
    let host = Host::start().await;
    let socket = TcpStream::connect(host.address).await.unwrap();
    let mut socket = tokio::io::BufStream::new(socket);
    let head = "GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: chat\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.flush().await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        assert!(within(socket.read_line(&mut answer)).await.unwrap() > 0, "{answer}");
    }
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("sec-websocket-protocol"), "{answer}");
    let mut socket = WebSocketStream::from_raw_socket(socket, Role::Client, None).await;
    socket.send(frame("x", "/upper", "a")).await.unwrap();
    assert!(matches!(within(socket.next()).await.unwrap().unwrap(), Message::Text(_)));
}

#[tokio::test]
async fn binary_requests_are_served_and_the_end_is_orderly() {
    let host = Host::start().await;
    let mut socket = connect(&host, "/", Some("bytes")).await;
    for id in ["a", "b"] {
        let message = message(id, "/upper", &["x"]).encode_to_vec();
        socket.send(Message::binary(message)).await.unwrap();
    }
    socket.send(Message::binary(vec![0])).await.unwrap();
    let (mut ids, code, _) = replies(&mut socket).await;
    ids.sort();
    assert_eq!((ids, code), (vec!["a".to_owned(), "b".to_owned()], CloseCode::Normal));
}

#[tokio::test]
async fn an_executors_error_travels_inside() {
    let host = Host::start().await;
    let mut socket = connect(&host, "/", None).await;
    socket.send(frame("x", "/fail", "a")).await.unwrap();
    let Message::Text(text) = within(socket.next()).await.unwrap().unwrap() else { panic!("text") };
    assert!(text.contains("as the script says"), "{text}");
}

#[tokio::test]
async fn whatever_ends_the_input_what_is_pending_is_finished() {
    let host = Host::start().await;
    let check = async |subprotocol: &'static str, bad: Message, code: CloseCode, reason: &str| {
        let mut socket = connect(&host, "/", Some(subprotocol)).await;
        let pending = match subprotocol {
            "json" => frame("pending", "/wait", "x"),
            _ => Message::binary(message("pending", "/wait", &["x"]).encode_to_vec()),
        };
        socket.send(pending).await.unwrap();
        host.active(1).await;
        socket.send(bad.clone()).await.unwrap();
        host.release(1);
        let (ids, got, why) = replies(&mut socket).await;
        assert_eq!((ids, got), (vec!["pending".to_owned()], code), "{bad:?}: {why}");
        assert!(why.contains(reason), "{bad:?}: {why}");
        assert!(why.len() <= 123);
    };
    check("json", Message::text("not json"), CloseCode::Invalid, "").await;
    check("json", Message::text("[".repeat(100_000)), CloseCode::Invalid, "").await;
    check("json", Message::binary(vec![1]), CloseCode::Unsupported, "text frames").await;
    check("bytes", Message::text("x"), CloseCode::Unsupported, "binary frames").await;
    check("bytes", Message::binary(vec![255; 10]), CloseCode::Invalid, "DataRequestProto").await;
    check("json", frame("x", "/gone", "x"), CloseCode::Error, "as the script says").await;
}

#[tokio::test]
async fn a_message_beyond_the_size_closes_with_1009() {
    let host = Host::with(GatewayOptions { max_message_bytes: 1000, ..GatewayOptions::default() }).await;
    let mut socket = connect(&host, "/", None).await;
    socket.send(frame("x", "/upper", &"a".repeat(2000))).await.unwrap();
    let (ids, code, _) = replies(&mut socket).await;
    assert_eq!((ids.len(), code), (0, CloseCode::Size));
}

#[tokio::test]
async fn a_caller_that_leaves_stops_its_guests() {
    let host = Host::start().await;
    for orderly in [true, false] {
        let mut socket = connect(&host, "/", None).await;
        socket.send(frame("x", "/hang", "a")).await.unwrap();
        host.active(1).await;
        if orderly {
            socket.close(None).await.unwrap();
        }
        drop(socket);
        host.active(0).await;
    }
}

#[tokio::test]
async fn a_dry_run_is_one_frame() {
    let host = Host::start().await;
    for (subprotocol, expected) in [("json", Message::text("{}")), ("bytes", Message::binary(Bytes::new()))] {
        let mut socket = connect(&host, "/dry_run", Some(subprotocol)).await;
        assert_eq!(within(socket.next()).await.unwrap().unwrap(), expected);
        assert_eq!(replies(&mut socket).await.1, CloseCode::Normal);
    }
}

#[tokio::test]
async fn bad_handshakes_are_refused() {
    let host = Host::start().await;
    let check = async |path: &str, header: &'static str, value: &'static str, status: u16| {
        let mut request = format!("ws://{}{path}", host.address).into_client_request().unwrap();
        request.headers_mut().insert(header, value.parse().unwrap());
        match within(connect_async(request)).await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), status),
            other => panic!("{other:?}"),
        }
    };
    check("/nothing", "x-a", "b", 404).await;
    check("/", "request-timeout", "soon", 400).await;
    host.routes.withdraw(&"test".parse().unwrap());
    check("/", "x-a", "b", 503).await;
}
