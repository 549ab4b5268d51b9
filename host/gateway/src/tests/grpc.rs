//! gRPC: unary, stream, health, reflection.

use futures_util::{Stream, stream};
use lockgate_wire::envelope::Answer;
use lockgate_wire::proto::jina_data_request_rpc_client::JinaDataRequestRpcClient;
use lockgate_wire::proto::jina_discover_endpoints_rpc_client::JinaDiscoverEndpointsRpcClient;
use lockgate_wire::proto::jina_gateway_dry_run_rpc_client::JinaGatewayDryRunRpcClient;
use lockgate_wire::proto::jina_info_rpc_client::JinaInfoRpcClient;
use lockgate_wire::proto::jina_rpc_client::JinaRpcClient;
use lockgate_wire::proto::jina_single_data_request_rpc_client::JinaSingleDataRequestRpcClient;
use lockgate_wire::proto::{DataRequestListProto, DataRequestProto};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use super::*;

pub(super) async fn channel(host: &Host) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", host.address)).unwrap();
    within(endpoint.connect()).await.unwrap()
}

pub(super) fn message(id: &str, endpoint: &str, texts: &[&str]) -> DataRequestProto {
    lockgate_wire::grpc::encode_request(&request(id, endpoint, texts)).unwrap()
}

pub(super) fn read(reply: DataRequestProto) -> Answer {
    lockgate_wire::grpc::decode_reply(reply, &Limits::default()).unwrap()
}

async fn single(host: &Host, request: tonic::Request<DataRequestProto>) -> Result<Answer, Status> {
    let mut client = JinaSingleDataRequestRpcClient::new(channel(host).await);
    within(client.process_single_data(request)).await.map(|reply| read(reply.into_inner()))
}

pub(super) async fn call(
    host: &Host,
    metadata: &[(&'static str, &str)],
    messages: impl Stream<Item = DataRequestProto> + Send + 'static,
) -> Streaming<DataRequestProto> {
    let mut client = JinaRpcClient::new(channel(host).await);
    let mut request = tonic::Request::new(messages);
    for (key, value) in metadata {
        request.metadata_mut().insert(*key, value.parse().unwrap());
    }
    within(client.call(request)).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_single_request_is_served() {
    let host = Host::start().await;
    let answer = single(&host, tonic::Request::new(message("mine", "/upper", &["a", "b"]))).await.unwrap();
    assert_eq!(texts(&answer.documents), ["A", "B"]);
    assert_eq!(answer.request_id, "mine");
    assert!(answer.failure.is_none());
}

#[tokio::test]
async fn an_executors_error_travels_inside() {
    let host = Host::start().await;
    let answer = single(&host, tonic::Request::new(message("x", "/fail", &["a"]))).await.unwrap();
    assert!(answer.failure.unwrap().message().contains("as the script says"));
    assert_eq!(texts(&answer.documents), ["a"]);
}

#[tokio::test]
async fn every_failure_has_its_code() {
    let host = Host::start().await;
    let check = async |endpoint: &str, code: Code, name: &str| {
        let request = tonic::Request::new(message("x", endpoint, &["a"]));
        let status = single(&host, request).await.unwrap_err();
        assert_eq!(status.code(), code, "{endpoint}: {status:?}");
        let error = status.metadata().get("lockgate-error").unwrap().to_str().unwrap();
        let error: serde_json::Value = serde_json::from_str(error).unwrap();
        assert_eq!(error["code"], name);
    };
    check("/busy", Code::ResourceExhausted, "overloaded").await;
    check("/gone", Code::Unavailable, "unavailable").await;
    check("/late", Code::DeadlineExceeded, "deadline_exceeded").await;
    check("/fault", Code::Internal, "host_fault").await;
    check("/a b", Code::InvalidArgument, "invalid_request").await;
}

#[tokio::test]
async fn replies_come_in_the_order_asked_for() {
    let host = Host::start().await;
    let check = async |in_order: &'static str, expected: [&str; 2]| {
        let messages = [message("slow", "/wait", &["x"]), message("quick", "/wait", &["now"])];
        let mut replies = call(&host, &[("__results_in_order__", in_order)], stream::iter(messages)).await;
        let mut ids = Vec::new();
        if in_order == "false" {
            ids.push(read(within(replies.message()).await.unwrap().unwrap()).request_id);
        }
        host.release(1);
        while let Some(reply) = within(replies.message()).await.unwrap() {
            ids.push(read(reply).request_id);
        }
        assert_eq!(ids, expected);
    };
    check("false", ["quick", "slow"]).await;
    check("true", ["slow", "quick"]).await;
}

#[tokio::test]
async fn prefetch_bounds_what_is_in_flight() {
    let host = Host::start().await;
    let messages = (0..10).map(|number| message(&number.to_string(), "/wait", &["x"]));
    let messages = stream::iter(messages.collect::<Vec<_>>());
    let mut replies = call(&host, &[("__prefetch__", "2")], messages).await;
    for served in 0..10 {
        host.active(if served == 9 { 1 } else { 2 }).await;
        assert!(host.calls() <= served + 2);
        host.release(1);
        within(replies.message()).await.unwrap().unwrap();
    }
    assert!(within(replies.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_failure_of_the_host_ends_the_stream_after_what_is_pending() {
    let host = Host::start().await;
    let (sender, receiver) = mpsc::channel(2);
    sender.send(message("pending", "/wait", &["x"])).await.unwrap();
    sender.send(message("broken", "/gone", &["x"])).await.unwrap();
    let mut replies = call(&host, &[], ReceiverStream::new(receiver)).await;
    host.active(1).await;
    host.release(1);
    assert_eq!(read(within(replies.message()).await.unwrap().unwrap()).request_id, "pending");
    assert_eq!(within(replies.message()).await.unwrap_err().code(), Code::Unavailable);
    drop(sender);
}

#[tokio::test]
async fn a_caller_that_leaves_stops_its_guests() {
    let host = Host::start().await;
    let (sender, receiver) = mpsc::channel(2);
    for id in ["a", "b"] {
        sender.send(message(id, "/hang", &["x"])).await.unwrap();
    }
    let replies = call(&host, &[], ReceiverStream::new(receiver)).await;
    host.active(2).await;
    // This client resets the stream only once it holds neither of its sides.
    drop((replies, sender));
    host.active(0).await;
}

#[tokio::test]
async fn a_stream_waits_where_a_single_request_is_refused() {
    let host = Host::with(GatewayOptions { max_concurrent_requests: 1, ..GatewayOptions::default() }).await;
    let messages = [message("a", "/wait", &["x"]), message("b", "/wait", &["x"])];
    let mut replies = call(&host, &[], stream::iter(messages)).await;
    host.active(1).await;
    let refused = single(&host, tonic::Request::new(message("c", "/upper", &["x"]))).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
    host.release(2);
    for id in ["a", "b"] {
        assert_eq!(read(within(replies.message()).await.unwrap().unwrap()).request_id, id);
    }
}

#[tokio::test]
async fn compressed_requests_are_read_within_the_limit() {
    let host = Host::with(GatewayOptions { max_message_bytes: 10_000, ..GatewayOptions::default() }).await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Deflate] {
        let channel = channel(&host).await;
        let mut client = JinaSingleDataRequestRpcClient::new(channel).send_compressed(encoding);
        let small = message("x", "/upper", &[&"a".repeat(1000)]);
        assert!(within(client.process_single_data(small)).await.is_ok());
        let bomb = message("x", "/upper", &[&"a".repeat(1_000_000)]);
        let status = within(client.process_single_data(bomb)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    }
}

#[tokio::test]
async fn a_message_beyond_the_size_is_refused() {
    let host = Host::with(GatewayOptions { max_message_bytes: 1000, ..GatewayOptions::default() }).await;
    let large = || message("x", "/upper", &[&"a".repeat(2000)]);
    let status = single(&host, tonic::Request::new(large())).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let mut replies = call(&host, &[], stream::iter([large()])).await;
    assert_eq!(within(replies.message()).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn the_services_beside_the_flow_answer() {
    let host = Host::start().await;
    let channel = channel(&host).await;
    let endpoints =
        JinaDiscoverEndpointsRpcClient::new(channel.clone()).endpoint_discovery(()).await.unwrap();
    assert!(endpoints.get_ref().endpoints.contains(&"/upper".to_owned()));
    let ready = JinaGatewayDryRunRpcClient::new(channel.clone()).dry_run(()).await.unwrap();
    assert_eq!(ready.get_ref(), &Default::default());
    let info = JinaInfoRpcClient::new(channel.clone()).status(()).await.unwrap();
    assert_eq!(info.get_ref().jina["flow"], "test");
    assert!(info.get_ref().envs.is_empty());
}

#[tokio::test]
async fn endpoints_are_described_as_an_executor_of_jina_does() {
    let host = Host::start().await;
    let found = JinaDiscoverEndpointsRpcClient::new(channel(&host).await).endpoint_discovery(()).await;
    let found = found.unwrap().into_inner();
    assert!(found.write_endpoints.is_empty());
    let schemas = found.schemas.unwrap().fields;
    assert_eq!(schemas.keys().cloned().collect::<Vec<_>>(), found.endpoints);
    let part = |value: &prost_types::Value, key: &str| match &value.kind {
        Some(prost_types::value::Kind::StructValue(fields)) => fields.fields[key].clone(),
        other => panic!("{other:?}"),
    };
    for (endpoint, streams) in [("/upper", false), ("/twice", true)] {
        let described = &schemas[endpoint];
        assert_eq!(part(described, "is_generator"), streams.into());
        for end in ["input", "output"] {
            assert_eq!(part(&part(described, end), "name"), "LockgateDocument".to_owned().into());
            let text = part(&part(&part(&part(described, end), "model"), "properties"), "text");
            assert_eq!(part(&text, "type"), "string".to_owned().into());
        }
        let null = prost_types::Value { kind: Some(prost_types::value::Kind::NullValue(0)) };
        assert_eq!(part(&part(described, "parameters"), "model"), null);
    }
}

#[tokio::test]
async fn several_requests_are_one_with_all_documents() {
    let host = Host::start().await;
    let mut client = JinaDataRequestRpcClient::new(channel(&host).await);
    let requests = vec![message("first", "/upper", &["a", "b"]), message("second", "/fail", &["c"])];
    let reply = within(client.process_data(DataRequestListProto { requests })).await.unwrap();
    let answer = read(reply.into_inner());
    assert_eq!((answer.request_id.as_str(), texts(&answer.documents)), ("first", vec!["A", "B", "C"]));
    let status = within(client.process_data(DataRequestListProto::default())).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test]
async fn what_only_a_side_car_serves_is_unimplemented() {
    let host = Host::start().await;
    for method in [
        "/jina.JinaExecutorSnapshot/snapshot",
        "/jina.JinaExecutorSnapshotProgress/snapshot_status",
        "/jina.JinaExecutorRestore/restore",
        "/jina.JinaExecutorRestoreProgress/restore_status",
        "/jina.JinaRPC/Nothing",
    ] {
        let mut client = tonic::client::Grpc::new(channel(&host).await);
        within(client.ready()).await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let reply = client.unary(tonic::Request::new(()), method.parse().unwrap(), codec);
        assert_eq!(within(reply).await.unwrap_err().code(), Code::Unimplemented, "{method}");
    }
}

#[tokio::test]
async fn replies_are_compressed_where_requests_are() {
    let host = Host::start().await;
    let check = async |sent: Option<CompressionEncoding>, accepted: bool, expected: Option<&str>| {
        let mut client = JinaSingleDataRequestRpcClient::new(channel(&host).await);
        if let Some(encoding) = sent {
            client = client.send_compressed(encoding);
        }
        if accepted {
            client = client
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Deflate);
        }
        let text = "a".repeat(1000);
        let reply = within(client.process_single_data(message("x", "/upper", &[&text]))).await.unwrap();
        let encoding = reply.metadata().get("grpc-encoding").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(encoding.as_deref(), expected, "{sent:?}");
        assert_eq!(texts(&read(reply.into_inner()).documents), [text.to_uppercase()]);
    };
    check(None, true, None).await;
    check(Some(CompressionEncoding::Gzip), true, Some("gzip")).await;
    check(Some(CompressionEncoding::Deflate), true, Some("deflate")).await;
    check(Some(CompressionEncoding::Gzip), false, None).await;
}

#[tokio::test]
async fn pings_without_calls_are_borne() {
    let host = Host::start().await;
    let socket = within(TcpStream::connect(host.address)).await.unwrap();
    let (mut client, mut connection) = within(h2::client::handshake(socket)).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    for _ in 0..200 {
        within(pings.ping(h2::Ping::opaque())).await.unwrap();
    }
    let request = ::http::Request::get(format!("http://{}/healthz", host.address)).body(()).unwrap();
    let (reply, _) = client.send_request(request, true).unwrap();
    assert_eq!(within(reply).await.unwrap().status(), 200);
}

#[tokio::test]
async fn health_is_told_per_service() {
    let host = Host::start().await;
    let mut client = HealthClient::new(channel(&host).await);
    let mut check = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        within(client.check(request))
            .await
            .map(|reply| reply.get_ref().status)
            .map_err(|status| status.code())
    };
    assert_eq!(check("").await, Ok(1));
    assert_eq!(check("jina.JinaRPC").await, Ok(1));
    assert_eq!(check("jina.Nothing").await, Err(Code::NotFound));
    host.routes.withdraw(&"test".parse().unwrap());
    assert_eq!(check("").await, Ok(2));
}

#[tokio::test]
async fn reflection_shows_the_services_in_both_versions() {
    let host = Host::start().await;
    let channel = channel(&host).await;
    {
        use v1::server_reflection_request::MessageRequest;
        use v1::server_reflection_response::MessageResponse;
        let ask = v1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let replies = within(client.server_reflection_info(stream::iter([ask]))).await.unwrap();
        let reply = within(replies.into_inner().message()).await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
            panic!("a list")
        };
        let listed = |name: &str| list.service.iter().any(|service| service.name == name);
        let services = crate::grpc::health::SERVICES.iter();
        for name in services.filter(|name| name.starts_with("jina.") || name.starts_with("grpc.health.")) {
            assert!(listed(name), "{name}");
        }
    }
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol("jina.DataRequestProto".to_owned())),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let replies = within(client.server_reflection_info(stream::iter([ask]))).await.unwrap();
    let reply = within(replies.into_inner().message()).await.unwrap().unwrap();
    assert!(matches!(reply.message_response, Some(MessageResponse::FileDescriptorResponse(_))));
}
