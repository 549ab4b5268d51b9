//! A flow compiled for execution: what can be decided before the first request is decided here.
//!
//! Building a plan is a pure function of the specification and the executors: no clock, no randomness, ordered maps
//! only. A plan refuses graphs that cannot run (cycles, unknown needs, names twice) and limits that let nothing
//! through, all at once and by name. A plan never changes; a swap replaces it as a whole.
//!
//! The answer is what the last stage of the file gives that does not float, as in Jina. It and what it needs are waited
//! for; every other stage floats, whether its author said so or only forgot to join it.

mod mermaid;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lockgate_domain::{Condition, ErrorCode, ExecutorName, FlowName, FlowSpec, Limits, Problem, StageSpec};

use crate::adapted;
use crate::background::Background;
use crate::batching::Batcher;
use crate::client::ExecutorClient;
use crate::graph;
use crate::pass::PassingExecutor;

/// A validated flow with its executors. Shared by all requests that run on it; cheap to clone.
#[derive(Clone)]
pub struct ExecutionPlan {
    inner: Arc<Inner>,
    background: Option<Arc<dyn Background>>,
}

struct Inner {
    name: FlowName,
    stages: Vec<StagePlan>,
    answer: Source,
    is_chain: bool,
    is_conditional: bool,
    /// Places of the stages as answers list them.
    story: Vec<usize>,
    timeout: Duration,
    gateway: ExecutorName,
}

/// One stage of a plan.
pub struct StagePlan {
    /// Its name.
    pub name: ExecutorName,
    /// What is called.
    pub client: Arc<dyn ExecutorClient>,
    /// The same, if it is a batcher.
    pub batcher: Option<Arc<Batcher>>,
    /// Where its documents come from, in the order of `needs`; at least one.
    pub sources: Vec<Source>,
    /// Whether several sources are merged by document id or concatenated.
    pub reduce: bool,
    /// The longest one call may take.
    pub timeout: Option<Duration>,
    /// Further tries after a failure that is safe to retry.
    pub retries: u32,
    /// Ceilings of the executor; a join keeps those on documents and columns.
    pub limits: Limits,
    /// Which documents it gets.
    pub condition: Option<Condition>,
    /// Whether the answer does not depend on it: nobody waits for it.
    pub is_floating: bool,
    /// Stages that need this one, as places in the plan, in the order of the file.
    pub(crate) dependents: Vec<usize>,
}

/// Where documents come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The request.
    Gateway,
    /// The output of the stage at that place of the plan.
    Stage(usize),
}

impl ExecutionPlan {
    /// Plans a flow whose executors are these. [`ErrorCode::InvalidFlow`] names everything that is wrong.
    pub fn new(
        spec: &FlowSpec,
        clients: impl IntoIterator<Item = (ExecutorName, Arc<dyn ExecutorClient>)>,
    ) -> Result<Self, Problem> {
        let clients: BTreeMap<ExecutorName, Arc<dyn ExecutorClient>> = clients.into_iter().collect();
        let mut faults = zero_limits(spec);
        let mut hint = None;
        let order = graph::order(&spec.stages).unwrap_or_else(|found| {
            hint = found.iter().find_map(graph::GraphFault::hint);
            faults.extend(found.iter().map(ToString::to_string));
            Vec::new()
        });
        for stage in &spec.stages {
            match clients.get(&stage.name) {
                // Its parts were looked at when it was put together.
                Some(client) => {
                    let manifest = client.manifest();
                    if !is_sharded(stage) {
                        faults.extend(adapted::unknown_endpoints(&manifest, stage));
                    }
                    faults.extend(Batcher::unknown_endpoints(&manifest, stage));
                }
                None if stage.is_passing() => {}
                None => faults.push(format!("executor `{}` has no component", stage.name)),
            }
        }
        if !faults.is_empty() {
            let problem = Problem::new(ErrorCode::InvalidFlow, faults.join("; "));
            return Err(match hint {
                Some(hint) => problem.with_hint(hint),
                None => problem,
            });
        }
        let stages = order.iter().filter_map(|&place| {
            let stage = spec.stages.get(place)?;
            let client: Arc<dyn ExecutorClient> = match clients.get(&stage.name) {
                _ if stage.is_passing() => Arc::new(PassingExecutor),
                client if is_sharded(stage) => client?.clone(),
                client => adapted::adapt(client?.clone(), stage),
            };
            Some(StagePlan::new(stage, client, &order, &spec.stages))
        });
        Ok(Self::link(spec, &order, stages.collect()))
    }

    /// Lets stages that float go on after the answer. Without anybody to drive them a request waits for them, too.
    #[must_use]
    pub fn with_background(mut self, background: Arc<dyn Background>) -> Self {
        self.background = Some(background);
        self
    }

    fn link(spec: &FlowSpec, order: &[usize], mut stages: Vec<StagePlan>) -> Self {
        let edges: Vec<(usize, usize)> = stages
            .iter()
            .zip(0..)
            .flat_map(|(stage, place)| stage.upstream().map(move |source| (source, place)))
            .collect();
        for (source, place) in edges {
            if let Some(stage) = stages.get_mut(source) {
                stage.dependents.push(place);
            }
        }
        let in_file = |place: &usize| order.get(*place).copied();
        for stage in &mut stages {
            stage.dependents.sort_by_key(in_file);
        }
        let is_answer = |place: &usize| {
            order.get(*place).and_then(|at| spec.stages.get(*at)).is_some_and(|stage| !stage.floating)
        };
        let last = (0..stages.len()).filter(is_answer).max_by_key(in_file);
        let answer = last.map_or(Source::Gateway, Source::Stage);
        await_needs(&mut stages, answer);
        let follows = |(stage, place): (&StagePlan, usize)| {
            stage.sources == [place.checked_sub(1).map_or(Source::Gateway, Source::Stage)]
                && !stage.is_floating
                && stage.condition.is_none()
        };
        Self {
            background: None,
            inner: Arc::new(Inner {
                name: spec.name.clone(),
                answer,
                is_chain: stages.iter().zip(0..).all(follows),
                is_conditional: stages.iter().any(|stage| stage.condition.is_some()),
                story: story(&stages, order),
                stages,
                timeout: Duration::from_millis(spec.timeout_ms),
                gateway: ExecutorName::gateway(),
            }),
        }
    }

    /// The flow's name.
    pub fn name(&self) -> &FlowName {
        &self.inner.name
    }

    /// The stages in an order in which each comes after its needs.
    pub fn stages(&self) -> &[StagePlan] {
        &self.inner.stages
    }

    /// What is answered: the output of a stage, or the request itself if every stage floats.
    pub fn answer(&self) -> Source {
        self.inner.answer
    }

    /// The longest one request may take.
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// Whether the stages stand one behind the other, and each gets all documents.
    pub fn is_chain(&self) -> bool {
        self.inner.is_chain
    }

    /// Whether some stage gets only some of the documents; then the answer follows the order of the request.
    pub(crate) fn is_conditional(&self) -> bool {
        self.inner.is_conditional
    }

    /// Places of the stages as answers list them: along the graph, branch by branch.
    pub(crate) fn story(&self) -> &[usize] {
        &self.inner.story
    }

    /// Who drives the stages that float.
    pub(crate) fn background(&self) -> Option<&Arc<dyn Background>> {
        self.background.as_ref()
    }

    /// The name of a source, as a guest sees it.
    pub(crate) fn source_name(&self, source: Source) -> &ExecutorName {
        match source {
            Source::Gateway => &self.inner.gateway,
            Source::Stage(place) => self.stages().get(place).map_or(&self.inner.gateway, |stage| &stage.name),
        }
    }

    /// The batchers of its stages.
    pub fn batchers(&self) -> impl Iterator<Item = &Arc<Batcher>> {
        self.stages().iter().filter_map(|stage| stage.batcher.as_ref())
    }

    /// Lets no request wait for others any more: the host is on its way out, or another plan is in.
    pub fn drain(&self) {
        self.batchers().for_each(|batcher| batcher.drain());
    }

    /// The graph as a Mermaid flowchart, for people.
    pub fn to_mermaid(&self) -> String {
        mermaid::render(self)
    }
}

impl fmt::Debug for ExecutionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutionPlan")
            .field("name", self.name())
            .field("stages", &self.stages())
            .field("answer", &self.answer())
            .finish_non_exhaustive()
    }
}

impl StagePlan {
    fn new(spec: &StageSpec, client: Arc<dyn ExecutorClient>, order: &[usize], stages: &[StageSpec]) -> Self {
        let place_of = |need: &ExecutorName| {
            order.iter().position(|&place| stages.get(place).is_some_and(|stage| stage.name == *need))
        };
        let needs = spec.needs.iter();
        let mut sources: Vec<Source> =
            needs.map(|need| place_of(need).map_or(Source::Gateway, Source::Stage)).collect();
        if sources.is_empty() {
            sources.push(Source::Gateway);
        }
        let batcher = Batcher::new(spec, &client);
        Self {
            name: spec.name.clone(),
            client: batcher.clone().map_or(client, |batcher| batcher),
            batcher,
            sources,
            reduce: spec.reduce,
            timeout: spec.timeout_ms.map(Duration::from_millis),
            // The parts of a sharded executor are tried again one by one.
            retries: if is_sharded(spec) { 0 } else { spec.retries },
            limits: spec.limits,
            condition: spec.condition.clone(),
            is_floating: true,
            dependents: Vec::new(),
        }
    }

    /// The stages it needs, as places in the plan.
    pub fn upstream(&self) -> impl Iterator<Item = usize> {
        self.sources.iter().filter_map(|source| match source {
            Source::Gateway => None,
            Source::Stage(place) => Some(*place),
        })
    }
}

impl fmt::Debug for StagePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagePlan")
            .field("name", &self.name)
            .field("sources", &self.sources)
            .field("reduce", &self.reduce)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

fn is_sharded(stage: &StageSpec) -> bool {
    stage.shards.count > 1
}

/// Marks the answer's stage and all that it needs: these do not float.
fn await_needs(stages: &mut [StagePlan], answer: Source) {
    let mut next: Vec<Source> = vec![answer];
    while let Some(source) = next.pop() {
        let Source::Stage(place) = source else { continue };
        if let Some(stage) = stages.get_mut(place).filter(|stage| stage.is_floating) {
            stage.is_floating = false;
            next.extend(stage.sources.iter().copied());
        }
    }
}

/// From each stage that takes the request down to the answer, each stage once: the order of Jina's routes.
fn story(stages: &[StagePlan], order: &[usize]) -> Vec<usize> {
    let mut origins: Vec<usize> = (0..stages.len())
        .filter(|place| stages.get(*place).is_some_and(|stage| stage.sources.contains(&Source::Gateway)))
        .collect();
    origins.sort_by_key(|place| order.get(*place).copied());
    let (mut story, mut next) = (Vec::with_capacity(stages.len()), origins);
    next.reverse();
    while let Some(place) = next.pop() {
        if story.contains(&place) {
            continue;
        }
        story.push(place);
        next.extend(stages.get(place).iter().flat_map(|stage| stage.dependents.iter().rev()));
    }
    story
}

/// Ceilings of zero let nothing through: a misunderstanding ("0 means unlimited"), never a wish.
fn zero_limits(spec: &FlowSpec) -> Vec<String> {
    let mut values = vec![
        (spec.fuel, "the flow's `fuel`".to_owned()),
        (spec.timeout_ms, "the flow's `timeout`".to_owned()),
    ];
    for stage in &spec.stages {
        let limits = &stage.limits;
        let fields = [
            (limits.fuel, "fuel"),
            (limits.wall_time_ms, "wall_time_ms"),
            (limits.memory_bytes, "memory_bytes"),
            (u64::from(limits.core_instances), "core_instances"),
            (limits.host_call_bytes, "host_call_bytes"),
            (limits.written_bytes, "written_bytes"),
            (u64::from(limits.documents), "documents"),
            (u64::from(limits.columns), "columns"),
            (stage.timeout_ms.unwrap_or(1), "timeout_send"),
        ];
        let named = |(value, field)| (value, format!("`{field}` of executor `{}`", stage.name));
        values.extend(fields.map(named));
    }
    let zeros = values.into_iter().filter(|(value, _)| *value == 0);
    zeros.map(|(_, what)| format!("{what} is 0, which lets no request through")).collect()
}
