//! An executor that follows a script: what tests of flows call instead of a guest.
//!
//! It answers at once, after a time of tokio's clock, with an error, or never, and keeps a log of what it was called
//! with. A call that is dropped before it answered is counted.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lockgate_domain::manifest::EndpointManifest;
use lockgate_domain::{DocumentList, EndpointName, Manifest, Problem, Results};

use crate::client::{ExecutorCall, ExecutorClient, ExecutorReply, GivenResults};

/// What one call does.
#[derive(Clone)]
pub enum Step {
    /// Answers with what the function makes of the documents.
    Answer(Arc<dyn Fn(&ExecutorCall) -> DocumentList + Send + Sync>),
    /// Fails.
    Fail(Problem),
    /// Waits, then does another step.
    After(Duration, Box<Step>),
    /// Emits what the function makes for each number from zero on, as long as it makes something and somebody listens;
    /// then does another step.
    Emit(Arc<dyn Fn(u32) -> Option<DocumentList> + Send + Sync>, Box<Step>),
    /// Never answers.
    Hang,
}

impl Step {
    /// Gives the documents back.
    pub fn pass() -> Self {
        Step::Answer(Arc::new(|call| call.documents.clone()))
    }

    /// Emits what the function makes for each number from zero on, then does another step.
    pub fn emit(make: impl Fn(u32) -> Option<DocumentList> + Send + Sync + 'static, next: Step) -> Self {
        Step::Emit(Arc::new(make), Box::new(next))
    }

    /// Answers with what the function makes of the call.
    pub fn answer(make: impl Fn(&ExecutorCall) -> DocumentList + Send + Sync + 'static) -> Self {
        Step::Answer(Arc::new(make))
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Answer(_) => f.write_str("Answer"),
            Step::Fail(problem) => f.debug_tuple("Fail").field(problem).finish(),
            Step::After(time, step) => f.debug_tuple("After").field(time).field(step).finish(),
            Step::Emit(_, step) => f.debug_tuple("Emit").field(step).finish(),
            Step::Hang => f.write_str("Hang"),
        }
    }
}

/// An executor with a script.
#[derive(Debug)]
pub struct ScriptedExecutor {
    manifest: Arc<Manifest>,
    /// One step per call; the last one is repeated.
    steps: Vec<Step>,
    fuel: u64,
    results: GivenResults,
    calls: Mutex<Vec<ExecutorCall>>,
    dropped: AtomicU32,
}

impl ScriptedExecutor {
    /// An executor that answers to these endpoints. One step per call, the last one is repeated.
    pub fn new(endpoints: &[&str], steps: Vec<Step>) -> Self {
        let endpoint = |name: &&str| {
            Some(EndpointManifest {
                name: EndpointName::parse(name).ok()?,
                description: String::new(),
                reads: Vec::new(),
                writes: Vec::new(),
                parameters: None,
                streaming: false,
            })
        };
        Self {
            manifest: Arc::new(Manifest {
                endpoints: endpoints.iter().filter_map(endpoint).collect(),
                ..Manifest::default()
            }),
            steps,
            fuel: 0,
            results: GivenResults::Nothing,
            calls: Mutex::default(),
            dropped: AtomicU32::new(0),
        }
    }

    /// Burns this much in each call, out of the request's budget.
    #[must_use]
    pub fn with_fuel(mut self, fuel: u64) -> Self {
        self.fuel = fuel;
        self
    }

    /// Gives this JSON object beside the documents of each answer.
    #[must_use]
    pub fn giving(mut self, json: &str) -> Self {
        self.results = Results::parse(json, u64::MAX).ok().map(Box::new).into();
        self
    }

    /// Calls its endpoints streaming.
    #[must_use]
    pub fn with_streaming(mut self) -> Self {
        let mut manifest = (*self.manifest).clone();
        manifest.endpoints.iter_mut().for_each(|endpoint| endpoint.streaming = true);
        self.manifest = Arc::new(manifest);
        self
    }

    /// What it was called with so far.
    pub fn calls(&self) -> Vec<ExecutorCall> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls that were dropped before they answered.
    pub fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::Relaxed)
    }

    async fn play(&self, mut step: Step, call: ExecutorCall) -> Result<ExecutorReply, Problem> {
        let mut unanswered = Unanswered(Some(&self.dropped));
        loop {
            step = match step {
                Step::Answer(make) => {
                    unanswered.0 = None;
                    let fuel = call.context.fuel.take(self.fuel);
                    let results = self.results.clone();
                    return Ok(ExecutorReply { documents: make(&call), results, fuel });
                }
                Step::Fail(problem) => {
                    unanswered.0 = None;
                    return Err(problem);
                }
                Step::After(time, next) => {
                    tokio::time::sleep(time).await;
                    *next
                }
                Step::Emit(make, next) => {
                    for list in (0..).map_while(|number| make(number)) {
                        let Some(emit) = &call.emit else { break };
                        if emit.send(list).await.is_err() {
                            break;
                        }
                    }
                    *next
                }
                Step::Hang => std::future::pending().await,
            }
        }
    }
}

impl ExecutorClient for ScriptedExecutor {
    fn manifest(&self) -> Arc<Manifest> {
        self.manifest.clone()
    }

    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
        self.manifest.resolve(wanted).map(|endpoint| endpoint.name.clone())
    }

    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        let step = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push(call.clone());
            self.steps.get(calls.len() - 1).or_else(|| self.steps.last()).cloned().unwrap_or_else(Step::pass)
        };
        Box::pin(self.play(step, call))
    }
}

/// Counts a call that ends without an answer.
struct Unanswered<'a>(Option<&'a AtomicU32>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
