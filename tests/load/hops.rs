//! One hop: a call of a warm instance against the same change done natively, and fresh against reused instances.

use std::sync::Arc;

use lockgate_domain::spec::{InstanceMode, PoolOptions, PoolSpec};
use lockgate_domain::{
    DocumentList, EndpointName, FlowSpec, FuelBudget, Parameters, RequestContext, RequestId, TenantName,
};
use lockgate_runtime::{Component, InstancePool, Invocation, PoolSetup, Runtime};
use serde_json::json;

use crate::measure::{Contender, Row, Target, race};
use crate::native;

const SECTION: &str = "hop (one call of one executor, same process)";

/// Circumstances of a request that nobody limits.
pub(crate) fn context() -> RequestContext {
    let fuel = FuelBudget::new(FlowSpec::DEFAULT_FUEL);
    RequestContext::new(RequestId::accept("bench"), TenantName::local(), fuel)
}

/// A pool of the benchmark guest.
pub(crate) fn pool(
    runtime: &Runtime,
    component: &Arc<Component>,
    mode: InstanceMode,
    max: u32,
) -> InstancePool {
    let spec = PoolSpec { min: Some(1), max: Some(max), mode: Some(mode), ..PoolSpec::default() };
    let options: PoolOptions = spec.resolve(false, 2);
    let name = "bench".parse().expect("a name");
    InstancePool::new(runtime, PoolSetup::new(name, component.clone(), options))
}

async fn call(pool: &InstancePool, endpoint: &EndpointName, documents: &DocumentList) -> DocumentList {
    let invocation = Invocation {
        endpoint: endpoint.clone(),
        documents: documents.clone(),
        parameters: Parameters::default(),
        inputs: Arc::from([]),
        context: context(),
        emit: None,
    };
    pool.invoke(invocation).await.expect("the guest answers").documents
}

/// Measures all hops.
pub(crate) fn rows(
    tokio: &tokio::runtime::Runtime,
    runtime: &Runtime,
    component: &Arc<Component>,
) -> Vec<Row> {
    let reused = pool(runtime, component, InstanceMode::Reused, 1);
    let fresh = pool(runtime, component, InstanceMode::Fresh, 1);
    tokio.block_on(async {
        reused.prewarm().await.expect("an instance");
        fresh.prewarm().await.expect("an instance");
    });
    let mut rows = Vec::new();
    let cases: [(&str, &str, DocumentList, Option<Target>); 7] = [
        ("1 text, untouched", "/noop", native::texts(1), Some(Target::AtMost(3.0))),
        ("1 text, upper-cased", "/upper", native::texts(1), Some(Target::AtMost(3.0))),
        ("100 texts, untouched", "/noop", native::texts(100), Some(Target::AtMost(5.0))),
        ("100 blobs of 100 KiB, untouched", "/noop", native::blobs(100), Some(Target::AtMost(5.0))),
        ("100 texts, upper-cased (Unicode)", "/upper", native::texts(100), None),
        ("100 texts, upper-cased (ASCII)", "/upper-ascii", native::texts(100), None),
        ("100 texts, 768-float embedding written", "/embed", native::texts(100), None),
    ];
    for (name, endpoint, documents, target) in cases {
        let twin: fn(&DocumentList) -> DocumentList = match endpoint {
            "/noop" => DocumentList::clone,
            "/upper" => |list| native::map_texts(list, str::to_uppercase),
            "/upper-ascii" => |list| native::map_texts(list, str::to_ascii_uppercase),
            _ => native::embed,
        };
        let endpoint = EndpointName::parse(endpoint).expect("an endpoint");
        assert_eq!(
            tokio.block_on(call(&reused, &endpoint, &documents)),
            twin(&documents),
            "{name}: guest and twin"
        );
        let times = race(&mut [
            Contender::new("native", |count| {
                for _ in 0..count {
                    std::hint::black_box(twin(std::hint::black_box(&documents)));
                }
            }),
            Contender::new("reused", |count| {
                tokio.block_on(async {
                    for _ in 0..count {
                        std::hint::black_box(call(&reused, &endpoint, &documents).await);
                    }
                });
            }),
            Contender::new("fresh", |count| {
                tokio.block_on(async {
                    for _ in 0..count {
                        std::hint::black_box(call(&fresh, &endpoint, &documents).await);
                    }
                });
            }),
        ]);
        let [native, reused, fresh] = times[..] else { continue };
        let figures =
            json!({ "native_us": native / 1e3, "reused_us": reused / 1e3, "fresh_us": fresh / 1e3 });
        let row = Row::new(SECTION, format!("{name}: over native"), (reused - native) / 1e3, "us")
            .with_figures(figures);
        rows.push(match target {
            Some(target) => row.with_target(target),
            None => row,
        });
        rows.push(Row::new(SECTION, format!("{name}: reused, in all"), reused / 1e3, "us"));
        rows.push(Row::new(SECTION, format!("{name}: fresh / reused"), fresh / reused, "x"));
        if rows.len() == 3 {
            // An untouched document: what is left of the difference is building an instance and throwing it away.
            rows.push(Row::new(SECTION, "instantiate, init and drop", (fresh - reused) / 1e3, "us"));
        }
    }
    rows
}
