//! What executors give beside documents, as callers of every protocol read it.

use ::http::StatusCode;
use futures_util::{SinkExt, StreamExt};
use lockgate_wire::proto::jina_single_data_request_rpc_client::JinaSingleDataRequestRpcClient;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::*;

#[tokio::test]
async fn they_stand_in_the_parameters_of_the_answer() {
    let host = Host::start().await;
    let expected = json!({ "script/rep-0": { "count": 1, "words": ["a", null] } });
    let sent = json!({ "k": 1, "__results__": { "mine": 2 } });
    let body = json!({ "data": [{ "text": "x" }], "execEndpoint": "/results", "parameters": sent });
    let (status, answer) = http::post(&host, "/post", &[], body.clone()).await;
    assert_eq!((status, &answer["data"][0]["text"]), (StatusCode::OK, &json!("x")));
    let mut both = expected.clone();
    both["mine"] = json!(2);
    assert_eq!(answer["parameters"], json!({ "k": 1, "__results__": both }));

    let mut socket = websocket::connect(&host, "/", None).await;
    socket.send(Message::text(body.to_string())).await.unwrap();
    let Message::Text(text) = within(socket.next()).await.unwrap().unwrap() else { panic!("text") };
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reply["parameters"], answer["parameters"]);

    let mut client = JinaSingleDataRequestRpcClient::new(grpc::channel(&host).await);
    let reply = within(client.process_single_data(grpc::message("1", "/results", &["x"]))).await.unwrap();
    let parameters = grpc::read(reply.into_inner()).parameters;
    assert_eq!(parameters.get(lockgate_domain::Parameters::RESULTS), Some(&expected));
}

#[tokio::test]
async fn without_any_the_parameters_are_those_of_the_request() {
    let host = Host::start().await;
    for sent in [json!({}), json!({ "__results__": {} }), json!({ "__results__": 7, "k": [1] })] {
        let body = json!({ "data": [], "execEndpoint": "/upper", "parameters": sent });
        let (_, answer) = http::post(&host, "/post", &[], body).await;
        assert_eq!(answer["parameters"], sent);
    }
}
