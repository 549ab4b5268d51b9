//! `lockgate executor`: what a tenant has published, by name.

use clap::{Args, Subcommand};
use lockgate_domain::ExecutorName;
use serde_json::json;

use crate::commands::listing::{self, Most, Shown};
use crate::console::{Console, GOOD};
use crate::control::{Ask, HostArguments, parse_reply, show};
use crate::failure::Failure;

/// List, show and delete executors
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  lockgate executor list\n  lockgate executor show shout\n  lockgate executor delete shout"
)]
pub(crate) struct ExecutorArguments {
    #[command(subcommand)]
    verb: Verb,

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

pub(crate) async fn run(arguments: ExecutorArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    match arguments.verb {
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
