//! Flows of one and of three stages through the engine, without a socket.

use std::sync::Arc;

use lockgate_domain::spec::{FlowSpec, GatewaySpec, InstanceMode, PoolSpec, StageSpec};
use lockgate_domain::{DocumentList, EndpointName, Parameters};
use lockgate_flow::client::ExecutorClient;
use lockgate_flow::engine::{FlowEngine, FlowRequest};
use lockgate_flow::plan::ExecutionPlan;
use lockgate_node::PoolExecutor;
use lockgate_runtime::{Component, Runtime};
use serde_json::json;

use crate::hops::{context, pool};
use crate::measure::{Contender, Row, Target, race};
use crate::native;

const SECTION: &str = "flow (stages of one process, no socket)";

/// A chain of `stages` stages of the benchmark guest.
pub(crate) fn spec(stages: usize, mode: InstanceMode) -> FlowSpec {
    let name = |index: usize| format!("stage{index}").parse().expect("a name");
    let stage = |index: usize| StageSpec {
        needs: index.checked_sub(1).map(name).into_iter().collect(),
        pool: PoolSpec { min: Some(2), max: Some(4), mode: Some(mode), ..PoolSpec::default() },
        ..StageSpec::new(name(index), "")
    };
    FlowSpec {
        name: "bench".parse().expect("a name"),
        stages: (0..stages).map(stage).collect(),
        gateway: GatewaySpec::default(),
        fuel: FlowSpec::DEFAULT_FUEL,
        timeout_ms: FlowSpec::DEFAULT_TIMEOUT_MS,
    }
}

async fn run(plan: &ExecutionPlan, endpoint: &EndpointName, documents: &DocumentList) -> DocumentList {
    let request = FlowRequest {
        endpoint: endpoint.clone(),
        target_executor: None,
        documents: documents.clone(),
        parameters: Parameters::default(),
        context: context(),
        emit: None,
    };
    let reply = FlowEngine::run(plan, request).await;
    assert!(reply.failure.is_none(), "{:?}", reply.failure);
    reply.documents
}

/// Measures chains of one and three stages.
pub(crate) fn rows(
    tokio: &tokio::runtime::Runtime,
    runtime: &Runtime,
    component: &Arc<Component>,
) -> Vec<Row> {
    let plan = |stages: usize| {
        let executor = || {
            let pool = pool(runtime, component, InstanceMode::Reused, 1);
            tokio.block_on(pool.prewarm()).expect("an instance");
            Arc::new(PoolExecutor::new(pool)) as Arc<dyn ExecutorClient>
        };
        let spec = spec(stages, InstanceMode::Reused);
        ExecutionPlan::new(&spec, spec.stages.iter().map(|stage| (stage.name.clone(), executor())))
            .expect("a plan")
    };
    let (one, three) = (plan(1), plan(3));
    let mut rows = Vec::new();
    for (name, endpoint, documents, target) in [
        ("1 text, untouched", "/noop", native::texts(1), Some(Target::AtMost(15.0))),
        ("1 text, reversed", "/reverse", native::texts(1), Some(Target::AtMost(15.0))),
        ("100 texts, untouched", "/noop", native::texts(100), Some(Target::AtMost(15.0))),
        ("100 texts, reversed", "/reverse", native::texts(100), None),
    ] {
        let endpoint = EndpointName::parse(endpoint).expect("an endpoint");
        let contender = |label: &'static str, plan| {
            let (endpoint, documents) = (&endpoint, &documents);
            Contender::new(label, move |count| {
                tokio.block_on(async {
                    for _ in 0..count {
                        std::hint::black_box(run(plan, endpoint, documents).await);
                    }
                });
            })
        };
        let times = race(&mut [contender("1 stage", &one), contender("3 stages", &three)]);
        let [one, three] = times[..] else { continue };
        let figures = json!({ "one_us": one / 1e3, "three_us": three / 1e3 });
        let row = Row::new(SECTION, format!("{name}: 3 stages over 1"), (three - one) / 1e3, "us")
            .with_figures(figures);
        rows.push(match target {
            Some(target) => row.with_target(target),
            None => row,
        });
        rows.push(Row::new(SECTION, format!("{name}: 1 stage, in all"), one / 1e3, "us"));
    }
    rows
}
