//! Real gateways on real sockets as external executors, and others that are nothing of the kind.

use std::net::SocketAddr;
use std::sync::Arc;

use lockgate_domain::document::DocumentListBuilder;
use lockgate_domain::spec::ExternalAddress;
use lockgate_domain::{
    DocumentList, FlowSpec, FuelBudget, Parameters, RequestContext, StageSpec, TenantName,
};
use lockgate_flow::plan::ExecutionPlan;
use lockgate_flow::scripted::{ScriptedExecutor, Step};
use lockgate_gateway::{Gateway, GatewayOptions, OpenDoor, Routes, ServedFlow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;

mod streams;

/// Far beyond what any condition takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway with a flow of one scripted executor. Dropping it is a crash.
struct Other {
    address: SocketAddr,
    script: Arc<ScriptedExecutor>,
    _running: JoinSet<()>,
}

impl Other {
    async fn start(steps: Vec<Step>) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), steps)
    }

    /// Its endpoints stream.
    async fn streaming(steps: Vec<Step>) -> Self {
        let script = ScriptedExecutor::new(&["/upper", "/other"], steps).with_streaming();
        Self::of(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), script)
    }

    fn on(listener: TcpListener, steps: Vec<Step>) -> Self {
        Self::of(listener, ScriptedExecutor::new(&["/upper", "/other"], steps))
    }

    fn of(listener: TcpListener, script: ScriptedExecutor) -> Self {
        let (address, script) = (listener.local_addr().unwrap(), Arc::new(script));
        let spec = FlowSpec {
            name: "other".parse().unwrap(),
            stages: vec![StageSpec::new("script".parse().unwrap(), "")],
            gateway: lockgate_domain::spec::GatewaySpec::default(),
            fuel: FlowSpec::DEFAULT_FUEL,
            timeout_ms: FlowSpec::DEFAULT_TIMEOUT_MS,
        };
        let client: Arc<dyn ExecutorClient> = script.clone();
        let plan = ExecutionPlan::new(&spec, [("script".parse().unwrap(), client)]).unwrap();
        let routes = Routes::default();
        routes.publish(ServedFlow::new(&spec, Arc::new(plan)));
        let gateway = Gateway::new(GatewayOptions::default(), Arc::new(OpenDoor::new(routes)));
        let mut running = JoinSet::new();
        running.spawn(async move {
            gateway.serve(vec![listener.into()], CancellationToken::new()).await;
        });
        Self { address, script, _running: running }
    }

    fn calls(&self) -> usize {
        self.script.calls().len()
    }
}

fn upper() -> Step {
    Step::answer(|call| {
        let texts: Vec<String> = texts(&call.documents).iter().map(|text| text.to_uppercase()).collect();
        documents(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

fn documents(texts: &[&str]) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for text in texts {
        let row = builder.push_root().unwrap();
        builder.set_text("id", row, &format!("id-{text}")).unwrap();
        builder.set_text("text", row, text).unwrap();
        // What only the newer generation of documents can say.
        builder.set_text("colour", row, "red").unwrap();
    }
    builder.finish().unwrap()
}

fn texts(documents: &DocumentList) -> Vec<String> {
    (0..documents.len()).map(|row| documents.text("text", row).unwrap_or_default().to_owned()).collect()
}

fn spec(addresses: &[SocketAddr]) -> ExternalSpec {
    let address = |address: &SocketAddr| ExternalAddress {
        host: address.ip().to_string(),
        port: address.port(),
        tls: false,
    };
    ExternalSpec {
        addresses: addresses.iter().map(address).collect(),
        metadata: vec![("x-team".to_owned(), "search".to_owned())],
        ready_timeout_ms: 60_000,
    }
}

fn start(addresses: &[SocketAddr]) -> RemoteExecutor {
    RemoteExecutor::start(&"enc".parse().unwrap(), &spec(addresses), Limits::default()).unwrap()
}

async fn connected(remote: &RemoteExecutor, count: usize) {
    until("so many addresses are connected", || remote.connected() == count).await;
}

async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let waiting = async {
        while !is_true() {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

fn call(endpoint: &str, texts: &[&str]) -> ExecutorCall {
    let id = lockgate_domain::RequestId::accept("request-1");
    let mut context = RequestContext::new(id, TenantName::local(), FuelBudget::new(1_000_000));
    context.deadline = Some(Instant::now() + PATIENCE);
    ExecutorCall {
        endpoint: EndpointName::parse(endpoint).unwrap(),
        documents: documents(texts),
        parameters: Parameters::default(),
        inputs: Arc::new([]),
        context,
        emit: None,
    }
}

async fn ask(remote: &RemoteExecutor, text: &str) -> Result<Vec<String>, Problem> {
    let reply = timeout(PATIENCE, remote.call(call("/upper", &[text]))).await.expect("an answer");
    reply.map(|reply| texts(&reply.documents))
}

/// A port that was free a moment ago, and on which nobody listens.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_gateway_is_an_executor() {
    let other = Other::start(vec![upper()]).await;
    let remote = start(&[other.address]);
    remote.ready(PATIENCE, &|_| {}).await.unwrap();
    let resolved =
        |name: &str| remote.resolve(&EndpointName::parse(name).unwrap()).map(|name| name.to_string());
    assert_eq!((resolved("/upper").as_deref(), resolved("/nowhere")), (Some("/upper"), None));
    let reply = remote.call(call("/upper", &["a", "b"])).await.unwrap();
    assert_eq!((texts(&reply.documents), reply.fuel), (vec!["A".to_owned(), "B".to_owned()], 0));
    assert_eq!(reply.documents.text("colour", 1), Some("red"));
    let seen = &other.script.calls()[0];
    assert_eq!((seen.endpoint.as_str(), seen.context.id.as_str()), ("/upper", "request-1"));
    // The deadline travels.
    assert!(seen.context.deadline.is_some_and(|deadline| deadline <= Instant::now() + PATIENCE));
}

#[tokio::test]
async fn what_its_executors_give_beside_documents_is_taken() {
    let check = async |json: &str, written_bytes: u64| {
        let script = ScriptedExecutor::new(&["/upper"], vec![upper()]).giving(json);
        let other = Other::of(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), script);
        let limits = Limits { written_bytes, ..Limits::default() };
        let remote = RemoteExecutor::start(&"enc".parse().unwrap(), &spec(&[other.address]), limits).unwrap();
        remote.ready(PATIENCE, &|_| {}).await.unwrap();
        let mut call = call("/upper", &["a"]);
        let sent = serde_json::json!({ "k": 1 });
        call.parameters = Parameters::new(sent.as_object().unwrap().clone());
        let reply = timeout(PATIENCE, remote.call(call)).await.expect("an answer")?;
        Ok::<_, Problem>(reply.results.named(|| "own".to_owned()).into_map())
    };
    let given = check(r#"{"count": 1, "list": [{}]}"#, 1 << 20).await.unwrap();
    let expected = serde_json::json!({ "script/rep-0": { "count": 1, "list": [{}] } });
    assert_eq!(serde_json::Value::Object(given), expected);
    let problem = check(&format!(r#"{{"a": "{}"}}"#, "x".repeat(5000)), 4000).await.unwrap_err();
    assert_eq!(problem.limit_passed(), Some((lockgate_domain::LimitKind::WrittenBytes, 4000)));
    assert!(problem.message().contains("external executor `enc` at grpc://"), "{problem:?}");
}

#[tokio::test]
async fn its_failure_is_an_executors_failure() {
    let failure = Problem::new(ErrorCode::GuestError, "boom").with_hint("mend it");
    let busy = Problem::new(ErrorCode::Overloaded, "full").with_retry_after_ms(7);
    let other = Other::start(vec![Step::Fail(failure), Step::Fail(busy), upper()]).await;
    let remote = start(&[other.address]);
    let failed = ask(&remote, "a").await.unwrap_err();
    assert_eq!(
        (failed.code(), failed.message(), failed.hint()),
        (ErrorCode::GuestError, "boom", Some("mend it"))
    );
    let refused = ask(&remote, "a").await.unwrap_err();
    assert_eq!((refused.code(), refused.retry_after_ms()), (ErrorCode::Overloaded, Some(7)));
    assert!(refused.message().contains(&format!("at grpc://{}", other.address)), "{refused:?}");
    assert_eq!(ask(&remote, "a").await.unwrap(), ["A"]);
}

#[tokio::test]
async fn what_is_no_executor_is_told_at_the_start() {
    let check = async |address: SocketAddr, expected: &str| {
        let remote = start(&[address]);
        let told = Mutex::new(Vec::new());
        let tell = |why: &str| told.lock().unwrap().push(why.to_owned());
        // As long as it takes to hear why, and no longer.
        let hearing = async {
            until("the reason is told", || told.lock().unwrap().iter().any(|why| why.contains(expected)))
                .await;
        };
        tokio::select! {
            ready = remote.ready(PATIENCE, &tell) => panic!("{ready:?}, not {expected}"),
            () = hearing => {}
        }
        let late = remote.ready(Duration::from_millis(1), &|_| {}).await.unwrap_err();
        assert_eq!(late.code(), ErrorCode::Unavailable);
        assert!(late.message().contains(&format!("grpc://{address}")) && late.hint().is_some(), "{late:?}");
        let failed = ask(&remote, "a").await.unwrap_err();
        assert!(failed.code().retryable() && failed.code().has_no_side_effects(), "{failed:?}");
    };
    check(nobody(), "Connection refused").await;
    let speaking = async |words: &'static [u8]| {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut said = [0; 1024];
                drop(stream.read(&mut said).await);
                drop(stream.write_all(words).await);
            }
        });
        (address, running)
    };
    let (address, _running) = speaking(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    check(address, "it does not answer as an executor").await;
    let (address, _running) = speaking(b"\x00\xff\x00garbage").await;
    check(address, "it does not answer as an executor").await;
    let (address, _running) = speaking(b"").await;
    check(address, "it does not").await;
}

#[tokio::test]
async fn dead_addresses_are_passed_by() {
    let (one, two) = (Other::start(vec![upper()]).await, Other::start(vec![upper()]).await);
    let remote = start(&[one.address, nobody(), two.address]);
    connected(&remote, 2).await;
    for _ in 0..32 {
        assert_eq!(ask(&remote, "a").await.unwrap(), ["A"]);
    }
    assert!(one.calls() > 0 && two.calls() > 0, "{} {}", one.calls(), two.calls());
    drop(one);
    connected(&remote, 1).await;
    for _ in 0..8 {
        assert_eq!(ask(&remote, "a").await.unwrap(), ["A"]);
    }
    let address = two.address;
    drop(two);
    connected(&remote, 0).await;
    let failed = ask(&remote, "a").await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::Unavailable);
    assert!(failed.message().contains(&address.to_string()), "{failed:?}");
    // It comes back where it was.
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let _again = Other::on(listener, vec![upper()]);
    connected(&remote, 1).await;
    assert_eq!(ask(&remote, "a").await.unwrap(), ["A"]);
}

#[test]
fn calls_left_unanswered_make_a_suspect() {
    let address = Address::new(&spec(&[nobody()]).addresses[0]);
    let late = Some(Instant::now());
    let check = |deadline: Option<Instant>, is_answered: bool, expected: bool| {
        let mut visit = address.enter(deadline);
        assert_eq!(address.in_flight(), 1);
        if is_answered {
            visit.answered();
        }
        drop(visit);
        assert_eq!((address.is_suspect(), address.in_flight()), (expected, 0));
    };
    check(late, false, false);
    check(late, false, false);
    check(late, true, false);
    // The caller may go at any time: that says nothing about the other side.
    for deadline in [None, Some(Instant::now() + PATIENCE)] {
        (0..5).for_each(|_| check(deadline, false, false));
    }
    check(late, false, false);
    check(late, false, false);
    check(late, false, true);
}

#[tokio::test]
async fn a_dropped_call_stops_on_the_other_side() {
    let other = Other::start(vec![Step::Hang]).await;
    let remote = start(&[other.address]);
    remote.ready(PATIENCE, &|_| {}).await.unwrap();
    let called = async { until("the call has arrived", || other.calls() == 1).await };
    tokio::select! {
        _ = remote.call(call("/upper", &["a"])) => panic!("nobody answers"),
        () = called => {}
    }
    until("the call has been dropped there", || other.script.dropped() == 1).await;
    assert_eq!(remote.addresses[0].in_flight(), 0);
}

#[tokio::test]
async fn an_answer_has_its_bounds() {
    let big = Step::answer(|_| documents(&["x".repeat(1 << 20).as_str()]));
    let many = Step::answer(|_| documents(&["x"; 100]));
    let other = Other::start(vec![big, many, upper()]).await;
    let limits = Limits { written_bytes: 100_000, documents: 50, ..Limits::default() };
    let remote = RemoteExecutor::start(&"enc".parse().unwrap(), &spec(&[other.address]), limits).unwrap();
    for (limit, value) in [("written_bytes", 100_000), ("documents", 50)] {
        let failed = ask(&remote, "a").await.unwrap_err();
        let passed = failed.limit_passed().map(|(kind, value)| (kind.as_str(), value));
        assert_eq!(passed, Some((limit, value)), "{failed:?}");
    }
    assert_eq!(ask(&remote, "a").await.unwrap(), ["A"]);
}

#[tokio::test]
async fn metadata_must_be_what_grpc_can_send() {
    let check = |key: &str, value: &str, is_good: bool| {
        let metadata = vec![(key.to_owned(), value.to_owned())];
        let spec = ExternalSpec { metadata, ..spec(&[nobody()]) };
        let started = RemoteExecutor::start(&"enc".parse().unwrap(), &spec, Limits::default());
        assert_eq!(started.is_ok(), is_good, "{key}: {value}");
    };
    check("authorization", "Bearer lg_a_b", true);
    check("Authorization", "x", true);
    check("a b", "x", false);
    check("a", "x\ny", false);
    check("key-bin", "x", false);
}
