//! From a source folder to a component file: what `up` and `build` do with executors that are not `.wasm` yet.
//!
//! The author's own toolchain does the work and its own words are shown when it fails. Sources are trusted as much as
//! the person who builds them: a build runs build scripts and macros, so nothing that a tenant uploads comes here.

mod cargo;
mod language;

use std::io;
use std::path::{Path, PathBuf};

use lockgate_domain::ExecutorName;
use lockgate_node::Signals;

use crate::failure::{Failure, Report};
use crate::progress::Progress;

use self::language::Language;

/// Where an executor's component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// a component that is there already
    Component(PathBuf),
    /// a folder to build
    Folder(PathBuf),
}

impl Source {
    /// Looks at what an argument names.
    pub(crate) fn find(path: &Path) -> Result<Self, Report> {
        Self::look(path).map_err(|error| {
            Report::new(format!("cannot open {}", path.display()))
                .because(&error)
                .hint("name a .wasm file or a folder with a Cargo.toml")
        })
    }

    /// Looks at what `uses` of an executor names, from the folder of its flow file.
    pub(crate) fn of_executor(executor: &ExecutorName, uses: &str, folder: &Path) -> Result<Self, Report> {
        let path = folder.join(uses);
        Self::look(&path).map_err(|error| {
            Report::new(format!("executor `{executor}` uses {uses:?}, which cannot be opened"))
                .cause(format!("{}: {error}", path.display()))
                .hint("name a .wasm file or a folder with a Cargo.toml; paths start at the folder of the flow file")
        })
    }

    fn look(path: &Path) -> io::Result<Self> {
        let is_folder = std::fs::metadata(path)?.is_dir();
        Ok(if is_folder { Source::Folder(path.to_owned()) } else { Source::Component(path.to_owned()) })
    }

    /// The file or folder.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Source::Component(path) | Source::Folder(path) => path,
        }
    }
}

/// Makes a component of a source; gives the path of the `.wasm` file.
pub(crate) async fn build(name: &str, source: &Source, progress: &Progress) -> Result<PathBuf, Report> {
    let folder = match source {
        Source::Component(path) => return Ok(path.clone()),
        Source::Folder(folder) => folder,
    };
    match Language::detect(folder) {
        Some(Language::Rust) => cargo::build(name, folder, progress).await,
        Some(language) => Err(Report::new(format!(
            "executor {name:?} in {} is written in {}, and lockgate builds Rust so far",
            folder.display(),
            language.as_str()
        ))
        .hint(format!(
            "build it with {} and name the .wasm file instead of the folder",
            language.own_tool()
        ))),
        None => Err(Report::new(format!("found no executor in {}", folder.display())).hint(
            "a source folder has a Cargo.toml (Rust); anything else must be built to a .wasm file first",
        )),
    }
}

/// Runs `work` until a signal asks for the end; dropping `work` stops the tools it started.
pub(crate) async fn unless_interrupted<T>(
    signals: &mut Signals,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        _ = signals.next() => Err(Failure::Interrupted),
    }
}
