//! Measures one call through a pool: `cargo run --release -p lockgate-runtime --example hop [component.wasm [endpoint]]`.
//!
//! Without arguments the guest does nothing, so what is measured is the host: lease, store, call, reply. Prints the
//! median over batches; nothing is asserted.

#[path = "../src/tests/guest.rs"]
#[expect(clippy::unwrap_used, reason = "a helper of tests, where it is allowed")]
mod guest;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_domain::document::DocumentListBuilder;
use lockgate_domain::spec::{InstanceMode, PoolOptions};
use lockgate_domain::{
    DocumentList, EndpointName, FuelBudget, Limits, Parameters, RequestContext, RequestId, TenantName,
};
use lockgate_runtime::{InstancePool, Invocation, PoolSetup, Runtime, RuntimeOptions};

type Failure = Box<dyn std::error::Error>;

const BATCHES: usize = 51;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let bytes = match arguments.next() {
        Some(path) => wat::parse_file(path)?,
        None => guest::Guest::calling(guest::OK).bytes(),
    };
    let runtime = Runtime::new(RuntimeOptions::default())?;
    let component = runtime.load(&bytes)?;
    let endpoint = match (arguments.next(), component.manifest().endpoints.first()) {
        (Some(name), _) => EndpointName::parse(&name)?,
        (None, Some(endpoint)) => endpoint.name.clone(),
        (None, None) => return Err("the component has no endpoint".into()),
    };
    let mut output =
        format!("{} bytes, compiled in {:?}, calls {endpoint}\n", component.size(), component.compile_time());
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (mode, per_batch) in [(InstanceMode::Reused, 2000), (InstanceMode::Fresh, 200)] {
        for count in [1, 100] {
            let pool = pool(&runtime, &component, mode)?;
            let documents = documents(count)?;
            let time = threads.block_on(measure(&pool, &endpoint, &documents, per_batch))?;
            output += &format!("{mode:?}, {count} documents: {time:?} a call\n");
        }
    }
    std::io::Write::write_all(&mut std::io::stdout(), output.as_bytes())?;
    Ok(())
}

fn pool(
    runtime: &Runtime,
    component: &Arc<lockgate_runtime::Component>,
    mode: InstanceMode,
) -> Result<InstancePool, Failure> {
    let options = PoolOptions {
        min: 1,
        max: 2,
        mode,
        queue: 16,
        grow_after_ms: 1,
        idle_ms: 60_000,
        max_calls: None,
        recycle_memory_bytes: None,
    };
    let setup = PoolSetup::new("hop".parse()?, component.clone(), options);
    Ok(InstancePool::new(runtime, setup))
}

fn documents(count: u32) -> Result<DocumentList, Failure> {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for index in 0..count {
        let row = builder.push_root()?;
        builder.set_text("text", row, &format!("a short text, number {index}"))?;
    }
    Ok(builder.finish()?)
}

async fn measure(
    pool: &InstancePool,
    endpoint: &EndpointName,
    documents: &DocumentList,
    per_batch: u32,
) -> Result<Duration, Failure> {
    let context = RequestContext {
        deadline: Some(Instant::now() + Duration::from_secs(600)),
        ..RequestContext::new(RequestId::fresh(), TenantName::local(), FuelBudget::new(u64::MAX / 2))
    };
    let mut times = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let started = Instant::now();
        for _ in 0..per_batch {
            let reply = pool.invoke(Invocation {
                endpoint: endpoint.clone(),
                documents: documents.clone(),
                parameters: Parameters::default(),
                inputs: Arc::default(),
                context: context.clone(),
                emit: None,
            });
            std::hint::black_box(reply.await?);
        }
        times.push(started.elapsed() / per_batch);
    }
    times.sort();
    times.get(BATCHES / 2).copied().ok_or_else(|| "no batches".into())
}
