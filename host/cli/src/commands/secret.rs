//! `lockgate secret`: values that executors may read and nobody sees again.

use clap::{Args, Subcommand};
use lockgate_domain::SecretName;
use serde_json::{Value, json};

use crate::commands::listing::Most;
use crate::console::{Console, FAINT, GOOD};
use crate::control::{Ask, HostArguments, read_secret};
use crate::failure::{Failure, Report};
use crate::measures;

/// Set, list and delete secrets
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "A configuration refers to a secret with {\"$secret\": \"NAME\"}, and the revision's capabilities must name it.\n\nExamples:\n  lockgate secret set openai < key.txt\n  lockgate secret list\n  lockgate secret delete openai"
)]
pub(crate) struct SecretArguments {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Set a secret; its value comes from standard input and is never shown again
    #[command(
        after_help = "On a terminal the value is asked for and not shown.\n\nExamples:\n  lockgate secret set openai < key.txt\n  pass show openai | lockgate secret set openai"
    )]
    Set(Named),
    /// List the names of secrets
    #[command(after_help = "Examples:\n  lockgate secret list")]
    List(Most),
    /// Delete a secret; what uses it does not start any more
    #[command(after_help = "Examples:\n  lockgate secret delete openai")]
    Delete(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// The secret
    #[arg(value_name = "SECRET")]
    name: SecretName,
}

pub(crate) async fn run(arguments: SecretArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    match arguments.verb {
        Verb::Set(named) => {
            let value = read_secret(&format!("value of {}", named.name), console)?;
            if value.is_empty() {
                let report = Report::new(format!("the secret {} would be empty", named.name));
                return Err(report.hint("give its value on standard input").into());
            }
            let path = client.path(&format!("/secrets/{}", named.name)).await?;
            client.send(Ask::put(path).json(&json!({ "value": value })).patiently()).await?;
            host.print(console, &json!({ "set": named.name }), || {
                Ok(vec![format!("{GOOD}✓{GOOD:#} secret {} is set", named.name)])
            })
        }
        Verb::List(most) => {
            let path = client.path("/secrets").await?;
            let listing = client.list(|| Ask::get(&path), most.count()).await?;
            host.print(console, &listing.to_json(), || {
                if listing.items.is_empty() {
                    return Ok(vec![format!(
                        "{FAINT}no secret yet: 'lockgate secret set NAME' sets one{FAINT:#}"
                    )]);
                }
                let name = |item: &Value| {
                    let name = item.as_str().or_else(|| item.get("name")?.as_str());
                    name.map(measures::one_line)
                };
                Ok(listing.items.iter().filter_map(name).collect())
            })
        }
        Verb::Delete(named) => {
            let path = client.path(&format!("/secrets/{}", named.name)).await?;
            client.send(Ask::delete(path)).await?;
            host.print(console, &json!({ "deleted": named.name }), || {
                Ok(vec![format!("{GOOD}deleted{GOOD:#} secret {}", named.name)])
            })
        }
    }
}
