//! What a user wrote: flows, their stages, pools and gateway, already parsed and checked word by word.
//!
//! Whether the graph makes sense is the planner's question (`flow`), whether a component exists the host's (`node`).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::capability::Capabilities;
use crate::condition::Condition;
use crate::ids::{EndpointName, ExecutorName, FlowName};
use crate::limits::Limits;

/// A flow: stages and the gateway in front of them.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowSpec {
    /// Its name; `flow` if the file gives none.
    pub name: FlowName,
    /// In the order of the file.
    pub stages: Vec<StageSpec>,
    /// What callers meet.
    pub gateway: GatewaySpec,
    /// Fuel that one request may burn in all stages together.
    pub fuel: u64,
    /// Wall time of one request in milliseconds, unless the caller asks for less.
    pub timeout_ms: u64,
}

impl FlowSpec {
    /// Fuel of one request if the flow names none: enough for about a minute of plain computing.
    pub const DEFAULT_FUEL: u64 = 100_000_000_000;
    /// Wall time of one request in milliseconds if the flow names none.
    pub const DEFAULT_TIMEOUT_MS: u64 = 60_000;
}

/// One use of an executor in a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSpec {
    /// Unique in the flow.
    pub name: ExecutorName,
    /// Path of a `.wasm` file or of a source folder, as written; [`StageSpec::PASSING`] for a stage without a component.
    pub uses: String,
    /// Stages whose output this one takes, in order; empty means the gateway's request.
    pub needs: Vec<ExecutorName>,
    /// `uses_with`: what the guest reads as its configuration.
    pub config: Map<String, Value>,
    /// Ceilings of one call and one instance.
    pub limits: Limits,
    /// What it may reach besides its documents.
    pub capabilities: Capabilities,
    /// How many instances, and how long they live.
    pub pool: PoolSpec,
    /// `timeout_send`: milliseconds one call may take, waiting for an instance included.
    pub timeout_ms: Option<u64>,
    /// Further tries after a failure that is safe to retry.
    pub retries: u32,
    /// Whether several `needs` are merged by document id (Jina's reduce) or concatenated.
    pub reduce: bool,
    /// Which endpoints gather requests into common calls, and how.
    pub batching: BTreeMap<EndpointName, BatchingSpec>,
    /// `when`: which documents it gets; none for all.
    pub condition: Option<Condition>,
    /// Whether nobody waits for it and what it gives goes nowhere.
    pub floating: bool,
    /// How it is divided.
    pub shards: ShardSpec,
    /// `uses_requests`: which endpoint of the component answers to an endpoint that callers name.
    pub requests: BTreeMap<EndpointName, EndpointName>,
    /// `uses_metas`: what it is called and what it is good for, in the place of what its component says.
    pub metas: StageMetas,
    /// Where it runs, if not here; then it has no component, and neither pool nor capabilities.
    pub external: Option<ExternalSpec>,
}

/// An executor that runs elsewhere and is called by gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSpec {
    /// Where it is; at least one. Several are replicas of each other.
    pub addresses: Vec<ExternalAddress>,
    /// `grpc_metadata`: what goes with every call.
    pub metadata: Vec<(String, String)>,
    /// Milliseconds that it may take to be there when the flow starts.
    pub ready_timeout_ms: u64,
}

impl fmt::Display for ExternalSpec {
    /// The addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl ExternalSpec {
    /// What Jina waits for a flow's start: ten minutes.
    pub const DEFAULT_READY_TIMEOUT_MS: u64 = 600_000;
}

/// Where an external executor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAddress {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
}

impl fmt::Display for ExternalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grpc{}://{}:{}", if self.tls { "s" } else { "" }, self.host, self.port)
    }
}

/// How an executor is divided into shards: the same component in pools of their own, each with a store of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSpec {
    /// At least 1; one is not divided.
    pub count: u32,
    /// Which shards a request goes to.
    pub polling: PollingSpec,
    /// Component that has the documents before the shards do; only where there are several.
    pub before: Option<String>,
    /// Component that gets what all shards gave, instead of their being united; only where there are several.
    pub after: Option<String>,
}

impl Default for ShardSpec {
    fn default() -> Self {
        Self { count: 1, polling: PollingSpec::default(), before: None, after: None }
    }
}

/// Which shards a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polling {
    /// One of them, each in turn.
    Any,
    /// All of them.
    All,
}

/// Polling by endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollingSpec {
    /// Of endpoints that are not named.
    pub usual: Polling,
    /// Of those that are.
    pub endpoints: BTreeMap<EndpointName, Polling>,
}

impl PollingSpec {
    /// What a request for this endpoint does. Unless it was said otherwise, `/search` asks all shards and `/index` one,
    /// as in Jina.
    pub fn of(&self, endpoint: &EndpointName) -> Polling {
        match (self.endpoints.get(endpoint), endpoint.as_str()) {
            (Some(chosen), _) => *chosen,
            (None, "/search") => Polling::All,
            (None, "/index") => Polling::Any,
            (None, _) => self.usual,
        }
    }
}

impl Default for PollingSpec {
    fn default() -> Self {
        Self { usual: Polling::Any, endpoints: BTreeMap::new() }
    }
}

/// What a component is to its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ComponentRole {
    /// `uses`
    Main,
    /// `uses_before`
    Before,
    /// `uses_after`
    After,
}

impl ComponentRole {
    /// The key that names it.
    pub fn key(self) -> &'static str {
        match self {
            ComponentRole::Main => "uses",
            ComponentRole::Before => "uses_before",
            ComponentRole::After => "uses_after",
        }
    }
}

/// What a user says about an executor in the place of its author.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StageMetas {
    /// Its name in descriptions; routes and parameters go by the stage's name.
    pub name: Option<String>,
    /// One paragraph.
    pub description: Option<String>,
}

impl StageSpec {
    /// The `uses` of a stage that gives back what it gets: Jina's name for it. It joins its `needs` and has no component.
    pub const PASSING: &'static str = "BaseExecutor";

    /// Whether the stage has no component and gives back what it gets.
    pub fn is_passing(&self) -> bool {
        self.uses == Self::PASSING && self.external.is_none()
    }

    /// Whether the stage has a component that runs in this process.
    pub fn has_component(&self) -> bool {
        !self.is_passing() && self.external.is_none()
    }

    /// The components that it needs, each with what names it; none if it gives back what it gets.
    pub fn components(&self) -> Vec<(ComponentRole, &str)> {
        if self.is_passing() || self.external.is_some() {
            return Vec::new();
        }
        let parts = [
            Some((ComponentRole::Main, self.uses.as_str())),
            self.shards.before.as_deref().map(|uses| (ComponentRole::Before, uses)),
            self.shards.after.as_deref().map(|uses| (ComponentRole::After, uses)),
        ];
        parts.into_iter().flatten().collect()
    }

    /// A stage that says nothing but what it must: it takes the gateway's request, once, under the usual limits.
    pub fn new(name: ExecutorName, uses: impl Into<String>) -> Self {
        Self {
            name,
            uses: uses.into(),
            needs: Vec::new(),
            config: Map::new(),
            limits: Limits::default(),
            capabilities: Capabilities::default(),
            pool: PoolSpec::default(),
            timeout_ms: None,
            retries: 0,
            reduce: true,
            condition: None,
            floating: false,
            shards: ShardSpec::default(),
            requests: BTreeMap::new(),
            metas: StageMetas::default(),
            batching: BTreeMap::new(),
            external: None,
        }
    }
}

/// How requests to one endpoint of a stage are gathered into common calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchingSpec {
    /// Documents that are enough to call the executor.
    pub preferred_documents: u32,
    /// Bytes that are enough; none if bytes do not matter.
    pub preferred_bytes: Option<u64>,
    /// Milliseconds that a request waits for others.
    pub timeout_ms: u64,
    /// Whether all that waited becomes one call, or calls of at most `preferred_documents`.
    pub flush_all: bool,
    /// Requests that may wait at once; one more is refused.
    pub max_waiting: u32,
    /// Whether the requests of a batch that failed run again, each on its own.
    pub isolate_failures: bool,
}

impl Default for BatchingSpec {
    /// Sizes and times are Jina's.
    fn default() -> Self {
        Self {
            preferred_documents: 4,
            preferred_bytes: None,
            timeout_ms: 10_000,
            flush_all: false,
            max_waiting: 1024,
            isolate_failures: false,
        }
    }
}

/// What callers meet.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewaySpec {
    /// Address to listen on; loopback if none.
    pub host: Option<String>,
    /// The port that serves every protocol; 0 lets the system choose.
    pub port: Option<u16>,
    /// Instead of it a port for each protocol.
    pub ports: Vec<PortSpec>,
    /// Whether pages of any origin may call over HTTP.
    pub cors: bool,
    /// What to show to callers; none speaks no TLS.
    pub tls: Option<TlsSpec>,
    /// Paths of HTTP that lead to endpoints, beside those that executors name.
    pub exposed: Vec<ExposedPath>,
    /// Whether Jina's CRUD paths are there without an executor that names them.
    pub crud: bool,
    /// Whether `/post`, `/status` and `/dry_run` are there.
    pub debug: bool,
    /// Title of the API description.
    pub title: Option<String>,
    /// Description of the API.
    pub description: Option<String>,
    /// Largest request message in bytes.
    pub max_message_bytes: u64,
    /// Requests of one stream or connection that are worked on at once.
    pub prefetch: u32,
    /// Requests that are worked on at once on all connections together; more are refused.
    pub max_concurrent_requests: u32,
}

impl Default for GatewaySpec {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            ports: Vec::new(),
            cors: false,
            tls: None,
            exposed: Vec::new(),
            crud: true,
            debug: true,
            title: None,
            description: None,
            max_message_bytes: 128 << 20,
            prefetch: 1000,
            max_concurrent_requests: 4096,
        }
    }
}

/// A path of HTTP that leads to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedPath {
    /// Such as `/v1/search`.
    pub path: String,
    /// Where it leads to.
    pub endpoint: EndpointName,
    /// Methods that are taken there, in capitals.
    pub methods: Vec<String>,
    /// A few words for the API's description.
    pub summary: Option<String>,
}

impl ExposedPath {
    /// Methods that a path may take. GET is not among them: it is for endpoints that stream.
    pub const METHODS: [&str; 4] = ["POST", "PUT", "DELETE", "PATCH"];
    /// Most paths of one flow.
    pub const MOST: usize = 256;

    /// Whether requests can go to this path of HTTP at all: it is plain, and not one of the gateway's own.
    pub fn is_free(path: &str) -> bool {
        const RESERVED: [&str; 12] = [
            "/",
            "/post",
            "/default",
            "/docs",
            "/dry_run",
            "/healthz",
            "/metrics",
            "/openapi.json",
            "/readyz",
            "/redoc",
            "/status",
            "/ws",
        ];
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
        path.starts_with('/')
            && !RESERVED.contains(&path)
            && !["/docs/", "/flows/", "/executors/"].iter().any(|prefix| path.starts_with(prefix))
            && path.bytes().all(is_plain)
    }
}

/// A port of one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortSpec {
    /// 0 lets the system choose.
    pub port: u16,
    /// What is served on it.
    pub protocol: Protocol,
}

/// A protocol of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC with Jina's services
    Grpc,
    /// HTTP with JSON
    Http,
    /// WebSocket
    WebSocket,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Grpc, Self::Http, Self::WebSocket];

    /// The protocol as flow files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::WebSocket => "websocket",
        }
    }
}

/// The files that TLS needs, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSpec {
    /// The certificate and those that signed it, in PEM.
    pub certificate: String,
    /// Its private key, in PEM.
    pub private_key: String,
}

/// Whether an instance serves one call or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum InstanceMode {
    /// A new instance for each call: nothing of one call is there in the next.
    Fresh,
    /// Warm instances go on to the next call.
    Reused,
}

/// The part of a pool that a user wrote; what is left out follows from the executor's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolSpec {
    /// Instances kept even when idle.
    pub min: Option<u32>,
    /// Most instances at once (`replicas`).
    pub max: Option<u32>,
    /// Fresh or reused.
    pub mode: Option<InstanceMode>,
    /// Requests that may wait for an instance.
    pub queue: Option<u32>,
    /// Milliseconds that requests wait for a busy instance, one alone or within a second all together, before another is
    /// built.
    pub grow_after_ms: Option<u64>,
    /// Milliseconds after which an idle instance above `min` is retired.
    pub idle_ms: Option<u64>,
    /// Calls after which an instance is retired.
    pub max_calls: Option<u64>,
    /// Linear memory in bytes above which an instance is retired after its call.
    pub recycle_memory_bytes: Option<u64>,
}

/// A pool with every question answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// Instances kept even when idle.
    pub min: u32,
    /// Most instances at once; at least 1 and at least `min`.
    pub max: u32,
    /// Fresh or reused.
    pub mode: InstanceMode,
    /// Requests that may wait for an instance; one more is refused.
    pub queue: u32,
    /// Milliseconds that requests wait for a busy instance, one alone or within a second all together, before another is
    /// built.
    pub grow_after_ms: u64,
    /// Milliseconds after which an idle instance above `min` is retired.
    pub idle_ms: u64,
    /// Calls after which an instance is retired; none for never.
    pub max_calls: Option<u64>,
    /// Linear memory in bytes above which an instance is retired after its call; none for never.
    pub recycle_memory_bytes: Option<u64>,
}

impl PoolSpec {
    /// Fills in what the user left out. A stateful executor gets one instance that lives as long as the flow; any
    /// other gets up to `2 * cores` reused ones.
    pub fn resolve(&self, stateful: bool, cores: u32) -> PoolOptions {
        let usual = if stateful { 1 } else { cores.saturating_mul(2).max(2) };
        let max = self.max.unwrap_or(usual).max(1);
        let min = self.min.unwrap_or(1).min(max);
        PoolOptions {
            min,
            max,
            mode: self.mode.unwrap_or(InstanceMode::Reused),
            queue: self.queue.unwrap_or(1024),
            grow_after_ms: self.grow_after_ms.unwrap_or(2),
            idle_ms: if stateful { u64::MAX } else { self.idle_ms.unwrap_or(60_000) },
            max_calls: self.max_calls,
            recycle_memory_bytes: self.recycle_memory_bytes,
        }
    }
}
