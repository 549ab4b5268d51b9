//! Ports of one protocol, and pages of other origins.

use ::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use lockgate_wire::proto::jina_single_data_request_rpc_client::JinaSingleDataRequestRpcClient;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tonic::Code;
use tonic::transport::Channel;

use super::grpc::message;
use super::http::{client, send};
use super::*;

/// Statuses of a GET of `path` and a POST to it.
async fn http(address: SocketAddr, path: &str) -> (u16, u16, String) {
    let ask = async |method: Method| {
        let request = Request::builder().method(method).uri(format!("http://{address}{path}"));
        let request = request.body(Full::new(Bytes::from_static(b"{\"data\": []}"))).unwrap();
        let response = within(client(::http::Version::HTTP_11).request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        (head.status.as_u16(), String::from_utf8_lossy(&body).into_owned())
    };
    let (get, (post, body)) = (ask(Method::GET).await.0, ask(Method::POST).await);
    (get, post, body)
}

async fn grpc(address: SocketAddr) -> Code {
    let channel = within(Channel::from_shared(format!("http://{address}")).unwrap().connect()).await.unwrap();
    let mut client = JinaSingleDataRequestRpcClient::new(channel);
    match within(client.process_single_data(message("1", "/upper", &["a"]))).await {
        Ok(_) => Code::Ok,
        Err(status) => {
            assert!(status.message().contains("not gRPC"), "{status:?}");
            status.code()
        }
    }
}

async fn websocket(address: SocketAddr) -> u16 {
    match within(connect_async(format!("ws://{address}/"))).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_port_of_its_own_serves_one_protocol() {
    let host = Host::start().await;
    let all = host.address;
    assert_eq!((grpc(all).await, websocket(all).await, http(all, "/post").await.1), (Code::Ok, 101, 200));
    for (protocol, address) in &host.separate {
        let is = |wanted| *protocol == wanted;
        assert_eq!(grpc(*address).await == Code::Ok, is(Protocol::Grpc), "{protocol:?}");
        assert_eq!(
            websocket(*address).await,
            if is(Protocol::WebSocket) { 101 } else { 501 },
            "{protocol:?}"
        );
        let (_, status, body) = http(*address, "/post").await;
        assert_eq!(status, if is(Protocol::Http) { 200 } else { 501 }, "{protocol:?}: {body}");
        assert_eq!(body.contains("a port of its own"), !is(Protocol::Http), "{body}");
        assert_eq!(http(*address, "/docs").await.0, if is(Protocol::Http) { 200 } else { 501 });
        for page in ["/", "/status", "/dry_run", "/healthz", "/readyz", "/metrics"] {
            assert_eq!(http(*address, page).await.0, 200, "{protocol:?}{page}");
        }
    }
}

const ORIGIN: (&str, &str) = ("origin", "https://page.example");

async fn ask(cors: bool, method: Method, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap) {
    let host = Host::with(GatewayOptions { cors, ..GatewayOptions::default() }).await;
    let (status, headers, _) =
        send(&host, ::http::Version::HTTP_11, method, path, headers, "{\"data\": []}").await;
    (status, headers)
}

/// Asks as a page of another origin; of each expected header, or the status, the value or none.
async fn check(
    cors: bool,
    method: Method,
    path: &str,
    wanted: &[(&str, &str)],
    expected: &[(&str, Option<&str>)],
) {
    let (status, headers) = ask(cors, method.clone(), path, &[&[ORIGIN], wanted].concat()).await;
    for (name, value) in expected {
        let found = match *name {
            "status" => Some(status.as_str()),
            name => headers.get(name).map(|value| value.to_str().unwrap()),
        };
        assert_eq!(found, *value, "{method} {path} {name}: {headers:?}");
    }
    assert!(!headers.contains_key("access-control-allow-credentials"), "{headers:?}");
}

#[tokio::test]
async fn pages_of_other_origins_call_where_they_may() {
    let allowed = ("access-control-allow-origin", Some("*"));
    let denied = ("access-control-allow-origin", None);
    let preflight = [
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, content-type"),
    ];
    let said_back = ("access-control-allow-headers", Some("authorization, content-type"));
    check(true, Method::OPTIONS, "/post", &preflight, &[("status", Some("204")), allowed, said_back]).await;
    check(true, Method::POST, "/post", &[], &[("status", Some("200")), allowed]).await;
    check(true, Method::GET, "/openapi.json", &[], &[("status", Some("200")), allowed]).await;
    check(true, Method::POST, "/nowhere", &[], &[("status", Some("404")), allowed]).await;
    check(true, Method::OPTIONS, "/post", &[], &[("status", Some("405")), allowed]).await;
    let odd = [("access-control-request-method", "POST"), ("access-control-request-headers", "a:b")];
    check(true, Method::OPTIONS, "/post", &odd, &[allowed, ("access-control-allow-headers", None)]).await;
    check(false, Method::OPTIONS, "/post", &preflight, &[("status", Some("405")), denied]).await;
    check(false, Method::POST, "/post", &[], &[("status", Some("200")), denied]).await;
}
