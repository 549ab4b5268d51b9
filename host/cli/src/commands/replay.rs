//! `lockgate replay`: a kept request run again, and whether it came out the same.

use std::path::{Path, PathBuf};

use clap::Args;
use lockgate_node::{Capsule, Ending, Node, Signals, Verdict};
use serde_json::{Map, Value};

use crate::builder;
use crate::cache::node_options;
use crate::commands::build::signals_failed;
use crate::console::{Console, ERROR, FAINT, GOOD};
use crate::failure::{Failure, Report};
use crate::measures;

/// Run a kept request again, and compare outcome and fuel
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing outside is reached: clocks, random numbers, HTTP and the key-value store answer what they answered then.\nThe exit code is 0 where outcome and fuel are the same, else 1.\n\nExamples:\n  lockgate replay capsules/indexer-3f2a.capsule.json\n  lockgate replay failed.capsule.json --component indexer.wasm --json"
)]
pub(crate) struct ReplayArguments {
    /// A capsule, as `lockgate up --capsules` or a host keeps it
    #[arg(value_name = "FILE")]
    capsule: PathBuf,

    /// The component [default: the file sha256-DIGEST.wasm beside the capsule]
    #[arg(long, value_name = "X.wasm")]
    component: Option<PathBuf>,

    /// Secrets of the configuration, as a JSON object of names and values
    #[arg(long, value_name = "FILE.json")]
    secrets: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Where compiled components are kept [default: lockgate in the user's cache folder]
    #[arg(long, value_name = "FOLDER", env = "LOCKGATE_CACHE_DIR", hide_env_values = true)]
    cache_dir: Option<PathBuf>,
}

pub(crate) async fn run(arguments: ReplayArguments, console: &Console) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(signals_failed)?;
    builder::unless_interrupted(&mut signals, replay(&arguments, console)).await
}

async fn replay(arguments: &ReplayArguments, console: &Console) -> Result<(), Failure> {
    let shown = arguments.capsule.display();
    let capsule = Capsule::read(&read(&arguments.capsule).await?)
        .map_err(|problem| Report::new(format!("cannot replay {shown}")).problem(&problem))?;
    let path = arguments.component.clone().unwrap_or_else(|| beside(&arguments.capsule, &capsule));
    let component = tokio::fs::read(&path).await.map_err(|error| {
        Report::new(format!("cannot read the component {}", path.display()))
            .because(&error)
            .hint(format!("name the file of component {} with --component", capsule.digest()))
    })?;
    let secrets = match &arguments.secrets {
        None => Map::new(),
        Some(path) => serde_json::from_slice(&read(path).await?).map_err(|error| {
            Report::new(format!("{} is no JSON object of secrets", path.display())).because(&error)
        })?,
    };
    let node = Node::new(node_options(arguments.cache_dir.as_deref()))?;
    let verdict = node
        .replay(&capsule, component, &secrets)
        .await
        .map_err(|problem| Report::new(format!("cannot replay {shown}")).problem(&problem))?;
    if arguments.json {
        console.line(serde_json::to_value(&verdict).unwrap_or(Value::Null))?;
    } else {
        describe(&capsule, &verdict).iter().try_for_each(|line| console.line(line))?;
    }
    match verdict.is_same {
        true => Ok(()),
        false => Err(differs(&capsule, &verdict).into()),
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = tokio::fs::read(path).await;
    read.map_err(|error| Report::new(format!("cannot read {}", path.display())).because(&error).into())
}

fn beside(path: &Path, capsule: &Capsule) -> PathBuf {
    path.with_file_name(format!("{}.wasm", capsule.digest().to_string().replace(':', "-")))
}

fn describe(capsule: &Capsule, verdict: &Verdict) -> Vec<String> {
    let line = |label: &str, ending: &Ending| {
        let fuel = match ending.call_fuel {
            Some(call) => format!("{} fuel in init, {call} in the call", ending.init_fuel),
            None => format!("{} fuel in init, which failed", ending.init_fuel),
        };
        [
            format!("  {FAINT}{label:<9}{FAINT:#} {}", measures::one_line(&ending.outcome)),
            format!("  {FAINT}{:<9}{FAINT:#} {fuel}", ""),
        ]
    };
    let mut lines = vec![format!("executor {} of {}", capsule.executor(), capsule.digest())];
    lines.extend(line("recorded", &verdict.recorded));
    lines.extend(line("replayed", &verdict.replayed));
    if let Some(divergence) = &verdict.divergence {
        lines.push(format!("  {ERROR}diverged{ERROR:#}  the guest {}", measures::one_line(divergence)));
    }
    if verdict.is_stopped {
        let why = "a deadline or the host ended the recorded run, and this one was stopped at its fuel";
        lines.push(format!("  {FAINT}stopped{FAINT:#}   {why}"));
    }
    if !verdict.missing_secrets.is_empty() {
        lines.push(format!(
            "  {FAINT}secrets{FAINT:#}   not in the capsule, so the guest reads their names instead: {}",
            measures::one_line(&verdict.missing_secrets.join(", "))
        ));
    }
    if verdict.is_same {
        lines.push(format!("{GOOD}same{GOOD:#} outcome and fuel"));
    }
    lines
}

fn differs(capsule: &Capsule, verdict: &Verdict) -> Report {
    let report =
        Report::new(format!("the replay of executor {} differs from the recording", capsule.executor()));
    if !verdict.missing_secrets.is_empty() {
        return report.hint("the configuration lacks secrets; give them with --secrets");
    }
    report.hint(format!(
        "it was recorded by the engine {}; another engine may burn other fuel",
        capsule.engine()
    ))
}
