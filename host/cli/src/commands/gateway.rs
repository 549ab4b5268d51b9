//! `lockgate gateway`: a gateway in front of executors that run elsewhere.
//!
//! Takes what Jina's gateway takes on its command line (its exports to Kubernetes write those words): addresses, who needs
//! whom, conditions. They are written as a flow whose executors are all external, and read like one.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::commands::up::{self, ServingArguments};
use crate::console::Console;
use crate::failure::{Failure, Report};
use crate::familiar::keys::{GatewayWords, KeyArguments};
use crate::flowfile::Origin;

/// Jina's names for the two ends of a graph.
const START: &str = "start-gateway";
const END: &str = "end-gateway";

/// Serve executors that run elsewhere
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "A gateway with executors of its own is a flow: 'lockgate up flow.yml'.\n\nExamples:\n  lockgate gateway --deployments-addresses '{\"encoder\": [\"10.0.0.7:8080\"]}'\n  lockgate gateway \\\n      --deployments-addresses '{\"a\": [\"10.0.0.7:8080\"], \"b\": [\"10.0.0.8:8080\"]}' \\\n      --graph-description \\\n      '{\"start-gateway\": [\"a\", \"b\"], \"a\": [\"end-gateway\"], \"b\": [\"end-gateway\"]}'"
)]
pub(crate) struct GatewayArguments {
    #[command(flatten)]
    words: KeyArguments<GatewayWords>,

    #[command(flatten)]
    serving: ServingArguments,

    /// Print one line of JSON on standard output when it is ready
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: GatewayArguments, console: &Console) -> Result<(), Failure> {
    let keys = flow(arguments.words.keys()).map_err(Failure::Usage)?;
    up::serve(&Origin::words(keys), &arguments.serving, arguments.json, console).await
}

/// The flow that the words describe.
fn flow(words: &Map<String, Value>) -> Result<Map<String, Value>, Report> {
    let addresses = object(words, "deployments_addresses")?.filter(|addresses| !addresses.is_empty());
    let Some(addresses) = addresses else {
        return Err(Report::new("a gateway needs executors to call")
            .hint("name them: --deployments-addresses '{\"encoder\": [\"10.0.0.7:8080\"]}'")
            .hint("a gateway with executors of its own is a flow: 'lockgate up flow.yml'"));
    };
    let needs = needs(object(words, "graph_description")?)?;
    if let Some(missing) =
        needs.iter().flatten().map(|(name, _)| *name).find(|name| !addresses.contains_key(*name))
    {
        return Err(Report::new(format!("--graph-description names {missing:?}, which has no address"))
            .hint("--deployments-addresses says where each executor is"));
    }
    let conditions = object(words, "graph_conditions")?;
    let metadata = object(words, "deployments_metadata")?;
    let no_reduce = match words.get("deployments_no_reduce") {
        None => Vec::new(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(_) => return Err(Report::new("--deployments-no-reduce must be a JSON list of names")),
    };
    let mut executors = Vec::new();
    for (name, written) in addresses {
        let mut entry = place(name, written)?;
        entry.insert("name".to_owned(), Value::from(name.as_str()));
        if let Some(needs) = &needs {
            let own = needs.get(name.as_str()).cloned().unwrap_or_default();
            entry.insert("needs".to_owned(), json!(if own.is_empty() { vec!["gateway"] } else { own }));
        }
        for (key, found) in [("when", conditions), ("grpc_metadata", metadata)] {
            if let Some(value) = found.and_then(|found| found.get(name)) {
                entry.insert(key.to_owned(), value.clone());
            }
        }
        if no_reduce.contains(&name.as_str()) {
            entry.insert("no_reduce".to_owned(), Value::Bool(true));
        }
        executors.push(Value::Object(entry));
    }
    let graph = [
        "deployments_addresses",
        "graph_description",
        "graph_conditions",
        "deployments_metadata",
        "deployments_no_reduce",
    ];
    let settings = words.iter().filter(|(key, _)| !graph.contains(&key.as_str()));
    let with: Map<String, Value> = settings.map(|(key, value)| (key.clone(), value.clone())).collect();
    let keys = [
        ("jtype", Value::from("Flow")),
        ("with", Value::Object(with)),
        ("executors", Value::Array(executors)),
    ];
    Ok(keys.map(|(key, value)| (key.to_owned(), value)).into_iter().collect())
}

fn object<'w>(words: &'w Map<String, Value>, key: &str) -> Result<Option<&'w Map<String, Value>>, Report> {
    match words.get(key) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Report::new(format!("--{} must be a JSON object", key.replace('_', "-")))
            .hint("'lockgate gateway --help' has examples")),
    }
}

/// Who needs whom, by who needs. Jina writes it the other way round.
fn needs(graph: Option<&Map<String, Value>>) -> Result<Option<BTreeMap<&str, Vec<&str>>>, Report> {
    let Some(graph) = graph else { return Ok(None) };
    let mut needs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in graph {
        let Value::Array(to) = to else {
            return Err(Report::new(format!("--graph-description: {from:?} must be a list of names")));
        };
        let from = if from == START { "gateway" } else { from.as_str() };
        for name in to.iter().filter_map(Value::as_str).filter(|name| *name != END) {
            needs.entry(name).or_default().push(from);
        }
    }
    Ok(Some(needs))
}

/// Where an external executor is, in the keys of a flow.
fn place(name: &str, written: &Value) -> Result<Map<String, Value>, Report> {
    let bad = || {
        Report::new(format!("--deployments-addresses: {name:?} must be a list of HOST:PORT"))
            .hint("such as {\"encoder\": [\"10.0.0.7:8080\"]}")
    };
    let addresses = match written {
        Value::Array(addresses) if !addresses.is_empty() => addresses.as_slice(),
        Value::String(_) => std::slice::from_ref(written),
        _ => return Err(bad()),
    };
    let mut hosts = Vec::new();
    for address in addresses {
        let address = address.as_str().ok_or_else(bad)?;
        let (scheme, rest) = address.split_once("://").unwrap_or(("grpc", address));
        if !matches!(scheme, "grpc" | "grpcs") {
            return Err(bad().hint("executors are called over gRPC"));
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(bad());
        }
        hosts.push(Value::from(format!("{scheme}://{rest}")));
    }
    let host = if hosts.len() == 1 { hosts.remove(0) } else { Value::Array(hosts) };
    let keys = [("external", Value::Bool(true)), ("host", host)];
    let entry = keys.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: Value) -> Result<Value, String> {
        let Value::Object(words) = words else { panic!("an object") };
        let flow = flow(&words).map(Value::Object);
        flow.map_err(|report| anstream::adapter::strip_str(&report.render()).to_string())
    }

    #[test]
    fn words_are_a_flow_of_external_executors() {
        let check = |words: Value, expected: Value| assert_eq!(told(words).unwrap(), expected);
        check(
            json!({"deployments_addresses": {"a": ["10.0.0.7:8080"]}, "title": "T"}),
            json!({"jtype": "Flow", "with": {"title": "T"},
                "executors": [{"external": true, "host": "grpc://10.0.0.7:8080", "name": "a"}]}),
        );
        check(
            json!({
                "deployments_addresses": {"a": ["grpc://h1:1", "h2:2"], "b": ["grpcs://h3:3"], "c": "h4:4"},
                "graph_description": {"start-gateway": ["a", "b"], "a": ["c"], "b": ["c"], "c": ["end-gateway"]},
                "graph_conditions": {"a": {"tags__x": {"$eq": 1}}},
                "deployments_no_reduce": ["c"],
            }),
            json!({"jtype": "Flow", "with": {}, "executors": [
                {"external": true, "host": ["grpc://h1:1", "grpc://h2:2"], "name": "a", "needs": ["gateway"],
                    "when": {"tags__x": {"$eq": 1}}},
                {"external": true, "host": "grpcs://h3:3", "name": "b", "needs": ["gateway"]},
                {"external": true, "host": "grpc://h4:4", "name": "c", "needs": ["a", "b"], "no_reduce": true},
            ]}),
        );
    }

    #[test]
    fn mistakes_name_the_option() {
        let check = |words: Value, expected: &str| {
            let told = told(words).unwrap_err();
            assert!(told.contains(expected), "{told}");
        };
        check(json!({}), "a gateway needs executors to call");
        check(json!({"deployments_addresses": {}}), "--deployments-addresses");
        check(json!({"deployments_addresses": "a"}), "--deployments-addresses must be a JSON object");
        check(json!({"deployments_addresses": {"a": ["h"]}}), "\"a\" must be a list of HOST:PORT");
        check(json!({"deployments_addresses": {"a": ["http://h:1"]}}), "over gRPC");
        check(
            json!({"deployments_addresses": {"a": ["h:1"]}, "graph_description": {"a": 1}}),
            "\"a\" must be a list",
        );
        check(
            json!({"deployments_addresses": {"a": ["h:1"]}, "graph_description": {"start-gateway": ["b"]}}),
            "--graph-description names \"b\", which has no address",
        );
    }
}
