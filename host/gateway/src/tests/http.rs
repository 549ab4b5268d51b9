//! JSON over HTTP/1.1 and HTTP/2.

use ::http::{HeaderMap, Method, Request, StatusCode, Version};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lockgate_domain::Problem;
use lockgate_domain::spec::ExposedPath;
use serde_json::{Value, json};

use super::*;

pub(super) fn client(version: Version) -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http()
}

pub(super) async fn send(
    host: &Host,
    version: Version,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> (StatusCode, HeaderMap, Bytes) {
    let mut request =
        Request::builder().method(method).uri(format!("http://{}{path}", host.address)).version(version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let response = within(client(version).request(request)).await.unwrap();
    let (head, body) = response.into_parts();
    (head.status, head.headers, within(body.collect()).await.unwrap().to_bytes())
}

pub(super) async fn post(
    host: &Host,
    path: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> (StatusCode, Value) {
    let (status, _, body) = send(host, Version::HTTP_11, Method::POST, path, headers, body.to_string()).await;
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_request_is_served_over_both_versions() {
    let host = Host::start().await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let body = json!({
            "data": [{ "text": "hello" }], "execEndpoint": "/upper", "parameters": { "k": 1 },
            "header": { "request_id": "mine" },
        });
        let (status, headers, body) =
            send(&host, version, Method::POST, "/post", &[], body.to_string()).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["x-request-id"], "mine");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(body["data"][0]["text"], "HELLO");
        assert_eq!(body["header"]["requestId"], "mine");
        assert_eq!(body["header"]["execEndpoint"], "/upper");
        assert_eq!(body["header"]["status"], Value::Null);
        assert_eq!(body["parameters"]["k"].as_f64(), Some(1.0));
        let routes: Vec<_> =
            body["routes"].as_array().unwrap().iter().map(|route| &route["executor"]).collect();
        assert_eq!(routes, ["gateway", "script"]);
        assert!(body["routes"].as_array().unwrap().iter().all(|route| route["endTime"].is_string()));
    }
}

#[tokio::test]
async fn every_failure_has_its_status() {
    let host = Host::start().await;
    let data = json!([{ "text": "x" }]);
    let check = async |path: &str, headers: &[(&str, &str)], body: Value, status: u16, code: &str| {
        let (got, body) = post(&host, path, headers, body).await;
        assert_eq!((got.as_u16(), body["error"]["code"].as_str()), (status, Some(code)), "{path}: {body}");
        match status {
            422 => assert_eq!(body["detail"][0]["loc"][0], "body", "{body}"),
            404 => assert_eq!(body["detail"], "Not Found"),
            // Jina's clients raise the right exception only with a status in a header.
            _ => assert!(body["header"]["status"]["description"].is_string(), "{body}"),
        }
    };
    let to = |endpoint: &str| json!({ "data": data, "execEndpoint": endpoint });
    check("/post", &[], to("/busy"), 503, "overloaded").await;
    check("/post", &[], to("/gone"), 503, "unavailable").await;
    check("/post", &[], to("/late"), 504, "deadline_exceeded").await;
    check("/post", &[], to("/fault"), 500, "host_fault").await;
    check("/post", &[("x-request-timeout-ms", "20")], to("/hang"), 504, "deadline_exceeded").await;
    check("/post", &[("x-request-timeout-ms", "0")], to("/upper"), 504, "deadline_exceeded").await;
    check("/post", &[("x-request-timeout-ms", "soon")], to("/upper"), 400, "invalid_request").await;
    check("/post", &[("content-encoding", "gzip")], to("/upper"), 400, "invalid_request").await;
    check("/post", &[], json!({ "data": data, "targetExecutor": "(" }), 400, "invalid_request").await;
    check("/post", &[], json!({ "data": 7 }), 422, "invalid_request").await;
    check("/post", &[], json!({ "data": data, "execEndpoint": "/a b" }), 400, "invalid_request").await;
    check("/nothing", &[], to("/"), 404, "not_found").await;
}

#[tokio::test]
async fn an_executors_error_is_an_answer() {
    let host = Host::start().await;
    let (status, body) = post(&host, "/fail", &[], json!({ "data": [{ "text": "x" }] })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["header"]["status"]["code"], 1, "{body}");
    assert_eq!(body["data"][0]["text"], "x");
    let header = json!({ "request_id": "r", "exec_endpoint": "/fail" });
    let v2 = json!({ "header": header, "data": [{ "text": "x" }] });
    let (status, body) = post(&host, "/fail", &[], v2).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!((&body["detail"], &body["header"]["requestId"]), (&json!("as the script says"), &json!("r")));
}

#[tokio::test]
async fn endpoints_have_paths() {
    let host = Host::start().await;
    let check = async |path: &str, expected: &str| {
        let (status, body) = post(&host, path, &[], json!({ "data": [{ "text": "x" }] })).await;
        assert_eq!((status, body["data"][0]["text"].as_str()), (StatusCode::OK, Some(expected)), "{path}");
    };
    check("/upper", "X").await;
    check("/post", "x").await;
    check("/index", "x").await;
    let (status, body) = post(&host, "/post", &[], json!({ "data": null })).await;
    assert_eq!((status, body["data"].as_array().map(Vec::len)), (StatusCode::OK, Some(0)));
}

#[tokio::test]
async fn the_author_adds_and_takes_away_paths() {
    let host = Host::start().await;
    let exposed = ExposedPath {
        path: "/v1/loud".to_owned(),
        endpoint: EndpointName::parse("/upper").unwrap(),
        methods: vec!["PUT".to_owned()],
        summary: None,
    };
    host.routes.publish(super::flow_with("test", host.script.clone(), |spec| {
        (spec.gateway.crud, spec.gateway.debug) = (false, false);
        spec.gateway.exposed.push(exposed);
    }));
    let check = async |method: Method, path: &str, expected: u16| {
        let body = r#"{"data": [{"text": "a"}]}"#;
        let (status, _, body) = send(&host, Version::HTTP_11, method.clone(), path, &[], body).await;
        let body = String::from_utf8_lossy(&body);
        assert_eq!(status.as_u16(), expected, "{method} {path}: {body}");
        assert!(status != StatusCode::OK || body.contains("\"A\""), "{method} {path}: {body}");
    };
    check(Method::PUT, "/v1/loud", 200).await;
    check(Method::POST, "/v1/loud", 404).await;
    check(Method::GET, "/v1/loud", 405).await;
    check(Method::POST, "/upper", 200).await;
    check(Method::PUT, "/upper", 405).await;
    check(Method::POST, "/post", 404).await;
    check(Method::POST, "/search", 404).await;
    check(Method::PUT, "/update", 404).await;
    check(Method::GET, "/status", 404).await;
    check(Method::GET, "/dry_run", 404).await;
}

#[tokio::test]
async fn methods_and_pages() {
    let host = Host::start().await;
    let check = async |method: Method, path: &str, status: u16, part: &str| {
        let (got, headers, body) = send(&host, Version::HTTP_11, method.clone(), path, &[], "").await;
        assert_eq!(got.as_u16(), status, "{method} {path}");
        assert_eq!(headers.contains_key("allow"), status == 405);
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains(part), "{method} {path}: {body}");
    };
    check(Method::GET, "/", 200, "{}").await;
    check(Method::GET, "/status", 200, "\"jina\"").await;
    check(Method::GET, "/dry_run", 200, "\"code\":0").await;
    check(Method::GET, "/healthz", 200, "healthy").await;
    check(Method::GET, "/readyz", 200, "ready").await;
    check(Method::GET, "/openapi.json", 200, "\"/upper\"").await;
    check(Method::GET, "/docs", 200, "\"docs/page.js\"").await;
    check(Method::GET, "/redoc", 200, "\"docs/page.js\"").await;
    check(Method::GET, "/docs/page.js", 200, "use strict").await;
    check(Method::GET, "/docs/style.css", 200, "color-scheme").await;
    check(Method::GET, "/metrics", 200, "lockgate_draining 0\n").await;
    check(Method::POST, "/metrics", 405, "").await;
    check(Method::GET, "/ws", 426, "WebSocket").await;
    check(Method::HEAD, "/docs", 200, "").await;
    check(Method::GET, "/nothing", 404, r#""detail":"Not Found""#).await;
    check(Method::GET, "/post", 405, r#""detail":"Method Not Allowed""#).await;
    check(Method::GET, "/upper", 405, "").await;
    check(Method::POST, "/docs", 405, "").await;
    check(Method::PATCH, "/post", 405, "").await;
    check(Method::PUT, "/upper", 405, "").await;
}

#[tokio::test]
async fn the_pages_load_nothing_from_elsewhere() {
    let host = Host::start().await;
    for path in ["/docs", "/docs/page.js", "/docs/style.css"] {
        let (_, headers, body) = send(&host, Version::HTTP_11, Method::GET, path, &[], "").await;
        let body = String::from_utf8_lossy(&body);
        assert!(!body.contains("://"), "{path}");
        assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    }
}

#[tokio::test]
async fn a_request_beyond_the_size_is_refused_before_it_is_read() {
    let host = Host::with(GatewayOptions { max_message_bytes: 1000, ..GatewayOptions::default() }).await;
    let (status, body) = post(&host, "/upper", &[], json!({ "data": [{ "text": "x".repeat(2000) }] })).await;
    assert_eq!((status.as_u16(), body["error"]["limit"]["name"].as_str()), (413, Some("request_bytes")));
    let (status, _) = post(&host, "/upper", &[], json!({ "data": [{ "text": "x".repeat(900) }] })).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_full_house_sheds_and_recovers() {
    let host = Host::with(GatewayOptions { max_concurrent_requests: 1, ..GatewayOptions::default() }).await;
    let waiting = post(&host, "/wait", &[], json!({ "data": [{ "text": "x" }] }));
    tokio::pin!(waiting);
    tokio::select! {
        _ = &mut waiting => panic!("it should wait"),
        () = host.active(1) => {}
    }
    let refused = json!({ "data": [] }).to_string();
    let (status, headers, _) = send(&host, Version::HTTP_11, Method::POST, "/upper", &[], refused).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers["retry-after"], "1");
    let (_, headers, metrics) = send(&host, Version::HTTP_11, Method::GET, "/metrics", &[], "").await;
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    for line in ["lockgate_requests_in_flight 1", "lockgate_bytes_held 1024", "lockgate_refused_total 1"] {
        assert!(metrics.lines().any(|other| other == line), "{line}: {metrics}");
    }
    host.release(1);
    assert_eq!(waiting.await.0, StatusCode::OK);
    let (status, _) = post(&host, "/upper", &[], json!({ "data": [] })).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn executors_see_metadata_but_no_credentials() {
    let host = Host::start().await;
    let headers = [("traceparent", "00-a-b-01"), ("authorization", "Bearer secret")];
    let data = json!({ "data": [{ "text": "traceparent" }, { "text": "authorization" }] });
    let (_, body) = post(&host, "/header", &headers, data).await;
    assert_eq!(body["data"][0]["text"], "00-a-b-01");
    assert_eq!(body["data"][1]["text"], "none");
}

#[tokio::test]
async fn a_caller_that_leaves_stops_the_guest() {
    let host = Host::start().await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let body = json!({ "data": [{ "text": "x" }] }).to_string();
        {
            let request = send(&host, version, Method::POST, "/hang", &[], body);
            tokio::select! {
                _ = request => panic!("it should hang"),
                () = host.active(1) => {}
            }
        }
        host.active(0).await;
    }
}

#[tokio::test]
async fn a_swap_loses_no_request() {
    let host = Host::start().await;
    let waiting = post(&host, "/wait", &[], json!({ "data": [{ "text": "old" }] }));
    tokio::pin!(waiting);
    tokio::select! {
        _ = &mut waiting => panic!("it should wait"),
        () = host.active(1) => {}
    }
    let next = Arc::new(Script::new());
    host.routes.publish(flow("test", next.clone()));
    let (status, _) = post(&host, "/upper", &[], json!({ "data": [{ "text": "new" }] })).await;
    assert_eq!((status, next.calls.load(Ordering::Relaxed), host.calls()), (StatusCode::OK, 1, 1));
    host.release(1);
    assert_eq!(waiting.await.1["data"][0]["text"], "old");
    host.routes.withdraw(&"test".parse().unwrap());
    let (status, _) = post(&host, "/upper", &[], json!({ "data": [] })).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (status, _, _) = send(&host, Version::HTTP_11, Method::GET, "/readyz", &[], "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn problems_say_when_to_come_back() {
    let problem = Problem::new(ErrorCode::Overloaded, "full").with_retry_after_ms(1500);
    let response = crate::http::render_problem(None, &problem);
    assert_eq!(response.headers()["retry-after"], "2");
}
