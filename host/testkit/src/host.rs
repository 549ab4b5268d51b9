//! The real `lockgate` as a process: started on a port of its own, read, and ended with the test.
//!
//! Each host has a folder of its own for the flow's file. Compiled code is shared by all hosts of a target folder, as
//! a user's hosts share theirs, so that each component is compiled once.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::process::{resident_bytes, signal};
use crate::shared::target_folder;
use crate::wait::wait_for;

/// How to start a host.
#[derive(Debug)]
pub struct HostOptions {
    binary: PathBuf,
    command: Vec<OsString>,
    words: Vec<String>,
    environment: Vec<(String, String)>,
    has_own_ports: bool,
    folder: TempDir,
}

/// A host that serves. Dropping it kills the process.
#[derive(Debug)]
pub struct RunningHost {
    child: Child,
    pid: u32,
    address: SocketAddr,
    ready: Value,
    lines: Lines,
    folder: TempDir,
}

/// What a process has printed, both streams, in the order it was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl HostOptions {
    /// A flow given as text. `{hostile}` and the like in it were already replaced by paths of components.
    pub fn flow_text(binary: impl Into<PathBuf>, text: &str) -> Self {
        let options = Self::command(binary, &["up"]);
        let flow = options.folder.path().join("flow.yml");
        if let Err(error) = std::fs::write(&flow, text) {
            panic!("cannot write {}: {error}", flow.display());
        }
        options.with(flow)
    }

    /// A flow given as a file.
    pub fn flow_file(binary: impl Into<PathBuf>, flow: impl Into<PathBuf>) -> Self {
        Self::command(binary, &["up"]).with(flow.into())
    }

    /// Any command that serves, with its words.
    pub fn command(binary: impl Into<PathBuf>, words: &[&str]) -> Self {
        Self {
            binary: binary.into(),
            command: words.iter().map(OsString::from).collect(),
            words: Vec::new(),
            environment: Vec::new(),
            has_own_ports: false,
            folder: TempDir::new().unwrap_or_else(|error| panic!("no temporary folder: {error}")),
        }
    }

    fn with(mut self, file: PathBuf) -> Self {
        self.command.push(file.into());
        self
    }

    /// A further word of the command line.
    #[must_use]
    pub fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    /// A variable of the process.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves the ports to the flow.
    #[must_use]
    pub fn with_own_ports(mut self) -> Self {
        self.has_own_ports = true;
        self
    }

    /// Starts the host and waits until it serves.
    pub async fn start(self) -> RunningHost {
        let binary = self.binary.display().to_string();
        match self.try_start().await {
            Ok(host) => host,
            Err(words) => panic!("{binary} up did not come to serve; it said:\n{words}"),
        }
    }

    /// Starts the host with the words that a person reads instead of the readiness line.
    pub async fn start_pretty(self) -> RunningHost {
        match self.launch(&[], Lines::address_in_words).await {
            Ok(host) => host,
            Err(words) => panic!("the host did not come to serve; it said:\n{words}"),
        }
    }

    /// Starts the host; the error is all it said before it ended.
    pub async fn try_start(self) -> Result<RunningHost, String> {
        self.launch(&["--json"], |lines| lines.first_json("address")).await
    }

    async fn launch(self, words: &[&str], ready: fn(&Lines) -> Option<Value>) -> Result<RunningHost, String> {
        let mut command = lockgate(&self.binary);
        command.args(&self.command).args(words).args(&self.words);
        command.envs(self.environment);
        if !self.has_own_ports {
            command.args(["--port", "0"]);
        }
        command.current_dir(self.folder.path()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let lines = Lines::default();
        lines.read(child.stderr.take());
        lines.read(child.stdout.take());
        let ready = wait_for("the readiness line", async || {
            let ended = child.try_wait().ok().flatten().is_some();
            let ready = ready(&lines);
            if ready.is_some() || (ended && lines.are_complete()) { Some(ready) } else { None }
        })
        .await;
        let Some(ready) = ready else { return Err(lines.all()) };
        let address = ready.get("address").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in the readiness line {ready}"));
        let pid = child.id().unwrap_or_default();
        Ok(RunningHost { child, pid, address, ready, lines, folder: self.folder })
    }
}

/// The command with both streams caught and an environment that does not depend on who runs the tests.
pub fn lockgate(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_remove("LOCKGATE_LOG")
        .env_remove("LOCKGATE_URL")
        .env_remove("LOCKGATE_KEY")
        .env_remove("LOCKGATE_TENANT")
        .env_remove("LOCKGATE_CALL_URL")
        .env_remove("LOCKGATE_CA")
        .env("XDG_CONFIG_HOME", target_folder().join("lockgate-test-config"))
        .env("LOCKGATE_CACHE_DIR", target_folder().join("lockgate-test-cache"))
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .env("CARGO_TARGET_DIR", target_folder());
    command
}

impl RunningHost {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An absolute URL for a path with its leading slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The line with which it said that it serves.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// The folder in which it runs and in which a flow given as text lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
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

    /// Asks it to read its files again.
    pub fn hang_up(&self) {
        signal(self.pid, "HUP");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        wait_for("the host to end", async || self.child.try_wait().ok().flatten()).await
    }
}

impl Lines {
    /// Reads a stream to its end: a full pipe would stop the process.
    pub(crate) fn read(&self, stream: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(stream) = stream else { return };
        let lines = self.clone();
        let reader = async move {
            let (mut reader, mut line) = (BufReader::new(stream), Vec::new());
            while reader.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
                lines.push(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
                line.clear();
            }
        };
        // Ends with the stream, and the stream with the process.
        drop(tokio::runtime::Handle::current().spawn(reader));
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(crate) fn find(&self, text: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|line| line.contains(text)).cloned()
    }

    /// Whether both streams have ended: each reader holds a copy, and lets it go at its stream's end.
    pub(crate) fn are_complete(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// The address as people are told it, once the line after it is there as well.
    fn address_in_words(&self) -> Option<Value> {
        self.find("Ctrl-C")?;
        let line = self.find("grpc://")?;
        let address = line.split("grpc://").nth(1)?.split_whitespace().next()?.to_owned();
        Some(serde_json::json!({ "address": address }))
    }

    /// The first line that is a JSON object with that key.
    pub(crate) fn first_json(&self, key: &str) -> Option<Value> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line.get(key).is_some())
    }

    pub(crate) fn all(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}
