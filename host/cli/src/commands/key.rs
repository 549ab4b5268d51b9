//! `lockgate key`: who may ask, for what, and until when.

use std::time::Duration;

use clap::{Args, Subcommand};
use lockgate_domain::tenancy::ApiKey;
use lockgate_domain::{KeyId, Scope};
use serde_json::{Value, json};

use crate::commands::listing::{self, Most, Shown};
use crate::console::{Console, GOOD, WARNING};
use crate::control::{Ask, Client, HostArguments, parse_reply, show, span};
use crate::failure::{Failure, Report};
use crate::measures;

/// Create, list and revoke API keys
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Scopes: call (flows and executors), upload (components), deploy (executors, revisions, tags, flows, secrets), read (look at everything but secrets), admin (everything of a tenant), host (everything of the host, only with --of-host).\n\nExamples:\n  lockgate key create --tenant acme --label ci \\\n      --scopes upload,deploy --expires 30d\n  lockgate key list\n  lockgate key revoke 7f3a9c21"
)]
pub(crate) struct KeyArguments {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a key; its secret is printed once and kept nowhere
    #[command(
        after_help = "The key alone goes to standard output, everything about it to standard error.\n\nExamples:\n  lockgate key create --label ci --scopes upload,deploy --expires 30d\n  LOCKGATE_KEY=$(lockgate key create --tenant acme --scopes call)"
    )]
    Create(Create),
    /// List keys, without their secrets
    #[command(after_help = "Examples:\n  lockgate key list\n  lockgate key list --of-host")]
    List(List),
    /// Revoke a key at once
    #[command(after_help = "Examples:\n  lockgate key revoke 7f3a9c21")]
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Create {
    /// What people call it
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,

    /// What it is good for, separated by commas
    #[arg(long, value_name = "SCOPES", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,

    /// When it stops working by itself, such as 12h or 30d [default: never]
    #[arg(long, value_name = "TIME", value_parser = span)]
    expires: Option<Duration>,

    /// A key of the host itself
    #[arg(long)]
    of_host: bool,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    most: Most,

    /// Keys of the host itself
    #[arg(long)]
    of_host: bool,
}

#[derive(Debug, Args)]
struct Revoke {
    /// The key's id, as lists show it
    #[arg(value_name = "ID")]
    id: KeyId,

    /// A key of the host itself
    #[arg(long)]
    of_host: bool,
}

pub(crate) async fn run(arguments: KeyArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    match arguments.verb {
        Verb::Create(create) => {
            let path = keys(&mut client, create.of_host).await?;
            let mut body = json!({ "label": create.label, "scopes": create.scopes });
            if let (Some(expires), Some(body)) = (create.expires, body.as_object_mut()) {
                body.insert("expires_in_s".into(), expires.as_secs().into());
            }
            let made = client.send(Ask::post(path).json(&body)).await?.value()?;
            announce(host, &made, console)
        }
        Verb::List(list) => {
            let path = keys(&mut client, list.of_host).await?;
            let shown =
                Shown { table: show::tenant::keys, nothing: "no key yet: 'lockgate key create' makes one" };
            listing::list((host, console), &mut client, &path, list.most, shown).await
        }
        Verb::Revoke(revoke) => {
            let path = keys(&mut client, revoke.of_host).await?;
            client.send(Ask::delete(format!("{path}/{}", revoke.id))).await?;
            host.print(console, &json!({ "revoked": revoke.id }), || {
                Ok(vec![format!("{GOOD}revoked{GOOD:#} key {}", revoke.id)])
            })
        }
    }
}

async fn keys(client: &mut Client, of_host: bool) -> Result<String, Failure> {
    if of_host { Ok("/v1/keys".into()) } else { Ok(client.path("/keys").await?) }
}

/// The secret alone on standard output, so that it can be piped without being read.
fn announce(host: &HostArguments, made: &Value, console: &Console) -> Result<(), Failure> {
    if host.json {
        return console.line(made);
    }
    let missing = || Report::new("the host made a key and did not give its secret");
    let secret = made.get("secret").and_then(Value::as_str).ok_or_else(missing)?;
    let key: ApiKey = parse_reply(made.get("key").unwrap_or(made))?;
    let whose =
        key.tenant.as_ref().map_or_else(|| "of the host".to_owned(), |tenant| format!("of tenant {tenant}"));
    let until = key.expires_at.map(|at| format!(", until {}", measures::moment(at))).unwrap_or_default();
    console.note(format_args!("{GOOD}key {}{GOOD:#} {whose}: {}{until}", key.id, show::tenant::scopes(&key)));
    console.note(format_args!(
        "{WARNING}It is shown this once{WARNING:#}; keep it where programs find it as LOCKGATE_KEY."
    ));
    console.line(secret)
}
