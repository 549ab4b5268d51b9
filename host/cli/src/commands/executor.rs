//! `lockgate executor`: what a tenant has published, by name. With `--uses`, as in Jina, it serves one executor on this
//! machine instead.

use clap::{Args, Subcommand};
use lockgate_domain::ExecutorName;
use serde_json::json;

use crate::commands::deployment::ServedExecutor;
use crate::commands::listing::{self, Most, Shown};
use crate::commands::up;
use crate::console::{Console, GOOD};
use crate::control::{Ask, HostArguments, parse_reply, show};
use crate::failure::Failure;

/// Serve one executor here, or manage the executors of a tenant
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "With --uses an executor is served on this machine, as by 'lockgate deployment', for clients and for flows elsewhere (`external: true`). The commands are for a host with many tenants.\n\nExamples:\n  lockgate executor --uses encoder.wasm --port 9000\n  lockgate executor list\n  lockgate executor show shout\n  lockgate executor delete shout"
)]
pub(crate) struct ExecutorArguments {
    #[command(subcommand)]
    verb: Option<Verb>,

    /// The executor to serve on this machine: a component, a source folder or an executor's YAML
    #[arg(long, value_name = "PATH", help_heading = "Serve here")]
    uses: Option<String>,

    #[command(flatten, next_help_heading = "Serve here")]
    served: ServedExecutor,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List executors
    #[command(
        after_help = "Examples:\n  lockgate executor list\n  lockgate executor list --json | jq -r '.items[].name'"
    )]
    List(Most),
    /// Show an executor with its tags and its deployment
    #[command(after_help = "Examples:\n  lockgate executor show shout")]
    Show(Named),
    /// Delete an executor with all its revisions
    #[command(
        after_help = "A flow that uses it must go first.\n\nExamples:\n  lockgate executor delete shout"
    )]
    Delete(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// The executor
    #[arg(value_name = "EXECUTOR")]
    name: ExecutorName,
}

impl ExecutorArguments {
    /// Whether an executor is served here.
    pub(crate) fn serves(&self) -> bool {
        self.verb.is_none() && self.uses.is_some()
    }
}

pub(crate) async fn run(arguments: ExecutorArguments, console: &Console) -> Result<(), Failure> {
    let is_local = arguments.served.first().is_some();
    let verb = match (arguments.verb, arguments.uses) {
        (None, Some(uses)) => return arguments.served.serve(&uses, arguments.host.json, console).await,
        (Some(verb), None) if !is_local => verb,
        (None, None) => return Err(up::nothing_to_serve("executor", "X.wasm")),
        (Some(_), _) => return Err(up::both_meanings("executor")),
    };
    let host = &arguments.host;
    let mut client = host.client(console)?;
    match verb {
        Verb::List(most) => {
            let path = client.path("/executors").await?;
            let nothing = "no executor yet: 'lockgate publish X.wasm --executor NAME' makes one";
            let shown = Shown { table: show::revision::executors, nothing };
            listing::list((host, console), &mut client, &path, most, shown).await
        }
        Verb::Show(named) => {
            let path = client.path(&format!("/executors/{}", named.name)).await?;
            let executor = client.send(Ask::get(path)).await?.value()?;
            host.print(console, &executor, || {
                Ok(show::revision::executor(&parse_reply(&executor)?, show::now()))
            })
        }
        Verb::Delete(named) => {
            let path = client.path(&format!("/executors/{}", named.name)).await?;
            client.send(Ask::delete(path).patiently()).await?;
            host.print(console, &json!({ "deleted": named.name }), || {
                Ok(vec![format!("{GOOD}deleted{GOOD:#} executor {}", named.name)])
            })
        }
    }
}
