//! What the control API needs of the part of the host that serves: the consumer's trait.

use futures_util::future::BoxFuture;
use lockgate_domain::hosting::{ExampleOutcome, ExecutorReference, RevisionSpec, ShadowReport};
use lockgate_domain::{ExecutorName, FlowName, Problem, TenantName};
use serde::Serialize;
use utoipa::ToSchema;

/// Something that changed in the registry and that traffic must see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The tenant's settings; or the tenant came or went.
    Tenant,
    /// Revisions, tags or the deployment of an executor; or it came or went. Secrets that it uses as well.
    Executor(ExecutorName),
    /// A flow, or it came or went.
    Flow(FlowName),
    /// Keys: which callers are let in.
    Keys,
}

/// Instances of one revision that serve now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RevisionStatus {
    /// The revision's number.
    pub revision: u32,
    /// Whether its code is in memory.
    pub resident: bool,
    /// Instances that exist or are being built.
    pub instances: u32,
    /// Instances without a call.
    pub idle: u32,
    /// Calls that wait for an instance.
    pub waiting: u32,
    /// Calls that reached a guest since the process started.
    pub calls: u64,
    /// Calls after which the instance was thrown away.
    pub traps: u64,
}

/// A request that was kept for replay.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CapsuleEntry {
    /// Its id; also the request's.
    pub id: String,
    /// The executor.
    pub executor: ExecutorName,
    /// The endpoint that was called.
    pub endpoint: String,
    /// When it was kept.
    pub at: lockgate_domain::Timestamp,
    /// The code of the error; none if the call went well.
    pub error: Option<String>,
    /// Bytes of the file.
    pub size: u64,
}

/// The serving side of a host.
pub trait Serving: Send + Sync {
    /// Builds an instance of a revision that is not there yet, runs `init` and all golden examples, and throws the
    /// instance away. An example that fails is an outcome, an instance that does not come up is an error.
    fn try_out<'a>(
        &'a self,
        tenant: &'a TenantName,
        executor: &'a ExecutorName,
        spec: &'a RevisionSpec,
    ) -> BoxFuture<'a, Result<Vec<ExampleOutcome>, Problem>>;

    /// Reads a flow's YAML and plans it: every fault at once, nothing is changed. It says which executors the flow names;
    /// whether the tenant has them is the registry's to know. Quick and without waiting: the text is bounded by the caller.
    fn check_flow(
        &self,
        tenant: &TenantName,
        flow: &FlowName,
        yaml: &str,
    ) -> Result<Vec<ExecutorReference>, Problem>;

    /// Makes traffic follow the registry. When it returns, the next request sees the change; requests in progress finish
    /// as they began. A failure leaves traffic as it was.
    fn apply<'a>(&'a self, tenant: &'a TenantName, change: Change) -> BoxFuture<'a, Result<(), Problem>>;

    /// Whether the serving side takes traffic, and if not, why: `/readyz` of the control API says it.
    fn readiness(&self) -> Result<(), Problem> {
        Ok(())
    }

    /// What a shadow's comparison has given so far; none if the executor has no shadow.
    fn shadow_report(&self, tenant: &TenantName, executor: &ExecutorName) -> Option<ShadowReport>;

    /// The instances of an executor, by revision.
    fn status(&self, tenant: &TenantName, executor: &ExecutorName) -> Vec<RevisionStatus>;

    /// Writes what was metered so far into the registry, so that reading it back is exact.
    fn settle_usage(&self) -> Result<(), Problem>;

    /// Requests kept for replay, newest first.
    fn capsules(&self, tenant: &TenantName) -> Result<Vec<CapsuleEntry>, Problem>;

    /// The file of one of them; none if there is no such capsule.
    fn capsule(&self, tenant: &TenantName, id: &str) -> Result<Option<Vec<u8>>, Problem>;
}
