//! `lockgate serve` as a process: a host with tenants on ports and a data folder of its own.
//!
//! The data folder can outlive the process, so that a test can start another host where the first one ended.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

use crate::host::{Lines, lockgate};
use crate::process::{resident_bytes, signal};
use crate::wait::wait_for;

/// How to start a host with tenants.
#[derive(Debug)]
pub struct ServeOptions {
    binary: PathBuf,
    words: Vec<String>,
    folder: Arc<TempDir>,
}

/// A host with tenants that serves. Dropping it kills the process.
#[derive(Debug)]
pub struct RunningServe {
    child: Child,
    pid: u32,
    data_address: SocketAddr,
    control_address: SocketAddr,
    ready: Value,
    lines: Lines,
    folder: Arc<TempDir>,
}

impl ServeOptions {
    /// A host with an empty data folder.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        Self { binary: binary.into(), words: Vec::new(), folder: Arc::new(folder) }
    }

    /// A further word of the command line.
    #[must_use]
    pub fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    /// Starts the host and waits until it serves.
    pub async fn start(self) -> RunningServe {
        match self.try_start().await {
            Ok(host) => host,
            Err(words) => panic!("lockgate serve did not come to serve; it said:\n{words}"),
        }
    }

    /// Starts the host; the error is all it said before it ended.
    pub async fn try_start(self) -> Result<RunningServe, String> {
        let mut command = lockgate(&self.binary);
        command.arg("serve").arg("--data").arg(self.folder.path().join("data")).arg("--json");
        for option in ["--listen", "--control"] {
            if !self.words.iter().any(|word| word == option) {
                command.args([option, "127.0.0.1:0"]);
            }
        }
        command.args(&self.words);
        command.current_dir(self.folder.path()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let lines = Lines::default();
        lines.read(child.stderr.take());
        lines.read(child.stdout.take());
        let ready = wait_for("the readiness line", async || {
            let ended = child.try_wait().ok().flatten().is_some();
            let ready = lines.first_json("control");
            if ready.is_some() || (ended && lines.are_complete()) { Some(ready) } else { None }
        })
        .await;
        let Some(ready) = ready else { return Err(lines.all()) };
        let address = |name: &str| -> SocketAddr {
            let text = ready.get(name).and_then(|part| part.get("address")).and_then(Value::as_str);
            let address = text.and_then(|text| text.parse().ok());
            address.unwrap_or_else(|| panic!("no {name} address in the readiness line {ready}"))
        };
        let (data_address, control_address) = (address("data"), address("control"));
        let pid = child.id().unwrap_or_default();
        Ok(RunningServe { child, pid, data_address, control_address, ready, lines, folder: self.folder })
    }
}

impl RunningServe {
    /// Where calls come in.
    pub fn data_address(&self) -> SocketAddr {
        self.data_address
    }

    /// Where the control API listens.
    pub fn control_address(&self) -> SocketAddr {
        self.control_address
    }

    /// A URL of the data plane for a path with its leading slash.
    pub fn data_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.data_address)
    }

    /// A URL of the control API for a path with its leading slash.
    pub fn control_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.control_address)
    }

    /// The line with which it said that it serves.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// The key that it wrote at its first start.
    pub fn operator_key(&self) -> String {
        let path = self.data_folder().join("operator.key");
        match std::fs::read_to_string(&path) {
            Ok(key) => key.trim().to_owned(),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// The folder in which it runs; it may hold files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its data folder.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Options that start a host on the same data folder, once this one has ended.
    pub fn again(&self, binary: impl Into<PathBuf>) -> ServeOptions {
        ServeOptions { binary: binary.into(), words: Vec::new(), folder: Arc::clone(&self.folder) }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Bytes of memory that it holds now.
    pub fn resident_bytes(&self) -> u64 {
        resident_bytes(self.pid).unwrap_or_else(|| panic!("the host is gone; it said:\n{}", self.logs()))
    }

    /// Everything it has said so far.
    pub fn logs(&self) -> String {
        self.lines.all()
    }

    /// Waits until it has said a line that contains `text`; gives the line.
    pub async fn wait_for_log(&self, text: &str) -> String {
        wait_for(&format!("the host to say {text:?}"), async || self.lines.find(text)).await
    }

    /// Whether the process lives.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// Asks it to drain and end.
    pub fn terminate(&self) {
        signal(self.pid, "TERM");
    }

    /// Ends it without a word.
    pub fn kill(&self) {
        signal(self.pid, "KILL");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        wait_for("the host to end", async || self.child.try_wait().ok().flatten()).await
    }
}
