//! `lockgate inspect`: what a component is, asks for and would be given.

use std::path::PathBuf;

use clap::Args;
use lockgate_domain::manifest::EndpointManifest;
use lockgate_node::{Inspection, Node, Signals};
use serde_json::{Value, json};

use crate::builder::{self, Source};
use crate::cache::node_options;
use crate::commands::build::signals_failed;
use crate::console::{ACCENT, Console, ERROR, FAINT, GOOD, HEADING};
use crate::failure::{Failure, Report};
use crate::measures;
use crate::progress::Progress;

/// Show what a component is, and what it would be granted
#[derive(Debug, Args)]
#[command(
    after_help = "A source folder is built first.\n\nExamples:\n  lockgate inspect upper.wasm\n  lockgate inspect executors/upper\n  lockgate inspect upper.wasm --json | jq .manifest.endpoints"
)]
pub(crate) struct InspectArguments {
    /// A component, or a folder with its sources
    #[arg(value_name = "X.wasm|FOLDER")]
    component: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Where compiled components are kept [default: lockgate in the user's cache folder]
    #[arg(long, value_name = "FOLDER", env = "LOCKGATE_CACHE_DIR", hide_env_values = true)]
    cache_dir: Option<PathBuf>,
}

pub(crate) async fn run(arguments: InspectArguments, console: &Console) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(signals_failed)?;
    let work = async {
        let source = Source::find(&arguments.component)?;
        let name = arguments.component.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let path = builder::build(&name, &source, &Progress::new(console)).await?;
        let node = Node::new(node_options(arguments.cache_dir.as_deref()))?;
        let inspection = node.inspect(&path).await.map_err(|problem| {
            Failure::from(Report::new(format!("{} cannot run here", path.display())).problem(&problem))
        })?;
        if arguments.json {
            return console.line(to_json(&inspection));
        }
        describe(&inspection).iter().try_for_each(|line| console.line(line))
    };
    builder::unless_interrupted(&mut signals, work).await
}

fn to_json(inspection: &Inspection) -> Value {
    let imports: Vec<Value> = inspection
        .imports()
        .map(|import| {
            let needs = import.needs.map(|kind| kind.as_str());
            json!({ "interface": import.name, "owner": import.owner, "granted": import.is_granted, "needs": needs })
        })
        .collect();
    json!({
        "digest": inspection.digest().to_string(),
        "bytes": inspection.size(),
        "manifest": inspection.manifest(),
        "imports": imports,
        "exports": inspection.exports(),
        "compile_ms": inspection.compile_time().as_secs_f64() * 1e3,
        "from_cache": inspection.is_from_cache(),
        "instance": { "memories": inspection.memories(), "tables": inspection.tables() },
    })
}

fn describe(inspection: &Inspection) -> Vec<String> {
    let manifest = inspection.manifest();
    let name = if manifest.name.is_empty() { "(without a name)" } else { &manifest.name };
    let (name, version) = (measures::one_line(name), measures::one_line(&manifest.version));
    let mut lines = vec![format!("{HEADING}{name}{HEADING:#} {version}").trim_end().to_owned()];
    if !manifest.description.is_empty() {
        lines.push(format!("  {}", measures::one_line(&manifest.description)));
    }
    let compiled = measures::duration(inspection.compile_time());
    let how = if inspection.is_from_cache() { "mapped from the cache in" } else { "compiled in" };
    let state =
        if manifest.stateful { "stateful: one instance that lives as long as the flow" } else { "stateless" };
    for (label, value) in [
        ("digest", inspection.digest().to_string()),
        ("size", format!("{}, {how} {compiled}", measures::bytes(inspection.size()))),
        (
            "instance",
            format!(
                "{}, {}",
                count(inspection.memories(), "memory", "memories"),
                count(inspection.tables(), "table", "tables")
            ),
        ),
        ("state", state.to_owned()),
    ] {
        lines.push(format!("  {FAINT}{label:<9}{FAINT:#} {value}"));
    }
    lines.push(String::new());
    lines.push(format!("{HEADING}endpoints{HEADING:#}"));
    if manifest.endpoints.is_empty() {
        lines.push(format!("  {FAINT}none: every request passes through unchanged{FAINT:#}"));
    }
    manifest.endpoints.iter().for_each(|endpoint| describe_endpoint(endpoint, &mut lines));
    lines.push(String::new());
    lines.push(format!("{HEADING}imports{HEADING:#}"));
    for import in inspection.imports() {
        let (style, verdict) = match import.needs {
            Some(_) => (ACCENT, "asks"),
            None if import.is_granted => (GOOD, "granted"),
            None => (ERROR, "denied"),
        };
        let mut what =
            meaning(import.name).map(|what| format!("  {FAINT}{what}{FAINT:#}")).unwrap_or_default();
        if let Some(kind) = import.needs {
            what.push_str(&format!("  {FAINT}(needs the capability {}){FAINT:#}", kind.as_str()));
        }
        lines.push(format!("  {style}{verdict:<8}{style:#} {}{what}", measures::one_line(import.name)));
    }
    lines
}

fn describe_endpoint(endpoint: &EndpointManifest, lines: &mut Vec<String>) {
    let streaming = if endpoint.streaming { " (streaming)" } else { "" };
    lines.push(format!("  {ACCENT}{}{ACCENT:#}{streaming}", measures::one_line(endpoint.name.as_str())));
    let columns = |columns: &[String]| measures::one_line(&columns.join(", "));
    let parameters =
        endpoint.parameters.as_ref().and_then(|schema| schema.get("properties")?.as_object().cloned());
    let parameters = parameters.map(|names| names.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    for (label, value) in [
        ("", measures::one_line(&endpoint.description)),
        ("reads", columns(&endpoint.reads)),
        ("writes", columns(&endpoint.writes)),
        ("parameters", columns(&parameters)),
    ] {
        if !value.is_empty() {
            lines.push(format!(
                "    {FAINT}{label}{FAINT:#}{}{value}",
                if label.is_empty() { "" } else { " " }
            ));
        }
    }
}

fn count(number: u32, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What an interface is good for, in the words of somebody who decides whether to run the component.
fn meaning(interface: &str) -> Option<&'static str> {
    const MEANINGS: &[(&str, &str)] = &[
        ("lockgate:executor/docs", "the documents of the call in progress"),
        ("lockgate:executor/request", "the request's id, headers and parameters"),
        ("lockgate:executor/host", "log, metrics, configuration"),
        ("lockgate:executor/types", "plain data"),
        ("lockgate:executor/key-value", "a store of its own"),
        ("wasi:http/", "requests to the hosts that it is granted"),
        ("wasi:clocks/", "what time it is"),
        ("wasi:random/", "random numbers"),
        ("wasi:cli/environment", "an empty environment, no arguments"),
        ("wasi:cli/stdin", "an empty input"),
        ("wasi:cli/stdout", "goes to the log"),
        ("wasi:cli/stderr", "goes to the log"),
        ("wasi:cli/exit", "ends the instance"),
        ("wasi:filesystem/", "an empty file system: no folder is opened"),
        ("wasi:io/", "plumbing of other interfaces"),
        ("wasi:cli/terminal", "no terminal"),
    ];
    MEANINGS.iter().find(|(prefix, _)| interface.starts_with(prefix)).map(|(_, what)| *what)
}
