//! `lockgate revision`: what an executor is and was, and who lets traffic reach it.

use clap::{Args, Subcommand};
use lockgate_domain::ExecutorName;
use lockgate_domain::hosting::{ExecutorReference, RevisionNumber, Tag, Target};
use serde_json::{Value, json};

use crate::commands::listing::{self, Most, Shown};
use crate::console::Console;
use crate::control::{Ask, Client, HostArguments, parse_reply, show};
use crate::failure::{Failure, Report};

/// List, show, approve and refuse revisions
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "A revision is named by its number (shout@3) or by a tag (shout:stable).\n\nExamples:\n  lockgate revision list shout\n  lockgate revision show shout@3\n  lockgate revision approve shout@3"
)]
pub(crate) struct RevisionArguments {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the revisions of an executor
    #[command(
        after_help = "Examples:\n  lockgate revision list shout\n  lockgate revision list shout --json"
    )]
    List(List),
    /// Show a revision: component, configuration, limits, what it may reach, what its examples gave
    #[command(
        after_help = "Examples:\n  lockgate revision show shout@3\n  lockgate revision show shout:stable --json | jq .spec"
    )]
    Show(Named),
    /// Let traffic reach a revision that is granted more than the one before
    #[command(
        after_help = "Needs a key with the scope admin.\n\nExamples:\n  lockgate revision approve shout@3"
    )]
    Approve(Named),
    /// Never let traffic reach a revision
    #[command(
        after_help = "Needs a key with the scope admin.\n\nExamples:\n  lockgate revision refuse shout@3 --reason 'calls a host that we do not know'"
    )]
    Refuse(Refuse),
}

#[derive(Debug, Args)]
struct List {
    /// The executor
    #[arg(value_name = "EXECUTOR")]
    name: ExecutorName,

    #[command(flatten)]
    most: Most,
}

#[derive(Debug, Args)]
struct Named {
    /// The revision
    #[arg(value_name = "EXECUTOR@NUMBER")]
    revision: ExecutorReference,
}

#[derive(Debug, Args)]
struct Refuse {
    /// The revision
    #[arg(value_name = "EXECUTOR@NUMBER")]
    revision: ExecutorReference,

    /// Why, for whoever made it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

pub(crate) async fn run(arguments: RevisionArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    let (reference, change) = match arguments.verb {
        Verb::List(list) => {
            let path = client.path(&format!("/executors/{}/revisions", list.name)).await?;
            let shown = Shown { table: show::revision::table, nothing: "no revision yet" };
            return listing::list((host, console), &mut client, &path, list.most, shown).await;
        }
        Verb::Show(named) => (named.revision, None),
        Verb::Approve(named) => (named.revision, Some(("approve", json!({})))),
        Verb::Refuse(refuse) => (refuse.revision, Some(("refuse", json!({ "reason": refuse.reason })))),
    };
    let number = resolve(&mut client, &reference).await?;
    let name = &reference.executor;
    let path = client.path(&format!("/executors/{name}/revisions/{number}")).await?;
    let ask = match change {
        None => Ask::get(path),
        Some((verb, body)) => Ask::post(format!("{path}/{verb}")).json(&body).patiently(),
    };
    let answer = client.send(ask).await?.value()?;
    host.print(console, &answer, || {
        let revision = answer.get("revision").filter(|revision| revision.is_object()).unwrap_or(&answer);
        Ok(show::revision::full(name, &parse_reply(revision)?, show::now()))
    })
}

/// The number that is meant: a tag is looked up.
pub(crate) async fn resolve(
    client: &mut Client,
    reference: &ExecutorReference,
) -> Result<RevisionNumber, Failure> {
    let name = &reference.executor;
    match &reference.target {
        Some(Target::Revision(number)) => Ok(*number),
        Some(Target::Tag(tag)) => {
            let path = client.path(&format!("/executors/{name}")).await?;
            let executor = client.send(Ask::get(path)).await?.value()?;
            let tags = executor.get("tags").cloned().unwrap_or(Value::Array(Vec::new()));
            let tags: Vec<Tag> = parse_reply(&tags)?;
            let found = tags.iter().find(|known| known.name == *tag).map(|tag| tag.revision);
            found.ok_or_else(|| {
                let names: Vec<&str> = tags.iter().map(|tag| tag.name.as_str()).collect();
                Report::new(format!("executor {name} has no tag {tag}"))
                    .hint(format!("its tags are {}", names.join(", ")))
                    .into()
            })
        }
        None => Err(Failure::Usage(
            Report::new(format!("which revision of {name}?"))
                .hint(format!("write {name}@3 or {name}:latest; 'lockgate revision list {name}' shows them")),
        )),
    }
}
