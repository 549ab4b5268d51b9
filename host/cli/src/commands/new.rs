//! `lockgate new`: a folder with an executor that builds, is tested, and can be published.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lockgate_domain::ExecutorName;
use serde_json::json;

use crate::console::{ACCENT, Console, GOOD, HEADING};
use crate::failure::{Failure, Report};
use crate::new::{TAKEN, Words, unpack};

/// Make a folder with a new executor
#[derive(Debug, Args)]
#[command(
    after_help = "The folder builds with nothing but rustup: the SDK is unpacked into it. Its README has the next commands.\n\nExamples:\n  lockgate new shout\n  lockgate new word-count --path executors/word-count"
)]
pub(crate) struct NewArguments {
    /// The executor: letters, digits, '-' and '_'
    #[arg(value_name = "NAME")]
    name: ExecutorName,

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

pub(crate) fn run(arguments: &NewArguments, console: &Console) -> Result<(), Failure> {
    let Language::Rust = arguments.language;
    let name = arguments.name.as_str();
    let words = Words::of(name).filter(|_| !TAKEN.contains(&name)).ok_or_else(|| {
        Failure::Usage(Report::new(format!("a Rust package cannot be called {name:?}")).hint(
            "a name starts with a letter and is not one of Rust's own or of the SDK's: my-executor, say",
        ))
    })?;
    let folder = arguments.path.clone().unwrap_or_else(|| name.into());
    let is_taken = std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    if is_taken || folder.is_file() {
        return Err(Report::new(format!("{} is there already", folder.display()))
            .hint("--path names another folder")
            .into());
    }
    let written = unpack(&words, &folder)
        .map_err(|error| Report::new(format!("cannot make {}", folder.display())).because(&error))?;
    if arguments.json {
        let files: Vec<_> = written.iter().map(|path| path.to_string_lossy()).collect();
        return console.line(json!({ "name": name, "path": folder.to_string_lossy(), "files": files }));
    }
    let shown = folder.display();
    console
        .line(format_args!("{GOOD}✓{GOOD:#} {shown} is an executor with the endpoint /{}", words.endpoint))?;
    console.line(format_args!("\n{HEADING}Next:{HEADING:#}"))?;
    let endpoint = &words.endpoint;
    for (command, what) in [
        (format!("cargo test --manifest-path {shown}/Cargo.toml"), "its unit test"),
        (format!("lockgate up {shown}/flow.yml"), "serve it here"),
        (format!("lockgate publish {shown} --executor {name}"), "serve it on a host"),
        (format!("lockgate call --executor {name} --endpoint /{endpoint} --text 'hello world'"), ""),
    ] {
        console.line(format_args!("  {ACCENT}{command:<52}{ACCENT:#} {what}").to_string().trim_end())?;
    }
    Ok(())
}
