//! What one tenant serves, as readers see it, and the words for what is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockgate_domain::hosting::ExecutorReference;
use lockgate_domain::{ErrorCode, ExecutorName, FlowName, Problem};
use lockgate_gateway::ServedFlow;

use super::traffic::ExecutorSlot;

/// References with a target that only callers named.
const MOST_PINS: usize = 256;
/// Names that a refusal lists.
const NAMES_SHOWN: usize = 10;

/// What is served.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) executors: BTreeMap<ExecutorReference, Served>,
    pub(crate) flows: BTreeMap<FlowName, Arc<PlannedFlow>>,
    /// What cannot be served, and why: other things of the tenant go on.
    pub(crate) faults: BTreeMap<String, Problem>,
}

/// One executor, and the flow that it is on its own.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) slot: Arc<ExecutorSlot>,
    pub(crate) flow: Arc<ServedFlow>,
}

/// A flow, and the executors that it names.
#[derive(Debug)]
pub(crate) struct PlannedFlow {
    pub(crate) flow: Arc<ServedFlow>,
    pub(crate) uses: Vec<ExecutorReference>,
}

impl Table {
    /// The tenant's only flow, else its only deployed executor.
    pub(crate) fn only(&self) -> Result<Arc<ServedFlow>, Problem> {
        let mut flows = self.flows.values();
        match (flows.next(), flows.next()) {
            (Some(planned), None) => return Ok(planned.flow.clone()),
            (Some(_), Some(_)) => return Err(self.unclear()),
            (None, _) => {}
        }
        let mut executors = self.executors.iter().filter(|(reference, _)| reference.target.is_none());
        match (executors.next(), executors.next()) {
            (Some((_, served)), None) => Ok(served.flow.clone()),
            _ => Err(self.unclear()),
        }
    }

    /// Why something cannot be served.
    pub(crate) fn fault(&self, key: &str) -> Option<Problem> {
        self.faults.get(key).cloned()
    }

    fn unclear(&self) -> Problem {
        if self.flows.is_empty() && self.executors.is_empty() {
            return Problem::new(ErrorCode::NotFound, "the tenant serves no flow and no executor")
                .with_hint("deploy an executor first");
        }
        Problem::new(ErrorCode::NotFound, "the request does not say which flow or executor it means")
            .with_hint(format!("name one in the path or in a header; {}", self.names()))
    }

    /// There is no such thing, and what there is.
    pub(crate) fn unknown(&self, what: &str) -> Problem {
        Problem::new(ErrorCode::NotFound, format!("there is no {what}")).with_hint(self.names())
    }

    fn names(&self) -> String {
        let flows = self.flows.keys().map(|name| format!("flow {name}"));
        let deployed = self.executors.keys().filter(|reference| reference.target.is_none());
        let all: Vec<String> =
            flows.chain(deployed.map(|reference| format!("executor {reference}"))).collect();
        match all.split_at_checked(NAMES_SHOWN) {
            _ if all.is_empty() => "there are none".to_owned(),
            Some((first, rest)) if !rest.is_empty() => {
                format!("there are: {} and {} more", first.join(", "), rest.len())
            }
            _ if all.len() == 1 => format!("there is only {}", all.join(", ")),
            _ => format!("there are: {}", all.join(", ")),
        }
    }
}

/// An executor by its deployment.
pub(crate) fn deployed(executor: &ExecutorName) -> ExecutorReference {
    ExecutorReference { executor: executor.clone(), target: None }
}

/// How the key of a flow's fault begins.
pub(crate) const FLOW_KEY: &str = "flow ";

pub(crate) fn flow_key(name: &FlowName) -> String {
    format!("{FLOW_KEY}{name}")
}

pub(crate) fn executor_key(name: &ExecutorName) -> String {
    format!("executor {name}")
}
impl Table {
    /// Forgets references that only callers named, when there are too many.
    pub(crate) fn forget_pins(&mut self) {
        let used: Vec<&ExecutorReference> = self.flows.values().flat_map(|planned| &planned.uses).collect();
        let is_pin = |reference: &ExecutorReference| reference.target.is_some() && !used.contains(&reference);
        if self.executors.keys().filter(|reference| is_pin(reference)).count() >= MOST_PINS {
            let kept = self.executors.iter().filter(|(reference, _)| !is_pin(reference));
            self.executors = kept.map(|(reference, served)| (reference.clone(), served.clone())).collect();
        }
    }
}
