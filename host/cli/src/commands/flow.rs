//! `lockgate flow`: flows that a tenant serves, made of its own executors. With `--uses`, as in Jina, it serves a flow
//! file on this machine instead.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lockgate_domain::hosting::StoredFlow;
use lockgate_domain::{FlowName, Timestamp};
use lockgate_flow::yaml;
use serde_json::json;

use crate::commands::listing::{self, Most, Shown};
use crate::commands::up::{self, ServingArguments, parse_variable};
use crate::console::{Console, GOOD};
use crate::control::{Ask, HostArguments, parse_reply};
use crate::failure::{Failure, Report};
use crate::flowfile::Origin;
use crate::measures;
use crate::table::{Align, Table};

/// Serve a flow file here, or manage the flows of a tenant
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "With --uses a flow file is served on this machine, as by 'lockgate up'. The commands are for a host with many tenants.\nIn a hosted flow `uses` names the tenant's executors: shout, shout:stable or shout@3.\n\nExamples:\n  lockgate flow --uses flow.yml --port 9000\n  lockgate flow --uses flow.yml --env MODEL=small --watch\n  lockgate flow apply flow.yml\n  lockgate flow list\n  lockgate flow show search > flow.yml"
)]
pub(crate) struct FlowArguments {
    #[command(subcommand)]
    verb: Option<Verb>,

    /// The flow file to serve on this machine
    #[arg(long, value_name = "FLOW.yml", help_heading = "Serve here")]
    uses: Option<PathBuf>,

    /// Variables for `${{ ENV.NAME }}` in the file
    #[arg(long, value_name = "NAME=VALUE", num_args = 1.., value_parser = parse_variable, help_heading = "Serve here")]
    env: Vec<(String, String)>,

    #[command(flatten, next_help_heading = "Serve here")]
    serving: ServingArguments,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create or replace a flow
    #[command(
        after_help = "The file goes to the host as it is; variables of this machine are not read.\n\nExamples:\n  lockgate flow apply flow.yml\n  lockgate flow apply flow.yml --name search"
    )]
    Apply(Apply),
    /// List flows
    #[command(after_help = "Examples:\n  lockgate flow list")]
    List(Most),
    /// Print a flow's YAML
    #[command(after_help = "Examples:\n  lockgate flow show search\n  lockgate flow show search --json")]
    Show(Named),
    /// Delete a flow
    #[command(after_help = "Examples:\n  lockgate flow delete search")]
    Delete(Named),
}

#[derive(Debug, Args)]
struct Apply {
    /// The flow file
    #[arg(value_name = "FLOW.yml")]
    file: PathBuf,

    /// What it is called [default: the name in the file]
    #[arg(long, value_name = "FLOW")]
    name: Option<FlowName>,
}

#[derive(Debug, Args)]
struct Named {
    /// The flow
    #[arg(value_name = "FLOW")]
    name: FlowName,
}

impl FlowArguments {
    /// Whether a flow is served here.
    pub(crate) fn serves(&self) -> bool {
        self.verb.is_none() && self.uses.is_some()
    }
}

pub(crate) async fn run(arguments: FlowArguments, console: &Console) -> Result<(), Failure> {
    let is_local = arguments.serving.are_given() || !arguments.env.is_empty();
    let verb = match (arguments.verb, arguments.uses) {
        (None, Some(uses)) => {
            let origin = Origin::file(uses).with_variables(&arguments.env);
            return up::serve(&origin, &arguments.serving, arguments.host.json, console).await;
        }
        (Some(verb), None) if !is_local => verb,
        (None, None) => return Err(up::nothing_to_serve("flow", "flow.yml")),
        (Some(_), _) => return Err(up::both_meanings("flow")),
    };
    let host = &arguments.host;
    let mut client = host.client(console)?;
    match verb {
        Verb::Apply(apply) => {
            let (text, named) = read(&apply.file)?;
            let name = apply.name.unwrap_or(named);
            let path = client.path(&format!("/flows/{name}")).await?;
            let ask = Ask::put(path).bytes("application/yaml", text.into()).patiently();
            let flow = client.send(ask).await?.value()?;
            host.print(console, &flow, || {
                let call = format!("  lockgate call --flow {name} --text 'hello world'");
                Ok(vec![format!("{GOOD}✓{GOOD:#} flow {name} is served"), call])
            })
        }
        Verb::List(most) => {
            let path = client.path("/flows").await?;
            let shown = Shown { table, nothing: "no flow yet: 'lockgate flow apply flow.yml' makes one" };
            listing::list((host, console), &mut client, &path, most, shown).await
        }
        Verb::Show(named) => {
            let path = client.path(&format!("/flows/{}", named.name)).await?;
            let flow = client.send(Ask::get(path)).await?.value()?;
            host.print(console, &flow, || {
                let flow: StoredFlow = parse_reply(&flow)?;
                Ok(vec![measures::printable(flow.yaml.trim_end())])
            })
        }
        Verb::Delete(named) => {
            let path = client.path(&format!("/flows/{}", named.name)).await?;
            client.send(Ask::delete(path).patiently()).await?;
            host.print(console, &json!({ "deleted": named.name }), || {
                Ok(vec![format!("{GOOD}deleted{GOOD:#} flow {}", named.name)])
            })
        }
    }
}

/// The file's text and the name in it; mistakes are told here, each with its line.
fn read(path: &Path) -> Result<(String, FlowName), Failure> {
    let cannot = || Report::new(format!("cannot read the flow file {}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| cannot().because(&error))?;
    if metadata.len() > yaml::FlowFile::MAX_BYTES as u64 {
        return Err(cannot().cause("it is too large to be a flow file").into());
    }
    let text = std::fs::read_to_string(path).map_err(|error| cannot().because(&error))?;
    let name = path.display().to_string();
    let parsed =
        yaml::FlowFile::parse(&text, &|_| None).map_err(|errors| Failure::Rendered(errors.render(&name)))?;
    Ok((text, parsed.spec.name))
}

fn table(flows: &[StoredFlow], now: Timestamp) -> Table {
    let mut table = Table::new(&[("FLOW", Align::Left), ("SIZE", Align::Right), ("CHANGED", Align::Left)]);
    for flow in flows {
        let size = measures::bytes(flow.yaml.len() as u64);
        table.push(vec![flow.name.to_string(), size, measures::relative(flow.changed_at, now)]);
    }
    table
}
