//! Draining: what is in progress finishes, what is new is refused, and the wait is bounded.

use ::http::{Method, StatusCode, Version};
use futures_util::{SinkExt, StreamExt, stream};
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tonic::Code;

use super::*;

#[tokio::test]
async fn requests_in_progress_finish() {
    let host = Host::start().await;
    let body = json!({ "data": [{ "text": "x" }] }).to_string();
    let first = http::send(&host, Version::HTTP_11, Method::POST, "/wait", &[], body.clone());
    let second = http::send(&host, Version::HTTP_2, Method::POST, "/wait", &[], body);
    let both = async { tokio::join!(first, second) };
    let mut both = Box::pin(both);
    tokio::select! {
        _ = &mut both => panic!("they should wait"),
        () = host.active(2) => {}
    }
    host.shutdown.cancel();
    host.release(2);
    let (first, second) = both.as_mut().await;
    drop(both);
    assert_eq!((first.0, second.0), (StatusCode::OK, StatusCode::OK));
    let address = host.address;
    assert_eq!(host.drained().await, Drained { cut_off: 0 });
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn streams_finish_what_is_pending_and_say_why_they_end() {
    let host = Host::start().await;
    let mut socket = websocket::connect(&host, "/", None).await;
    socket.send(websocket::frame("pending", "/wait", "x")).await.unwrap();
    let messages = stream::iter([grpc::message("pending", "/wait", &["x"])]).chain(stream::pending());
    let mut call = grpc::call(&host, &[], messages).await;
    host.active(2).await;
    host.shutdown.cancel();
    host.release(2);
    let (ids, code, reason) = websocket::replies(&mut socket).await;
    assert_eq!((ids, code), (vec!["pending".to_owned()], CloseCode::Away), "{reason}");
    assert_eq!(grpc::read(within(call.message()).await.unwrap().unwrap()).request_id, "pending");
    assert_eq!(within(call.message()).await.unwrap_err().code(), Code::Unavailable);
    drop((socket, call));
    assert_eq!(host.drained().await, Drained { cut_off: 0 });
}

#[tokio::test]
async fn readiness_turns_before_the_door_closes() {
    let options = GatewayOptions { drain_notice: PATIENCE, ..GatewayOptions::default() };
    let host = Host::with(options).await;
    host.shutdown.cancel();
    let turned = async {
        loop {
            let (status, _, _) = http::send(&host, Version::HTTP_11, Method::GET, "/readyz", &[], "").await;
            if status == StatusCode::SERVICE_UNAVAILABLE {
                return;
            }
        }
    };
    within(turned).await;
    let (status, _) = http::post(&host, "/upper", &[], json!({ "data": [] })).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off() {
    let options = GatewayOptions { drain_timeout: Duration::from_millis(50), ..GatewayOptions::default() };
    let host = Host::with(options).await;
    let body = json!({ "data": [{ "text": "x" }] }).to_string();
    let mut hanging = JoinSet::new();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let uri = format!("http://{}/hang", host.address);
        let request = ::http::Request::post(uri).version(version).body(body.clone().into()).unwrap();
        let client = http::client(version);
        hanging.spawn(async move { client.request(request).await.is_err() });
    }
    host.active(2).await;
    let mut active = host.script.active.subscribe();
    host.shutdown.cancel();
    assert_eq!(host.drained().await, Drained { cut_off: 2 });
    within(active.wait_for(|active| *active == 0)).await.unwrap();
    assert_eq!(within(hanging.join_all()).await, [true, true]);
}
