//! Every metric that a host exports, in one place, as data.
//!
//! A metric that is not in [`METRICS`] cannot get onto the page (see [`crate::page`]), and the reference in
//! `host/docs/reference/metrics.md` lists exactly these. Labels take values from bounded sets only (never a request
//! id, a path as sent, or a guest's text of any length), so that a stranger cannot grow the number of series.

/// How a metric's value moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// only grows, and begins at zero again when what it counts is replaced
    Counter,
    /// what is now
    Gauge,
}

impl Kind {
    /// The word in the text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        }
    }
}

/// One exported metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name as Prometheus sees it.
    pub name: &'static str,
    /// How its value moves.
    pub kind: Kind,
    /// One line for people.
    pub help: &'static str,
    /// The names of its labels, in the order in which [`crate::page::Page::add`] takes their values.
    pub labels: &'static [&'static str],
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, help, labels }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help, labels }
}

const NONE: &[&str] = &[];
const EXECUTOR: &[&str] = &["executor"];
const GUEST: &[&str] = &["executor", "name"];
const BATCH: &[&str] = &["executor", "reason"];
const TENANT_BATCH: &[&str] = &["tenant", "executor", "reason"];
const CODE: &[&str] = &["code"];
const ADDRESS: &[&str] = &["executor", "address"];
const ADDRESS_STATE: &[&str] = &["executor", "address", "state"];
const EXECUTOR_CODE: &[&str] = &["executor", "code"];
const TENANT: &[&str] = &["tenant"];
const TENANT_EXECUTOR: &[&str] = &["tenant", "executor"];

/// The gateway: requests admitted and not answered.
pub const REQUESTS_IN_FLIGHT: Metric =
    gauge("lockgate_requests_in_flight", NONE, "Requests that the gateway works on.");
/// The gateway: bytes accounted for by admission.
pub const BYTES_HELD: Metric =
    gauge("lockgate_bytes_held", NONE, "Bytes of requests held until their replies have left, in whole KiB.");
/// The gateway: requests turned away at the door.
pub const REFUSED: Metric =
    counter("lockgate_refused_total", NONE, "Requests refused at the door because the gateway was full.");
/// The gateway: whether it is on its way out.
pub const DRAINING: Metric = gauge("lockgate_draining", NONE, "1 while the gateway drains, else 0.");
/// Floating stages: requests whose are at work.
pub const FLOATING: Metric =
    gauge("lockgate_floating", NONE, "Requests whose floating executors are at work.");
/// Floating stages: requests that found no place for theirs.
pub const FLOATING_REFUSED: Metric = counter(
    "lockgate_floating_refused_total",
    NONE,
    "Requests refused because too many floating executors were at work.",
);
/// A pool: calls that reached a guest.
pub const CALLS: Metric = counter("lockgate_calls_total", EXECUTOR, "Calls that reached a guest.");
/// A pool: calls that cost an instance.
pub const TRAPS: Metric = counter(
    "lockgate_traps_total",
    EXECUTOR,
    "Calls after which the instance was thrown away: traps, limits, deadlines, callers that left.",
);
/// A pool: errors of the executor's own.
pub const GUEST_ERRORS: Metric = counter(
    "lockgate_guest_errors_total",
    EXECUTOR,
    "Calls that the executor answered with an error of its own.",
);
/// A pool: calls that found no instance.
pub const SHED: Metric = counter(
    "lockgate_shed_total",
    EXECUTOR,
    "Calls refused because the queue was full or the wait for an instance too long.",
);
/// A pool: fuel.
pub const FUEL: Metric = counter("lockgate_fuel_total", EXECUTOR, "Fuel burned by calls that ended well.");
/// A pool: instances built.
pub const BUILT: Metric = counter("lockgate_instances_built_total", EXECUTOR, "Instances built.");
/// A pool: instances retired after a good call.
pub const RECYCLED: Metric = counter(
    "lockgate_instances_recycled_total",
    EXECUTOR,
    "Sound instances retired after a call: fresh mode, number of calls, memory.",
);
/// A pool: instances retired for their age.
pub const EXPIRED: Metric =
    counter("lockgate_instances_expired_total", EXECUTOR, "Idle instances retired because nobody used them.");
/// A pool: instances there are.
pub const INSTANCES: Metric =
    gauge("lockgate_instances", EXECUTOR, "Instances that exist or are being built.");
/// A pool: instances without a call.
pub const INSTANCES_IDLE: Metric = gauge("lockgate_instances_idle", EXECUTOR, "Instances without a call.");
/// A pool: the queue.
pub const WAITING: Metric = gauge("lockgate_waiting", EXECUTOR, "Calls that wait for an instance.");
/// A guest's own counters.
pub const GUEST_COUNTER: Metric =
    counter("lockgate_guest_counter_total", GUEST, "Sum of what guests recorded in a counter of their own.");
/// A guest's own gauges.
pub const GUEST_GAUGE: Metric =
    gauge("lockgate_guest_gauge", GUEST, "Last value that a guest recorded in a gauge of its own.");
/// A guest's own histograms: their sum.
pub const GUEST_OBSERVED: Metric = counter(
    "lockgate_guest_observed_total",
    GUEST,
    "Sum of what guests recorded in a histogram of their own.",
);
/// A guest's own histograms: their number of records.
pub const GUEST_OBSERVATIONS: Metric = counter(
    "lockgate_guest_observations_total",
    GUEST,
    "How often guests recorded a value in a histogram of their own.",
);
/// What guests recorded in vain.
pub const GUEST_DROPPED: Metric = counter(
    "lockgate_guest_dropped_total",
    EXECUTOR,
    "Records of guests that were dropped for their name, value or number.",
);
/// A batcher: batches.
pub const BATCHES: Metric = counter(
    "lockgate_batches_total",
    BATCH,
    "Batches that were sent to an executor, by why they waited no longer.",
);
/// A batcher: requests.
pub const BATCHED_REQUESTS: Metric =
    counter("lockgate_batched_requests_total", EXECUTOR, "Requests in these batches.");
/// A batcher: documents.
pub const BATCHED_DOCUMENTS: Metric = counter(
    "lockgate_batched_documents_total",
    EXECUTOR,
    "Documents in these batches; over the number of batches it is how large they are.",
);
/// A batcher: requests that had to run alone.
pub const BATCH_RERUNS: Metric = counter(
    "lockgate_batch_reruns_total",
    EXECUTOR,
    "Requests that ran again on their own because their batch failed.",
);
/// A batcher: the queue.
pub const BATCH_WAITING: Metric =
    gauge("lockgate_batch_waiting", EXECUTOR, "Requests that wait for others to share a call with.");
/// An external executor: calls that were sent.
pub const EXTERNAL_CALLS: Metric =
    counter("lockgate_external_calls_total", ADDRESS, "Calls that were sent to an external executor.");
/// An external executor: time of these calls.
pub const EXTERNAL_SECONDS: Metric = counter(
    "lockgate_external_seconds_total",
    ADDRESS,
    "Seconds that these calls took until they were over, whatever came of them; streams to their end.",
);
/// An external executor: calls without an answer yet.
pub const EXTERNAL_IN_FLIGHT: Metric =
    gauge("lockgate_external_in_flight", ADDRESS, "Calls that wait for an external executor.");
/// An external executor: calls that came to nothing, at whatever address.
pub const EXTERNAL_FAILURES: Metric = counter(
    "lockgate_external_failures_total",
    EXECUTOR_CODE,
    "Calls of an external executor that failed, those too that no address could be sent, by the code of the error.",
);
/// An external executor: what is known of each address.
pub const EXTERNAL_ADDRESS: Metric = gauge(
    "lockgate_external_address",
    ADDRESS_STATE,
    "1 for the state that an address of an external executor is in, 0 for the others.",
);
/// The control API: requests worked on.
pub const CONTROL_REQUESTS_IN_FLIGHT: Metric =
    gauge("lockgate_control_requests_in_flight", NONE, "Requests that the control API works on.");
/// The control API: requests refused or failed.
pub const CONTROL_REFUSED: Metric = counter(
    "lockgate_control_refused_total",
    CODE,
    "Requests to the control API that were refused or failed, by the code of the error.",
);
/// The control API: uploads.
pub const UPLOADS_IN_FLIGHT: Metric =
    gauge("lockgate_uploads_in_flight", NONE, "Uploads of components under way.");
/// The registry: tenants.
pub const TENANTS: Metric = gauge("lockgate_tenants", NONE, "Tenants of the host.");
/// The registry: components.
pub const STORED_COMPONENTS: Metric =
    gauge("lockgate_components", NONE, "Components that tenants keep, once for each tenant.");
/// The registry: bytes.
pub const STORED_BYTES: Metric =
    gauge("lockgate_stored_bytes", NONE, "Bytes that count against the tenants' quotas of stored bytes.");
/// The registry: executors.
pub const STORED_EXECUTORS: Metric = gauge("lockgate_executors", NONE, "Executors of all tenants.");
/// The registry: flows.
pub const STORED_FLOWS: Metric = gauge("lockgate_flows", NONE, "Flows of all tenants.");

/// A host with tenants: revisions whose code is in memory.
pub const RESIDENT: Metric = gauge("lockgate_resident", NONE, "Revisions whose code is in memory.");
/// A host with tenants: code that came into memory.
pub const OPENED: Metric =
    counter("lockgate_opened_total", NONE, "How often the code of a revision came into memory.");
/// A host with tenants: code that left memory.
pub const EVICTED: Metric = counter(
    "lockgate_evicted_total",
    NONE,
    "How often the code of a revision left memory because nobody used it.",
);
/// A tenant: requests in progress.
pub const TENANT_REQUESTS: Metric =
    gauge("lockgate_tenant_requests_in_flight", TENANT, "Requests of the tenant that are worked on.");
/// A tenant: requests beyond a quota.
pub const TENANT_REFUSED: Metric = counter(
    "lockgate_tenant_refused_total",
    TENANT,
    "Requests of the tenant that were refused at the door because a quota was used up.",
);
/// A tenant: memory of its instances.
pub const TENANT_MEMORY: Metric =
    gauge("lockgate_tenant_memory_bytes", TENANT, "Bytes of linear memory of the tenant's live instances.");
/// A tenant: time that its guests computed.
pub const TENANT_PROCESSOR: Metric = counter(
    "lockgate_tenant_processor_seconds_total",
    TENANT,
    "Seconds that the tenant's guests computed, on all cores together.",
);
/// A tenant's executor: calls that reached a guest.
pub const TENANT_CALLS: Metric = counter(
    "lockgate_tenant_calls_total",
    TENANT_EXECUTOR,
    "Calls of the tenant's executor that reached a guest.",
);
/// A tenant's executor: calls that cost an instance.
pub const TENANT_TRAPS: Metric = counter(
    "lockgate_tenant_traps_total",
    TENANT_EXECUTOR,
    "Calls of the tenant's executor after which the instance was thrown away.",
);
/// A tenant's executor: calls that found no instance.
pub const TENANT_SHED: Metric = counter(
    "lockgate_tenant_shed_total",
    TENANT_EXECUTOR,
    "Calls of the tenant's executor refused because no instance came free.",
);
/// A tenant's executor: fuel.
pub const TENANT_FUEL: Metric = counter(
    "lockgate_tenant_fuel_total",
    TENANT_EXECUTOR,
    "Fuel burned by calls of the tenant's executor that ended well.",
);
/// A tenant's executor: instances there are.
pub const TENANT_INSTANCES: Metric = gauge(
    "lockgate_tenant_instances",
    TENANT_EXECUTOR,
    "Instances of the tenant's executor that exist or are being built.",
);
/// A tenant's executor: the queue.
pub const TENANT_WAITING: Metric = gauge(
    "lockgate_tenant_waiting",
    TENANT_EXECUTOR,
    "Calls of the tenant's executor that wait for an instance.",
);
/// A tenant's batchers: batches.
pub const TENANT_BATCHES: Metric = counter(
    "lockgate_tenant_batches_total",
    TENANT_BATCH,
    "Batches of stages of the tenant's flows, by why they waited no longer.",
);
/// A tenant's batchers: requests.
pub const TENANT_BATCHED_REQUESTS: Metric =
    counter("lockgate_tenant_batched_requests_total", TENANT_EXECUTOR, "Requests in these batches.");
/// A tenant's batchers: documents.
pub const TENANT_BATCHED_DOCUMENTS: Metric =
    counter("lockgate_tenant_batched_documents_total", TENANT_EXECUTOR, "Documents in these batches.");

/// All metrics, in the order of the page and of the reference.
pub const METRICS: &[Metric] = &[
    REQUESTS_IN_FLIGHT,
    BYTES_HELD,
    REFUSED,
    DRAINING,
    FLOATING,
    FLOATING_REFUSED,
    CALLS,
    TRAPS,
    GUEST_ERRORS,
    SHED,
    FUEL,
    BUILT,
    RECYCLED,
    EXPIRED,
    INSTANCES,
    INSTANCES_IDLE,
    WAITING,
    GUEST_COUNTER,
    GUEST_GAUGE,
    GUEST_OBSERVED,
    GUEST_OBSERVATIONS,
    GUEST_DROPPED,
    BATCHES,
    BATCHED_REQUESTS,
    BATCHED_DOCUMENTS,
    BATCH_RERUNS,
    BATCH_WAITING,
    EXTERNAL_CALLS,
    EXTERNAL_SECONDS,
    EXTERNAL_IN_FLIGHT,
    EXTERNAL_FAILURES,
    EXTERNAL_ADDRESS,
    CONTROL_REQUESTS_IN_FLIGHT,
    CONTROL_REFUSED,
    UPLOADS_IN_FLIGHT,
    TENANTS,
    STORED_COMPONENTS,
    STORED_BYTES,
    STORED_EXECUTORS,
    STORED_FLOWS,
    RESIDENT,
    OPENED,
    EVICTED,
    TENANT_REQUESTS,
    TENANT_REFUSED,
    TENANT_MEMORY,
    TENANT_PROCESSOR,
    TENANT_CALLS,
    TENANT_TRAPS,
    TENANT_SHED,
    TENANT_FUEL,
    TENANT_INSTANCES,
    TENANT_WAITING,
    TENANT_BATCHES,
    TENANT_BATCHED_REQUESTS,
    TENANT_BATCHED_DOCUMENTS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        for (index, metric) in METRICS.iter().enumerate() {
            let name = metric.name;
            assert!(name.starts_with("lockgate_"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '\\']), "{name}");
            assert!(METRICS[..index].iter().all(|other| other.name != name), "{name} is there twice");
        }
    }

    /// The rows of the reference's table, `name | kind | labels | help`.
    fn rows(reference: &str) -> Vec<[String; 4]> {
        let cells = |line: &str| {
            let cells: Vec<_> =
                line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
            cells.try_into().unwrap_or_else(|cells| panic!("four cells, not {cells:?}"))
        };
        reference.lines().filter(|line| line.starts_with("| `")).map(cells).collect()
    }

    #[test]
    fn the_reference_lists_exactly_these() {
        let expected: Vec<[String; 4]> = METRICS
            .iter()
            .map(|m| [m.name.into(), m.kind.as_str().into(), m.labels.join(", "), m.help.into()])
            .collect();
        assert_eq!(rows(include_str!("../../docs/reference/metrics.md")), expected);
    }
}
