//! The host under measurement and its control API: started on free ports, ended with the benchmark.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use lockgate_testkit::http::{Answer, HttpClient};
use lockgate_testkit::{RunningServe, ServeOptions, fixtures};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::drive;

/// A running host. Dropping it kills the process.
pub(crate) struct Host {
    host: RunningServe,
    operator: String,
    client: HttpClient,
}

/// One tenant of it, with a key that may do everything.
pub(crate) struct TenantOfHost<'a> {
    host: &'a Host,
    name: String,
    key: String,
}

impl Host {
    /// Starts `lockgate serve` with these further words.
    pub(crate) async fn start(words: &[&str]) -> Self {
        let options = ServeOptions::new(env!("CARGO_BIN_EXE_lockgate"));
        let host = words.iter().fold(options, |options, word| options.word(word)).start().await;
        let operator = host.operator_key();
        Self { host, operator, client: HttpClient::http1() }
    }

    /// Where calls go.
    pub(crate) fn data(&self) -> SocketAddr {
        self.host.data_address()
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        self.host.resident_bytes() as f64 / f64::from(1 << 20)
    }

    /// A new tenant with these settings.
    pub(crate) async fn tenant(&self, name: &str, settings: Value) -> TenantOfHost<'_> {
        let body = json!({ "name": name, "settings": settings });
        self.ask(&self.operator, Method::POST, "/v1/tenants", &body).await;
        let body = json!({ "label": "bench", "scopes": ["admin", "call"] });
        let path = format!("/v1/tenants/{name}/keys");
        let key = self.ask(&self.operator, Method::POST, &path, &body).await;
        let key = key.get("secret").and_then(Value::as_str).expect("a key").to_owned();
        TenantOfHost { host: self, name: name.to_owned(), key }
    }

    async fn ask(&self, key: &str, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.send(key, method, path, "application/json", body.to_string().into_bytes()).await;
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    async fn send(&self, key: &str, method: Method, path: &str, kind: &str, body: Vec<u8>) -> Answer {
        let url = self.host.control_url(path);
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let answer = self.client.send(method, &url, &headers, body.into()).await;
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text());
        answer
    }
}

impl TenantOfHost<'_> {
    /// Uploads a component; gives its digest.
    pub(crate) async fn upload(&self, component: &[u8]) -> String {
        let path = format!("/v1/tenants/{}/components", self.name);
        let kind = "application/wasm";
        let answer = self.host.send(&self.key, Method::POST, &path, kind, component.to_vec()).await;
        assert!(matches!(answer.status, StatusCode::OK | StatusCode::CREATED), "{}", answer.text());
        answer.json().get("digest").and_then(Value::as_str).expect("a digest").to_owned()
    }

    /// Makes a revision of the component, moves `latest` to it and deploys the executor.
    pub(crate) async fn publish(&self, executor: &str, digest: &str, configuration: Value) {
        let path = format!("/v1/tenants/{}/executors/{executor}/revisions", self.name);
        let body = json!({
            "component": digest, "configuration": configuration, "tag": "latest", "deploy": true,
        });
        self.host.ask(&self.key, Method::POST, &path, &body).await;
    }

    /// Changes what `PUT` changes.
    pub(crate) async fn put(&self, path: &str, body: &Value) {
        self.host.ask(&self.key, Method::PUT, &format!("/v1/tenants/{}/{path}", self.name), body).await;
    }

    /// A request of one document, as bytes for the load generator.
    pub(crate) fn request(&self, executor: &str, endpoint: &str) -> Vec<u8> {
        let body =
            json!({ "data": [{ "id": "d", "text": "the quick brown fox" }], "execEndpoint": endpoint });
        drive::post_with(&format!("/executors/{executor}/post"), &self.key, &body.to_string())
    }

    /// Sends it once; gives the milliseconds until the answer, which must be good.
    pub(crate) async fn call(&self, executor: &str, endpoint: &str) -> f64 {
        let request = self.request(executor, endpoint);
        let start = std::time::Instant::now();
        let tally = drive::once(self.host.data(), &request).await;
        assert_eq!(tally, 200, "{executor}{endpoint}");
        start.elapsed().as_secs_f64() * 1e3
    }
}

/// The same component with another digest: a custom section at its end, which changes nothing else.
pub(crate) fn variant(component: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let name = b"variant";
    let mut section = vec![name.len() as u8];
    section.extend_from_slice(name);
    section.extend_from_slice(&number.to_le_bytes());
    bytes.push(0);
    bytes.push(section.len() as u8);
    bytes.extend_from_slice(&section);
    bytes
}

/// The digest of a component, as the API writes it.
pub(crate) fn digest(component: &[u8]) -> String {
    let hex: String = Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The component of a guest of the tests.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures::component(name)).expect("a fixture")
}
