//! The API over a registry in a folder of its own and a scripted serving side: in process, and on a socket where bytes
//! matter. Everything waits on conditions; nothing sleeps.

mod access;
mod audit;
mod bodies;
mod components;
mod executors;
mod fuzz;
mod host;
mod script;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use lockgate_registry::access::Authenticator;
use lockgate_registry::{Registry, RegistryOptions};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use self::script::{Judge, Script};
use crate::{Control, ControlOptions, ControlParts};

/// A host with the tenants `acme` and `other`.
struct Host {
    folder: tempfile::TempDir,
    control: Control,
    script: Arc<Script>,
    judge: Arc<Judge>,
    /// The operator's key.
    operator: String,
    /// Keys of the tenants with the scope `admin`.
    acme: String,
    other: String,
}

/// Names and values.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// What came back.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Host {
    async fn new() -> Self {
        Self::with(ControlOptions::default()).await
    }

    async fn with(options: ControlOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(RegistryOptions::new(folder.path().join("data"))).unwrap();
        let operator = std::fs::read_to_string(folder.path().join("data/operator.key")).unwrap();
        let (script, judge) = (Arc::new(Script::new()), Arc::new(Judge::default()));
        let parts = ControlParts {
            authenticator: Authenticator::new(registry.key_book(), None),
            registry,
            serving: script.clone(),
            validator: judge.clone(),
            puller: None,
        };
        let control = Control::new(parts, options);
        let operator = operator.trim().to_owned();
        let mut host =
            Self { folder, control, script, judge, operator, acme: String::new(), other: String::new() };
        host.acme = host.tenant("acme").await;
        host.other = host.tenant("other").await;
        host
    }

    /// A new tenant and an admin's key of it.
    async fn tenant(&self, name: &str) -> String {
        let made = self.send("POST /v1/tenants", &self.operator, json!({ "name": name })).await;
        assert_eq!(made.status, 201, "{}", made.text());
        self.key(name, &["admin"]).await
    }

    async fn key(&self, tenant: &str, scopes: &[&str]) -> String {
        let path = format!("POST /v1/tenants/{tenant}/keys");
        let made = self.send(&path, &self.operator, json!({ "label": "test", "scopes": scopes })).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["secret"].as_str().unwrap().to_owned()
    }

    /// JSON, or no body if it is null.
    async fn send(&self, what: &str, key: &str, body: Value) -> Answer {
        match body {
            Value::Null => self.ask(what, key, &[], "").await,
            body => self.ask(what, key, &[("content-type", "application/json")], &body.to_string()).await,
        }
    }

    async fn ask(&self, what: &str, key: &str, headers: Headers<'_>, body: impl AsRef<[u8]>) -> Answer {
        let (method, path) = what.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.run(request.body(Body::from(body.as_ref().to_vec())).unwrap()).await
    }

    async fn run(&self, request: Request<Body>) -> Answer {
        let response = self.control.router().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let answer = Answer { status: head.status, headers: head.headers, body };
        assert!(answer.headers.contains_key("x-request-id"));
        answer
    }

    /// Uploads a component for `acme` and gives its digest.
    async fn upload(&self, bytes: &str) -> String {
        let kind = [("content-type", "application/wasm")];
        let made = self.ask("POST /v1/tenants/acme/components", &self.acme, &kind, bytes).await;
        assert!(made.status.is_success(), "{}", made.text());
        made.json()["digest"].as_str().unwrap().to_owned()
    }

    /// A revision of `acme`'s executor, tagged and deployed as usual.
    async fn publish(&self, executor: &str, bytes: &str) -> Answer {
        let component = self.upload(bytes).await;
        let path = format!("POST /v1/tenants/acme/executors/{executor}/revisions");
        let made = self.send(&path, &self.acme, json!({ "component": component })).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made
    }

    fn incoming(&self) -> PathBuf {
        self.folder.path().join("data/incoming")
    }

    fn uploads_left(&self) -> usize {
        std::fs::read_dir(self.incoming()).unwrap().count()
    }
}

impl Answer {
    fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// `409 conflict: words`, or the status alone if all is well.
    fn told(&self) -> String {
        let status = self.status.as_u16();
        if self.status.is_success() {
            return status.to_string();
        }
        let error = &self.json()["error"];
        let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
        format!("{status} {}: {}", text("code"), text("message"))
    }

    /// Compares with the beginning of what is told.
    #[track_caller]
    fn check(&self, expected: &str) {
        assert!(self.told().starts_with(expected), "expected {expected}, got {}", self.told());
    }
}

fn digest_of(bytes: impl AsRef<[u8]>) -> String {
    let hash = Sha256::digest(bytes.as_ref());
    lockgate_domain::ComponentDigest::from_sha256(hash.into()).to_string()
}
