//! `lockgate tag` and `lockgate rollback`: movable names of revisions.

use clap::{Args, Subcommand};
use lockgate_domain::hosting::{ExecutorReference, Target};
use lockgate_domain::{ExecutorName, TagName};
use serde_json::{Value, json};

use crate::commands::listing::{self, Most, Shown};
use crate::commands::revision;
use crate::console::{Console, GOOD};
use crate::control::{Ask, Client, HostArguments, parse_reply, show};
use crate::failure::{Failure, Report};

/// Move, list and delete the tags of an executor
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Traffic follows the tag that a deployment names.\n\nExamples:\n  lockgate tag set shout:stable shout@3\n  lockgate tag list shout\n  lockgate tag delete shout:stable"
)]
pub(crate) struct TagArguments {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Point a tag at a revision
    #[command(
        after_help = "Examples:\n  lockgate tag set shout:stable shout@3\n  lockgate tag set shout:stable @3\n  lockgate tag set shout:stable shout:latest"
    )]
    Set(Set),
    /// List the tags of an executor, and where they pointed before
    #[command(after_help = "Examples:\n  lockgate tag list shout")]
    List(List),
    /// Delete a tag
    #[command(after_help = "Examples:\n  lockgate tag delete shout:stable")]
    Delete(Named),
}

#[derive(Debug, Args)]
struct Set {
    /// The tag
    #[arg(value_name = "EXECUTOR:TAG")]
    tag: ExecutorReference,

    /// The revision: @3, or another tag of the same executor
    #[arg(value_name = "REVISION")]
    revision: String,
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
    /// The tag
    #[arg(value_name = "EXECUTOR:TAG")]
    tag: ExecutorReference,
}

/// Put a tag back to the revision before
#[derive(Debug, Args)]
#[command(
    after_help = "Requests in progress finish on the revision they began with; the next ones get the one before.\n\nExamples:\n  lockgate rollback shout\n  lockgate rollback shout --tag stable"
)]
pub(crate) struct RollbackArguments {
    /// The executor
    #[arg(value_name = "EXECUTOR")]
    name: ExecutorName,

    /// The tag
    #[arg(long, value_name = "TAG", default_value = "latest")]
    tag: TagName,

    #[command(flatten)]
    host: HostArguments,
}

pub(crate) async fn run(arguments: TagArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    match arguments.verb {
        Verb::Set(set) => {
            let (path, name) = tag_path(&mut client, &set.tag).await?;
            let reference = meant(&name, &set.revision)?;
            let number = revision::resolve(&mut client, &reference).await?;
            let tag = client
                .send(Ask::put(path).json(&json!({ "revision": number })).patiently())
                .await?
                .value()?;
            print_tag(host, &name, &tag, console)
        }
        Verb::List(list) => {
            let path = client.path(&format!("/executors/{}/tags", list.name)).await?;
            let shown = Shown { table: show::revision::tags, nothing: "no tag yet" };
            listing::list((host, console), &mut client, &path, list.most, shown).await
        }
        Verb::Delete(named) => {
            let path = tag_path(&mut client, &named.tag).await?.0;
            client.send(Ask::delete(path).patiently()).await?;
            host.print(console, &json!({ "deleted": named.tag.to_string() }), || {
                Ok(vec![format!("{GOOD}deleted{GOOD:#} tag {}", named.tag)])
            })
        }
    }
}

pub(crate) async fn rollback(arguments: RollbackArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    let path = client.path(&format!("/executors/{}/rollback", arguments.name)).await?;
    let ask = Ask::post(path).json(&json!({ "tag": arguments.tag })).patiently();
    let tag = client.send(ask).await?.value()?;
    print_tag(host, &arguments.name, &tag, console)
}

fn print_tag(
    host: &HostArguments,
    name: &ExecutorName,
    tag: &Value,
    console: &Console,
) -> Result<(), Failure> {
    host.print(console, tag, || {
        let tag = parse_reply(tag.get("tag").filter(|tag| tag.is_object()).unwrap_or(tag))?;
        Ok(vec![format!("{GOOD}✓{GOOD:#} {name}:{}", show::revision::describe_tag(&tag, show::now()))])
    })
}

async fn tag_path(client: &mut Client, tag: &ExecutorReference) -> Result<(String, ExecutorName), Failure> {
    let name = &tag.executor;
    match &tag.target {
        Some(Target::Tag(tag)) => {
            Ok((client.path(&format!("/executors/{name}/tags/{tag}")).await?, name.clone()))
        }
        Some(Target::Revision(_)) | None => {
            let report = Report::new(format!("{tag} names no tag")).hint(format!("write {name}:stable, say"));
            Err(Failure::Usage(report))
        }
    }
}

/// `@3`, `stable`, `shout@3` or `shout:stable`, of that executor.
fn meant(name: &ExecutorName, text: &str) -> Result<ExecutorReference, Failure> {
    let bad = |error: &dyn std::error::Error| {
        Failure::Usage(
            Report::new(format!("{text:?} names no revision")).because(error).hint("write @3, or a tag"),
        )
    };
    let is_whole = text.contains(':') || text.find('@').is_some_and(|at| at > 0);
    if !is_whole {
        let target = text.parse().map_err(|error| bad(&error))?;
        return Ok(ExecutorReference { executor: name.clone(), target: Some(target) });
    }
    let reference: ExecutorReference = text.parse().map_err(|error| bad(&error))?;
    if reference.executor != *name {
        let report = Report::new(format!("{text} is a revision of {}, not of {name}", reference.executor));
        return Err(Failure::Usage(report.hint("a tag points at revisions of its own executor")));
    }
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_of_one_executor_are_meant() {
        let check = |text: &str, expected: Option<&str>| {
            let reference = meant(&"shout".parse().unwrap(), text).ok().map(|meant| meant.to_string());
            assert_eq!(reference.as_deref(), expected, "{text}");
        };
        check("@3", Some("shout@3"));
        check("stable", Some("shout:stable"));
        check("shout@3", Some("shout@3"));
        check("shout:stable", Some("shout:stable"));
        check("other@3", None);
        check("@x", None);
        check("", None);
    }
}
