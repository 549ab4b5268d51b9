//! `lockgate usage`, `audit` and `capsule`: what was used, who did what, and which requests were kept.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lockgate_domain::usage::UsageRecord;
use lockgate_domain::{ExecutorName, Timestamp, Usage};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::commands::listing::{self, Most, Shown};
use crate::console::Console;
use crate::control::{Ask, HostArguments, show};
use crate::failure::{Failure, Report};
use crate::measures;
use crate::table::{Align, Table};

/// Most hours of usage that are read.
const MOST_RECORDS: usize = 1_000_000;

/// Show what executors used, hour by hour
#[derive(Debug, Args)]
#[command(
    after_help = "The numbers are exact: what a call used is there once its answer is. Golden examples count as calls.\n\nExamples:\n  lockgate usage\n  lockgate usage --from 2026-11-01 --to 2026-12-01 --csv > november.csv\n  lockgate usage --executor shout --json"
)]
pub(crate) struct UsageArguments {
    /// From this hour on, such as 2026-11-01 or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    from: Option<Timestamp>,

    /// Before this hour
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    to: Option<Timestamp>,

    /// Of this executor only
    #[arg(long, value_name = "EXECUTOR")]
    executor: Option<ExecutorName>,

    /// Print comma-separated values with exact numbers
    #[arg(long, conflicts_with = "json")]
    csv: bool,

    #[command(flatten)]
    host: HostArguments,
}

/// A moment, or a day in UTC.
fn parse_moment(text: &str) -> Result<Timestamp, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    whole.parse().map_err(|error| format!("{error}"))
}

pub(crate) async fn usage(arguments: UsageArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    let path = client.path("/usage").await?;
    let ask = || {
        let mut ask = Ask::get(&path);
        let executor = arguments.executor.as_ref().map(ToString::to_string);
        let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
        for (name, value) in
            [("from", moment(arguments.from)), ("to", moment(arguments.to)), ("executor", executor)]
        {
            if let Some(value) = value {
                ask = ask.query(name, &value);
            }
        }
        ask
    };
    let listing = client.list(ask, MOST_RECORDS).await?;
    let records: Vec<UsageRecord> = listing.parse()?;
    if arguments.csv {
        return show::tenant::usage_csv(&records).iter().try_for_each(|line| console.line(line));
    }
    let mut sum = Usage::default();
    records.iter().for_each(|record| sum += record.usage);
    let answer = json!({ "items": listing.items, "sum": sum });
    host.print(console, &answer, || Ok(show::tenant::usage(&records, &sum)))
}

/// Show who did what, newest first
#[derive(Debug, Args)]
#[command(
    after_help = "Every control action is there, refused ones as well.\n\nExamples:\n  lockgate audit\n  lockgate audit --of-host --limit 1000 --json"
)]
pub(crate) struct AuditArguments {
    #[command(flatten)]
    most: Most,

    /// Of all tenants and of the host itself
    #[arg(long)]
    of_host: bool,

    #[command(flatten)]
    host: HostArguments,
}

pub(crate) async fn audit(arguments: AuditArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    let path = if arguments.of_host { "/v1/audit".to_owned() } else { client.path("/audit").await? };
    let shown = Shown { table: show::tenant::audit, nothing: "nothing was done yet" };
    listing::list((host, console), &mut client, &path, arguments.most, shown).await
}

/// List and download requests that were kept for replay
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "'lockgate deploy EXECUTOR --capture-failures' keeps requests that fail.\n\nExamples:\n  lockgate capsule list\n  lockgate capsule download 4f1c0a --output failing.capsule"
)]
pub(crate) struct CapsuleArguments {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List kept requests, newest first
    #[command(
        after_help = "Examples:\n  lockgate capsule list\n  lockgate capsule list --json | jq -r '.items[].id'"
    )]
    List(Most),
    /// Download a kept request
    #[command(
        after_help = "Examples:\n  lockgate capsule download 4f1c0a\n  lockgate capsule download 4f1c0a --output failing.capsule"
    )]
    Download(Download),
}

#[derive(Debug, Args)]
struct Download {
    /// The request's id, as the list shows it
    #[arg(value_name = "ID", value_parser = parse_id)]
    id: String,

    /// Where to write it [default: ID.capsule]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn parse_id(text: &str) -> Result<String, String> {
    let is_id = (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_id { Ok(text.to_owned()) } else { Err("expected an id as 'lockgate capsule list' shows it".into()) }
}

/// A request that was kept.
#[derive(Debug, Deserialize)]
struct CapsuleEntry {
    id: String,
    executor: ExecutorName,
    endpoint: String,
    at: Timestamp,
    error: Option<String>,
    size: u64,
}

pub(crate) async fn capsule(arguments: CapsuleArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    match arguments.verb {
        Verb::List(most) => {
            let path = client.path("/capsules").await?;
            let nothing =
                "no request was kept: 'lockgate deploy EXECUTOR --capture-failures' keeps those that fail";
            let shown = Shown { table: capsules, nothing };
            listing::list((host, console), &mut client, &path, most, shown).await
        }
        Verb::Download(download) => {
            let path = client.path(&format!("/capsules/{}", download.id)).await?;
            let reply = client.send(Ask::get(path)).await?;
            let target = download.output.unwrap_or_else(|| format!("{}.capsule", download.id).into());
            std::fs::write(&target, reply.bytes())
                .map_err(|error| Report::new(format!("cannot write {}", target.display())).because(&error))?;
            let answer: Value = json!({
                "id": download.id, "bytes": reply.bytes().len(), "path": target.to_string_lossy(),
            });
            host.print(console, &answer, || Ok(vec![target.display().to_string()]))
        }
    }
}

fn capsules(capsules: &[CapsuleEntry], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("EXECUTOR", Align::Left),
        ("ENDPOINT", Align::Left),
        ("OUTCOME", Align::Left),
        ("SIZE", Align::Right),
        ("KEPT", Align::Left),
    ]);
    for capsule in capsules {
        table.push(vec![
            measures::one_line(&capsule.id),
            capsule.executor.to_string(),
            measures::shorten(&measures::one_line(&capsule.endpoint), 32),
            capsule.error.as_deref().map_or_else(|| "ok".to_owned(), measures::one_line),
            measures::bytes(capsule.size),
            measures::relative(capsule.at, now),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_ids_are_parsed() {
        let check = |text: &str, expected: Option<&str>| {
            let parsed = parse_moment(text).ok().map(|moment| moment.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        };
        check("2026-11-01", Some("2026-11-01T00:00:00Z"));
        check("2026-11-01T12:00:00Z", Some("2026-11-01T12:00:00Z"));
        check("November", None);
        assert!(parse_id("4f1c-0a").is_ok());
        assert!(parse_id("../x").is_err());
    }
}
