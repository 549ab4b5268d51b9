//! What it costs to get ready: compiling, mapping compiled code, instantiating, and memory per warm instance.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use lockgate_domain::spec::{InstanceMode, PoolSpec};
use lockgate_runtime::{Component, InstancePool, PoolSetup, Runtime, RuntimeOptions};
use serde_json::json;

use crate::measure::{Row, Target, median};

const SECTION: &str = "start and memory";
/// Tries of what happens once.
const TRIES: usize = 7;
/// Instances of the memory row.
const INSTANCES: u32 = 1000;

/// Measures start-up and memory.
pub(crate) fn rows(tokio: &tokio::runtime::Runtime, bytes: &[u8], scratch: &Path) -> Vec<Row> {
    let (mut compile, mut map, mut engine) = (Vec::new(), Vec::new(), Vec::new());
    for attempt in 0..TRIES {
        let options = |cache: &str| RuntimeOptions {
            cache_dir: Some(scratch.join(format!("{cache}{attempt}"))),
            ..RuntimeOptions::default()
        };
        let start = Instant::now();
        let cold = Runtime::new(options("cache")).expect("an engine");
        engine.push(millis(start));
        compile.push(load(&cold, bytes, false));
        let warm = Runtime::new(options("cache")).expect("an engine");
        map.push(load(&warm, bytes, true));
    }
    let size = format!("component of {} KiB", bytes.len() >> 10);
    let mut rows = vec![
        Row::new(SECTION, "engine start", median(engine), "ms"),
        Row::new(SECTION, format!("{size}: check, compile, describe"), median(compile), "ms")
            .with_target(Target::AtMost(1000.0)),
        Row::new(SECTION, format!("{size}: known digest, mapped and verified"), median(map), "ms")
            .with_target(Target::AtMost(10.0)),
    ];
    rows.push(memory(tokio, bytes, scratch));
    rows
}

fn load(runtime: &Runtime, bytes: &[u8], cached: bool) -> f64 {
    let start = Instant::now();
    let component = runtime.load(bytes).expect("a component");
    let spent = millis(start);
    assert_eq!(component.loaded_from_cache(), cached);
    spent
}

fn memory(tokio: &tokio::runtime::Runtime, bytes: &[u8], scratch: &Path) -> Row {
    let options = RuntimeOptions {
        cache_dir: Some(scratch.join("cache0")),
        max_instances: INSTANCES + 8,
        ..RuntimeOptions::default()
    };
    let runtime = Runtime::new(options).expect("an engine");
    let component: Arc<Component> = runtime.load(bytes).expect("a component");
    let spec = PoolSpec { mode: Some(InstanceMode::Reused), ..PoolSpec::default() };
    let pool = |count: u32| {
        let spec = PoolSpec { min: Some(count), max: Some(count), ..spec.clone() };
        let name = "memory".parse().expect("a name");
        let options = spec.resolve(false, 2);
        let pool = InstancePool::new(&runtime, PoolSetup::new(name, component.clone(), options));
        tokio.block_on(pool.prewarm()).expect("instances");
        pool
    };
    let first = pool(4);
    let before = resident_kib();
    let many = pool(INSTANCES - 4);
    let after = resident_kib();
    let each = (after - before) / f64::from(INSTANCES - 4);
    drop((first, many));
    Row::new(SECTION, "warm instances per GiB (resident memory)", (1 << 20) as f64 / each, "instances")
        .with_target(Target::AtLeast(5000.0))
        .with_figures(json!({ "kib_each": each }))
}

/// Resident memory of this process.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
