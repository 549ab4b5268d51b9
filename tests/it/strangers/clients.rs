//! What strangers do as clients: look for other tenants' things, leave in the middle of a call, try keys.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use lockgate_domain::Timestamp;
use lockgate_testkit::guest::{self, Manner};
use lockgate_testkit::websocket::{Message, WebSocket};
use lockgate_testkit::{RunningServe, wait_for};
use lockgate_wire::proto::DataRequestProto;
use lockgate_wire::proto::jina_rpc_client::JinaRpcClient;
use lockgate_wire::proto::jina_single_data_request_rpc_client::JinaSingleDataRequestRpcClient;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::{Code, Status};

use super::{Caller, fixture, memory_returns, plenty, serve, told};
use crate::grpc;
use crate::support::{assert_texts, request};

/// One tenant with a thing of every kind, and what these things are called.
struct Owner {
    caller: Caller,
    digest: String,
    capsule: String,
    cursor: String,
}

impl Owner {
    async fn new(host: &RunningServe, operator: &Caller) -> Self {
        let caller = operator.tenant("acme", plenty()).await;
        let published = caller.publish("shout", fixture("neighbour"), json!({})).await;
        caller.publish("whisper", guest::component(1, Manner::Plain), json!({})).await;
        let yaml = "jtype: Flow\nwith: { name: search }\nexecutors:\n  - name: a\n    uses: shout\n";
        let made = caller.send("PUT T/flows/search", &[("content-type", "application/yaml")], yaml).await;
        assert!(made.status.is_success(), "{}", made.text());
        caller.must("PUT T/secrets/openai", json!({ "value": "sesame" })).await;
        assert_texts(&caller.call("shout", "/upper", &["a"], json!({})).await, &["A"]);
        // As the host keeps one: a file and its label.
        let (folder, capsule) = (host.data_folder().join("capsules/acme"), "c0ffee00c0ffee00".to_owned());
        std::fs::create_dir_all(&folder).unwrap();
        let label =
            json!({ "executor": "shout", "endpoint": "/upper", "at": Timestamp::from_millis(1), "size": 2 });
        std::fs::write(folder.join(format!("{capsule}.json")), "{}").unwrap();
        std::fs::write(folder.join(format!("{capsule}.label")), label.to_string()).unwrap();
        caller.must(&format!("GET T/capsules/{capsule}"), Value::Null).await;
        let listed = caller.must("GET T/capsules", Value::Null).await;
        assert_eq!(listed["items"][0]["id"], capsule.as_str(), "{listed}");
        let page = caller.must("GET T/executors?limit=1", Value::Null).await;
        Self {
            digest: published["revision"]["spec"]["component"].as_str().unwrap().to_owned(),
            cursor: page["next"].as_str().unwrap().to_owned(),
            caller,
            capsule,
        }
    }
}

/// A name that nobody has, as long as any.
fn nobody(name: &str) -> String {
    match name.strip_prefix("sha256:") {
        Some(_) => format!("sha256:{}", "0".repeat(64)),
        None => "nobody".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenants_things_are_like_none_over_the_api() {
    let host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let owner = Owner::new(&host, &operator).await;
    let other = operator.tenant("other", plenty()).await;
    other.publish("own", guest::component(2, Manner::Plain), json!({})).await;
    let (digest, key, capsule) = (owner.digest.as_str(), owner.caller.key_id(), owner.capsule.as_str());
    let whole = json!({ "component": "{}" });
    let cases: Vec<(&str, &str, Value)> = vec![
        ("GET T/components/{}", digest, Value::Null),
        ("GET T/components/{}/content", digest, Value::Null),
        ("DELETE T/components/{}", digest, Value::Null),
        ("POST T/executors/own/revisions", digest, whole.clone()),
        ("POST /v1/tenants/acme/executors/shout/revisions", digest, whole),
        ("GET /v1/tenants/acme/components/{}", digest, Value::Null),
        ("GET T/executors/{}", "shout", Value::Null),
        ("DELETE T/executors/{}", "shout", Value::Null),
        ("GET T/executors/{}/revisions", "shout", Value::Null),
        ("GET T/executors/{}/revisions/1", "shout", Value::Null),
        ("POST T/executors/{}/revisions/1/approve", "shout", Value::Null),
        ("POST T/executors/{}/revisions/1/refuse", "shout", json!({})),
        ("GET T/executors/{}/tags", "shout", Value::Null),
        ("PUT T/executors/{}/tags/latest", "shout", json!({ "revision": 1 })),
        ("DELETE T/executors/{}/tags/latest", "shout", Value::Null),
        ("POST T/executors/{}/rollback", "shout", json!({})),
        ("GET T/executors/{}/deployment", "shout", Value::Null),
        ("PUT T/executors/{}/deployment", "shout", json!({})),
        ("DELETE T/executors/{}/deployment", "shout", Value::Null),
        ("GET T/executors/{}/status", "shout", Value::Null),
        ("GET T/executors/{}/shadow", "shout", Value::Null),
        ("GET T/usage?executor={}", "shout", Value::Null),
        ("GET T/flows/{}", "search", Value::Null),
        ("DELETE T/flows/{}", "search", Value::Null),
        ("DELETE T/secrets/{}", "openai", Value::Null),
        ("DELETE T/keys/{}", key, Value::Null),
        ("GET T/capsules/{}", capsule, Value::Null),
        ("GET T/capsules?cursor={}", capsule, Value::Null),
        ("GET T/executors?cursor={}", &owner.cursor, Value::Null),
        ("GET /v1/tenants/{}", "acme", Value::Null),
        ("PUT /v1/tenants/{}", "acme", json!({})),
        ("DELETE /v1/tenants/{}", "acme", Value::Null),
        ("GET /v1/tenants/{}/usage", "acme", Value::Null),
        ("GET /v1/tenants/{}/audit", "acme", Value::Null),
        ("GET /v1/tenants/{}/capsules", "acme", Value::Null),
        ("POST /v1/tenants/{}/keys", "acme", json!({ "label": "x", "scopes": ["call"] })),
    ];
    for (what, theirs, body) in cases {
        let ask = async |name: &str| {
            let body = match &body {
                Value::Null => Value::Null,
                body => {
                    serde_json::from_str(&body.to_string().replace("{}\"", &format!("{name}\""))).unwrap()
                }
            };
            let answer = other.ask(&what.replace("{}", name), body).await;
            (answer.status.as_u16(), answer.text().replace(name, "NAME"))
        };
        let (theirs, nobodys) = (ask(theirs).await, ask(&nobody(theirs)).await);
        assert_eq!(theirs, nobodys, "{what}");
        let is_empty = theirs.0 == 200 && what.contains("usage?") && theirs.1.contains("\"items\":[]");
        let is_no_cursor = theirs.0 == 400 && theirs.1.contains("not one of this list");
        let is_unknown = theirs.0 == 404 && theirs.1.contains("not_found");
        assert!(is_empty || is_no_cursor || is_unknown, "{what}: {theirs:?}");
    }
    // A flow that names another tenant's executor.
    let apply = async |name: &str| {
        let yaml = format!("jtype: Flow\nexecutors:\n  - name: a\n    uses: {name}\n");
        let answer = other.send("PUT T/flows/mine", &[("content-type", "application/yaml")], yaml).await;
        (answer.status.as_u16(), answer.text().replace(name, "NAME"))
    };
    let (theirs, nobodys) = (apply("shout").await, apply("nobody").await);
    assert!(theirs == nobodys && theirs.0 >= 400, "{theirs:?} {nobodys:?}");
    for list in ["components", "executors", "flows", "secrets", "capsules", "keys", "usage"] {
        let listed = other.must(&format!("GET T/{list}"), Value::Null).await.to_string();
        assert!(
            !listed.contains("acme") && !listed.contains("shout") && !listed.contains(digest),
            "{list}: {listed}"
        );
    }
    // Nobody reads in the owner's audit what others tried.
    let audit = owner.caller.must("GET T/audit?limit=500", Value::Null).await.to_string();
    assert!(!audit.contains(other.key_id()), "{audit}");
    // All of it is still there.
    assert_texts(&owner.caller.call("shout", "/upper", &["a"], json!({})).await, &["A"]);
    assert!(owner.caller.must("GET T/flows/search", Value::Null).await["yaml"].is_string());
}

/// The gRPC request with a key, and with headers that name what is meant.
fn with_headers<T>(message: T, headers: &[(&'static str, &str)]) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

fn status_text(status: &Status) -> String {
    let error = status.metadata().get("lockgate-error").map(|error| error.to_str().unwrap().to_owned());
    format!("{:?} {} {error:?}", status.code(), status.message())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenants_things_are_like_none_over_every_protocol() {
    let host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let owner = Owner::new(&host, &operator).await;
    let other = operator.tenant("other", plenty()).await;
    other.publish("own", guest::component(2, Manner::Plain), json!({})).await;
    let channel = grpc::channel_to(&host.data_url("")).await;
    let over_http = async |method: &http::Method, path: &str, headers: &[(&str, &str)]| {
        let headers =
            [&[("x-api-key", other.key.as_str()), ("content-type", "application/json")], headers].concat();
        let body = request("/upper", &["x"], json!({})).to_string();
        let answer = other.client.send(method.clone(), &host.data_url(path), &headers, body.into()).await;
        assert_eq!(answer.status, 404, "{path} {headers:?}: {}", answer.text());
        answer.text()
    };
    let over_grpc = async |kind: &'static str, name: &str| {
        let mut client = JinaSingleDataRequestRpcClient::new(channel.clone());
        let message = grpc::request("/upper", &["x"], &[]);
        let request = with_headers(message, &[("x-api-key", &other.key), (kind, name)]);
        let status = client.process_single_data(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{kind} {name}: {status:?}");
        status_text(&status)
    };
    let over_websocket = async |path: &str| {
        let url = format!("ws://{}{path}", host.data_address());
        let headers = [("x-api-key", other.key.as_str()), ("sec-websocket-protocol", "json")];
        let (status, body) = WebSocket::try_open(&url, &headers).await.unwrap_err();
        assert_eq!(status, 404, "{url}: {body}");
        body
    };
    for (kind, name) in
        [("executor", "shout"), ("executor", "shout@1"), ("executor", "shout:latest"), ("flow", "search")]
    {
        let header = if kind == "executor" { "lockgate-executor" } else { "lockgate-flow" };
        let nobodys = name.replace("shout", "nobody").replace("search", "nobody");
        let mut seen = Vec::new();
        for name in [name, &nobodys] {
            let plain = |text: String| {
                text.replace("shout", "NAME").replace("search", "NAME").replace("nobody", "NAME")
            };
            let mut all = Vec::new();
            let (post, get) = (http::Method::POST, http::Method::GET);
            for (method, rest) in
                [(&post, "post"), (&post, "upper"), (&get, "openapi.json"), (&get, "status")]
            {
                all.push(plain(over_http(method, &format!("/{kind}s/{name}/{rest}"), &[]).await));
            }
            all.push(plain(over_http(&post, "/post", &[(header, name)]).await));
            all.push(plain(over_grpc(header, name).await));
            all.push(plain(over_websocket(&format!("/{kind}s/{name}/ws")).await));
            assert!(all.iter().all(|text| !text.contains("acme")), "{all:?}");
            seen.push(all);
        }
        assert_eq!(seen[0], seen[1], "{kind} {name}");
    }
    let own = over_http(&http::Method::POST, "/flows/search/post", &[]).await;
    assert!(own.contains("executor own") && !own.contains("shout"), "only what is the caller's own: {own}");
    assert_texts(&owner.caller.call("shout", "/upper", &["a"], json!({})).await, &["A"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_ends_streams_and_scopes_hold_on_every_protocol() {
    let host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let acme = operator.tenant("acme", plenty()).await;
    acme.publish("shout", fixture("neighbour"), json!({})).await;
    let channel = grpc::channel_to(&host.data_url("")).await;
    let url = format!("ws://{}/", host.data_address());

    let reader = operator.holder("acme", &["read"]).await;
    let answer = reader.call("shout", "/upper", &["x"], json!({})).await;
    assert!(told(&answer).starts_with("403 permission_denied: "), "{}", told(&answer));
    let asked = with_headers(grpc::request("/upper", &["x"], &[]), &[("x-api-key", &reader.key)]);
    let refused = JinaSingleDataRequestRpcClient::new(channel.clone()).process_single_data(asked).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let headers = [("x-api-key", reader.key.as_str()), ("sec-websocket-protocol", "json")];
    assert_eq!(WebSocket::try_open(&url, &headers).await.unwrap_err().0, 403);

    let caller = operator.holder("acme", &["call"]).await;
    let headers = [("x-api-key", caller.key.as_str()), ("sec-websocket-protocol", "json")];
    let mut socket = WebSocket::try_open(&url, &headers).await.unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel::<DataRequestProto>(4);
    let messages = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|message| (message, receiver))
    });
    let calling = with_headers(messages, &[("x-api-key", &caller.key)]);
    let mut replies = JinaRpcClient::new(channel).call(calling).await.unwrap().into_inner();
    let message = || Message::text(request("/upper", &["x"], json!({})).to_string());
    assert!(socket.send(message()).await);
    let Some(Message::Text(first)) = socket.next().await else { panic!("no answer") };
    assert!(first.contains("\"X\""), "{first}");
    sender.try_send(grpc::request("/upper", &["x"], &[])).unwrap();
    assert_eq!(grpc::texts(&replies.message().await.unwrap().unwrap()), ["X"]);

    acme.must(&format!("DELETE T/keys/{}", caller.key_id()), Value::Null).await;
    assert!(socket.send(message()).await);
    let mut told = Vec::new();
    while let Some(message) = socket.next().await {
        told.push(message);
    }
    let Some(Message::Text(answer)) = told.first() else { panic!("{told:?}") };
    assert!(answer.contains("unauthenticated") && !answer.contains("\"X\""), "{answer}");
    let Some(Message::Close(Some(frame))) = told.last() else { panic!("{told:?}") };
    assert_eq!(u16::from(frame.code), 1008, "{told:?}");
    sender.try_send(grpc::request("/upper", &["x"], &[])).unwrap();
    assert_eq!(replies.message().await.unwrap_err().code(), Code::Unauthenticated);
    // The tenant's other key goes on.
    assert_texts(&acme.call("shout", "/upper", &["y"], json!({})).await, &["Y"]);
}

/// Sends a whole request for a guest that computes for an hour, and reads nothing.
async fn hold(host: &RunningServe, caller: &Caller) -> TcpStream {
    let body = request("/hold", &["x"], json!({ "milliseconds": 3_000_000 })).to_string();
    let mut socket = TcpStream::connect(host.data_address()).await.unwrap();
    let head = format!(
        "POST /executors/shout/post HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-length: {}\r\n\r\n{body}",
        caller.key,
        body.len()
    );
    // One that is refused may find the connection closed already.
    socket.write_all(head.as_bytes()).await.ok();
    socket
}

/// Calls of the tenant at once.
const AT_ONCE: u32 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_callers_that_leave_hold_nothing() {
    let mut host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let mut quota = plenty();
    quota["concurrent_requests"] = json!(AT_ONCE);
    let acme = operator.tenant("acme", quota).await;
    let alice = operator.tenant("alice", plenty()).await;
    for caller in [&acme, &alice] {
        caller.publish("shout", fixture("neighbour"), json!({})).await;
    }
    let in_flight = r#"lockgate_tenant_requests_in_flight{tenant="acme"}"#;
    let before = host.resident_bytes();
    // In the middle of a call, each of them.
    for _ in 0..10 {
        let mut sockets = Vec::new();
        for _ in 0..AT_ONCE {
            sockets.push(hold(&host, &acme).await);
        }
        acme.until(in_flight, f64::from(AT_ONCE)).await;
        let refused = acme.call("shout", "/upper", &["x"], json!({})).await;
        assert!(told(&refused).starts_with("429 quota_exceeded: "), "{}", told(&refused));
        let limit = json!({ "name": "concurrent_requests", "value": AT_ONCE });
        assert_eq!(refused.json()["error"]["limit"], limit, "{}", refused.text());
        assert!(refused.headers.contains_key("retry-after"));
        assert_texts(&alice.call("shout", "/upper", &["y"], json!({})).await, &["Y"]);
        drop(sockets);
        acme.until(in_flight, 0.0).await;
    }
    // Wherever they are when their caller leaves.
    let (host_ref, caller) = (&host, &acme);
    let leaving = (0..5000).map(|_| async move { drop(hold(host_ref, caller).await) });
    stream::iter(leaving).buffer_unordered(32).collect::<Vec<()>>().await;
    acme.until(in_flight, 0.0).await;
    assert!(host.is_alive(), "{}", host.logs());
    // A long call ends a moment after its caller.
    wait_for("every instance to be free", async || {
        let status = acme.must("GET T/executors/shout/status", Value::Null).await;
        let is_free =
            |revision: &Value| revision["waiting"] == json!(0) && revision["instances"] == revision["idle"];
        status["revisions"].as_array().unwrap().iter().all(is_free).then_some(())
    })
    .await;
    let calls = (0..AT_ONCE).map(|_| acme.call("shout", "/upper", &["x"], json!({})));
    for answer in futures_util::future::join_all(calls).await {
        assert_texts(&answer, &["X"]);
    }
    memory_returns(&host, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_wrong_keys_are_all_refused() {
    let host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let acme = operator.tenant("acme", plenty()).await;
    acme.publish("shout", guest::component(1, Manner::Plain), json!({})).await;
    let (start, secret) = acme.key.split_at(acme.key.len() - 43);
    let mut changed = secret.to_owned();
    changed.replace_range(..1, if secret.starts_with('A') { "B" } else { "A" });
    let wrong = [
        "lg_nobody_0".to_owned(),
        format!("{start}{changed}"),
        format!("{start}{}", "A".repeat(43)),
        acme.key[..acme.key.len() - 1].to_owned(),
        format!("{}x", acme.key),
        acme.key.to_uppercase(),
        "eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJhY21lIiwic2NvcGUiOiJhZG1pbiJ9.".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(10_000),
        "lg__".to_owned(),
    ];
    let (acme, wrong, host) = (&acme, &wrong, &host);
    let tries = (0..3000).map(|turn| async move {
        let bearer = format!("Bearer {}", wrong[turn % wrong.len()]);
        let headers = [("authorization", bearer.as_str())];
        let (method, url) = match turn % 2 {
            0 => (http::Method::POST, host.data_url("/executors/shout/run")),
            _ => (http::Method::GET, host.control_url("/v1/tenants/acme/executors")),
        };
        let answer = acme.client.send(method, &url, &headers, Bytes::new()).await;
        assert_eq!(answer.status, 401, "{bearer}: {}", answer.text());
        assert!(answer.body.len() < 2048 && !answer.text().contains("acme"), "{bearer}: {}", answer.text());
        if turn % 50 == 0 {
            assert_eq!(acme.number("shout").await, 1);
        }
    });
    stream::iter(tries).buffer_unordered(32).collect::<Vec<()>>().await;
    assert_eq!(acme.number("shout").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_without_a_key_tell_nothing_of_tenants() {
    let host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let owner = Owner::new(&host, &operator).await;
    let other = operator.tenant("other", plenty()).await;
    let get = async |url: &str, key: &str| {
        let headers = [("x-api-key", key)];
        let headers = if key.is_empty() { &headers[..0] } else { &headers[..] };
        other.client.send(http::Method::GET, url, headers, Bytes::new()).await
    };
    let hex = owner.digest.trim_start_matches("sha256:");
    let check = async |path: &str, key: &str, status: u16| {
        let answer = get(&host.data_url(path), key).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        for secret in ["acme", "whisper", "openai", "sesame", "neighbour", hex, &owner.capsule] {
            assert!(!answer.text().contains(secret), "{path} tells {secret}: {}", answer.text());
        }
        answer.body
    };
    for key in ["", other.key.as_str()] {
        check("/healthz", key, 200).await;
        check("/readyz", key, 200).await;
        check("/metrics", key, 404).await;
        for page in ["/docs", "/docs/page.js", "/docs/style.css"] {
            let theirs = check(&format!("/flows/search{page}"), "", 200).await;
            assert_eq!(theirs, check(&format!("/flows/nobody{page}"), "", 200).await, "{page}");
            assert_eq!(theirs, check(&format!("/executors/shout{page}"), "", 200).await, "{page}");
            assert_eq!(theirs, check(page, "", 200).await, "{page}");
        }
    }
    check("/openapi.json", "", 401).await;
    check("/openapi.json", &other.key, 404).await;
    check("/status", "", 401).await;
    // The API's own pages are the same for everybody.
    for page in ["/healthz", "/readyz", "/docs", "/openapi.json"] {
        let answer = get(&host.control_url(page), "").await;
        assert_eq!(answer.status, 200, "{page}");
        assert!(!answer.text().contains("whisper") && !answer.text().contains(hex), "{page}");
    }
}
