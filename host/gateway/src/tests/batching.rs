//! Requests that share calls, over every protocol; who asks is told how, and draining waits for nobody.

use std::collections::BTreeMap;

use ::http::{Method, StatusCode, Version};
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt, stream};
use lockgate_domain::spec::BatchingSpec;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::*;

const EXPLAIN: &str = "lockgate-explain";

/// A host whose endpoint `/upper` waits for four documents.
async fn host(timeout_ms: u64) -> Host {
    let rule = BatchingSpec { timeout_ms, ..BatchingSpec::default() };
    Host::behind(GatewayOptions::default(), |routes, script| {
        let change = |spec: &mut FlowSpec| {
            spec.stages[0].batching = BTreeMap::from([(EndpointName::parse("/upper").unwrap(), rule)]);
        };
        routes.publish(flow_with("test", script, change));
        Arc::new(OpenDoor::new(routes))
    })
    .await
}

fn body(texts: &[&str]) -> Value {
    let data: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
    json!({ "data": data, "execEndpoint": "/upper", "parameters": { "k": 1 } })
}

/// What an answer's parameters say about the one batch.
fn batch(parameters: &Value) -> &Value {
    let batches = parameters["__explain__"]["batches"].as_array();
    match batches.map(Vec::as_slice) {
        Some([batch]) => batch,
        _ => panic!("one batch should be told of in {parameters}"),
    }
}

#[tokio::test]
async fn requests_of_many_callers_are_one_call_and_who_asks_is_told() {
    let host = host(600_000).await;
    let callers = [&["a"][..], &["b", "c"], &["d"]];
    let answers =
        join_all(callers.map(|texts| http::post(&host, "/post", &[(EXPLAIN, "batch")], body(texts)))).await;
    let mut batches = Vec::new();
    for ((status, answer), texts) in answers.iter().zip(callers) {
        assert_eq!(*status, StatusCode::OK, "{answer}");
        let rows = answer["data"].as_array().unwrap().iter();
        let found: Vec<&str> = rows.map(|row| row["text"].as_str().unwrap()).collect();
        assert_eq!(found, texts.iter().map(|text| text.to_uppercase()).collect::<Vec<_>>());
        assert_eq!(answer["parameters"]["k"].as_f64(), Some(1.0));
        let batch = batch(&answer["parameters"]);
        assert_eq!((&batch["executor"], &batch["endpoint"]), (&json!("script"), &json!("/upper")));
        let size = [&batch["requests"], &batch["documents"], &batch["calls"]].map(Value::as_f64);
        assert_eq!(size, [Some(3.0), Some(4.0), Some(1.0)]);
        assert_eq!((&batch["flushed"], &batch["alone"]), (&json!("size"), &json!(false)));
        batches.push(batch["batch"].clone());
    }
    assert!(batches.iter().all(|batch| *batch == batches[0] && batch.is_string()), "{batches:?}");
    assert_eq!(host.calls(), 1);
}

#[tokio::test]
async fn nobody_is_told_who_did_not_ask() {
    let host = host(600_000).await;
    let four = body(&["a", "b", "c", "d"]);
    let (status, answer) = http::post(&host, "/post", &[], four.clone()).await;
    assert_eq!((status, &answer["parameters"]), (StatusCode::OK, &json!({ "k": 1 })));
    let (status, answer) = http::post(&host, "/post", &[(EXPLAIN, "everything")], four).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["detail"].as_str().is_some_and(|words| words.contains("is not `batch`")), "{answer}");
}

#[tokio::test]
async fn messages_of_streams_share_calls() {
    let host = host(600_000).await;
    let messages = ["1", "2", "3", "4"].map(|id| grpc::message(id, "/upper", &[id]));
    let metadata = [(EXPLAIN, "batch"), ("__results_in_order__", "true")];
    let mut replies = grpc::call(&host, &metadata, stream::iter(messages)).await;
    for id in ["1", "2", "3", "4"] {
        let reply = grpc::read(within(replies.message()).await.unwrap().unwrap());
        assert_eq!((reply.request_id.as_str(), texts(&reply.documents)), (id, vec![id]));
        let parameters = Value::Object(reply.parameters.map().clone());
        assert_eq!(batch(&parameters)["requests"].as_f64(), Some(4.0));
    }
    let mut socket = websocket::connect(&host, "/", None).await;
    for id in ["1", "2", "3", "4"] {
        socket.send(websocket::frame(id, "/upper", "x")).await.unwrap();
    }
    for _ in 0..4 {
        let Message::Text(reply) = within(socket.next()).await.unwrap().unwrap() else { panic!("no text") };
        let reply: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply["data"][0]["text"], "X", "{reply}");
    }
    assert_eq!(host.calls(), 2);
}

#[tokio::test]
async fn draining_and_swapping_wait_for_nobody() {
    let ends: [fn(&Host); 3] = [
        |host| host.shutdown.cancel(),
        |host| host.routes.publish(flow("test", host.script.clone())),
        |host| host.routes.withdraw(&"test".parse().unwrap()),
    ];
    for end in ends {
        let host = host(600_000).await;
        let plan = host.routes.flows()[0].clone();
        let waiting =
            http::send(&host, Version::HTTP_11, Method::POST, "/post", &[], body(&["a"]).to_string());
        let ended = async {
            let batcher = plan.plan().batchers().next().unwrap();
            while batcher.stats().waiting == 0 {
                tokio::task::yield_now().await;
            }
            end(&host);
        };
        let ((status, _, answer), ()) = tokio::join!(waiting, within(ended));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((status, &answer["data"][0]["text"]), (StatusCode::OK, &json!("A")));
    }
}
