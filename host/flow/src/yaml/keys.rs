//! Which keys stand where, and what to say about those that do not.
//!
//! Jina's keys as of 3.34 are all here, so that a user who brings a flow along learns about each of them what became of
//! it.

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It is read.
    Taken,
    /// It has no effect here, for this reason.
    Ignored(&'static str),
    /// It belongs to later work: an error, because a flow without it would do something else.
    Later,
    /// It makes no sense for components: what to do instead.
    Refused(&'static str),
}

use Rule::{Ignored, Later, Refused, Taken};

/// Keys and their rules, in the order of the documentation.
pub(super) type Table = &'static [(&'static str, Rule)];

const ONE_PROCESS: &str = "executors run inside this process";
const LOGS: &str = "logs are set on the command line";
const TELEMETRY: &str = "telemetry is set on the command line";
const SANDBOX: &str =
    "an executor is one `.wasm` file that holds all it needs: build its code and libraries into it";
const NO_CONTAINER: &str = "executors are sandboxed components and run without containers: remove it";
const NO_ENVIRONMENT: &str =
    "executors have no environment: pass values with `uses_with`, such as `key: ${{ ENV.KEY }}`";
const CLIENT_TLS: &str = "it is for clients: `ssl_certfile` and `ssl_keyfile` make the gateway speak TLS";
const GATEWAY_CODE: &str = "the gateway is part of the host and cannot be replaced: remove it";

const NO_VAULT: &str =
    "a flow file has no vault: pass the value with `uses_with`, such as `key: ${{ ENV.KEY }}`";

/// The top of the file.
pub(super) const ROOT: Table = &[
    ("jtype", Taken),
    ("version", Taken),
    ("with", Taken),
    ("gateway", Taken),
    ("executors", Taken),
    ("fuel", Taken),
    ("timeout", Taken),
    ("deployments", Refused("call the list `executors`")),
    ("pods", Refused("call the list `executors`")),
];

/// The top of a file with `jtype: Deployment`; its `with:` holds keys of an executor and of the gateway.
pub(super) const DEPLOYMENT: Table = &[
    ("jtype", Taken),
    ("version", Taken),
    ("with", Taken),
    ("fuel", Taken),
    ("timeout", Taken),
    ("executors", Refused("several executors make a flow: write `jtype: Flow`")),
    ("needs", Refused("a deployment alone has nobody to need: write `jtype: Flow`")),
    ("gateway", Refused("write its keys under `with:`")),
];

/// The YAML file of an executor, named by `uses:`.
pub(super) const EXECUTOR_FILE: Table = &[
    ("jtype", Taken),
    ("uses", Taken),
    ("with", Taken),
    ("requests", Taken),
    ("dynamic_batching", Taken),
    ("metas", Taken),
    ("version", Ignored("there is one version of the format")),
    ("py_modules", Ignored("the component holds its code")),
];

/// `with:` of the flow.
pub(super) const WITH: Table = &[
    ("name", Taken),
    ("port", Taken),
    ("host", Taken),
    ("protocol", Taken),
    ("prefetch", Taken),
    ("timeout_send", Taken),
    ("retries", Taken),
    ("title", Taken),
    ("description", Taken),
    ("env", Taken),
    ("cors", Taken),
    ("ssl_certfile", Taken),
    ("ssl_keyfile", Taken),
    ("expose_endpoints", Taken),
    ("no_crud_endpoints", Taken),
    ("no_debug_endpoints", Taken),
    ("max_message_bytes", Taken),
    ("max_concurrent_requests", Taken),
    ("protocols", Refused("call it `protocol`")),
    ("ports", Refused("call it `port`")),
    ("port_expose", Refused("call it `port`")),
    ("workspace", Ignored("executors have no file system")),
    ("quiet", Ignored(LOGS)),
    ("quiet_error", Ignored(LOGS)),
    ("log_config", Ignored(LOGS)),
    ("reload", Ignored("reloading is asked for on the command line")),
    ("inspect", Ignored("there is nothing to inspect with")),
    ("monitoring", Ignored(TELEMETRY)),
    ("port_monitoring", Ignored(TELEMETRY)),
    ("tracing", Ignored(TELEMETRY)),
    ("metrics", Ignored(TELEMETRY)),
    ("traces_exporter_host", Ignored(TELEMETRY)),
    ("traces_exporter_port", Ignored(TELEMETRY)),
    ("metrics_exporter_host", Ignored(TELEMETRY)),
    ("metrics_exporter_port", Ignored(TELEMETRY)),
    ("compression", Ignored("each client chooses the compression of its messages")),
    ("uvicorn_kwargs", Ignored("the gateway is not a Python server")),
    ("grpc_server_options", Ignored("the gateway is not a Python server")),
    ("grpc_channel_options", Ignored(ONE_PROCESS)),
    ("timeout_ready", Ignored("the flow is ready when all its executors are")),
    ("timeout_ctrl", Ignored(ONE_PROCESS)),
    ("exit_on_exceptions", Ignored("an executor's error never ends the process")),
    ("optout_telemetry", Ignored("nothing is reported to anybody")),
    ("docs_host", Ignored("nothing refers to it")),
    ("tls", Ignored(CLIENT_TLS)),
    ("expose_graphql_endpoint", Later),
    ("replicas", Later),
    ("stateful", Later),
    ("uses", Refused(GATEWAY_CODE)),
    ("uses_with", Refused(GATEWAY_CODE)),
    ("py_modules", Refused(GATEWAY_CODE)),
    ("env_from_secret", Refused(NO_ENVIRONMENT)),
    ("volumes", Refused(NO_CONTAINER)),
    ("gpus", Refused(NO_CONTAINER)),
    ("docker_kwargs", Refused(NO_CONTAINER)),
    ("entrypoint", Refused(NO_CONTAINER)),
    ("image_pull_secrets", Refused(NO_CONTAINER)),
];

/// One entry of `executors:`.
pub(super) const EXECUTOR: Table = &[
    ("name", Taken),
    ("uses", Taken),
    ("uses_with", Taken),
    ("needs", Taken),
    ("replicas", Taken),
    ("timeout_send", Taken),
    ("retries", Taken),
    ("no_reduce", Taken),
    ("disable_reduce", Taken),
    ("when", Taken),
    ("floating", Taken),
    ("shards", Taken),
    ("polling", Taken),
    ("uses_before", Taken),
    ("uses_after", Taken),
    ("uses_requests", Taken),
    ("uses_metas", Taken),
    ("limits", Taken),
    ("capabilities", Taken),
    ("instances", Taken),
    ("uses_dynamic_batching", Taken),
    ("method", Taken),
    ("external", Taken),
    ("host", Taken),
    ("port", Taken),
    ("tls", Taken),
    ("grpc_metadata", Taken),
    ("timeout_ready", Taken),
    ("protocol", Ignored(ONE_PROCESS)),
    ("quiet", Ignored(LOGS)),
    ("quiet_error", Ignored(LOGS)),
    ("log_config", Ignored(LOGS)),
    ("workspace", Ignored("executors have no file system")),
    ("reload", Ignored("reloading is asked for on the command line")),
    ("monitoring", Ignored(TELEMETRY)),
    ("port_monitoring", Ignored(TELEMETRY)),
    ("tracing", Ignored(TELEMETRY)),
    ("metrics", Ignored(TELEMETRY)),
    ("timeout_ctrl", Ignored(ONE_PROCESS)),
    ("exit_on_exceptions", Ignored("an executor's error never ends the process")),
    ("allow_concurrent", Ignored("each instance serves one call, `replicas` says how many at once")),
    ("prefer_platform", Ignored("components run on every platform")),
    ("grpc_channel_options", Ignored(ONE_PROCESS)),
    ("output_array_type", Ignored("arrays keep the type that the executor wrote")),
    ("stateful", Later),
    ("peer_ports", Later),
    ("raft_configuration", Later),
    ("parallel", Refused("call it `replicas`")),
    ("dynamic_batching", Refused("call it `uses_dynamic_batching`")),
    ("py_modules", Refused(SANDBOX)),
    ("install_requirements", Refused(SANDBOX)),
    ("force_update", Refused(SANDBOX)),
    ("env", Refused(NO_ENVIRONMENT)),
    ("env_from_secret", Refused(NO_ENVIRONMENT)),
    ("volumes", Refused(NO_CONTAINER)),
    ("gpus", Refused(NO_CONTAINER)),
    ("docker_kwargs", Refused(NO_CONTAINER)),
    ("entrypoint", Refused(NO_CONTAINER)),
    ("image_pull_secrets", Refused(NO_CONTAINER)),
];

const AUTHORS: &str = "that is the component's own affair";

/// `uses_metas:` of an executor.
pub(super) const METAS: Table = &[
    ("name", Taken),
    ("description", Taken),
    ("workspace", Ignored("executors have no file system")),
    ("py_modules", Ignored(AUTHORS)),
    ("version", Ignored(AUTHORS)),
    ("url", Ignored(AUTHORS)),
    ("keywords", Ignored(AUTHORS)),
];

/// `instances:` of an executor.
pub(super) const INSTANCES: Table = &[
    ("min", Taken),
    ("max", Taken),
    ("mode", Taken),
    ("queue", Taken),
    ("grow_after", Taken),
    ("idle", Taken),
    ("max_calls", Taken),
    ("max_memory", Taken),
];

/// An endpoint of `uses_dynamic_batching:`.
pub(super) const BATCHING: Table = &[
    ("preferred_batch_size", Taken),
    ("preferred_batch_bytes", Taken),
    ("timeout", Taken),
    ("flush_all", Taken),
    ("max_waiting", Taken),
    ("isolate_failures", Taken),
    ("use_dynamic_batching", Taken),
    ("use_custom_metric", Taken),
    (
        "custom_metric",
        Refused("it would be a Python function: `preferred_batch_bytes` weighs documents by their bytes"),
    ),
];

/// `limits:` of an executor.
pub(super) const LIMITS: Table = &[
    ("fuel", Taken),
    ("wall_time_ms", Taken),
    ("memory_bytes", Taken),
    ("table_elements", Taken),
    ("core_instances", Taken),
    ("host_call_bytes", Taken),
    ("written_bytes", Taken),
    ("documents", Taken),
    ("columns", Taken),
    ("log_line_bytes", Taken),
    ("log_lines", Taken),
];

/// `capabilities:` of an executor.
pub(super) const CAPABILITIES: Table = &[
    ("http", Taken),
    ("key_value", Taken),
    ("clock", Taken),
    ("random", Taken),
    ("secrets", Refused(NO_VAULT)),
];

/// `http:` of the capabilities.
pub(super) const HTTP: Table =
    &[("hosts", Taken), ("private_networks", Taken), ("requests_per_call", Taken), ("response_bytes", Taken)];

/// `key_value:` of the capabilities.
pub(super) const KEY_VALUE: Table = &[("bytes", Taken)];

/// Where else a key could have been meant, and how messages call that place.
pub(super) const HOMES: &[(Table, &str)] = &[
    (ROOT, "at the top of the file"),
    (WITH, "under `with:`"),
    (EXECUTOR, "under an entry of `executors:`"),
    (INSTANCES, "under `instances:` of an executor"),
    (BATCHING, "under an endpoint of `uses_dynamic_batching:`"),
    (LIMITS, "under `limits:` of an executor"),
    (CAPABILITIES, "under `capabilities:` of an executor"),
    (HTTP, "under `http:` of the capabilities"),
];

/// Where a flow file has a key, in the words of messages, and what becomes of it there.
pub fn find_key(key: &str) -> Vec<(&'static str, Rule)> {
    HOMES.iter().filter_map(|(table, place)| Some((*place, rule(table, key)?))).collect()
}

/// The rule for a key.
pub(super) fn rule(table: Table, key: &str) -> Option<Rule> {
    table.iter().find(|(name, _)| *name == key).map(|(_, rule)| *rule)
}

#[cfg(test)]
mod tests {
    use lockgate_domain::Limits;

    use super::*;
    use crate::yaml::tree::Value;
    use crate::yaml::units::{self, Unit};

    const PAGE: &str = include_str!("../../../docs/reference/flow.md");

    /// Rows of all tables under a heading, without the tables' heads.
    fn rows(heading: &str) -> Vec<Vec<&'static str>> {
        let after = PAGE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}")).1;
        let section = after.split("\n## ").next().unwrap();
        let lines = section.lines().filter(|line| line.starts_with("| `"));
        lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    #[test]
    fn the_reference_knows_every_key_and_no_other() {
        let check = |heading: &str, table: Table| {
            let rows = rows(heading);
            let (taken, rest): (Vec<_>, Vec<_>) = table.iter().partition(|(_, rule)| *rule == Taken);
            let keys = taken.iter().chain(&rest).map(|(key, _)| format!("`{key}`"));
            let found: Vec<&str> = rows.iter().map(|row| row[0]).collect();
            assert_eq!(found, keys.collect::<Vec<_>>(), "{heading}");
            for (row, (_, rule)) in rows.iter().zip(taken.iter().chain(&rest)) {
                match rule {
                    Taken => assert!(
                        row.len() == 5 && row.iter().all(|cell| !cell.is_empty()),
                        "{heading}: {row:?}"
                    ),
                    Ignored(reason) => assert_eq!(row[1..], ["ignored", reason]),
                    Later => assert_eq!(row[1..], ["not yet", "remove it"]),
                    Refused(hint) => assert_eq!(row[1..], ["refused", hint]),
                }
            }
        };
        check("The file", ROOT);
        check("A deployment", DEPLOYMENT);
        check("An executor's file", EXECUTOR_FILE);
        check("`with` and `gateway`", WITH);
        check("An executor", EXECUTOR);
        check("`uses_metas`", METAS);
        check("`instances`", INSTANCES);
        check("`uses_dynamic_batching`", BATCHING);
        check("`limits`", LIMITS);
        check("`capabilities`", CAPABILITIES);
        check("`http`", HTTP);
        check("`key_value`", KEY_VALUE);
    }

    #[test]
    fn limits_are_those_of_the_domain_with_their_defaults() {
        let names: Vec<&str> = LIMITS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, Limits::FIELDS);
        let defaults = serde_json::to_value(Limits::default()).unwrap();
        for row in rows("`limits`") {
            let unit = match row[1] {
                "count" => Unit::Count,
                "size" => Unit::Bytes,
                "time" => Unit::Time,
                other => panic!("{other} is no unit"),
            };
            let told = units::parse(&Value::Text(row[2].trim_matches('`').to_owned()), unit);
            assert_eq!(told, defaults[row[0].trim_matches('`')].as_u64(), "{row:?}");
        }
    }
}
