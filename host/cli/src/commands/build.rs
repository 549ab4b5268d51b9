//! `lockgate build`: executors from source folders to components, without serving them.

use std::path::{Path, PathBuf};

use clap::Args;
use lockgate_node::Signals;
use serde_json::json;

use crate::builder::{self, Source};
use crate::console::Console;
use crate::failure::{Failure, Report};
use crate::progress::Progress;

/// Build executors from their source folders
#[derive(Debug, Args)]
#[command(
    after_help = "The paths of the components are printed, one a line, in the order of the folders.\n\nExamples:\n  lockgate build executors/upper\n  lockgate build executors/* --output components/\n  lockgate build executors/upper --output upper.wasm"
)]
pub(crate) struct BuildArguments {
    /// Folders with an executor's sources (Rust: a Cargo.toml)
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,

    /// Copy the component there: a file for one folder, an existing folder or a name ending in '/' for several
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Print one JSON object per component
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: BuildArguments, console: &Console) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(signals_failed)?;
    let place =
        arguments.output.as_deref().map(|path| Place::parse(path, arguments.folders.len())).transpose()?;
    let progress = Progress::new(console);
    let work = async {
        let mut failed = Vec::new();
        for folder in &arguments.folders {
            match build_one(folder, place.as_ref(), &progress).await {
                Ok(component) => print(&arguments, folder, &component, console)?,
                Err(report) => failed.push(report),
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(Failure::Reports(failed)) }
    };
    builder::unless_interrupted(&mut signals, work).await
}

/// The host cannot be told to stop: better not to start.
pub(crate) fn signals_failed(error: std::io::Error) -> Failure {
    Report::new("cannot listen for signals").because(&error).into()
}

async fn build_one(folder: &Path, place: Option<&Place>, progress: &Progress) -> Result<PathBuf, Report> {
    let source = Source::find(folder)?;
    if let Source::Component(file) = &source {
        return Err(Report::new(format!("{} is a file", file.display()))
            .hint("lockgate build takes source folders; a .wasm file needs no build"));
    }
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().unwrap_or(absolute.as_os_str()).to_string_lossy().into_owned();
    let component = builder::build(&name, &source, progress).await?;
    match place {
        Some(place) => place.copy(&name, &component),
        None => Ok(component),
    }
}

fn print(
    arguments: &BuildArguments,
    folder: &Path,
    component: &Path,
    console: &Console,
) -> Result<(), Failure> {
    if !arguments.json {
        return console.line(component.display());
    }
    let bytes = std::fs::metadata(component).map_or(0, |metadata| metadata.len());
    console.line(json!({
        "folder": folder.to_string_lossy(), "component": component.to_string_lossy(), "bytes": bytes,
    }))
}

/// Where components are copied to.
enum Place {
    File(PathBuf),
    Folder(PathBuf),
}

impl Place {
    fn parse(path: &Path, count: usize) -> Result<Self, Failure> {
        let names_folder = path.is_dir() || path.to_string_lossy().ends_with('/');
        match (names_folder, count) {
            (true, _) => Ok(Place::Folder(path.to_owned())),
            (false, 1) => Ok(Place::File(path.to_owned())),
            (false, _) => Err(Failure::Usage(
                Report::new(format!("{count} components cannot be written to one file {}", path.display()))
                    .hint(format!("name a folder: --output {}/", path.display())),
            )),
        }
    }

    fn copy(&self, name: &str, component: &Path) -> Result<PathBuf, Report> {
        let target = match self {
            Place::File(file) => file.clone(),
            Place::Folder(folder) => folder.join(format!("{name}.wasm")),
        };
        let cannot =
            |error: &std::io::Error| Report::new(format!("cannot write {}", target.display())).because(error);
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(|error| cannot(&error))?;
        }
        std::fs::copy(component, &target).map_err(|error| cannot(&error))?;
        Ok(target)
    }
}
