//! `lockgate tenant`: who has a place on this host, and how much of it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{ErrorCode, TenantName};
use serde_json::{Map, Value, json};

use crate::commands::listing::{self, Most, Shown};
use crate::console::{Console, GOOD};
use crate::control::{Ask, HostArguments, merge, parse_bytes, parse_count, parse_reply, read_json, show};
use crate::failure::{Failure, Report};

/// How often a change is tried when others change the same tenant meanwhile.
const TRIES: usize = 4;

/// Create and change tenants (for the operator of the host)
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  lockgate tenant create acme\n  lockgate tenant create guests --weight 20 --requests-per-second 50 \\\n      --stored-bytes 100MiB --approval required\n  lockgate tenant set guests --suspended true\n  lockgate tenant list"
)]
pub(crate) struct TenantArguments {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a tenant
    #[command(
        after_help = "Examples:\n  lockgate tenant create acme\n  lockgate tenant create guests --weight 20 --memory 256MiB\n  lockgate tenant create acme --settings acme.json"
    )]
    Create(Box<Change>),
    /// List tenants
    #[command(
        after_help = "Examples:\n  lockgate tenant list\n  lockgate tenant list --json | jq -r '.items[].name'"
    )]
    List(Most),
    /// Show a tenant's weight, quota and rules
    #[command(
        after_help = "Examples:\n  lockgate tenant show acme\n  lockgate tenant show acme --json > acme.json"
    )]
    Show(Named),
    /// Change a tenant's weight, quota or rules; what is not named stays
    #[command(
        after_help = "Examples:\n  lockgate tenant set acme --weight 200 --fuel-per-second 20G\n  lockgate tenant set acme --require-signature true\n  lockgate tenant set guests --suspended true"
    )]
    Set(Box<Change>),
    /// Delete a tenant
    #[command(after_help = "Examples:\n  lockgate tenant delete acme\n  lockgate tenant delete acme --force")]
    Delete(Delete),
}

#[derive(Debug, Args)]
struct Named {
    /// The tenant
    #[arg(value_name = "TENANT")]
    name: TenantName,
}

#[derive(Debug, Args)]
struct Change {
    /// The tenant
    #[arg(value_name = "TENANT")]
    name: TenantName,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Args)]
struct Delete {
    /// The tenant
    #[arg(value_name = "TENANT")]
    name: TenantName,

    /// Even if it has executors and flows, which end serving
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ApprovalWord {
    /// whoever may deploy may also grant
    Automatic,
    /// a key with the scope admin approves new capabilities first
    Required,
}

/// What the operator decides about a tenant.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
struct SettingsArguments {
    /// Settings as a JSON file, as 'tenant show --json' prints them under "settings"; options win
    #[arg(long, value_name = "FILE.json")]
    settings: Option<PathBuf>,

    /// Share of the processor against other tenants [usual: 100]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    weight: Option<u32>,

    /// Requests in one second
    #[arg(long, value_name = "COUNT")]
    requests_per_second: Option<u32>,

    /// Requests that are worked on at once
    #[arg(long, value_name = "COUNT")]
    concurrent_requests: Option<u32>,

    /// Fuel burned in one second, such as 4G
    #[arg(long, value_name = "FUEL", value_parser = parse_count)]
    fuel_per_second: Option<u64>,

    /// Fuel burned in one calendar month
    #[arg(long, value_name = "FUEL", value_parser = parse_count)]
    fuel_per_month: Option<u64>,

    /// Memory of all live instances, such as 512MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<u64>,

    /// Bytes of components kept
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    stored_bytes: Option<u64>,

    /// Components kept
    #[arg(long, value_name = "COUNT")]
    components: Option<u32>,

    /// Executors
    #[arg(long, value_name = "COUNT")]
    executors: Option<u32>,

    /// Flows
    #[arg(long, value_name = "COUNT")]
    flows: Option<u32>,

    /// Bytes that executors send and receive over HTTP in one calendar month
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    egress_per_month: Option<u64>,

    /// Who decides about new capabilities
    #[arg(long, value_name = "WHO")]
    approval: Option<ApprovalWord>,

    /// Whether components must be signed
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    require_signature: Option<bool>,

    /// Whether executors may be granted private networks
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    private_networks: Option<bool>,

    /// Whether everything the tenant asks for is refused
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    suspended: Option<bool>,
}

impl SettingsArguments {
    /// What is to be laid over the settings that are there.
    fn changes(&self) -> Result<Value, Failure> {
        let mut changes = match &self.settings {
            Some(path) => read_json(path, "a tenant's settings")?,
            None => json!({}),
        };
        // What `tenant show --json` printed may be given back whole.
        if let Some(settings) = changes.get_mut("settings").map(Value::take) {
            changes = settings;
        }
        let approval = self.approval.map(|approval| match approval {
            ApprovalWord::Automatic => "automatic",
            ApprovalWord::Required => "required",
        });
        let quota = present([
            ("requests_per_second", self.requests_per_second.map(Value::from)),
            ("concurrent_requests", self.concurrent_requests.map(Value::from)),
            ("fuel_per_second", self.fuel_per_second.map(Value::from)),
            ("fuel_per_month", self.fuel_per_month.map(Value::from)),
            ("instance_memory_bytes", self.memory.map(Value::from)),
            ("stored_bytes", self.stored_bytes.map(Value::from)),
            ("components", self.components.map(Value::from)),
            ("executors", self.executors.map(Value::from)),
            ("flows", self.flows.map(Value::from)),
            ("egress_bytes_per_month", self.egress_per_month.map(Value::from)),
        ]);
        let named = present([
            ("weight", self.weight.map(Value::from)),
            ("quota", (!quota.is_empty()).then_some(Value::Object(quota))),
            ("approval", approval.map(Value::from)),
            ("require_signature", self.require_signature.map(Value::from)),
            ("private_networks", self.private_networks.map(Value::from)),
            ("suspended", self.suspended.map(Value::from)),
        ]);
        merge(&mut changes, Value::Object(named));
        Ok(changes)
    }
}

fn present<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Lays changes over settings; a word that is no setting is told before anything is sent.
fn lay(base: Value, changes: Value) -> Result<Value, Failure> {
    let mut settings = base;
    merge(&mut settings, changes);
    let read: Result<TenantSettings, _> = serde_json::from_value(settings.clone());
    read.map_err(|error| Report::new("these are no settings of a tenant").because(&error))?;
    Ok(settings)
}

pub(crate) async fn run(arguments: TenantArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    match arguments.verb {
        Verb::Create(create) => {
            let settings = lay(json!({}), create.settings.changes()?)?;
            let ask = Ask::post("/v1/tenants").json(&json!({ "name": create.name, "settings": settings }));
            let tenant = client.send(ask).await?.value()?;
            host.print(console, &tenant, || Ok(show::tenant::full(&parse_reply(&tenant)?, show::now())))
        }
        Verb::List(most) => {
            let nothing = "no tenant yet: 'lockgate tenant create NAME' makes one";
            let shown = Shown { table: show::tenant::table, nothing };
            listing::list((host, console), &mut client, "/v1/tenants", most, shown).await
        }
        Verb::Show(named) => {
            let tenant = client.send(Ask::get(format!("/v1/tenants/{}", named.name))).await?.value()?;
            host.print(console, &tenant, || Ok(show::tenant::full(&parse_reply(&tenant)?, show::now())))
        }
        Verb::Set(change) => {
            let changes = change.settings.changes()?;
            let tenant = set(&mut client, &change.name, &changes).await?;
            host.print(console, &tenant, || Ok(show::tenant::full(&parse_reply(&tenant)?, show::now())))
        }
        Verb::Delete(delete) => {
            let mut ask = Ask::delete(format!("/v1/tenants/{}", delete.name));
            if delete.force {
                ask = ask.query("force", "true");
            }
            client.send(ask.patiently()).await?;
            host.print(console, &json!({ "deleted": delete.name }), || {
                Ok(vec![format!("{GOOD}deleted{GOOD:#} tenant {}", delete.name)])
            })
        }
    }
}

/// Reads, changes and writes, and again if somebody else wrote in between.
async fn set(
    client: &mut crate::control::Client,
    name: &TenantName,
    changes: &Value,
) -> Result<Value, Failure> {
    let path = format!("/v1/tenants/{name}");
    let mut tries = 0;
    loop {
        let reply = client.send(Ask::get(&path)).await?;
        let before = reply.value()?.get("settings").cloned().unwrap_or_else(|| json!({}));
        let settings = lay(before, changes.clone())?;
        let ask = Ask::put(&path).json(&settings).unchanged_since(reply.etag.as_deref());
        match client.send(ask).await {
            Err(error) if error.is(ErrorCode::PreconditionFailed) && tries < TRIES => tries += 1,
            outcome => return Ok(outcome?.value()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_laid_over_what_is_there() {
        let base = json!({"weight": 100, "quota": {"flows": 3, "components": 4}});
        let options =
            SettingsArguments { flows: Some(9), suspended: Some(true), ..SettingsArguments::default() };
        let settings = lay(base, options.changes().unwrap()).unwrap();
        let expected = json!({"weight": 100, "quota": {"flows": 9, "components": 4}, "suspended": true});
        assert_eq!(settings, expected);
        assert!(lay(json!({}), json!({"wieght": 3})).is_err());
    }
}
