//! A host in the test's own process: a data directory that goes with the test, a gateway on a socket, tenants with keys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use lockgate_control::{Change, Serving};
use lockgate_domain::hosting::{DeploymentSpec, RevisionNumber, RevisionSpec};
use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{Capabilities, ComponentDigest, ExecutorName, Limits, Problem, Scope, TenantName};
use lockgate_gateway::{Gateway, GatewayOptions};
use lockgate_registry::access::{HostAccess, TenantAccess};
use lockgate_registry::{Examined, Precondition, Registry, RevisionOptions, UploadTerms};
use lockgate_testkit::guest::{self, Manner};
use lockgate_testkit::http::{Answer, HttpClient};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::hosting::door::HostDoor;
use crate::hosting::options::HostOptions;
use crate::hosting::parts;
use crate::hosting::platform::Platform;
use crate::hosting::shadow::Referee;
use crate::hosting::validator::RuntimeValidator;

/// A host at work. What it runs ends with it.
pub(super) struct Stand {
    pub(super) registry: Registry,
    pub(super) platform: Arc<Platform>,
    pub(super) client: HttpClient,
    address: SocketAddr,
    keys: BTreeMap<TenantName, String>,
    _tasks: JoinSet<()>,
    folder: tempfile::TempDir,
}

impl Stand {
    /// A host with tenants, each with a key that may call.
    pub(super) async fn start(tenants: &[&str], change: impl FnOnce(&mut HostOptions)) -> Self {
        Self::open(tempfile::tempdir().unwrap(), tenants, change).await
    }

    /// Ends the host and starts another one on the same data.
    pub(super) async fn restart(self) -> Self {
        let Self { registry, platform, folder, mut _tasks, keys, .. } = self;
        platform.settle().unwrap();
        _tasks.shutdown().await;
        drop((registry, platform));
        let mut stand = Self::open(folder, &[], |_| {}).await;
        stand.keys = keys;
        stand
    }

    async fn open(
        folder: tempfile::TempDir,
        tenants: &[&str],
        change: impl FnOnce(&mut HostOptions),
    ) -> Self {
        let mut options = HostOptions::new(folder.path());
        change(&mut options);
        let parts = parts::open(&options, CancellationToken::new()).unwrap();
        let door = HostDoor {
            platform: parts.platform.clone(),
            authenticator: parts.authenticator.clone(),
            dev: options.dev,
        };
        let gateway = Gateway::new(GatewayOptions::default(), Arc::new(door));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            gateway.serve(vec![listener.into()], CancellationToken::new()).await;
        });
        let referee: Arc<dyn Referee> = parts.platform.clone();
        let referee: Weak<dyn Referee> = Arc::downgrade(&referee);
        tasks.spawn(parts.shadows.run(referee, CancellationToken::new()));
        let mut stand = Self {
            registry: parts.registry,
            platform: parts.platform,
            client: HttpClient::http1(),
            address,
            keys: BTreeMap::new(),
            _tasks: tasks,
            folder,
        };
        for tenant in tenants {
            stand.add_tenant(tenant, TenantSettings::default()).await;
        }
        stand
    }

    pub(super) async fn add_tenant(&mut self, tenant: &str, settings: TenantSettings) {
        let name: TenantName = tenant.parse().unwrap();
        self.registry.create_tenant(&HostAccess::of_host("test"), name.clone(), settings).unwrap();
        self.apply(tenant, Change::Tenant).await.unwrap();
        let scopes = BTreeSet::from([Scope::Call]);
        let key = self.registry.create_key(&access(tenant), "test".into(), scopes, None).unwrap();
        self.keys.insert(name, key.text.to_string());
    }

    pub(super) async fn apply(&self, tenant: &str, change: Change) -> Result<(), Problem> {
        self.platform.apply(&tenant.parse().unwrap(), change).await
    }

    /// Uploads a component.
    pub(super) async fn upload(&self, tenant: &str, bytes: Vec<u8>) -> ComponentDigest {
        let (registry, access) = (self.registry.clone(), access(tenant));
        let validator = RuntimeValidator(self.platform.ground.runtime.clone());
        let work = move || {
            let mut upload = registry.begin_upload(&access)?;
            upload.write(&bytes)?;
            upload.finish(&UploadTerms::default(), &validator)
        };
        tokio::task::spawn_blocking(work).await.unwrap().unwrap().0.digest
    }

    /// Makes a revision of a guest, moves `latest` to it, and has traffic follow. The first one is deployed.
    pub(super) async fn publish(
        &self,
        tenant: &str,
        executor: &str,
        number: i64,
        manner: Manner,
    ) -> RevisionNumber {
        let component = self.upload(tenant, guest::component(number, manner)).await;
        let made = self.revise(tenant, executor, spec(component), Some("latest")).await;
        self.apply(tenant, Change::Executor(executor.parse().unwrap())).await.unwrap();
        made
    }

    /// Makes a revision; traffic does not follow yet.
    pub(super) async fn revise(
        &self,
        tenant: &str,
        executor: &str,
        spec: RevisionSpec,
        tag: Option<&str>,
    ) -> RevisionNumber {
        let options = RevisionOptions {
            tag: tag.map(|tag| tag.parse().unwrap()),
            deploy: tag.is_some(),
            ..RevisionOptions::default()
        };
        let executor: ExecutorName = executor.parse().unwrap();
        let made =
            self.registry.create_revision(&access(tenant), &executor, spec, Examined::default(), &options);
        made.unwrap().revision.number
    }

    /// Deploys as the JSON says.
    pub(super) async fn deploy(&self, tenant: &str, executor: &str, spec: Value) {
        let spec: DeploymentSpec = serde_json::from_value(spec).unwrap();
        let name: ExecutorName = executor.parse().unwrap();
        self.registry.put_deployment(&access(tenant), &name, spec, Precondition::Any).unwrap();
        self.apply(tenant, Change::Executor(name)).await.unwrap();
    }

    /// Calls a path of the data plane with the tenant's key.
    pub(super) async fn call(&self, tenant: &str, path: &str) -> Answer {
        self.call_with(tenant, path, &[]).await
    }

    /// The same with further headers.
    pub(super) async fn call_with(&self, tenant: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let key = self.key(tenant);
        let mut all = vec![("content-type", "application/json"), ("x-api-key", key.as_str())];
        all.extend_from_slice(headers);
        self.send(path, &all).await
    }

    /// Calls with whatever headers.
    pub(super) async fn send(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let body = json!({ "data": [{ "text": "hi" }], "parameters": {} }).to_string();
        let url = format!("http://{}{path}", self.address);
        self.client.send(http::Method::POST, &url, headers, body.into()).await
    }

    fn key(&self, tenant: &str) -> String {
        self.keys.get(&tenant.parse().unwrap()).cloned().unwrap_or_default()
    }
}

/// The host's own access to a tenant.
pub(super) fn access(tenant: &str) -> TenantAccess {
    TenantAccess::of_host(tenant.parse().unwrap(), "test")
}

/// A plain revision of a component.
pub(super) fn spec(component: ComponentDigest) -> RevisionSpec {
    RevisionSpec {
        component,
        configuration: serde_json::Map::new(),
        limits: Limits { wall_time_ms: Duration::from_secs(30).as_millis() as u64, ..Limits::default() },
        capabilities: Capabilities::default(),
        examples: Vec::new(),
        note: String::new(),
    }
}

/// The number that a guest wrote into the first document.
pub(super) fn number(answer: &Answer) -> Option<i64> {
    answer.json().pointer("/data/0/answer").and_then(Value::as_i64)
}

/// Status and code of a refusal.
pub(super) fn refusal(answer: &Answer) -> (u16, String) {
    let problem = answer.problem().unwrap_or_else(|| panic!("no refusal: {}", answer.text()));
    (answer.status.as_u16(), problem["code"].as_str().unwrap_or_default().to_owned())
}
