//! A gateway on a real socket, in front of a scripted executor. Everything waits on conditions; nothing sleeps.

mod batching;
mod drain;
mod grpc;
mod hostile;
mod http;
mod ports;
mod results;
mod streams;
mod tenants;
mod websocket;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lockgate_domain::document::DocumentListBuilder;
use lockgate_domain::spec::{GatewaySpec, Protocol, StageSpec};
use lockgate_domain::{
    DocumentList, EndpointName, ErrorCode, FlowSpec, Limits, Manifest, Parameters, Problem, Results,
};
use lockgate_flow::client::{ExecutorCall, ExecutorClient, ExecutorReply, GivenResults};
use lockgate_flow::plan::ExecutionPlan;
use lockgate_wire::envelope::{Dialect, Request};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Door, Drained, Gateway, GatewayOptions, OpenDoor, Port, Routes, ServedFlow};

/// Far beyond what any condition takes, far below what a person waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway. Dropping it cuts everything off.
struct Host {
    /// The port that serves all protocols.
    address: SocketAddr,
    /// Those that serve one each.
    separate: Vec<(Protocol, SocketAddr)>,
    script: Arc<Script>,
    routes: Routes,
    shutdown: CancellationToken,
    running: JoinSet<Drained>,
}

/// What the executor does, by endpoint.
struct Script {
    manifest: Arc<Manifest>,
    /// How many calls of `/wait` may return.
    released: Semaphore,
    active: watch::Sender<usize>,
    calls: AtomicUsize,
    /// Documents that were emitted and taken.
    emitted: AtomicUsize,
}

struct Active<'a>(&'a watch::Sender<usize>);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|active| *active -= 1);
    }
}

impl Script {
    fn new() -> Self {
        let manifest = r#"{"endpoints": [
            {"name": "/upper", "description": "Louder."}, {"name": "/fail"}, {"name": "/busy"}, {"name": "/gone"},
            {"name": "/late"}, {"name": "/fault"}, {"name": "/wait"}, {"name": "/hang"}, {"name": "/big"},
            {"name": "/header"}, {"name": "/tenant"}, {"name": "/results"},
            {"name": "/twice", "streaming": true}, {"name": "/steps", "streaming": true},
            {"name": "/endless", "streaming": true}, {"name": "/half", "streaming": true},
            {"name": "/lost", "streaming": true}
        ]}"#;
        Self {
            manifest: Arc::new(Manifest::parse(manifest).unwrap()),
            released: Semaphore::new(0),
            active: watch::Sender::new(0),
            calls: AtomicUsize::new(0),
            emitted: AtomicUsize::new(0),
        }
    }

    async fn run(&self, call: ExecutorCall) -> Result<DocumentList, Problem> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.active.send_modify(|active| *active += 1);
        let _active = Active(&self.active);
        let failed = |code| Err(Problem::new(code, "as the script says"));
        match call.endpoint.as_str() {
            "/upper" => Ok(map(&call.documents, str::to_uppercase)),
            "/big" => Ok(map(&call.documents, |text| text.repeat(1 << 20))),
            "/header" => {
                Ok(map(&call.documents, |name| call.context.headers.get(name).unwrap_or("none").to_owned()))
            }
            "/tenant" => Ok(map(&call.documents, |text| format!("{text} {}", call.context.tenant))),
            "/results" => Ok(call.documents),
            "/fail" => failed(ErrorCode::GuestError),
            "/busy" => failed(ErrorCode::Overloaded),
            "/gone" => failed(ErrorCode::Unavailable),
            "/late" => failed(ErrorCode::DeadlineExceeded),
            "/fault" => failed(ErrorCode::HostFault),
            "/hang" => std::future::pending().await,
            // The text `now` does not wait: how a later request overtakes.
            "/wait" if call.documents.text("text", 0) == Some("now") => Ok(call.documents),
            "/wait" => {
                self.released.acquire().await.unwrap().forget();
                Ok(call.documents)
            }
            _ => self.stream(call).await,
        }
    }

    /// Endpoints that stream. Where nobody listens, what they emit is their answer, as it is of guests.
    async fn stream(&self, call: ExecutorCall) -> Result<DocumentList, Problem> {
        let kept = Mutex::new(Vec::new());
        let emit = async |text: &str| {
            let taken = match &call.emit {
                Some(emit) => emit.send(self::documents(&[text])).await.is_ok(),
                None => {
                    kept.lock().unwrap().push(text.to_owned());
                    true
                }
            };
            self.emitted.fetch_add(usize::from(taken), Ordering::Relaxed);
            taken
        };
        let failed = |code| Err(Problem::new(code, "as the script says"));
        let text = call.documents.text("text", 0).unwrap_or_default();
        match call.endpoint.as_str() {
            "/twice" => {
                for turn in 0..2 {
                    emit(&format!("{text} {turn}")).await;
                }
            }
            "/steps" => {
                emit("before").await;
                self.released.acquire().await.unwrap().forget();
                emit("after").await;
            }
            "/endless" => while emit(text).await {},
            "/half" => {
                emit("half").await;
                return failed(ErrorCode::GuestError);
            }
            "/lost" => {
                emit("half").await;
                return failed(ErrorCode::Unavailable);
            }
            other => panic!("no script for {other}"),
        }
        let kept = kept.into_inner().unwrap();
        Ok(self::documents(&kept.iter().map(String::as_str).collect::<Vec<_>>()))
    }
}

impl ExecutorClient for Script {
    fn manifest(&self) -> Arc<Manifest> {
        self.manifest.clone()
    }

    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
        self.manifest.resolve(wanted).map(|endpoint| endpoint.name.clone())
    }

    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        let given = (call.endpoint.as_str() == "/results")
            .then(|| Box::new(Results::parse(r#"{"count": 1, "words": ["a", null]}"#, 1 << 20).unwrap()));
        Box::pin(async move {
            let documents = self.run(call).await?;
            Ok(ExecutorReply { documents, results: given.into(), fuel: 1 })
        })
    }
}

impl Host {
    async fn start() -> Self {
        Self::with(GatewayOptions::default()).await
    }

    async fn with(options: GatewayOptions) -> Self {
        Self::behind(options, |routes, script| {
            routes.publish(flow("test", script));
            Arc::new(OpenDoor::new(routes))
        })
        .await
    }

    async fn behind(
        options: GatewayOptions,
        door: impl FnOnce(Routes, Arc<Script>) -> Arc<dyn Door>,
    ) -> Self {
        let script = Arc::new(Script::new());
        let routes = Routes::default();
        let door = door(routes.clone(), script.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut separate = Vec::new();
        let mut ports = vec![Port::from(listener)];
        for protocol in Protocol::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            separate.push((protocol, listener.local_addr().unwrap()));
            ports.push(Port { listener: listener.into(), protocol: Some(protocol) });
        }
        let shutdown = CancellationToken::new();
        let gateway = Gateway::new(options, door);
        let mut running = JoinSet::new();
        let end = shutdown.clone();
        running.spawn(async move { gateway.serve(ports, end).await });
        Self { address, separate, script, routes, shutdown, running }
    }

    /// Waits until the executor works on exactly so many calls.
    async fn active(&self, count: usize) {
        let mut active = self.script.active.subscribe();
        within(active.wait_for(|active| *active == count)).await.unwrap();
    }

    fn calls(&self) -> usize {
        self.script.calls.load(Ordering::Relaxed)
    }

    fn release(&self, count: usize) {
        self.script.released.add_permits(count);
    }

    async fn drained(mut self) -> Drained {
        within(self.running.join_next()).await.unwrap().unwrap()
    }
}

fn flow(name: &str, client: Arc<dyn ExecutorClient>) -> ServedFlow {
    flow_with(name, client, |_| {})
}

fn flow_with(name: &str, client: Arc<dyn ExecutorClient>, change: impl FnOnce(&mut FlowSpec)) -> ServedFlow {
    let stage = StageSpec::new("script".parse().unwrap(), "");
    let mut spec = FlowSpec {
        name: name.parse().unwrap(),
        stages: vec![stage],
        gateway: GatewaySpec { title: Some("A test".to_owned()), ..GatewaySpec::default() },
        fuel: FlowSpec::DEFAULT_FUEL,
        timeout_ms: FlowSpec::DEFAULT_TIMEOUT_MS,
    };
    change(&mut spec);
    let plan = ExecutionPlan::new(&spec, [("script".parse().unwrap(), client)]).unwrap();
    ServedFlow::new(&spec, Arc::new(plan))
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("the condition never came")
}

fn documents(texts: &[&str]) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for text in texts {
        let row = builder.push_root().unwrap();
        builder.set_text("text", row, text).unwrap();
    }
    builder.finish().unwrap()
}

fn texts(documents: &DocumentList) -> Vec<&str> {
    (0..documents.len()).map(|row| documents.text("text", row).unwrap_or_default()).collect()
}

fn map(documents: &DocumentList, change: impl Fn(&str) -> String) -> DocumentList {
    let changed: Vec<String> = texts(documents).into_iter().map(change).collect();
    self::documents(&changed.iter().map(String::as_str).collect::<Vec<_>>())
}

fn request(id: &str, endpoint: &str, texts: &[&str]) -> Request {
    Request {
        id: Some(id.to_owned()),
        endpoint: Some(endpoint.to_owned()),
        target_executor: None,
        parameters: Parameters::default(),
        documents: documents(texts),
        dialect: Dialect::DocArrayV2,
    }
}
