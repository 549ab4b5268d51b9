//! `lockgate new`: a folder with an executor that builds, is tested, and can be published; or with a whole project around
//! it, as Jina's `new` makes one.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use lockgate_domain::ExecutorName;
use serde_json::json;

use crate::console::{ACCENT, Console, GOOD, HEADING};
use crate::failure::{Failure, Report};
use crate::new::{Project, TAKEN, Words, unpack, unpack_project};

/// Make a folder with a new executor
#[derive(Debug, Args)]
#[command(
    after_help = "The folder builds with nothing but rustup: the SDK is unpacked into it. Its README has the next commands.\n\nExamples:\n  lockgate new shout\n  lockgate new word-count --path executors/word-count\n  lockgate new hello --type flow"
)]
pub(crate) struct NewArguments {
    /// The executor: letters, digits, '-' and '_'
    #[arg(value_name = "NAME")]
    name: ExecutorName,

    /// What is made
    #[arg(long = "type", value_name = "TYPE", default_value = "executor")]
    kind: Kind,

    /// What it is written in
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    language: Language,

    /// The folder to make [default: NAME]
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    /// with the SDK for Rust
    Rust,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// an executor
    Executor,
    /// a flow with one executor, and a client
    Flow,
    /// a deployment of one executor, and a client
    Deployment,
}

pub(crate) fn run(arguments: &NewArguments, console: &Console) -> Result<(), Failure> {
    let Language::Rust = arguments.language;
    let name = arguments.name.as_str();
    match arguments.kind {
        Kind::Executor => {}
        Kind::Flow => return project(arguments, Project::Flow, console),
        Kind::Deployment => return project(arguments, Project::Deployment, console),
    }
    let words = Words::of(name).filter(|_| !TAKEN.contains(&name)).ok_or_else(|| {
        Failure::Usage(Report::new(format!("a Rust package cannot be called {name:?}")).hint(
            "a name starts with a letter and is not one of Rust's own or of the SDK's: my-executor, say",
        ))
    })?;
    let folder = folder(arguments)?;
    let written = unpack(&words, &folder).map_err(|error| cannot_make(&folder, &error))?;
    if arguments.json {
        return print_json(arguments, &folder, &written, console);
    }
    let shown = folder.display();
    console
        .line(format_args!("{GOOD}✓{GOOD:#} {shown} is an executor with the endpoint /{}", words.endpoint))?;
    let endpoint = &words.endpoint;
    let steps = [
        (format!("cargo test --manifest-path {shown}/Cargo.toml"), "its unit test"),
        (format!("lockgate up {shown}/flow.yml"), "serve it here"),
        (format!("lockgate publish {shown} --executor {name}"), "serve it on a host"),
        (format!("lockgate call --executor {name} --endpoint /{endpoint} --text 'hello world'"), ""),
    ];
    say_next(&steps, console)
}

/// A folder that is not there yet.
fn folder(arguments: &NewArguments) -> Result<PathBuf, Failure> {
    let folder = arguments.path.clone().unwrap_or_else(|| arguments.name.as_str().into());
    let is_taken = std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    if is_taken || folder.is_file() {
        return Err(Report::new(format!("{} is there already", folder.display()))
            .hint("--path names another folder")
            .into());
    }
    Ok(folder)
}

fn cannot_make(folder: &Path, error: &std::io::Error) -> Report {
    Report::new(format!("cannot make {}", folder.display())).because(error)
}

fn print_json(
    arguments: &NewArguments,
    folder: &Path,
    written: &[PathBuf],
    console: &Console,
) -> Result<(), Failure> {
    let files: Vec<_> = written.iter().map(|path| path.to_string_lossy()).collect();
    let name = arguments.name.as_str();
    console.line(json!({ "name": name, "path": folder.to_string_lossy(), "files": files }))
}

fn project(arguments: &NewArguments, project: Project, console: &Console) -> Result<(), Failure> {
    let folder = folder(arguments)?;
    let written = unpack_project(project, arguments.name.as_str(), &folder)
        .map_err(|error| cannot_make(&folder, &error))?;
    if arguments.json {
        return print_json(arguments, &folder, &written, console);
    }
    let (shown, file) = (folder.display(), project.file_name());
    console.line(format_args!("{GOOD}✓{GOOD:#} {shown} serves one executor with the endpoint /executor1"))?;
    let steps = [
        (format!("cargo test --manifest-path {shown}/executor1/Cargo.toml"), "its unit test"),
        (format!("lockgate up {shown}/{file}"), "serve it here"),
        ("lockgate call --endpoint /executor1 --text 'hello world'".to_owned(), ""),
        (format!("python {shown}/client.py"), "the same with Jina's client"),
    ];
    say_next(&steps, console)
}

fn say_next(steps: &[(String, &str)], console: &Console) -> Result<(), Failure> {
    console.line(format_args!("\n{HEADING}Next:{HEADING:#}"))?;
    let explained = steps.iter().filter(|(_, what)| !what.is_empty());
    let width = explained.map(|(command, _)| command.chars().count() + 1).max().unwrap_or(0).max(52);
    for (command, what) in steps {
        console.line(format_args!("  {ACCENT}{command:<width$}{ACCENT:#} {what}").to_string().trim_end())?;
    }
    Ok(())
}
