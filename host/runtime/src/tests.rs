//! Tests of the runtime, on components written as text: no guest toolchain is needed.

mod cache;
mod guest;
mod limits;
mod load;
mod open;
mod pool;
mod reply;
mod share;
mod uploads;
mod usage;

use std::sync::{Arc, LazyLock};

use lockgate_domain::document::DocumentListBuilder;
use lockgate_domain::spec::{InstanceMode, PoolOptions};
use lockgate_domain::{
    DocumentList, EndpointName, FuelBudget, Limits, Parameters, Problem, RequestContext, RequestId,
    TenantName,
};

use crate::{Component, InstancePool, Invocation, PoolSetup, Runtime, RuntimeOptions};
use guest::Guest;

/// One runtime for all tests, as in the host.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Runtime::new(RuntimeOptions { max_instances: 64, ..RuntimeOptions::default() }).unwrap()
});

/// Lets other tasks run until `condition` holds.
async fn wait_for(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

fn load(guest: &Guest) -> Arc<Component> {
    RUNTIME.load(&guest.bytes()).unwrap()
}

fn options(mode: InstanceMode, max: u32) -> PoolOptions {
    PoolOptions {
        min: 0,
        max,
        mode,
        queue: 16,
        grow_after_ms: 1,
        idle_ms: 1000,
        max_calls: None,
        recycle_memory_bytes: None,
    }
}

fn pool_with(guest: &Guest, limits: Limits, options: PoolOptions) -> InstancePool {
    let configuration = serde_json::json!({"greeting": "hi"}).as_object().unwrap().clone();
    let setup = PoolSetup::new("ex".parse().unwrap(), load(guest), options);
    InstancePool::new(&RUNTIME, PoolSetup { limits, configuration, ..setup })
}

fn pool(guest: &Guest) -> InstancePool {
    pool_with(guest, Limits::default(), options(InstanceMode::Reused, 2))
}

fn documents(count: u32) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for index in 0..count {
        let row = builder.push_root().unwrap();
        builder.set_text("text", row, &format!("text {index}")).unwrap();
    }
    builder.finish().unwrap()
}

fn context() -> RequestContext {
    RequestContext::new(RequestId::accept("r1"), TenantName::local(), FuelBudget::new(100_000_000_000))
}

fn invocation() -> Invocation {
    Invocation {
        endpoint: EndpointName::parse("/run").unwrap(),
        documents: documents(3),
        parameters: Parameters::default(),
        inputs: Arc::default(),
        context: context(),
        emit: None,
    }
}

async fn fails(pool: &InstancePool) -> Problem {
    pool.invoke(invocation()).await.unwrap_err()
}
