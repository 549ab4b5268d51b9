//! `lockgate serve` under faults, and what it tells over its control API.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use http::{Method, StatusCode};
use lockgate_testkit::faults::Faults;
use lockgate_testkit::host::lockgate;
use lockgate_testkit::http::{Answer, HttpClient};
use lockgate_testkit::wait_for;
use serde_json::{Value, json};
use tokio::process::Child;

use crate::support::BINARY;

/// Everything of a tenant that can be read, below its path.
const READABLE: &[&str] = &[
    "",
    "/keys",
    "/components",
    "/signing-keys",
    "/executors",
    "/executors/shout",
    "/executors/shout/revisions",
    "/executors/shout/tags",
    "/executors/shout/deployment",
    "/flows",
    "/flows/search",
    "/secrets",
];
/// Members of answers that differ from run to run: moments, times, memory, and how many bytes it takes to write them.
const VARYING: &[&str] = &[
    "changed_at",
    "compile_memory_bytes",
    "compile_ms",
    "created_at",
    "instantiate_us",
    "stored_bytes",
    "moved_at",
    "uploaded_at",
];

/// A host that serves. Dropping it kills the process.
pub(super) struct Host {
    child: Child,
    data: SocketAddr,
    control: SocketAddr,
    operator: String,
    client: HttpClient,
}

/// How a host ended before it served, or after.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    /// By SIGKILL.
    Killed,
    /// Otherwise; with all it said.
    Otherwise(String),
}

impl Host {
    /// Starts on a data directory; a host that ends before it serves is how the attempt ends.
    pub(super) async fn start(data: &Path, faults: Option<&Faults>) -> Result<Self, End> {
        let log = data.with_extension("log");
        let stdout = data.with_extension("ready");
        let mut command = lockgate(Path::new(BINARY));
        command.arg("serve").arg("--data").arg(data).arg("--json");
        command.args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
        command.stdout(std::fs::File::create(&stdout).unwrap()).stderr(std::fs::File::create(&log).unwrap());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.envs(faults.into_iter().flat_map(|faults| faults.environment(data)));
        let mut child = command.spawn().unwrap();
        let ready = wait_for("the host to serve or to end", async || {
            if let Ok(Some(status)) = child.try_wait() {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Some(Err(end_of(status, &said)));
            }
            let said = std::fs::read_to_string(&stdout).unwrap_or_default();
            let line = said.lines().next().filter(|_| said.ends_with('\n'))?;
            Some(Ok(serde_json::from_str::<Value>(line).unwrap()))
        })
        .await?;
        let address = |name: &str| {
            let text = ready.pointer(&format!("/{name}/address")).and_then(Value::as_str);
            text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name} in {ready}"))
        };
        let operator =
            std::fs::read_to_string(data.join("operator.key")).unwrap_or_default().trim().to_owned();
        let (data, control) = (address("data"), address("control"));
        Ok(Self { child, data, control, operator, client: HttpClient::http1() })
    }

    /// One request of the operator; the error is a connection that broke.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let url = format!("http://{}{path}", self.control);
        let bearer = format!("Bearer {}", self.operator);
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        self.client.try_send(method, &url, &headers, body.into()).await
    }

    /// Reads as the operator; what is not there is null.
    pub(super) async fn read(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path, "application/json", Vec::new()).await;
        let answer = answer.unwrap_or_else(|why| panic!("{path}: {why}"));
        match answer.status {
            StatusCode::OK => answer.json(),
            StatusCode::NOT_FOUND => Value::Null,
            status => panic!("{path}: {status} {}", answer.text()),
        }
    }

    /// Calls an executor's `/upper` with a key of its tenant.
    pub(super) async fn call(&self, executor: &str, key: &str) -> Result<Vec<String>, String> {
        let url = format!("http://{}/executors/{executor}/post", self.data);
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = json!({ "data": [{ "text": "quiet" }], "execEndpoint": "/upper" }).to_string();
        let answer = self.client.try_send(Method::POST, &url, &headers, body.into()).await?;
        if answer.status != StatusCode::OK || answer.problem().is_some() {
            return Err(format!("{} {}", answer.status, answer.text()));
        }
        Ok(answer.texts())
    }

    /// Everything there is, without what varies.
    pub(super) async fn state(&self) -> Value {
        let mut state = json!({ "tenants": self.read("/v1/tenants?limit=500").await });
        for tenant in ["acme", "rival"] {
            for part in READABLE {
                let path = format!("/v1/tenants/{tenant}{part}");
                state[&path] = self.read(&path).await;
            }
        }
        settle(&mut state);
        state
    }

    /// Actions that succeeded, as the audit has them, the oldest first.
    pub(super) async fn audit(&self) -> Vec<String> {
        let audit = self.read("/v1/audit?limit=500").await;
        let entries = audit["items"].as_array().cloned().unwrap_or_default();
        let succeeded = entries.iter().rev().filter(|entry| entry.get("error").is_none_or(Value::is_null));
        let told = |entry: &Value| {
            let (action, object) = (text(&entry["action"]), text(&entry["object"]));
            // The ids of keys are random.
            if action.starts_with("key.") { action } else { format!("{action} {object}") }
        };
        succeeded.map(told).collect()
    }

    /// The digests of all components of a tenant.
    pub(super) async fn components(&self, tenant: &str) -> Vec<String> {
        let list = self.read(&format!("/v1/tenants/{tenant}/components?limit=500")).await;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|component| text(&component["digest"])).collect()
    }

    /// Ends it now.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for its end.
    pub(super) async fn end(&mut self) -> End {
        let status = wait_for("the host to end", async || self.child.try_wait().ok().flatten()).await;
        end_of(status, "")
    }

    /// Whether it still runs.
    pub(super) fn lives(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }
}

fn end_of(status: std::process::ExitStatus, said: &str) -> End {
    if status.signal() == Some(9) { End::Killed } else { End::Otherwise(format!("{status}: {said}")) }
}

/// The parts in which two states differ.
pub(super) fn difference(found: &Value, known: &Value) -> String {
    let parts =
        found.as_object().into_iter().flatten().filter(|(part, value)| known.get(part) != Some(value));
    parts
        .map(|(part, value)| format!("{part} is {value}, not {}", known[part]))
        .collect::<Vec<_>>()
        .join("; ")
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Takes out what varies: moments, measurements, the ids of keys.
fn settle(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !VARYING.contains(&name.as_str()));
            for (name, member) in members {
                match name.as_str() {
                    "revoked_at" => *member = json!(!member.is_null()),
                    "id" => *member = json!("-"),
                    _ => settle(member),
                }
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(settle);
            // Keys come in the order of their ids.
            if items.iter().any(|item| item.get("label").is_some()) {
                items.sort_by_key(Value::to_string);
            }
        }
        Value::String(text) if text.starts_with("key:") => "key".clone_into(text),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
