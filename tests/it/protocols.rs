//! One port, all protocols: the same flow gives the same answer over each of them.

use futures_util::StreamExt;
use lockgate_testkit::http::HttpClient;
use lockgate_testkit::websocket::{Message, WebSocket};
use lockgate_testkit::{RunningHost, wait_for};
use lockgate_wire::proto::DataRequestProto;
use lockgate_wire::proto::jina_discover_endpoints_rpc_client::JinaDiscoverEndpointsRpcClient;
use lockgate_wire::proto::jina_gateway_dry_run_rpc_client::JinaGatewayDryRunRpcClient;
use lockgate_wire::proto::jina_info_rpc_client::JinaInfoRpcClient;
use lockgate_wire::proto::jina_rpc_client::JinaRpcClient;
use lockgate_wire::proto::jina_single_document_request_rpc_client::JinaSingleDocumentRequestRpcClient;
use prost::Message as _;
use serde_json::{Value, json};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::grpc;
use crate::support::{assert_texts, flow, post, request, serve};

const ONE_STAGE: &str = "\n  - name: neighbour\n    uses: {neighbour}\n";

async fn host() -> RunningHost {
    serve(&flow(ONE_STAGE)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_in_both_versions() {
    let host = host().await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        let answer = client.post(&host.url("/post"), &request("/upper", &["one", "zwei ß"], json!({}))).await;
        assert_texts(&answer, &["ONE", "ZWEI SS"]);
        let by_path = client.post(&host.url("/upper"), &json!({ "data": [{ "text": "path" }] })).await;
        assert_texts(&by_path, &["PATH"]);
        assert_eq!(client.get(&host.url("/healthz")).await.status, 200);
        assert_eq!(client.get(&host.url("/readyz")).await.status, 200);
        let openapi = client.get(&host.url("/openapi.json")).await.json();
        assert_eq!(openapi["openapi"], "3.1.0");
        assert!(openapi["paths"]["/upper"]["post"].is_object(), "{openapi}");
        assert!(client.get(&host.url("/docs")).await.text().contains("<html"));
        assert_eq!(client.get(&host.url("/nothing")).await.status, 404);
        assert_eq!(client.get(&host.url("/upper")).await.status, 405);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_has_jinas_shape() {
    let host = host().await;
    let mut answer = post(&host, "/upper", &["one"], json!({ "k": 1 })).await.json();
    assert_eq!(answer["header"]["status"], Value::Null);
    assert_eq!(answer["header"]["execEndpoint"], "/upper");
    assert!(answer["header"]["requestId"].as_str().is_some_and(|id| !id.is_empty()));
    let executors: Vec<&Value> =
        answer["routes"].as_array().unwrap().iter().map(|r| &r["executor"]).collect();
    assert_eq!(executors, ["gateway", "neighbour"]);
    assert_eq!(answer["parameters"], json!({ "k": 1 }));
    let mut keys: Vec<String> = answer.as_object_mut().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["data", "header", "parameters", "routes"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executors_own_error_travels_inside() {
    let host = host().await;
    let answer = post(&host, "/fail", &["x"], json!({})).await;
    assert_eq!(answer.status, 200);
    let problem = answer.problem().expect("a problem");
    assert_eq!(problem["code"], "guest_error", "{problem}");
    assert_eq!(problem["status"], "FAILED_PRECONDITION", "{problem}");
    assert_eq!(problem["message"], "the neighbour will not do that", "{problem}");
    assert_eq!(problem["details"]["reason"], "asked to fail", "{problem}");
    let reply = grpc::unary(&host, grpc::request("/fail", &["x"], &[])).await.unwrap().into_inner();
    let status = reply.header.as_ref().unwrap().status.as_ref().unwrap();
    assert_eq!(status.code, 1);
    assert!(status.description.contains("the neighbour will not do that"), "{status:?}");
    assert_eq!(grpc::texts(&reply), ["x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_unary_and_stream() {
    let host = host().await;
    let reply = grpc::unary(&host, grpc::request("/upper", &["one", "two"], &[])).await.unwrap().into_inner();
    assert_eq!(grpc::texts(&reply), ["ONE", "TWO"]);
    assert_eq!(reply.header.unwrap().request_id, "request-one-two");
    let requests: Vec<DataRequestProto> =
        (0..50).map(|turn| grpc::request("/upper", &[&format!("text {turn}")], &[])).collect();
    let mut client = JinaRpcClient::new(grpc::channel(&host).await);
    let replies = client.call(futures_util::stream::iter(requests)).await.unwrap().into_inner();
    let mut texts: Vec<String> =
        replies.map(|reply| grpc::texts(&reply.unwrap()).remove(0)).collect::<Vec<_>>().await;
    texts.sort();
    let mut expected: Vec<String> = (0..50).map(|turn| format!("TEXT {turn}")).collect();
    expected.sort();
    assert_eq!(texts, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_services_beside_the_flow() {
    let host = host().await;
    let channel = grpc::channel(&host).await;
    let mut health = HealthClient::new(channel.clone());
    let check = async |health: &mut HealthClient<_>, service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        health.check(request).await.map(|reply| reply.into_inner().status).map_err(|status| status.code())
    };
    assert_eq!(check(&mut health, "").await, Ok(1));
    assert_eq!(check(&mut health, "jina.JinaRPC").await, Ok(1));
    assert_eq!(check(&mut health, "nobody").await, Err(tonic::Code::NotFound));
    let endpoints =
        JinaDiscoverEndpointsRpcClient::new(channel.clone()).endpoint_discovery(()).await.unwrap();
    assert!(endpoints.into_inner().endpoints.contains(&"/upper".to_owned()));
    let status = JinaGatewayDryRunRpcClient::new(channel.clone()).dry_run(()).await.unwrap();
    assert_eq!(status.into_inner().code, 0);
    assert!(JinaInfoRpcClient::new(channel.clone()).status(()).await.is_ok());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut replies = ServerReflectionClient::new(channel)
        .server_reflection_info(futures_util::stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let reply = replies.next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
        panic!("no list of services");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for expected in ["jina.JinaRPC", "jina.JinaSingleDataRequestRPC", "grpc.health.v1.Health"] {
        assert!(names.contains(&expected), "no {expected} in {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_with_json_and_with_bytes() {
    let host = host().await;
    for subprotocol in [None, Some("json")] {
        let mut socket = WebSocket::open(host.address(), subprotocol).await;
        for text in ["one", "two"] {
            assert!(socket.send(Message::text(request("/upper", &[text], json!({})).to_string())).await);
        }
        assert!(socket.send(Message::text("{}")).await);
        let mut texts = Vec::new();
        while let Some(Message::Text(frame)) = socket.next().await {
            let answer: Value = serde_json::from_str(&frame).unwrap();
            assert!(answer["header"]["request_id"].is_string(), "{answer}");
            texts.extend(lockgate_testkit::http::texts(&answer));
        }
        texts.sort();
        assert_eq!(texts, ["ONE", "TWO"]);
    }
    let mut socket = WebSocket::open(host.address(), Some("bytes")).await;
    let bytes = grpc::request("/upper", &["three"], &[]).encode_to_vec();
    assert!(socket.send(Message::binary(bytes)).await);
    assert!(socket.send(Message::binary(vec![0u8])).await);
    let Some(Message::Binary(frame)) = socket.next().await else { panic!("no binary answer") };
    let reply = DataRequestProto::decode(frame).unwrap();
    assert_eq!(grpc::texts(&reply), ["THREE"]);
    assert_eq!(reply.header.unwrap().request_id, "request-three");
    match socket.next().await {
        Some(Message::Close(Some(frame))) => assert_eq!(u16::from(frame.code), 1000),
        other => panic!("closed with {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_see_their_own_parameters_and_configuration() {
    let host = serve(&flow(
        "
  - name: first
    uses: {neighbour}
    uses_with: { language: 'de', depth: 3 }
  - name: left
    uses: {neighbour}
    needs: first
  - name: right
    uses: {neighbour}
    needs: first
  - name: joined
    uses: {neighbour}
    needs: [left, right]
",
    ))
    .await;
    let client = HttpClient::http1();
    let call = async |target: &str| {
        let body = json!({
            "data": [{ "text": "x", "id": "one" }], "execEndpoint": "/echo", "targetExecutor": target,
            "parameters": { "k": 1, "first__k": 2, "joined": { "m": true } },
        });
        client.post(&host.url("/post"), &body).await.json()["data"][0]["tags"].clone()
    };
    let first = call("first").await;
    assert_eq!(first["configuration"], json!({ "language": "de", "depth": 3 }), "{first}");
    assert_eq!(first["parameters"]["k"], 2, "{first}");
    let joined = call("joined").await;
    assert_eq!(joined["parameters"]["k"], 1, "{joined}");
    assert_eq!(joined["parameters"]["m"], true, "{joined}");
    assert!(joined["request"].as_str().is_some_and(|id| !id.is_empty()), "{joined}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_emits_leaves_as_it_comes() {
    let host = host().await;
    let client = HttpClient::http1();
    let events = client.get(&host.url("/words?text=to+be")).await;
    assert_eq!(events.status, 200, "{}", events.text());
    let text = events.text();
    let documents: Vec<Value> = text
        .split("\r\n\r\n")
        .filter_map(|event| event.strip_prefix("event: update\r\ndata: "))
        .map(|document| serde_json::from_str(document).unwrap())
        .collect();
    let words: Vec<_> = documents.iter().map(|document| &document["text"]).collect();
    assert_eq!(words, ["to", "be"], "{text}");
    assert!(text.ends_with("event: end\r\n\r\n"), "{text}");
    // Nobody listens: the same documents at once.
    assert_texts(&post(&host, "/words", &["to be"], json!({})).await, &["to", "be"]);
    assert_texts(&post(&host, "/stream", &["a", "b"], json!({})).await, &["A", "B"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_emits_stops_with_its_caller() {
    let host = host().await;
    let header =
        lockgate_wire::proto::HeaderProto { exec_endpoint: Some("/words".to_owned()), ..Default::default() };
    let message = lockgate_wire::proto::SingleDocumentRequestProto {
        header: Some(header),
        // A v1 document with the text `*`.
        document: vec![0x22, 1, b'*'].into(),
        ..Default::default()
    };
    let mut client = JinaSingleDocumentRequestRpcClient::new(grpc::channel(&host).await);
    let mut documents = client.stream_doc(message).await.unwrap().into_inner();
    for _ in 0..5 {
        assert!(documents.message().await.unwrap().is_some());
    }
    drop(documents);
    let client = HttpClient::http1();
    wait_for("the request to be over", async || {
        let metrics = client.get(&host.url("/metrics")).await.text();
        metrics.lines().any(|line| line == "lockgate_requests_in_flight 0").then_some(())
    })
    .await;
}
