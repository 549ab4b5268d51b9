//! A gateway with tenants behind a scripted door: the same rules over every protocol.

mod ask;

use std::collections::BTreeMap;
use std::sync::Mutex;

use ::http::{Method, StatusCode, Version};
use futures_util::SinkExt;
use lockgate_domain::{LimitKind, TenantName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use self::ask::{PROTOCOLS, Protocol, Question};
use super::*;
use crate::{Knock, Visit, Visitor, Wanted};

/// Who has which key.
const KEYS: [(&str, &str); 3] = [("lg_acme", "acme"), ("lg_beta", "beta"), ("lg_poor", "poor")];
/// What there is, by tenant. The last one of `acme` is an executor on its own.
const THINGS: [(&str, &str); 5] =
    [("acme", "index"), ("acme", "search"), ("acme", "shout:stable"), ("beta", "only"), ("poor", "flow")];

/// Knows the keys, and lets `poor` in for as many messages as are left.
struct ScriptedDoor {
    things: BTreeMap<(&'static str, &'static str), Arc<ServedFlow>>,
    ledger: Arc<Ledger>,
}

#[derive(Default)]
struct Ledger {
    revoked: Mutex<Vec<String>>,
    left: AtomicUsize,
    identified: AtomicUsize,
    visits: watch::Sender<usize>,
}

struct ScriptedVisitor {
    key: String,
    tenant: TenantName,
    flow: Arc<ServedFlow>,
    ledger: Arc<Ledger>,
}

struct Held(Arc<Ledger>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.visits.send_modify(|visits| *visits -= 1);
    }
}

impl Ledger {
    fn check(&self, key: &str) -> Result<(), Problem> {
        if self.revoked.lock().unwrap().iter().any(|revoked| revoked == key) {
            return Err(Problem::new(ErrorCode::Unauthenticated, "the key was revoked"));
        }
        Ok(())
    }
}

impl Door for ScriptedDoor {
    fn identify(&self, knock: &Knock<'_>) -> Result<Arc<dyn Visitor>, Problem> {
        self.ledger.identified.fetch_add(1, Ordering::Relaxed);
        assert!(knock.peer.is_loopback());
        let unknown = || Problem::new(ErrorCode::Unauthenticated, "the key is not known");
        let key = knock.credential.secret()?.ok_or_else(unknown)?;
        let (_, tenant) = *KEYS.iter().find(|(known, _)| *known == key).ok_or_else(unknown)?;
        self.ledger.check(key)?;
        let own: Vec<&str> =
            self.things.keys().filter(|(owner, _)| *owner == tenant).map(|(_, name)| *name).collect();
        let name = match (knock.wanted, own.as_slice()) {
            (Wanted::Any, [only]) => *only,
            (Wanted::Any, _) => "",
            (Wanted::Flow(name), _) if !name.contains([':', '@']) => name,
            (Wanted::Executor(name), _) if name.contains([':', '@']) => name,
            (Wanted::Flow(_) | Wanted::Executor(_), _) => "",
        };
        let found = self.things.iter().find(|((owner, thing), _)| *owner == tenant && *thing == name);
        let (_, flow) = found.ok_or_else(|| {
            Problem::new(ErrorCode::NotFound, "there is no such flow").with_hint(format!("there are {own:?}"))
        })?;
        Ok(Arc::new(ScriptedVisitor {
            key: key.to_owned(),
            tenant: tenant.parse().unwrap(),
            flow: flow.clone(),
            ledger: self.ledger.clone(),
        }))
    }

    fn readiness(&self) -> Result<(), Problem> {
        Ok(())
    }
}

impl Visitor for ScriptedVisitor {
    fn flow(&self) -> Result<Arc<ServedFlow>, Problem> {
        Ok(self.flow.clone())
    }

    fn enter(&self) -> Result<Visit, Problem> {
        self.ledger.check(&self.key)?;
        let left = &self.ledger.left;
        let spend = |left: usize| left.checked_sub(1);
        if self.tenant.as_str() == "poor"
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err()
        {
            return Err(Problem::limit(LimitKind::RequestRate, 5, "tenant poor has used its 5 requests")
                .with_retry_after_ms(1500));
        }
        self.ledger.visits.send_modify(|visits| *visits += 1);
        let guard = Held(self.ledger.clone());
        Ok(Visit { tenant: self.tenant.clone(), flow: self.flow.clone(), guard: Some(Box::new(guard)) })
    }
}

/// Puts its own name before what the script says to `/tenant`.
struct Labelled(&'static str, Arc<Script>);

impl ExecutorClient for Labelled {
    fn manifest(&self) -> Arc<Manifest> {
        self.1.manifest()
    }

    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
        self.1.resolve(wanted)
    }

    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        let label = if call.endpoint.as_str() == "/tenant" { self.0 } else { "" };
        Box::pin(async move {
            let documents = self.1.run(call).await?;
            let documents = map(&documents, |text| format!("{label}{text}"));
            Ok(ExecutorReply { documents, results: GivenResults::Nothing, fuel: 1 })
        })
    }
}

async fn start(options: GatewayOptions) -> (Host, Arc<Ledger>) {
    let ledger = Arc::<Ledger>::default();
    let kept = ledger.clone();
    let host = Host::behind(options, move |_, script| {
        let thing = |(tenant, name): (&'static str, &'static str)| {
            let label = name.split([':', '@']).next().unwrap();
            ((tenant, name), Arc::new(flow(label, Arc::new(Labelled(name, script.clone())))))
        };
        Arc::new(ScriptedDoor { things: THINGS.into_iter().map(thing).collect(), ledger: kept })
    })
    .await;
    (host, ledger)
}

async fn host() -> (Host, Arc<Ledger>) {
    start(GatewayOptions::default()).await
}

#[tokio::test]
async fn callers_are_let_in_or_turned_away() {
    let (host, ledger) = host().await;
    let check = async |prefix: &'static str,
                       headers: &[(&'static str, &'static str)],
                       expected: Result<&str, ErrorCode>| {
        for protocol in PROTOCOLS {
            let question = Question { prefix, headers, ..Question::default() };
            let answer = protocol.ask(&host, &question).await;
            let got = answer.as_ref().map(String::as_str).map_err(|refusal| refusal.code(protocol));
            assert_eq!(got, expected, "{protocol:?} {question:?}: {answer:?}");
        }
    };
    let (acme, beta) = (("x-api-key", "lg_acme"), ("x-api-key", "lg_beta"));
    let (flow, executor) = ("lockgate-flow", "lockgate-executor");
    let nobody = Err(ErrorCode::Unauthenticated);
    let (unclear, unknown) = (Err(ErrorCode::InvalidRequest), Err(ErrorCode::NotFound));
    // Who calls.
    check("", &[], nobody).await;
    check("", &[("x-api-key", "lg_nobody")], nobody).await;
    check("", &[("authorization", "Basic lg_beta")], nobody).await;
    check("/flows/only", &[], nobody).await;
    check("", &[beta], Ok("onlyx beta")).await;
    check("", &[("authorization", "Bearer lg_beta")], Ok("onlyx beta")).await;
    check("", &[("authorization", "Bearer lg_beta"), beta], Ok("onlyx beta")).await;
    check("", &[("authorization", "Bearer lg_acme"), beta], unclear).await;
    check("", &[acme, beta], unclear).await;
    // What is meant.
    check("", &[acme], unknown).await;
    check("", &[acme, (flow, "search")], Ok("searchx acme")).await;
    check("/flows/search", &[acme], Ok("searchx acme")).await;
    check("/flows/search", &[acme, (flow, "search")], Ok("searchx acme")).await;
    check("/flows/search", &[acme, (flow, "index")], unclear).await;
    check("/flows/search", &[acme, (executor, "search")], unclear).await;
    check("/executors/shout:stable", &[acme], Ok("shout:stablex acme")).await;
    check("/executors/shout%3Astable", &[acme], Ok("shout:stablex acme")).await;
    check("", &[acme, (executor, "shout:stable")], Ok("shout:stablex acme")).await;
    check("/flows/%", &[acme], unclear).await;
    // Another tenant's is like none.
    check("/flows/only", &[acme], unknown).await;
    check("", &[acme, (flow, "only")], unknown).await;
    check("/executors/shout:stable", &[beta], unknown).await;
    // Nothing of it reached an executor that should not, and every visit was given back.
    assert_eq!(host.calls(), 9 * PROTOCOLS.len());
    within(ledger.visits.subscribe().wait_for(|visits| *visits == 0)).await.unwrap();
}

#[tokio::test]
async fn what_is_anothers_is_refused_like_what_does_not_exist() {
    let (host, _) = host().await;
    for protocol in PROTOCOLS {
        let ask = async |prefix| {
            let question = Question { prefix, headers: &[("x-api-key", "lg_acme")], ..Question::default() };
            protocol.ask(&host, &question).await.unwrap_err()
        };
        let (anothers, nobodys) = (ask("/flows/only").await, ask("/flows/none").await);
        assert_eq!(anothers, nobodys, "{protocol:?}");
        let hint = anothers.problem["hint"].as_str().unwrap();
        assert!(hint.contains("search") && !hint.contains("only"), "{hint}");
    }
}

#[tokio::test]
async fn a_quota_refuses_with_its_numbers() {
    let (host, ledger) = host().await;
    let question = Question { headers: &[("x-api-key", "lg_poor")], ..Question::default() };
    for protocol in PROTOCOLS {
        ledger.left.store(1, Ordering::Relaxed);
        assert!(protocol.ask(&host, &question).await.is_ok(), "{protocol:?}");
        let refusal = protocol.ask(&host, &question).await.unwrap_err();
        assert_eq!(refusal.code(protocol), ErrorCode::QuotaExceeded, "{refusal:?}");
        assert_eq!(refusal.problem["limit"], json!({ "name": "requests_per_second", "value": 5 }));
        assert_eq!(refusal.problem["retry_after_ms"], 1500);
        let retry = match protocol {
            Protocol::Http1 | Protocol::Http2 => Some("2"),
            Protocol::Unary => Some("1500"),
            Protocol::Stream | Protocol::Json | Protocol::Bytes => None,
        };
        assert_eq!(refusal.retry.as_deref(), retry, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_quota_refuses_messages_and_not_the_stream() {
    let (host, ledger) = host().await;
    let (sender, receiver) = mpsc::channel(4);
    let mut replies = grpc::call(&host, &[("x-api-key", "lg_poor")], ReceiverStream::new(receiver)).await;
    let mut socket =
        ask::connect(&host, "/", &[("x-api-key", "lg_poor"), ("sec-websocket-protocol", "json")])
            .await
            .unwrap();
    for (id, left) in [("first", 1), ("second", 0), ("third", 1)] {
        ledger.left.store(left, Ordering::Relaxed);
        sender.send(grpc::message(id, "/upper", &["x"])).await.unwrap();
        let reply = grpc::read(within(replies.message()).await.unwrap().unwrap());
        assert_eq!((reply.request_id.as_str(), reply.failure.is_some()), (id, left == 0));
        ledger.left.store(left, Ordering::Relaxed);
        socket.send(websocket::frame(id, "/upper", "x")).await.unwrap();
        let reply: Value = serde_json::from_str(&ask::text(&mut socket).await).unwrap();
        assert_eq!(reply["header"]["request_id"], id);
        assert_eq!(reply["header"]["exec_endpoint"], "/upper");
        assert_eq!(reply["header"]["status"].is_object(), left == 0, "{reply}");
    }
    assert_eq!(host.calls(), 4);
    assert_eq!(ledger.identified.load(Ordering::Relaxed), 2);
    drop(sender);
    assert!(within(replies.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_revoked_key_ends_with_the_next_message() {
    let (host, ledger) = host().await;
    let (sender, receiver) = mpsc::channel(4);
    let mut replies = grpc::call(&host, &[("x-api-key", "lg_beta")], ReceiverStream::new(receiver)).await;
    let mut socket =
        ask::connect(&host, "/", &[("x-api-key", "lg_beta"), ("sec-websocket-protocol", "json")])
            .await
            .unwrap();
    sender.send(grpc::message("before", "/wait", &["x"])).await.unwrap();
    socket.send(websocket::frame("before", "/wait", "x")).await.unwrap();
    host.active(2).await;
    ledger.revoked.lock().unwrap().push("lg_beta".to_owned());
    sender.send(grpc::message("after", "/upper", &["x"])).await.unwrap();
    socket.send(websocket::frame("after", "/upper", "x")).await.unwrap();
    let reply: Value = serde_json::from_str(&ask::text(&mut socket).await).unwrap();
    assert_eq!(reply["header"]["request_id"], "after");
    assert_eq!(reply["header"]["status"]["exception"]["name"], "unauthenticated");
    // What had begun is finished.
    host.release(2);
    assert_eq!(grpc::read(within(replies.message()).await.unwrap().unwrap()).request_id, "before");
    assert_eq!(within(replies.message()).await.unwrap_err().code(), tonic::Code::Unauthenticated);
    let (ids, code, _) = websocket::replies(&mut socket).await;
    assert_eq!((ids, code), (vec!["before".to_owned()], CloseCode::Policy));
    assert_eq!(host.calls(), 2);
    let question = Question { headers: &[("x-api-key", "lg_beta")], ..Question::default() };
    for protocol in PROTOCOLS {
        let refusal = protocol.ask(&host, &question).await.unwrap_err();
        assert_eq!(refusal.code(protocol), ErrorCode::Unauthenticated);
    }
}

#[tokio::test]
async fn a_visit_lasts_until_the_reply_has_left() {
    let (host, ledger) = host().await;
    let mut visits = ledger.visits.subscribe();
    for protocol in PROTOCOLS {
        let headers = &[("x-api-key", "lg_beta")];
        let question = Question { headers, endpoint: "/wait", ..Question::default() };
        let asked = protocol.ask(&host, &question);
        tokio::pin!(asked);
        tokio::select! {
            answer = &mut asked => panic!("it should wait: {answer:?}"),
            () = host.active(1) => {}
        }
        assert_eq!(*visits.borrow_and_update(), 1, "{protocol:?}");
        host.release(1);
        assert_eq!(asked.await.unwrap(), "x");
        within(visits.wait_for(|visits| *visits == 0)).await.unwrap();
    }
}

#[tokio::test]
async fn a_browser_shows_its_key_as_a_subprotocol() {
    let (host, _) = host().await;
    let check = async |offered: &'static str, expected: Result<&str, u16>| {
        let socket = ask::connect(&host, "/flows/only/ws", &[("sec-websocket-protocol", offered)]).await;
        match (socket, expected) {
            (Ok(mut socket), Ok(expected)) => {
                socket.send(websocket::frame("x", "/tenant", "x")).await.unwrap();
                let reply: Value = serde_json::from_str(&ask::text(&mut socket).await).unwrap();
                assert_eq!(reply["data"][0]["text"], expected, "{offered}");
            }
            (Err(refusal), Err(status)) => assert_eq!(refusal.status, status.to_string(), "{offered}"),
            (got, expected) => panic!("{offered}: {expected:?}, got {:?}", got.err()),
        }
    };
    check("json, bearer.lg_beta", Ok("onlyx beta")).await;
    check("bearer.lg_beta, json", Ok("onlyx beta")).await;
    check("bearer.lg_beta", Err(400)).await;
    check("json, bearer.lg_beta, bearer.lg_acme", Err(400)).await;
    check("json, bearer.lg_nobody", Err(401)).await;
    check("json, bearer.lg_acme", Err(404)).await;
    check("json", Err(401)).await;
}

#[tokio::test]
async fn pages_tell_nothing_to_strangers() {
    let (host, _) = start(GatewayOptions { metrics: false, ..GatewayOptions::default() }).await;
    let check = async |path: &str, key: &'static str, status: u16, part: &str| {
        let headers = [("x-api-key", key)];
        let headers = if key.is_empty() { &headers[..0] } else { &headers[..] };
        let (got, _, body) = http::send(&host, Version::HTTP_11, Method::GET, path, headers, "").await;
        let body = String::from_utf8_lossy(&body);
        assert_eq!(got.as_u16(), status, "{path}: {body}");
        assert!(body.contains(part), "{path}: {body}");
    };
    check("/healthz", "", 200, "healthy").await;
    check("/readyz", "", 200, "ready").await;
    check("/metrics", "", 404, "not_found").await;
    check("/metrics", "lg_beta", 404, "not_found").await;
    for page in ["/docs", "/docs/page.js", "/docs/style.css"] {
        check(page, "", 200, "").await;
        check(&format!("/flows/only{page}"), "", 200, "").await;
    }
    for page in ["/openapi.json", "/status", "/dry_run", "/upper", "/nothing"] {
        check(page, "", 401, "unauthenticated").await;
        check(&format!("/flows/only{page}"), "", 401, "unauthenticated").await;
        check(&format!("/flows/only{page}"), "lg_acme", 404, "there is no such flow").await;
    }
    check("/flows/only/readyz", "", 401, "unauthenticated").await;
    check("/flows/only/readyz", "lg_beta", 200, "ready").await;
    check("/flows/only/openapi.json", "lg_beta", 200, "\"/upper\"").await;
    check("/flows/index/status", "lg_acme", 200, "\"flow\":\"index\"").await;
    check("/flows/only/dry_run", "lg_beta", 200, "\"code\":0").await;
    check("/flows/only/upper", "lg_beta", 405, "").await;
    check("/flows/only/nothing", "lg_beta", 404, "not_found").await;
    check("/openapi.json", "lg_acme", 404, "search").await;
}

#[tokio::test]
async fn strangers_are_refused_before_their_body_is_read() {
    let (host, _) = host().await;
    for key in ["", "x-api-key: lg_nobody\r\n"] {
        let head = format!("POST /post HTTP/1.1\r\nhost: a\r\n{key}content-length: 1000000\r\n\r\n");
        let said = hostile::say(&host, head.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 401"), "{said}");
        assert!(said.contains("www-authenticate: Bearer\r\n"), "{said}");
        assert!(said.contains("connection: close\r\n"), "{said}");
    }
    let (status, _) = http::post(&host, "/upper", &[("x-api-key", "lg_beta")], json!({ "data": [] })).await;
    assert_eq!((status, host.calls()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn a_visit_outlasts_a_reader_that_stands_still() {
    let (host, ledger) = host().await;
    let data: Vec<Value> = (0..32).map(|_| json!({ "text": "x" })).collect();
    let body = json!({ "data": data }).to_string();
    let head = format!(
        "POST /big HTTP/1.1\r\nhost: a\r\nx-api-key: lg_beta\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut socket = TcpStream::connect(host.address).await.unwrap();
    socket.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap();
    let mut said = vec![0; 12];
    within(socket.read_exact(&mut said)).await.unwrap();
    assert_eq!(said, b"HTTP/1.1 200");
    // What is left is more than the system keeps for a socket.
    let mut visits = ledger.visits.subscribe();
    assert_eq!((*visits.borrow_and_update(), *host.script.active.borrow()), (1, 0));
    within(socket.read_to_end(&mut said)).await.unwrap();
    within(visits.wait_for(|visits| *visits == 0)).await.unwrap();
}

#[tokio::test]
async fn the_description_follows_the_executors() {
    struct Changing(Mutex<Arc<Manifest>>, Arc<Script>);
    impl ExecutorClient for Changing {
        fn manifest(&self) -> Arc<Manifest> {
            self.0.lock().unwrap().clone()
        }
        fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
            self.manifest().resolve(wanted).map(|endpoint| endpoint.name.clone())
        }
        fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
            self.1.call(call)
        }
    }
    let host = Host::start().await;
    let client = Arc::new(Changing(Mutex::new(host.script.manifest()), host.script.clone()));
    host.routes.publish(flow("test", client.clone()));
    let described = async || {
        let (_, _, body) = http::send(&host, Version::HTTP_11, Method::GET, "/openapi.json", &[], "").await;
        serde_json::from_slice::<Value>(&body).unwrap()["paths"].clone()
    };
    assert!(described().await.get("/upper").is_some());
    let next = Manifest::parse(r#"{"endpoints": [{"name": "/new"}]}"#).unwrap();
    *client.0.lock().unwrap() = Arc::new(next);
    let paths = described().await;
    assert!(paths.get("/new").is_some() && paths.get("/upper").is_none(), "{paths}");
    let served = flow("test", client.clone());
    assert_eq!(served.openapi().as_ptr(), served.openapi().as_ptr());
    let before = served.openapi();
    *client.0.lock().unwrap() = host.script.manifest();
    assert_ne!(served.openapi(), before);
}
