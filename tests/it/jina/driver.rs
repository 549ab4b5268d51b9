//! Python processes that take orders: one line of JSON in, one line of JSON out.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use lockgate_testkit::{python, repository};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Release;

/// Longest wait for a line. The scripts have shorter ones of their own; this is for a script that is gone astray.
const PATIENCE: Duration = Duration::from_secs(180);
/// The script that runs flows.
const SERVE: &str = "serve.py";
/// How much of what a script said is shown.
const SHOWN: usize = 4000;

/// A script of `tests/jina` that runs until its standard input ends.
pub(super) struct Script {
    name: &'static str,
    _child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    words: NamedTempFile,
}

impl Script {
    /// Starts it in the environment of that release.
    pub(super) async fn start(
        release: &Release,
        name: &'static str,
        environment: &[(&str, PathBuf)],
    ) -> Self {
        let folder = repository().join("tests/jina");
        let python = interpreter(folder.join(release.requirements)).await;
        let words = NamedTempFile::new().unwrap();
        let mut command = Command::new(python);
        command
            .arg(folder.join(name))
            .arg(release.generation)
            .env("JINA_OPTOUT_TELEMETRY", "1")
            .env("JINA_HIDE_SURVEY", "1")
            .env("JINA_LOG_LEVEL", "ERROR")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            // Flows are stopped by the script that runs them, which hears of the end of its input.
            .kill_on_drop(name != SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(words.reopen().unwrap());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { name, _child: child, orders, answers, words }
    }

    /// Sends an order and waits for its answer.
    pub(super) async fn order(&mut self, order: &Value) -> Value {
        let line = format!("{order}\n");
        if let Err(error) = self.orders.write_all(line.as_bytes()).await {
            panic!("{} does not listen to {order}: {error}\n{}", self.name, self.words());
        }
        let Ok(Ok(Some(line))) = tokio::time::timeout(PATIENCE, self.answers.next_line()).await else {
            panic!("{} did not answer {order}\n{}", self.name, self.words());
        };
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.name))
    }

    /// The end of what it wrote to its standard error.
    pub(super) fn words(&self) -> String {
        let words = std::fs::read(self.words.path()).unwrap_or_default();
        String::from_utf8_lossy(words.get(words.len().saturating_sub(SHOWN)..).unwrap_or_default())
            .into_owned()
    }
}

/// The interpreter of an environment with these packages.
pub(super) async fn interpreter(requirements: PathBuf) -> PathBuf {
    let python = tokio::task::spawn_blocking(move || python::jina_python(&requirements)).await.unwrap();
    python.unwrap_or_else(|why| panic!("{why}"))
}

/// Flows of the real Jina.
pub(super) struct Jina(Script);

impl Jina {
    pub(super) async fn start(release: &Release) -> Self {
        Self(Script::start(release, SERVE, &[]).await)
    }

    /// The ports of a flow by protocol.
    pub(super) async fn serve(&mut self, name: &str, flow: &str) -> Value {
        let mut answer = self.0.order(&json!({ "start": name, "flow": flow })).await;
        if let Some(why) = answer.get("failed") {
            panic!("the real Jina does not start the flow {name}: {why}\n{}", self.0.words());
        }
        answer["ports"].take()
    }

    pub(super) async fn stop(&mut self, name: &str) {
        self.0.order(&json!({ "stop": name })).await;
    }
}
