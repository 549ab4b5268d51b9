//! What must not hurt a host with tenants: uploads, guests and clients of strangers, against the real process.
//!
//! Which test checks which case stands in `tests/README.md`. What a case is asked over is what strangers have: keys and
//! sockets; the data folder is looked at only to see that nothing stays in it.

mod clients;
mod guests;
mod made;
mod traffic;
mod uploads;

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Method;
use lockgate_testkit::http::{Answer, HttpClient};
use lockgate_testkit::{RunningServe, ServeOptions, fixtures, wait_for};
use serde_json::{Value, json};

use crate::support::{BINARY, assert_texts, request};

/// What a host may hold more after strangers than before: caches, and pages that the allocator keeps.
const ALLOWED_BYTES: u64 = 96 << 20;

/// Somebody with a key, at both sockets of a host.
#[derive(Debug, Clone)]
struct Caller {
    client: HttpClient,
    control: String,
    data: String,
    tenant: String,
    key: String,
}

impl Caller {
    fn operator(host: &RunningServe) -> Self {
        Self {
            client: HttpClient::http1(),
            control: host.control_url(""),
            data: host.data_url(""),
            tenant: String::new(),
            key: host.operator_key(),
        }
    }

    /// A new tenant with a quota, and a key for everything of it.
    async fn tenant(&self, name: &str, quota: Value) -> Self {
        self.must("POST /v1/tenants", json!({ "name": name, "settings": { "quota": quota } })).await;
        self.holder(name, &["admin", "call"]).await
    }

    /// A new key of a tenant.
    async fn holder(&self, tenant: &str, scopes: &[&str]) -> Self {
        let path = format!("POST /v1/tenants/{tenant}/keys");
        let made = self.must(&path, json!({ "label": "test", "scopes": scopes })).await;
        Self { tenant: tenant.into(), key: made["secret"].as_str().unwrap().into(), ..self.clone() }
    }

    /// The public part of the key.
    fn key_id(&self) -> &str {
        self.key.split('_').nth(1).unwrap()
    }

    /// Asks the control API; `T/` in the path stands for the own tenant.
    async fn send(&self, what: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let (method, path) = what.split_once(' ').unwrap();
        let path = match path.strip_prefix("T/") {
            Some(rest) => format!("/v1/tenants/{}/{rest}", self.tenant),
            None => path.to_owned(),
        };
        let bearer = format!("Bearer {}", self.key);
        let headers = [&[("authorization", bearer.as_str())], headers].concat();
        let url = format!("{}{path}", self.control);
        self.client.send(method.parse().unwrap(), &url, &headers, body.into()).await
    }

    /// Asks the control API with JSON, or with nothing.
    async fn ask(&self, what: &str, body: Value) -> Answer {
        match body {
            Value::Null => self.send(what, &[], Bytes::new()).await,
            body => self.send(what, &[("content-type", "application/json")], body.to_string()).await,
        }
    }

    /// Asks the control API for what must go well.
    async fn must(&self, what: &str, body: Value) -> Value {
        let answer = self.ask(what, body).await;
        assert!(answer.status.is_success(), "{what}: {} {}", answer.status, answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    async fn upload(&self, bytes: impl Into<Bytes>) -> Answer {
        self.send("POST T/components", &[("content-type", "application/wasm")], bytes).await
    }

    /// Uploads a component, makes a revision of it and deploys it.
    async fn publish(&self, executor: &str, bytes: impl Into<Bytes>, mut revision: Value) -> Value {
        let uploaded = self.upload(bytes).await;
        assert!(uploaded.status.is_success(), "{executor}: {}", uploaded.text());
        revision["component"] = uploaded.json()["digest"].clone();
        self.must(&format!("POST T/executors/{executor}/revisions"), revision).await
    }

    /// Calls an executor.
    async fn call(&self, executor: &str, endpoint: &str, texts: &[&str], parameters: Value) -> Answer {
        let headers = [("content-type", "application/json"), ("x-api-key", self.key.as_str())];
        let url = format!("{}/executors/{executor}/post", self.data);
        let body = request(endpoint, texts, parameters).to_string();
        self.client.send(Method::POST, &url, &headers, body.into()).await
    }

    /// Calls a small component; the number that it wrote.
    async fn number(&self, executor: &str) -> i64 {
        let answer = self.call(executor, "/run", &["x"], json!({})).await;
        assert_eq!(answer.status, 200, "{executor}: {}", answer.text());
        let number = answer.json()["data"][0]["answer"].as_f64();
        number.unwrap_or_else(|| panic!("{executor}: no number in {}", answer.text())) as i64
    }

    /// The value of a series on the control socket's page; none if it is not there.
    async fn metric(&self, series: &str) -> Option<f64> {
        let page = self.client.get(&format!("{}/metrics", self.control)).await.text();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// Waits until a series has a value.
    async fn until(&self, series: &str, value: f64) {
        wait_for(&format!("{series} to be {value}"), async || {
            (self.metric(series).await == Some(value)).then_some(())
        })
        .await;
    }

    /// The entries of the tenant's audit with this action: their errors, the latest first.
    async fn audited(&self, action: &str) -> Vec<Option<String>> {
        let audit = self.must("GET T/audit?limit=500", Value::Null).await;
        let entries = audit["items"].as_array().unwrap().iter().filter(|entry| entry["action"] == action);
        entries.map(|entry| entry["error"].as_str().map(str::to_owned)).collect()
    }
}

async fn serve(words: &[&str]) -> RunningServe {
    tokio::task::spawn_blocking(|| fixtures::component("neighbour")).await.unwrap();
    words.iter().fold(ServeOptions::new(BINARY), |options, word| options.word(word)).start().await
}

/// The bytes of a fixture.
fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures::component(name)).unwrap()
}

/// More than any test uses.
fn plenty() -> Value {
    json!({
        "requests_per_second": 1_000_000, "fuel_per_second": 1_000_000_000_000_000_u64, "components": 100_000,
        "concurrent_requests": 10_000,
    })
}

/// Has the neighbour of the tenant called again and again, and answered rightly, until `other` has ended.
async fn beside<T>(neighbour: &Caller, other: impl Future<Output = T>) -> T {
    let is_over = AtomicBool::new(false);
    let other = async {
        let outcome = other.await;
        is_over.store(true, Ordering::Relaxed);
        outcome
    };
    let calls = async {
        let mut is_last = false;
        while !is_last {
            is_last = is_over.load(Ordering::Relaxed);
            assert_texts(&neighbour.call("shout", "/upper", &["quiet"], json!({})).await, &["QUIET"]);
        }
    };
    tokio::join!(other, calls).0
}

/// Files of uploads in progress.
fn incoming(host: &RunningServe) -> usize {
    std::fs::read_dir(host.data_folder().join("incoming")).unwrap().count()
}

/// `400 invalid_component: message (hint)`, or the status alone.
fn told(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return status.to_string();
    }
    let error = &answer.json()["error"];
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    format!("{status} {}: {} ({})", text("code"), text("message"), text("hint"))
}

/// Waits until the host holds about as much as it did.
async fn memory_returns(host: &RunningServe, before: u64) {
    wait_for("memory to return", async || (host.resident_bytes() < before + ALLOWED_BYTES).then_some(()))
        .await;
}
