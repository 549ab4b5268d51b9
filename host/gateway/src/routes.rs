//! Where requests go: a snapshot of the flows that are served, replaced as a whole.
//!
//! Readers take no lock and a request keeps what it resolved, so a swap under load loses nothing. A plan that is no
//! longer routed to lives as long as its last request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use lockgate_domain::spec::ExposedPath;
use lockgate_domain::{EndpointName, ErrorCode, FlowName, FlowSpec, Manifest, Problem};
use lockgate_flow::plan::ExecutionPlan;

use crate::http::openapi::{self, About};

/// A flow as the gateway serves it.
pub struct ServedFlow {
    pub(crate) name: FlowName,
    pub(crate) plan: Arc<ExecutionPlan>,
    /// Fuel of one request.
    pub(crate) fuel: u64,
    /// Paths that the flow's author added.
    pub(crate) exposed: Vec<ExposedPath>,
    /// Whether Jina's CRUD paths are there without an executor that names them.
    pub(crate) crud: bool,
    /// Whether `/post`, `/status` and `/dry_run` are there.
    pub(crate) debug: bool,
    title: String,
    description: String,
    described: ArcSwapOption<Description>,
}

/// What callers read about a flow, and of which manifests it was made.
struct Description {
    manifests: Vec<Arc<Manifest>>,
    openapi: Bytes,
}

impl ServedFlow {
    /// Takes from the specification what callers meet, and the plan that runs.
    pub fn new(spec: &FlowSpec, plan: Arc<ExecutionPlan>) -> Self {
        Self {
            name: spec.name.clone(),
            plan,
            fuel: spec.fuel,
            exposed: spec.gateway.exposed.clone(),
            crud: spec.gateway.crud,
            debug: spec.gateway.debug,
            title: spec.gateway.title.clone().unwrap_or_else(|| spec.name.to_string()),
            description: spec.gateway.description.clone().unwrap_or_default(),
            described: ArcSwapOption::empty(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &FlowName {
        &self.name
    }

    /// What runs.
    pub fn plan(&self) -> &ExecutionPlan {
        &self.plan
    }

    /// Lets none of its requests wait for others any more.
    pub fn drain(&self) {
        self.plan.drain();
    }

    /// What its executors say about themselves now, in the order of the plan.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = Arc<Manifest>> {
        self.plan.stages().iter().map(|stage| stage.client.manifest())
    }

    /// Whether any executor names this endpoint.
    pub(crate) fn has_endpoint(&self, name: &str) -> bool {
        self.manifests()
            .any(|manifest| manifest.endpoints.iter().any(|endpoint| endpoint.name.as_str() == name))
    }

    /// Where a path that the flow's author added leads to.
    pub(crate) fn exposed_at(&self, method: &str, path: &str) -> Option<&EndpointName> {
        let mut exposed = self.exposed.iter().filter(|exposed| exposed.path == path);
        let found = exposed.find(|exposed| exposed.methods.iter().any(|known| known == method));
        found.map(|exposed| &exposed.endpoint)
    }

    /// Whether the flow's author has taken this path of Jina's away.
    pub(crate) fn hides(&self, path: &str) -> bool {
        match path {
            "/post" => !self.debug,
            "/index" | "/search" | "/update" | "/delete" => !self.crud && !self.has_endpoint(path),
            _ => false,
        }
    }

    /// Whether an executor answers to this endpoint with a stream: it names it so, or nobody names it and the fallback
    /// streams.
    pub(crate) fn streams(&self, name: &str) -> bool {
        let manifests: Vec<_> = self.manifests().collect();
        let named = |name: &str| {
            let endpoints = manifests.iter().flat_map(|manifest| &manifest.endpoints);
            let mut named = endpoints.filter(|endpoint| endpoint.name.as_str() == name).peekable();
            named.peek().is_some().then(|| named.any(|endpoint| endpoint.streaming))
        };
        named(name).or_else(|| named(EndpointName::FALLBACK)).unwrap_or(false)
    }

    /// The description of the API. It is kept for as long as the executors say the same about themselves; holding
    /// their manifests here is what makes comparing pointers safe.
    pub(crate) fn openapi(&self) -> Bytes {
        let described = self.described.load();
        if let Some(description) = &*described {
            let mut now = self.manifests();
            if description.manifests.iter().all(|then| now.next().is_some_and(|now| Arc::ptr_eq(then, &now)))
            {
                return description.openapi.clone();
            }
        }
        let manifests: Vec<_> = self.manifests().collect();
        let about = About {
            title: &self.title,
            description: &self.description,
            debug: self.debug,
            exposed: &self.exposed,
        };
        let names = self.plan.stages().iter().map(|stage| &stage.name);
        let executors = names.zip(manifests.iter().map(|manifest| &**manifest));
        let openapi = Bytes::from(openapi::describe(about, executors).to_string());
        self.described.store(Some(Arc::new(Description { manifests, openapi: openapi.clone() })));
        openapi
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
        let before = self.0.rcu(|table| {
            let mut table = Table::clone(table);
            table.insert(flow.name.clone(), flow.clone());
            table
        });
        Self::leave(&before, &flow.name);
    }

    /// Serves it no longer; requests that have it finish.
    pub fn withdraw(&self, name: &FlowName) {
        let before = self.0.rcu(|table| {
            let mut table = Table::clone(table);
            table.remove(name);
            table
        });
        Self::leave(&before, name);
    }

    /// Nobody comes any more for whom a request of this flow could wait.
    fn leave(before: &Table, name: &FlowName) {
        if let Some(flow) = before.get(name) {
            flow.drain();
        }
    }

    /// All flows that are served.
    pub fn flows(&self) -> Vec<Arc<ServedFlow>> {
        self.0.load().values().cloned().collect()
    }

    /// The flow of this name.
    pub(crate) fn get(&self, name: &FlowName) -> Option<Arc<ServedFlow>> {
        self.0.load().get(name).cloned()
    }

    /// The flow that a request goes to when it names none. Here is one flow at a time, so there is nothing to choose.
    pub(crate) fn resolve(&self) -> Result<Arc<ServedFlow>, Problem> {
        match self.0.load().values().next() {
            Some(flow) => Ok(flow.clone()),
            None => Err(Problem::new(ErrorCode::Unavailable, "no flow is ready to be served")
                .with_hint("retry when /readyz says so")
                .with_retry_after_ms(1000)),
        }
    }
}
