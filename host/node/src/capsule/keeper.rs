//! Keeps the failed requests of one executor of `lockgate up`, with the component that they need beside them.
//!
//! Bounded: so many files in the folder, the oldest removed. A file is written beside its name first, readable by the
//! owner alone. A capsule that cannot be kept is a warning and never the request's trouble.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use lockgate_domain::ids::fresh_hex_id;
use lockgate_domain::{Capabilities, ComponentDigest, ExecutorName, Limits, Problem};
use lockgate_runtime::{InvocationReply, Recording};
use serde_json::{Map, Value};

use super::{CapsuleSetting, seal};

/// Capsules in one folder.
const MOST: usize = 200;
/// How their names end.
const SUFFIX: &str = ".capsule.json";

/// What is kept of one executor, and where.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) folder: PathBuf,
    pub(crate) executor: ExecutorName,
    pub(crate) digest: ComponentDigest,
    pub(crate) limits: Limits,
    pub(crate) capabilities: Capabilities,
    pub(crate) configuration: Map<String, Value>,
    pub(crate) engine: String,
    /// the component's own file
    pub(crate) component: PathBuf,
}

impl Keeper {
    /// Keeps one request. Waits for the disk: a failed request is rare, and its caller may look for the file at once.
    pub(crate) async fn keep(
        keeper: &Arc<Self>,
        recording: Recording,
        outcome: &Result<InvocationReply, Problem>,
    ) {
        let setting = CapsuleSetting {
            executor: &keeper.executor,
            digest: keeper.digest,
            limits: &keeper.limits,
            capabilities: &keeper.capabilities,
            configuration: &keeper.configuration,
            engine: &keeper.engine,
        };
        let sealed = seal(&setting, &recording, outcome);
        let (keeper, request) = (keeper.clone(), recording.request.as_str().to_owned());
        let write = move || match sealed {
            Ok(bytes) => keeper.write(&bytes).map_err(|error| error.to_string()),
            Err(problem) => Err(problem.message().to_owned()),
        };
        let written = tokio::task::spawn_blocking(write).await;
        match written.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(path) => {
                tracing::info!(request, capsule = %path.display(), "a failed request was kept for replay")
            }
            Err(error) => tracing::warn!(request, error, "a failed request was not kept"),
        }
    }

    fn write(&self, capsule: &[u8]) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let hex = self.digest.to_string().replace(':', "-");
        let component = self.folder.join(format!("{hex}.wasm"));
        if !component.exists() {
            write_whole(&component, &fs::read(&self.component)?)?;
        }
        make_room(&self.folder)?;
        let path = self.folder.join(format!("{}-{}{SUFFIX}", self.executor, fresh_hex_id()));
        write_whole(&path, capsule)?;
        Ok(path)
    }
}

/// Removes the oldest capsules until one more has a place.
fn make_room(folder: &Path) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(SUFFIX) {
            kept.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    kept.sort();
    let surplus = (kept.len() + 1).saturating_sub(MOST);
    kept.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
}

/// A reader never sees half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.part", fresh_hex_id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    fs::rename(&beside, path)
}
