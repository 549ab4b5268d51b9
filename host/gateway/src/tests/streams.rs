//! Streaming endpoints over every protocol.

use ::http::{HeaderMap, Method, Version};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use lockgate_domain::TenantName;
use lockgate_wire::docs;
use lockgate_wire::proto::SingleDocumentRequestProto;
use lockgate_wire::proto::jina_single_document_request_rpc_client::JinaSingleDocumentRequestRpcClient;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tonic::{Code, Streaming};

use super::grpc::{channel, message, read};
use super::http::{client, post, send};
use super::websocket::{connect, frame, replies};
use super::*;
use crate::Visit;
use crate::circumstances::{Arrival, Circumstances};
use crate::parts::{Part, Parts};
use crate::serve::Prepared;

// === gRPC ===

async fn stream_doc(
    host: &Host,
    endpoint: &str,
    text: &str,
    dialect: Dialect,
) -> Streaming<SingleDocumentRequestProto> {
    let document = docs::encode_each(dialect, &documents(&[text])).unwrap().remove(0);
    let header = lockgate_wire::proto::HeaderProto {
        request_id: "mine".to_owned(),
        exec_endpoint: Some(endpoint.to_owned()),
        ..Default::default()
    };
    let message = SingleDocumentRequestProto { header: Some(header), document, ..Default::default() };
    let mut client = JinaSingleDocumentRequestRpcClient::new(channel(host).await);
    within(client.stream_doc(message)).await.unwrap().into_inner()
}

/// The document's text, whether it is a failure, and how the document was written.
fn taken_apart(message: &SingleDocumentRequestProto) -> (String, bool, Dialect) {
    let header = message.header.as_ref().unwrap();
    assert_eq!(header.request_id, "mine");
    let (list, dialect) = docs::decode_one(&message.document, &Limits::default()).unwrap();
    (texts(&list).concat(), header.status.as_ref().unwrap().code != 0, dialect)
}

#[tokio::test]
async fn documents_come_one_a_message_in_the_callers_dialect() {
    let host = Host::start().await;
    let check = async |endpoint: &str, expected: &[(&str, bool)]| {
        for dialect in [Dialect::DocArrayV1, Dialect::DocArrayV2] {
            let mut replies = stream_doc(&host, endpoint, "a", dialect).await;
            let mut got = Vec::new();
            while let Some(message) = within(replies.message()).await.unwrap() {
                got.push(taken_apart(&message));
            }
            let expected: Vec<_> =
                expected.iter().map(|(text, failed)| ((*text).to_owned(), *failed, dialect)).collect();
            assert_eq!(got, expected, "{endpoint}");
        }
    };
    check("/twice", &[("a 0", false), ("a 1", false)]).await;
    check("/upper", &[("A", false)]).await;
    check("/nobody", &[("a", false)]).await;
    check("/half", &[("half", false), ("a", true)]).await;
    check("/fail", &[("a", true)]).await;
}

#[tokio::test]
async fn a_failure_of_the_host_is_a_status_after_what_was_emitted() {
    let host = Host::start().await;
    let mut replies = stream_doc(&host, "/lost", "a", Dialect::DocArrayV2).await;
    assert_eq!(taken_apart(&within(replies.message()).await.unwrap().unwrap()).0, "half");
    assert_eq!(within(replies.message()).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn documents_leave_as_they_are_emitted() {
    let host = Host::start().await;
    let mut replies = stream_doc(&host, "/steps", "a", Dialect::DocArrayV2).await;
    assert_eq!(taken_apart(&within(replies.message()).await.unwrap().unwrap()).0, "before");
    host.active(1).await;
    host.release(1);
    assert_eq!(taken_apart(&within(replies.message()).await.unwrap().unwrap()).0, "after");
    assert!(within(replies.message()).await.unwrap().is_none());
}

// === the parts themselves ===

#[tokio::test]
async fn the_guest_waits_for_a_caller_that_takes_nothing() {
    let script = Arc::new(Script::new());
    let flow = Arc::new(flow("test", script.clone()));
    let visit = Visit { tenant: TenantName::local(), flow, guard: None };
    let circumstances = Circumstances::of(&HeaderMap::new(), Arrival::now()).unwrap();
    let prepared = Prepared::new(visit, request("x", "/endless", &["a"]), circumstances).unwrap();
    let mut parts = Parts::of(prepared);
    for taken in 1..100 {
        assert!(matches!(within(parts.next()).await, Some(Part::Emitted(_))));
        let emitted = script.emitted.load(Ordering::Relaxed);
        assert!(emitted <= taken + 2, "{emitted} were emitted, {taken} taken");
    }
    drop(parts);
    assert_eq!(*script.active.borrow(), 0);
}

#[tokio::test]
async fn a_caller_that_leaves_stops_the_guest() {
    let host = Host::start().await;
    let mut replies = stream_doc(&host, "/endless", "a", Dialect::DocArrayV2).await;
    within(replies.message()).await.unwrap().unwrap();
    drop(replies);
    host.active(0).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut body = events(&host, version, "/endless?text=a").await;
        within(body.frame()).await.unwrap().unwrap();
        host.active(1).await;
        drop(body);
        host.active(0).await;
    }
    let mut socket = connect(&host, "/", Some("json.stream")).await;
    socket.send(frame("x", "/endless", "a")).await.unwrap();
    within(socket.next()).await.unwrap().unwrap();
    host.active(1).await;
    drop(socket);
    host.active(0).await;
}

// === HTTP ===

async fn events(host: &Host, version: Version, path: &str) -> Incoming {
    let request = ::http::Request::get(format!("http://{}{path}", host.address)).version(version);
    let response = client(version).request(request.body(Full::new(Bytes::new())).unwrap());
    within(response).await.unwrap().into_body()
}

async fn all(
    host: &Host,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    let (status, headers, body) = send(host, Version::HTTP_11, method, path, headers, body.to_owned()).await;
    let kind = headers["content-type"].to_str().unwrap().to_owned();
    (status.as_u16(), kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn documents_are_events_to_the_byte() {
    let host = Host::start().await;
    let two = "event: update\r\ndata: {\"text\":\"a 0\"}\r\n\r\nevent: update\r\ndata: {\"text\":\"a 1\"}\r\n\r\nevent: end\r\n\r\n";
    let one = "event: update\r\ndata: {\"text\":\"A\"}\r\n\r\nevent: end\r\n\r\n";
    let accept = [("accept", "text/event-stream")];
    let request = r#"{"data": [{"text": "a"}], "parameters": {"k": 1}}"#;
    let check = async |method: Method, path: &str, headers: &[(&str, &str)], body: &str, expected: &str| {
        let (status, kind, got) = all(&host, method, path, headers, body).await;
        assert_eq!((status, kind.as_str()), (200, "text/event-stream; charset=utf-8"), "{path}: {got}");
        assert_eq!(got, expected);
    };
    check(Method::GET, "/twice?text=a", &[], "", two).await;
    check(Method::GET, "/twice", &accept, r#"{"text": "a"}"#, two).await;
    check(Method::POST, "/twice", &accept, request, two).await;
    check(Method::POST, "/upper", &[("accept", "text/html, Text/Event-Stream;q=0.9")], request, one).await;
}

#[tokio::test]
async fn only_streaming_endpoints_take_get() {
    let host = Host::start().await;
    let (status, _, _) = all(&host, Method::GET, "/upper", &[("accept", "text/event-stream")], "").await;
    assert_eq!(status, 405);
    let (status, _, body) = all(&host, Method::GET, "/twice", &[], "[]").await;
    assert_eq!(status, 422, "{body}");
    let (status, _, body) = all(&host, Method::GET, "/twice?text=%", &[], "").await;
    assert_eq!(status, 422, "{body}");
    let (_, _, body) = all(&host, Method::GET, "/openapi.json", &[], "").await;
    let api: Value = serde_json::from_str(&body).unwrap();
    assert!(api["paths"]["/twice"]["get"].is_object() && api["paths"]["/upper"]["get"].is_null());
}

#[tokio::test]
async fn a_failure_before_the_first_event_is_an_ordinary_answer() {
    let host = Host::start().await;
    let accept = [("accept", "text/event-stream")];
    let request = r#"{"data": [{"text": "a"}]}"#;
    let check = async |path: &str, expected: u16| {
        let (status, kind, body) = all(&host, Method::POST, path, &accept, request).await;
        assert_eq!((status, kind.as_str()), (expected, "application/json"), "{path}: {body}");
        assert!(body.contains("as the script says"), "{body}");
    };
    check("/gone", 503).await;
    check("/late", 504).await;
    check("/fail", Problem::new(ErrorCode::GuestError, "").http_status()).await;
}

#[tokio::test]
async fn a_later_failure_is_the_last_event() {
    let host = Host::start().await;
    for (path, code) in [("/half", "guest_error"), ("/lost", "unavailable")] {
        for (version, breaks_off) in [(Version::HTTP_11, true), (Version::HTTP_2, false)] {
            let mut body = events(&host, version, path).await;
            let mut got = Vec::new();
            let broke_off = loop {
                match within(body.frame()).await {
                    Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().unwrap()),
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            let got = String::from_utf8(got).unwrap();
            let (update, error) = got.split_once("event: error\r\ndata: ").expect(&got);
            assert_eq!(update, "event: update\r\ndata: {\"text\":\"half\"}\r\n\r\n");
            let error: Value = serde_json::from_str(error.trim_end()).unwrap();
            assert_eq!(error["error"]["code"], code);
            assert_eq!(broke_off, breaks_off, "{path} {version:?}");
        }
    }
}

#[tokio::test]
async fn an_ordinary_call_gets_all_that_was_emitted() {
    let host = Host::start().await;
    let (_, body) = post(&host, "/twice", &[], json!({ "data": [{ "text": "a" }] })).await;
    let texts: Vec<_> = body["data"].as_array().unwrap().iter().map(|document| &document["text"]).collect();
    assert_eq!(texts, ["a 0", "a 1"]);
}

#[tokio::test]
async fn a_stream_in_progress_is_finished_when_the_gateway_drains() {
    let host = Host::start().await;
    let mut body = events(&host, Version::HTTP_11, "/steps").await;
    within(body.frame()).await.unwrap().unwrap();
    host.shutdown.cancel();
    host.release(1);
    let rest = within(body.collect()).await.unwrap().to_bytes();
    assert!(rest.ends_with(b"event: end\r\n\r\n"));
    assert_eq!(host.drained().await, Drained { cut_off: 0 });
}

// === WebSocket ===

#[tokio::test]
async fn parts_have_frames_before_the_answer_for_those_who_ask() {
    let host = Host::start().await;
    let check = async |subprotocol: &'static str, expected: &[(&str, bool)]| {
        let mut socket = connect(&host, "/", Some(subprotocol)).await;
        let request = match subprotocol {
            "json" | "json.stream" => frame("x", "/twice", "a"),
            _ => Message::binary(prost::Message::encode_to_vec(&message("x", "/twice", &["a"]))),
        };
        socket.send(request).await.unwrap();
        let mut got = Vec::new();
        for _ in expected {
            got.push(match within(socket.next()).await.unwrap().unwrap() {
                Message::Text(text) => {
                    let reply: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(reply["header"]["request_id"], "x");
                    let documents = reply["data"].as_array().unwrap();
                    let texts: Vec<_> =
                        documents.iter().map(|document| document["text"].as_str().unwrap()).collect();
                    (texts.join(","), !reply["routes"].as_array().unwrap().is_empty())
                }
                Message::Binary(bytes) => {
                    let answer = read(prost::Message::decode(bytes).unwrap());
                    assert_eq!(answer.request_id, "x");
                    (texts(&answer.documents).join(","), !answer.routes.is_empty())
                }
                other => panic!("{other:?}"),
            });
        }
        let expected: Vec<_> =
            expected.iter().map(|(text, is_last)| ((*text).to_owned(), *is_last)).collect();
        assert_eq!(got, expected, "{subprotocol}");
        let end =
            if subprotocol.starts_with("json") { Message::text("{}") } else { Message::binary(vec![0]) };
        socket.send(end).await.unwrap();
        assert_eq!(replies(&mut socket).await.1, CloseCode::Normal);
    };
    for subprotocol in ["json", "bytes"] {
        check(subprotocol, &[("a 0,a 1", true)]).await;
    }
    for subprotocol in ["json.stream", "bytes.stream"] {
        check(subprotocol, &[("a 0", false), ("a 1", false), ("", true)]).await;
    }
}

#[tokio::test]
async fn one_streaming_request_does_not_hold_up_another() {
    let host = Host::start().await;
    let mut socket = connect(&host, "/", Some("json.stream")).await;
    socket.send(frame("slow", "/steps", "a")).await.unwrap();
    within(socket.next()).await.unwrap().unwrap();
    socket.send(frame("quick", "/upper", "a")).await.unwrap();
    socket.send(Message::text("{}")).await.unwrap();
    let Message::Text(text) = within(socket.next()).await.unwrap().unwrap() else { panic!("text") };
    assert!(text.contains("\"quick\""), "{text}");
    host.release(1);
    assert_eq!(replies(&mut socket).await.0, ["slow", "slow"]);
}
