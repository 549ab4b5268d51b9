//! Every metric name and attribute there is, in one place.
//!
//! Names are dotted, lower-case and carry their unit; attributes take values from bounded sets only (never a request
//! id, a path as sent, or a guest's text), so that a stranger cannot grow the number of series.

/// counter: requests answered, by protocol and outcome
pub const REQUESTS: &str = "lockgate.requests";
/// histogram, milliseconds: from the first byte of a request to its answer
pub const REQUEST_DURATION_MS: &str = "lockgate.request.duration_ms";
/// gauge: requests being worked on
pub const REQUESTS_IN_FLIGHT: &str = "lockgate.requests.in_flight";
/// counter: calls of executors, by executor and outcome
pub const INVOCATIONS: &str = "lockgate.invocations";
/// histogram, milliseconds: one call of an executor, waiting included
pub const INVOCATION_DURATION_MS: &str = "lockgate.invocation.duration_ms";
/// counter: fuel burned, by executor
pub const FUEL: &str = "lockgate.fuel";
/// gauge: live instances, by executor and state (`idle`, `busy`)
pub const INSTANCES: &str = "lockgate.instances";
/// gauge: requests waiting for an instance, by executor
pub const QUEUE_LENGTH: &str = "lockgate.queue.length";
/// histogram, milliseconds: how long a request waited for an instance
pub const QUEUE_WAIT_MS: &str = "lockgate.queue.wait_ms";
/// counter: instances retired, by executor and reason
pub const RETIRED: &str = "lockgate.instances.retired";
/// counter: plan swaps
pub const SWAPS: &str = "lockgate.swaps";

/// attribute: name of the stage's executor
pub const EXECUTOR: &str = "executor.name";
/// attribute: `grpc`, `http` or `websocket`
pub const PROTOCOL: &str = "protocol";
/// attribute: `ok` or an error code of `lockgate_domain::ErrorCode`
pub const OUTCOME: &str = "outcome";
/// attribute: why an instance was retired
pub const REASON: &str = "reason";

/// All metrics, for the generated reference.
pub const METRICS: &[&str] = &[
    REQUESTS,
    REQUEST_DURATION_MS,
    REQUESTS_IN_FLIGHT,
    INVOCATIONS,
    INVOCATION_DURATION_MS,
    FUEL,
    INSTANCES,
    QUEUE_LENGTH,
    QUEUE_WAIT_MS,
    RETIRED,
    SWAPS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        for (index, name) in METRICS.iter().enumerate() {
            assert!(name.starts_with("lockgate."), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '_'), "{name}");
            assert!(!METRICS[..index].contains(name), "{name} is there twice");
        }
    }
}
