//! Follows the files that a flow is made of.
//!
//! Folders are watched one by one and without their subfolders' build output: a recursive watch would follow every
//! file that a compiler writes. An editor's burst of events is one change; whatever changes while a build runs is the
//! next one. What is watched is worked out anew after each change, because a change may have made new folders.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use walkdir::{DirEntry, WalkDir};

use crate::builder::Source;
use crate::failure::Report;
use crate::up::bring_up::Sources;

/// Silence after which a burst of events is over.
const QUIET: Duration = Duration::from_millis(150);
/// Events that wait; when there are more, one is as good as many.
const QUEUE: usize = 64;
/// Folders that are watched at most: systems have few watches to give.
const MAX_FOLDERS: usize = 1024;
/// Folders whose files are made, not written.
const OUTPUT_FOLDERS: &[&str] = &["target", "node_modules", "__pycache__"];

/// A watch over a flow file and its sources.
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    events: mpsc::Receiver<PathBuf>,
    folders: BTreeSet<PathBuf>,
    /// In watched folders that are not sources, only these files count.
    files: BTreeSet<PathBuf>,
    trees: Vec<PathBuf>,
}

impl Watch {
    /// Watches the flow file alone, if there is one; what it names is added by [`Watch::follow`].
    pub(crate) fn new(flow_file: Option<&Path>) -> Result<Self, Report> {
        let (sender, events) = mpsc::channel(QUEUE);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let is_change =
                matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_));
            for path in event.paths.into_iter().filter(|_| is_change) {
                // A full queue holds a change already.
                drop(sender.try_send(path));
            }
        })
        .map_err(|error| Report::new("cannot watch files").because(&error))?;
        let mut watch =
            Self { watcher, events, folders: BTreeSet::new(), files: BTreeSet::new(), trees: Vec::new() };
        flow_file.map_or(Ok(()), |file| watch.add_file(file))?;
        Ok(watch)
    }

    /// Watches these sources and files, too.
    pub(crate) fn follow(&mut self, sources: &Sources, files: &[PathBuf]) -> Result<(), Report> {
        files.iter().try_for_each(|file| self.add_file(file))?;
        for (_, _, source) in &sources.0 {
            match source {
                Source::Component(file) => self.add_file(file)?,
                Source::Folder(folder) => {
                    let tree = absolute(folder);
                    if !self.trees.contains(&tree) {
                        self.trees.push(tree);
                    }
                }
            }
        }
        for tree in self.trees.clone() {
            for entry in WalkDir::new(&tree).into_iter().filter_entry(is_source).filter_map(Result::ok) {
                if entry.file_type().is_dir() {
                    self.add_folder(entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Waits for a change and for the end of its burst; gives the file to name. Editors write beside a file and then
    /// move: the file that is there at the end is the one that the user knows.
    pub(crate) async fn changed(&mut self) -> Option<PathBuf> {
        let mut named = loop {
            let path = self.events.recv().await?;
            if self.counts(&path) {
                break path;
            }
        };
        while let Ok(Some(path)) = tokio::time::timeout(QUIET, self.events.recv()).await {
            if self.counts(&path) && (path.exists() || !named.exists()) {
                named = path;
            }
        }
        Some(named)
    }

    fn counts(&self, path: &Path) -> bool {
        if self.files.contains(path) {
            return true;
        }
        let below = self.trees.iter().find_map(|tree| path.strip_prefix(tree).ok());
        below.is_some_and(|below| {
            below.components().all(|part| !is_output(&part.as_os_str().to_string_lossy()))
        })
    }

    fn add_file(&mut self, file: &Path) -> Result<(), Report> {
        let file = absolute(file);
        if let Some(folder) = file.parent() {
            // Editors replace files: a watch on the file itself would end with the first save.
            self.add_folder(folder)?;
        }
        self.files.insert(file);
        Ok(())
    }

    fn add_folder(&mut self, folder: &Path) -> Result<(), Report> {
        // A folder that was removed and made again needs a new watch.
        if self.folders.len() >= MAX_FOLDERS && !self.folders.contains(folder) {
            return Err(Report::new(format!(
                "more than {MAX_FOLDERS} folders of sources are too many to watch"
            ))
            .hint("run without --watch, or let `uses` name a smaller folder"));
        }
        self.watcher
            .watch(folder, RecursiveMode::NonRecursive)
            .map_err(|error| cannot_watch(folder, &error))?;
        self.folders.insert(folder.to_owned());
        Ok(())
    }
}

fn cannot_watch(path: &Path, error: &notify::Error) -> Report {
    Report::new(format!("cannot watch {}", path.display())).because(error)
}

fn absolute(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

fn is_source(entry: &DirEntry) -> bool {
    entry.depth() == 0 || !is_output(&entry.file_name().to_string_lossy())
}

/// Build output, hidden files, editors' own files, and the lock file that a build may rewrite.
fn is_output(name: &str) -> bool {
    name.starts_with('.')
        || name.ends_with('~')
        || name.ends_with(".swp")
        || name == "Cargo.lock"
        || name == "4913"
        || OUTPUT_FOLDERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sees_sources_and_not_build_output() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (tree, flow) = (root.join("executor"), root.join("flow.yml"));
        std::fs::create_dir_all(tree.join("src")).unwrap();
        std::fs::create_dir_all(tree.join("target")).unwrap();
        std::fs::write(&flow, "").unwrap();
        let mut watch = Watch::new(Some(&flow)).unwrap();
        let sources = Sources(vec![(
            "a".parse().unwrap(),
            lockgate_domain::spec::ComponentRole::Main,
            Source::Folder(tree.clone()),
        )]);
        watch.follow(&sources, &[]).unwrap();
        // What does not count is written first: were it seen, it would be told first.
        for (ignored, seen) in [
            (root.join("other.txt"), flow.clone()),
            (tree.join("target/out.wasm"), tree.join("src/lib.rs")),
            (tree.join("Cargo.lock"), tree.join("Cargo.toml")),
        ] {
            std::fs::write(&ignored, "x").unwrap();
            std::fs::write(&seen, "x").unwrap();
            let changed = tokio::time::timeout(Duration::from_secs(30), watch.changed()).await;
            assert_eq!(changed.ok().flatten(), Some(seen));
        }
    }
}
