//! What runs and how to reach it: for a person a table, URLs and a line to paste; for a program one JSON object.

use lockgate_domain::spec::{ComponentRole, InstanceMode, PoolOptions, Protocol};
use lockgate_domain::{EndpointName, FlowName, Limits};
use lockgate_node::{Deployment, Home, ServedPort, Stage};
use serde_json::{Map, Value, json};

use crate::call::target::DEFAULT_URL;
use crate::console::{ACCENT, FAINT, HEADING};
use crate::measures;
use crate::table::{Align, Table};
use crate::up::listen::callable;

/// Endpoints of one stage that fit into the table.
const SHOWN_ENDPOINTS: usize = 4;
/// Endpoints that make a good first call, best first.
const INVITING: &[&str] = &["/search", "/", EndpointName::FALLBACK];

/// A URL of that protocol on a port.
pub(crate) fn url(port: &ServedPort, protocol: Protocol) -> String {
    let scheme = match protocol {
        Protocol::Grpc => "grpc",
        Protocol::Http => "http",
        Protocol::WebSocket => "ws",
    };
    format!("{scheme}{}://{}", if port.tls { "s" } else { "" }, callable(port.address))
}

/// Where that protocol is served, if it is.
fn find(ports: &[ServedPort], protocol: Protocol) -> Option<String> {
    let serves = |port: &&ServedPort| port.protocol.is_none_or(|only| only == protocol);
    ports.iter().find(serves).map(|port| url(port, protocol))
}

/// The stages as a table.
pub(crate) fn stages(deployment: &Deployment) -> Vec<String> {
    let mut table = Table::new(&[
        ("STAGE", Align::Left),
        ("SIZE", Align::Right),
        ("DIGEST", Align::Left),
        ("ENDPOINTS", Align::Left),
        ("NEEDS", Align::Left),
        ("INSTANCES", Align::Left),
        ("LIMITS", Align::Left),
        ("", Align::Left),
    ]);
    for stage in &deployment.stages {
        let needs: Vec<_> = stage.needs.iter().map(|need| need.as_str()).collect();
        let (size, digest, place, limits) = match &stage.home {
            Home::Here { size, digest, pool, .. } => (
                measures::bytes(*size),
                digest.hex().chars().take(12).collect(),
                match stage.shards {
                    1 => instances(pool),
                    shards => format!("{shards} shards of {}", instances(pool)),
                },
                limits(&stage.limits),
            ),
            Home::Elsewhere { addresses, connected } => {
                let first = measures::shorten(addresses.first().map_or("", String::as_str), 40);
                let more = match addresses.len() {
                    0 | 1 => String::new(),
                    count => format!(" and {} more, {connected} connected", count - 1),
                };
                (String::new(), "external".into(), first + &more, String::new())
            }
        };
        table.push(vec![
            match stage.role {
                ComponentRole::Main => stage.name.to_string(),
                role => format!("{} ({})", stage.name, role.key()),
            },
            size,
            digest,
            endpoints(stage),
            needs.join(", "),
            place,
            limits,
            if stage.is_kept { "unchanged".into() } else { String::new() },
        ]);
    }
    table.render(2)
}

/// Where the flow is, and a first call to paste.
pub(crate) fn addresses(flow: &FlowName, deployment: &Deployment, ports: &[ServedPort]) -> Vec<String> {
    let endpoint = first_endpoint(deployment);
    let places = if ports.len() == 1 { "one port".to_owned() } else { format!("{} ports", ports.len()) };
    let mut lines = vec![format!("{HEADING}{flow}{HEADING:#} is served on {places}:")];
    let http = find(ports, Protocol::Http);
    for port in ports {
        for (name, protocol) in
            [("HTTP", Protocol::Http), ("gRPC", Protocol::Grpc), ("WebSocket", Protocol::WebSocket)]
        {
            if port.protocol.is_none_or(|only| only == protocol) {
                lines.push(format!("  {name:<10} {ACCENT}{}{ACCENT:#}", url(port, protocol)));
            }
        }
    }
    if let Some(http) = &http {
        lines.push(format!("  {:<10} {ACCENT}{http}/docs{ACCENT:#}", "docs"));
    }
    lines.push(String::new());
    lines.push(format!("{HEADING}Try it:{HEADING:#}"));
    if let Some(http) = &http {
        lines.push(format!("  {}", curl(http, &endpoint)));
    }
    let called = [Protocol::Grpc, Protocol::Http, Protocol::WebSocket];
    let called = called.into_iter().find_map(|protocol| find(ports, protocol)).unwrap_or_default();
    let called = if called == DEFAULT_URL { String::new() } else { called + " " };
    lines.push(format!("  lockgate call {called}--endpoint {endpoint} --text 'hello world'"));
    lines.push(String::new());
    lines.push(format!("{FAINT}Ctrl-C drains and ends.{FAINT:#}"));
    lines
}

/// One line for programs: the flow is ready.
pub(crate) fn ready(flow: &FlowName, deployment: &Deployment, ports: &[ServedPort]) -> Value {
    let stages: Vec<Value> = deployment.stages.iter().map(stage_json).collect();
    let first = ports.first().map(|port| port.address);
    let mut urls = Map::new();
    for protocol in [Protocol::Http, Protocol::Grpc, Protocol::WebSocket] {
        if let Some(url) = find(ports, protocol) {
            urls.insert(protocol.as_str().to_owned(), url.into());
        }
    }
    if let Some(http) = find(ports, Protocol::Http) {
        urls.insert("docs".to_owned(), format!("{http}/docs").into());
    }
    json!({
        "event": "ready",
        "flow": flow.as_str(),
        "address": first.map(|address| address.to_string()),
        "port": first.map(|address| address.port()),
        "urls": urls,
        "endpoint": first_endpoint(deployment),
        "stages": stages,
    })
}

/// A stage for programs.
pub(crate) fn stage_json(stage: &Stage) -> Value {
    let names = |names: &[lockgate_domain::ExecutorName]| -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    };
    let endpoints: Vec<_> = stage.manifest.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    let mut told = json!({
        "name": stage.name.as_str(),
        "needs": names(&stage.needs),
        "endpoints": endpoints,
        "stateful": stage.manifest.stateful,
        "limits": stage.limits,
        "unchanged": stage.is_kept,
    });
    let home = match &stage.home {
        Home::Here { path, size, digest, pool } => json!({
            "component": path.to_string_lossy(),
            "bytes": size,
            "digest": digest.to_string(),
            "instances": { "min": pool.min, "max": pool.max, "mode": mode(pool) },
        }),
        Home::Elsewhere { addresses, connected } => {
            json!({ "external": { "addresses": addresses, "connected": connected } })
        }
    };
    if let (Value::Object(told), Value::Object(home)) = (&mut told, home) {
        told.extend(home);
        // Said only of those that are divided.
        if stage.shards > 1 {
            told.insert("shards".to_owned(), stage.shards.into());
        }
        if stage.role != ComponentRole::Main {
            told.insert("role".to_owned(), stage.role.key().into());
        }
    }
    told
}

fn endpoints(stage: &Stage) -> String {
    let all = &stage.manifest.endpoints;
    let mut names: Vec<_> =
        all.iter().take(SHOWN_ENDPOINTS).map(|endpoint| measures::one_line(endpoint.name.as_str())).collect();
    if let Some(more) = all.len().checked_sub(SHOWN_ENDPOINTS).filter(|more| *more > 0) {
        names.push(format!("+{more}"));
    }
    measures::shorten(&names.join(" "), 40)
}

fn instances(pool: &PoolOptions) -> String {
    if pool.min == pool.max {
        return format!("{} {}", pool.max, mode(pool));
    }
    format!("{}-{} {}", pool.min, pool.max, mode(pool))
}

fn mode(pool: &PoolOptions) -> &'static str {
    match pool.mode {
        InstanceMode::Fresh => "fresh",
        InstanceMode::Reused => "reused",
    }
}

fn limits(limits: &Limits) -> String {
    let seconds = std::time::Duration::from_millis(limits.wall_time_ms);
    format!(
        "{}, {} fuel, {}",
        measures::bytes(limits.memory_bytes),
        measures::count(limits.fuel),
        measures::duration(seconds)
    )
}

/// The endpoint that a newcomer should try: one that every flow of its kind has, else the first of the first stage.
fn first_endpoint(deployment: &Deployment) -> String {
    let serves = |name: &str| {
        deployment
            .stages
            .iter()
            .any(|stage| stage.manifest.endpoints.iter().any(|endpoint| endpoint.name.as_str() == name))
    };
    let first = || {
        let stage = deployment.stages.first()?;
        stage.manifest.endpoints.first().map(|endpoint| endpoint.name.to_string())
    };
    match INVITING.iter().find(|name| serves(name)) {
        Some(&EndpointName::FALLBACK) | None => first().filter(|name| name != EndpointName::FALLBACK),
        Some(name) => Some((*name).to_owned()),
    }
    .unwrap_or_else(|| "/".into())
}

/// A line for a shell. Endpoints are free of blanks; a quote in one is a quote too much for a hint.
fn curl(url: &str, endpoint: &str) -> String {
    let simple = endpoint.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-.".contains(&b));
    let path = if simple && endpoint != "/" { endpoint } else { "/post" };
    format!(
        "curl -s {url}{path} -H 'content-type: application/json' -d '{{\"data\": [{{\"text\": \"hello world\"}}]}}'"
    )
}

#[cfg(test)]
mod tests;
