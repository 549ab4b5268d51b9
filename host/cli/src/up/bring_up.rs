//! One way from a flow file to a deployment: read, find sources, build, deploy. `up` goes it once, `--watch` again and
//! again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lockgate_domain::ExecutorName;
use lockgate_domain::spec::ComponentRole;
use lockgate_node::{DeployError, Deployment, FlowSource, Node, StageEvent};

use crate::builder::{self, Source};
use crate::console::FAINT;
use crate::failure::{Failure, Report};
use crate::flowfile::FlowFile;
use crate::measures;
use crate::progress::{Progress, Step, Verb};

/// The components of a flow's executors and where they come from, in the order of the flow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sources(pub(crate) Vec<(ExecutorName, ComponentRole, Source)>);

impl Sources {
    /// Looks at what each stage's `uses` names; every one that is missing is told.
    pub(crate) fn find(file: &FlowFile) -> Result<Self, Failure> {
        let (mut sources, mut missing) = (Vec::new(), Vec::new());
        for stage in &file.spec.stages {
            for (role, uses) in stage.components() {
                match Source::of_executor(&stage.name, uses, &file.folder) {
                    Ok(source) => sources.push((stage.name.clone(), role, source)),
                    Err(report) => missing.push(report),
                }
            }
        }
        if missing.is_empty() { Ok(Self(sources)) } else { Err(Failure::Reports(missing)) }
    }

    /// Builds what is not built; each source once, however many stages use it.
    pub(crate) async fn build(
        &self,
        progress: &Progress,
    ) -> Result<BTreeMap<(ExecutorName, ComponentRole), PathBuf>, Failure> {
        let mut built: BTreeMap<&Path, PathBuf> = BTreeMap::new();
        let (mut components, mut failed) = (BTreeMap::new(), Vec::new());
        for (name, role, source) in &self.0 {
            let component = match built.get(source.path()) {
                Some(component) => component.clone(),
                None => match builder::build(name.as_str(), source, progress).await {
                    Ok(component) => component,
                    Err(report) => {
                        failed.push(report);
                        continue;
                    }
                },
            };
            built.insert(source.path(), component.clone());
            components.insert((name.clone(), *role), component);
        }
        if failed.is_empty() { Ok(components) } else { Err(Failure::Reports(failed)) }
    }
}

/// Deploys a flow; progress is shown step by step.
pub(crate) async fn deploy(
    node: &Node,
    file: &FlowFile,
    components: BTreeMap<(ExecutorName, ComponentRole), PathBuf>,
    progress: &Progress,
) -> Result<Deployment, Failure> {
    let source = FlowSource { spec: file.spec.clone(), components };
    let steps = Steps { progress, current: Mutex::default() };
    let deployed = node.deploy(&source, &|event| steps.take(event)).await;
    if deployed.is_err() {
        steps.fail();
    }
    deployed.map_err(|error| explain(&error).into())
}

struct Steps<'a> {
    progress: &'a Progress,
    current: Mutex<Option<Step>>,
}

impl Steps<'_> {
    fn take(&self, event: StageEvent<'_>) {
        match event {
            StageEvent::Compiling(name) => self.begin(Verb("compiling", "compiled"), name),
            StageEvent::Compiled { from_cache, .. } => {
                self.done(if from_cache { "from the cache" } else { "" });
            }
            StageEvent::Connecting(name) => self.begin(Verb("connecting to", "connected to"), name),
            StageEvent::Waiting { name, why } => {
                let why = measures::one_line(why);
                self.progress.say(&format!("{FAINT}waiting for {name}: {why}{FAINT:#}"));
            }
            StageEvent::Connected { connected, addresses, .. } => {
                let plural = if addresses == 1 { "" } else { "es" };
                self.done(&format!("{connected} of {addresses} address{plural}"));
            }
            StageEvent::Warming(name) => self.begin(Verb("starting", "started"), name),
            StageEvent::Warm { instances, .. } => {
                let plural = if instances == 1 { "" } else { "s" };
                self.done(&format!("{} instance{plural}", measures::count(instances.into())));
            }
        }
    }

    fn begin(&self, verb: Verb, name: &ExecutorName) {
        let step = self.progress.begin(verb, name.as_str());
        self.swap(Some(step));
    }

    fn done(&self, outcome: &str) {
        if let Some(step) = self.swap(None) {
            step.done(outcome);
        }
    }

    fn fail(&self) {
        if let Some(step) = self.swap(None) {
            step.failed();
        }
    }

    fn swap(&self, step: Option<Step>) -> Option<Step> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, step)
    }
}

/// A deployment's failure in the words of the command line. A problem's own hint is kept.
pub(crate) fn explain(error: &DeployError) -> Report {
    let report = Report::new(error.to_string());
    match (error.problem(), std::error::Error::source(error)) {
        (Some(problem), _) => report.problem(problem),
        (None, Some(source)) => report.because(source),
        (None, None) => report,
    }
}
