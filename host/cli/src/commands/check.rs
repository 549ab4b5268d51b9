//! `lockgate check`: whether a flow file makes sense, before anything is built or served.

use std::path::PathBuf;

use clap::Args;
use lockgate_flow::plan::{Source, StagePlan};
use lockgate_node::{Node, Signals};
use serde_json::{Value, json};

use crate::builder;
use crate::cache::node_options;
use crate::commands::build::signals_failed;
use crate::console::{ACCENT, Console, FAINT, GOOD};
use crate::failure::Failure;
use crate::flowfile::FlowFile;
use crate::measures;
use crate::progress::Progress;
use crate::up::bring_up::{Sources, deploy};

/// Check a flow file and show its stages
#[derive(Debug, Args)]
#[command(
    after_help = "Without --build nothing is compiled: keys, values, names and the graph are checked, and that the files exist.\n\nExamples:\n  lockgate check flow.yml\n  lockgate check flow.yml --build\n  lockgate check flow.yml --json | jq .stages"
)]
pub(crate) struct CheckArguments {
    /// The flow file
    #[arg(value_name = "FLOW.yml")]
    flow: PathBuf,

    /// Build and start the executors, too, without serving them
    #[arg(short, long)]
    build: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Where compiled components are kept [default: lockgate in the user's cache folder]
    #[arg(long, value_name = "FOLDER", env = "LOCKGATE_CACHE_DIR", hide_env_values = true)]
    cache_dir: Option<PathBuf>,
}

pub(crate) async fn run(arguments: CheckArguments, console: &Console) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(signals_failed)?;
    let file = FlowFile::read(&arguments.flow)?;
    let sources = Sources::find(&file)?;
    if arguments.build {
        let work = async {
            let progress = Progress::new(console);
            let node = Node::new(node_options(arguments.cache_dir.as_deref()))?;
            let components = sources.build(&progress).await?;
            deploy(&node, &file, components, &progress).await
        };
        let _deployment = builder::unless_interrupted(&mut signals, work).await?;
    }
    if arguments.json {
        return console.line(to_json(&file));
    }
    file.notes.iter().for_each(|note| console.hint(note));
    let count = file.spec.stages.len();
    let plural = if count == 1 { "" } else { "s" };
    console.line(format_args!("{GOOD}ok{GOOD:#}: flow {} with {count} stage{plural}", file.spec.name))?;
    graph(&file).iter().try_for_each(|line| console.line(line))
}

fn to_json(file: &FlowFile) -> Value {
    let stages: Vec<Value> = file
        .draft
        .stages()
        .iter()
        .map(|stage| json!({ "name": stage.name.as_str(), "uses": uses(file, stage), "needs": needs(file, stage) }))
        .collect();
    json!({ "flow": file.spec.name.as_str(), "stages": stages, "notes": file.notes })
}

/// Stages in the order in which they run, each with what it waits for.
fn graph(file: &FlowFile) -> Vec<String> {
    let stages = file.draft.stages();
    let sources: Vec<String> = stages
        .iter()
        .map(|stage| match needs(file, stage).as_slice() {
            [] => "request".into(),
            needs => needs.join(" + "),
        })
        .collect();
    let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0);
    let source_width = widest(&mut sources.iter().map(String::len));
    let name_width = widest(&mut stages.iter().map(|stage| stage.name.as_str().len()));
    let mut lines: Vec<String> = stages
        .iter()
        .zip(&sources)
        .map(|(stage, source)| {
            let (name, uses) = (stage.name.as_str(), measures::one_line(uses(file, stage)));
            let blanks = " ".repeat(name_width.saturating_sub(name.len()));
            let floats = if stage.is_floating { "  floating" } else { "" };
            let shards = match shards(file, stage) {
                1 => String::new(),
                shards => format!("  {shards} shards"),
            };
            format!(
                "  {source:>source_width$} → {ACCENT}{name}{ACCENT:#}{blanks}  {FAINT}{uses}{shards}{floats}{FAINT:#}"
            )
        })
        .collect();
    let last = match file.draft.answer() {
        Source::Gateway => "request",
        Source::Stage(place) => stages.get(place).map_or("", |stage| stage.name.as_str()),
    };
    lines.push(format!("  {last:>source_width$} → answer"));
    lines
}

fn needs<'a>(file: &'a FlowFile, stage: &'a StagePlan) -> Vec<&'a str> {
    stage
        .upstream()
        .filter_map(|place| file.draft.stages().get(place))
        .map(|stage| stage.name.as_str())
        .collect()
}

fn uses<'a>(file: &'a FlowFile, stage: &StagePlan) -> &'a str {
    file.spec.stages.iter().find(|spec| spec.name == stage.name).map_or("", |spec| &spec.uses)
}

fn shards(file: &FlowFile, stage: &StagePlan) -> u32 {
    file.spec.stages.iter().find(|spec| spec.name == stage.name).map_or(1, |spec| spec.shards.count)
}
