//! `instances:` and `limits:` of an executor.

use lockgate_domain::Limits;
use lockgate_domain::spec::{InstanceMode, PoolSpec};

use super::errors::FlowError;
use super::keys;
use super::reader::{Range, Reader, Section};
use super::tree::Value;
use super::units::Unit;

/// Most instances of one executor.
const MAX_INSTANCES: u64 = 10_000;
/// The longest time that a file can ask for: a day.
pub(super) const MAX_TIME_MS: u64 = 86_400_000;
/// The most fuel that a file can ask for.
pub(super) const MAX_FUEL: u64 = 1_000_000_000_000_000_000;
/// What 32-bit wasm can address.
const MAX_MEMORY: u64 = 4 << 30;

const INSTANCES: Range = Range::new(Unit::Count, 1, MAX_INSTANCES);
const TIME: Range = Range::new(Unit::Time, 0, MAX_TIME_MS);

/// The pool, from `replicas` and `instances:`.
pub(super) fn read_pool(executor: &Section<'_>, reader: &mut Reader) -> PoolSpec {
    let mut pool = PoolSpec { max: reader.small(executor, "replicas", INSTANCES), ..PoolSpec::default() };
    let Some(node) = executor.get("instances") else { return pool };
    let what = format!("`instances` of {}", executor.what);
    let Some(section) = reader.section(node, what, keys::INSTANCES) else { return pool };
    pool.min = reader.small(&section, "min", Range { least: 0, ..INSTANCES });
    if let Some((key, _)) = section.entry("max") {
        if pool.max.is_some() {
            let message =
                format!("{} has `replicas` and `max` of `instances`, which say the same", executor.what);
            reader.report(FlowError::new(Some(key.place), message).with_hint("keep one of them"));
        }
        pool.max = reader.small(&section, "max", INSTANCES);
    }
    if let (Some(min), Some(max), Some((key, _))) = (pool.min, pool.max, section.entry("min"))
        && min > max
    {
        let message =
            format!("`min` of {} is {min}, more than the {max} instances there may be", section.what);
        reader.report_at(key.place, message);
    }
    pool.mode = read_mode(&section, reader);
    pool.queue = reader.small(&section, "queue", Range::new(Unit::Count, 0, 1_000_000));
    pool.grow_after_ms = reader.number(&section, "grow_after", TIME);
    pool.idle_ms = reader.number(&section, "idle", TIME);
    pool.max_calls = reader.number(&section, "max_calls", Range::new(Unit::Count, 1, MAX_FUEL));
    pool.recycle_memory_bytes = reader.number(&section, "max_memory", Range::new(Unit::Bytes, 1, MAX_MEMORY));
    pool
}

fn read_mode(section: &Section<'_>, reader: &mut Reader) -> Option<InstanceMode> {
    let node = section.get("mode")?;
    match &node.value {
        Value::Text(text) if text == "fresh" => Some(InstanceMode::Fresh),
        Value::Text(text) if text == "reused" => Some(InstanceMode::Reused),
        _ => {
            let message =
                format!("`mode` of {} must be `fresh` or `reused`, not {}", section.what, node.shown());
            reader.report_at(node.place, message);
            None
        }
    }
}

/// The ceilings: the defaults, changed by what the file says.
pub(super) fn read_limits(executor: &Section<'_>, reader: &mut Reader) -> Limits {
    let mut limits = Limits::default();
    let Some(node) = executor.get("limits") else { return limits };
    let what = format!("`limits` of {}", executor.what);
    let Some(section) = reader.section(node, what, keys::LIMITS) else { return limits };
    let mut wide = |key: &str, field: &mut u64, unit: Unit, most: u64| {
        if let Some(value) = reader.number(&section, key, Range::new(unit, 1, most)) {
            *field = value;
        }
    };
    wide("fuel", &mut limits.fuel, Unit::Count, MAX_FUEL);
    wide("wall_time_ms", &mut limits.wall_time_ms, Unit::Time, MAX_TIME_MS);
    wide("memory_bytes", &mut limits.memory_bytes, Unit::Bytes, MAX_MEMORY);
    wide("host_call_bytes", &mut limits.host_call_bytes, Unit::Bytes, MAX_MEMORY);
    wide("written_bytes", &mut limits.written_bytes, Unit::Bytes, MAX_MEMORY);
    let mut narrow = |key: &str, field: &mut u32, unit: Unit, least: u64, most: u64| {
        if let Some(value) = reader.small(&section, key, Range::new(unit, least, most)) {
            *field = value;
        }
    };
    narrow("table_elements", &mut limits.table_elements, Unit::Count, 0, 10_000_000);
    narrow("core_instances", &mut limits.core_instances, Unit::Count, 1, 1000);
    narrow("documents", &mut limits.documents, Unit::Count, 1, 1 << 26);
    narrow("columns", &mut limits.columns, Unit::Count, 1, 1 << 16);
    narrow("log_line_bytes", &mut limits.log_line_bytes, Unit::Bytes, 0, 1 << 20);
    narrow("log_lines", &mut limits.log_lines, Unit::Count, 0, 1_000_000);
    limits
}
