//! A serving side and a judge of components that do as they are told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use lockgate_domain::capability::CapabilityKind;
use lockgate_domain::hosting::{
    ComponentReport, ExampleOutcome, ExecutorReference, ImportReport, RevisionSpec, ShadowReport,
};
use lockgate_domain::{
    ComponentDigest, EndpointName, ErrorCode, ExecutorName, FlowName, Problem, TenantName, Timestamp,
};
use lockgate_registry::ComponentValidator;
use parking_lot::{Condvar, Mutex};

use crate::serving::{CapsuleEntry, Change, RevisionStatus, Serving};

/// Writes down what it is told and fails when it is told to.
pub(super) struct Script {
    pub(super) applied: Mutex<Vec<(TenantName, Change)>>,
    /// Failures of the next calls of `apply`.
    pub(super) refuse: Mutex<VecDeque<Problem>>,
    pub(super) unready: Mutex<Option<Problem>>,
    pub(super) capsules: Mutex<Vec<(TenantName, CapsuleEntry)>>,
    pub(super) settled: AtomicUsize,
}

impl Script {
    pub(super) fn new() -> Self {
        Self {
            applied: Mutex::default(),
            refuse: Mutex::default(),
            unready: Mutex::default(),
            capsules: Mutex::default(),
            settled: AtomicUsize::new(0),
        }
    }

    pub(super) fn refuse_next(&self, message: &str) {
        self.refuse.lock().push_back(Problem::new(ErrorCode::Overloaded, message));
    }

    pub(super) fn keep_capsule(&self, tenant: &str, id: &str) {
        let entry = CapsuleEntry {
            id: id.into(),
            executor: "shout".parse().unwrap(),
            endpoint: "/index".into(),
            at: Timestamp::from_millis(1),
            error: None,
            size: 3,
        };
        self.capsules.lock().push((tenant.parse().unwrap(), entry));
    }

    /// The changes since the last question, in words.
    pub(super) fn applied(&self) -> Vec<String> {
        let changes = std::mem::take(&mut *self.applied.lock());
        changes.into_iter().map(|(tenant, change)| format!("{tenant}: {change:?}")).collect()
    }
}

impl Serving for Script {
    /// A configuration `{"example": "differs"}` fails its example, `{"start": "fails"}` does not come up.
    fn try_out<'a>(
        &'a self,
        _tenant: &'a TenantName,
        _executor: &'a ExecutorName,
        spec: &'a RevisionSpec,
    ) -> BoxFuture<'a, Result<Vec<ExampleOutcome>, Problem>> {
        Box::pin(async move {
            if spec.configuration.contains_key("start") {
                return Err(Problem::new(ErrorCode::GuestTrap, "init trapped"));
            }
            let differs = spec.configuration.contains_key("example");
            let difference = differs.then(|| "data[0].text: \"a\", expected \"b\"".to_owned());
            Ok(vec![ExampleOutcome { endpoint: EndpointName::parse("/index").unwrap(), fuel: 7, difference }])
        })
    }

    /// One name of an executor a line; a line with a blank is no flow.
    fn check_flow(
        &self,
        _tenant: &TenantName,
        flow: &FlowName,
        yaml: &str,
    ) -> Result<Vec<ExecutorReference>, Problem> {
        let bad =
            |line| Problem::new(ErrorCode::InvalidFlow, format!("flow {flow}: {line:?} is no executor"));
        yaml.lines().map(|line| line.parse().map_err(|_| bad(line))).collect()
    }

    fn apply<'a>(&'a self, tenant: &'a TenantName, change: Change) -> BoxFuture<'a, Result<(), Problem>> {
        self.applied.lock().push((tenant.clone(), change));
        let refused = self.refuse.lock().pop_front();
        Box::pin(async move { refused.map_or(Ok(()), Err) })
    }

    fn readiness(&self) -> Result<(), Problem> {
        self.unready.lock().clone().map_or(Ok(()), Err)
    }

    fn shadow_report(&self, _tenant: &TenantName, _executor: &ExecutorName) -> Option<ShadowReport> {
        None
    }

    fn status(&self, _tenant: &TenantName, _executor: &ExecutorName) -> Vec<RevisionStatus> {
        let (revision, instances, calls) = (1, 2, 3);
        vec![RevisionStatus { revision, resident: true, instances, idle: 0, waiting: 0, calls, traps: 0 }]
    }

    fn settle_usage(&self) -> Result<(), Problem> {
        self.settled.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn capsules(&self, tenant: &TenantName) -> Result<Vec<CapsuleEntry>, Problem> {
        let own = |(of, entry): &(TenantName, CapsuleEntry)| (of == tenant).then(|| entry.clone());
        Ok(self.capsules.lock().iter().filter_map(own).collect())
    }

    fn capsule(&self, tenant: &TenantName, id: &str) -> Result<Option<Vec<u8>>, Problem> {
        let is_there = self.capsules(tenant)?.iter().any(|entry| entry.id == id);
        Ok(is_there.then(|| b"cap".to_vec()))
    }
}

/// `bad…` is refused, `http…` needs outbound HTTP, `slow…` waits until it is let go.
#[derive(Default)]
pub(super) struct Judge {
    pub(super) examined: AtomicUsize,
    held: Mutex<bool>,
    let_go: Condvar,
}

impl Judge {
    /// Whether what is slow has to wait.
    pub(super) fn hold(&self, held: bool) {
        *self.held.lock() = held;
        self.let_go.notify_all();
    }
}

impl ComponentValidator for Judge {
    fn examine(&self, digest: ComponentDigest, bytes: &[u8]) -> Result<ComponentReport, Problem> {
        self.examined.fetch_add(1, Ordering::SeqCst);
        let text = String::from_utf8_lossy(bytes);
        if text.starts_with("bad") {
            return Err(Problem::new(ErrorCode::InvalidComponent, "it is bad").with_digest(digest));
        }
        if text.starts_with("slow") {
            self.let_go.wait_while(&mut self.held.lock(), |held| *held);
        }
        let import = ImportReport {
            interface: "wasi:http/outgoing-handler@0.2.0".into(),
            owner: "wasi".into(),
            needs: Some(CapabilityKind::Http),
        };
        let imports = if text.starts_with("http") { vec![import] } else { vec![] };
        Ok(ComponentReport { imports, engine: self.engine().into(), ..ComponentReport::default() })
    }

    fn engine(&self) -> &str {
        "engine 1"
    }
}
