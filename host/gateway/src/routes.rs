//! Where requests go: a snapshot of the flows that are served, replaced as a whole.
//!
//! Readers take no lock and a request keeps what it resolved, so a swap under load loses nothing. A plan that is no
//! longer routed to lives as long as its last request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use lockgate_domain::{ErrorCode, ExecutorName, FlowName, FlowSpec, Manifest, Problem};
use lockgate_flow::plan::ExecutionPlan;

use crate::http::openapi::{self, About};

/// A flow as the gateway serves it.
pub struct ServedFlow {
    pub(crate) name: FlowName,
    pub(crate) plan: Arc<ExecutionPlan>,
    /// Fuel of one request.
    pub(crate) fuel: u64,
    title: String,
    description: String,
    openapi: OnceLock<Bytes>,
}

impl ServedFlow {
    /// Takes from the specification what callers meet, and the plan that runs.
    pub fn new(spec: &FlowSpec, plan: Arc<ExecutionPlan>) -> Self {
        Self {
            name: spec.name.clone(),
            plan,
            fuel: spec.fuel,
            title: spec.gateway.title.clone().unwrap_or_else(|| spec.name.to_string()),
            description: spec.gateway.description.clone().unwrap_or_default(),
            openapi: OnceLock::new(),
        }
    }

    /// The executors in the order of the plan, with what they say about themselves.
    pub(crate) fn executors(&self) -> impl Iterator<Item = (&ExecutorName, &Manifest)> {
        self.plan.stages().iter().map(|stage| (&stage.name, stage.client.manifest()))
    }

    /// Whether any executor names this endpoint.
    pub(crate) fn has_endpoint(&self, name: &str) -> bool {
        self.executors()
            .flat_map(|(_, manifest)| &manifest.endpoints)
            .any(|endpoint| endpoint.name.as_str() == name)
    }

    /// The description of the API, written once.
    pub(crate) fn openapi(&self) -> Bytes {
        let write = || {
            let about = About { title: &self.title, description: &self.description };
            Bytes::from(openapi::describe(about, self.executors()).to_string())
        };
        self.openapi.get_or_init(write).clone()
    }
}

impl fmt::Debug for ServedFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedFlow").field("name", &self.name).finish_non_exhaustive()
    }
}

type Table = BTreeMap<FlowName, Arc<ServedFlow>>;

/// The table of served flows. Cheap to clone; all clones are the same table.
#[derive(Debug, Clone, Default)]
pub struct Routes(Arc<ArcSwap<Table>>);

impl Routes {
    /// Serves this flow from the next request on, in the place of one of the same name.
    pub fn publish(&self, flow: ServedFlow) {
        let flow = Arc::new(flow);
        self.0.rcu(|table| {
            let mut table = Table::clone(table);
            table.insert(flow.name.clone(), flow.clone());
            table
        });
    }

    /// Serves it no longer; requests that have it finish.
    pub fn withdraw(&self, name: &FlowName) {
        self.0.rcu(|table| {
            let mut table = Table::clone(table);
            table.remove(name);
            table
        });
    }

    /// The flow that a request goes to. A gateway serves one flow for now, so there is nothing to choose by.
    pub(crate) fn resolve(&self) -> Result<Arc<ServedFlow>, Problem> {
        match self.0.load().values().next() {
            Some(flow) => Ok(flow.clone()),
            None => Err(Problem::new(ErrorCode::Unavailable, "no flow is ready to be served")
                .with_hint("retry when /readyz says so")
                .with_retry_after_ms(1000)),
        }
    }
}
