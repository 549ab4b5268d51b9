//! The pages beside the flow: readiness, status, metrics, the description of the API and a page to try it.
//!
//! Everything is served from this binary; nothing is loaded from elsewhere, so the page works without a network.

use ::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use ::http::{HeaderValue, Response, StatusCode};
use axum::body::Body;
use bytes::Bytes;
use lockgate_domain::spec::ExposedPath;
use lockgate_domain::{ErrorCode, Problem};
use lockgate_telemetry::page::MEDIA_TYPE;
use serde_json::json;

use super::{Caller, method_not_allowed, render_problem};
use crate::door::Visitor;
use crate::gate::Gate;
use crate::metrics;
use crate::routes::ServedFlow;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whether there is a page at this path, whatever the method.
pub(super) fn exists(path: &str) -> bool {
    matches!(
        path,
        "/" | "/docs"
            | "/docs/style.css"
            | "/docs/page.js"
            | "/redoc"
            | "/openapi.json"
            | "/status"
            | "/dry_run"
            | "/healthz"
            | "/readyz"
            | "/metrics"
            | "/ws"
    )
}

/// Whether a page stands on every port, whatever is served there.
pub(crate) fn are_everywhere(path: &str) -> bool {
    matches!(path, "/" | "/status" | "/dry_run" | "/healthz" | "/readyz" | "/metrics")
}

/// Answers GET and HEAD. Pages that are the same for everybody need no credential; what tells of a flow does.
pub(super) fn answer(caller: &Caller<'_>) -> Response<Body> {
    let (gate, path) = (caller.gate, caller.address.path);
    match path {
        "/" => page(JSON, "{}"),
        // Jina's second view of the same description.
        "/docs" | "/redoc" => page(HTML, include_str!("docs/index.html")),
        "/docs/style.css" => page(CSS, include_str!("docs/style.css")),
        "/docs/page.js" => page(SCRIPT, include_str!("docs/page.js")),
        "/openapi.json" => of_flow(caller, |flow| page(JSON, flow.openapi())),
        "/status" => {
            of_flow(caller, |flow| if flow.debug { page(JSON, status(flow)) } else { not_found(path) })
        }
        "/dry_run" => match caller.knock() {
            Ok(visitor) if visitor.flow().is_ok_and(|flow| !flow.debug) => not_found(path),
            Ok(visitor) => page(JSON, dry_run(gate, &*visitor)),
            Err(problem) => render_problem(None, &problem),
        },
        "/healthz" => page(JSON, r#"{"status":"healthy"}"#),
        "/readyz" => match readiness(caller) {
            Ok(()) => page(JSON, r#"{"status":"ready"}"#),
            Err(problem) => render_problem(None, &problem),
        },
        "/metrics" if gate.options.metrics => page(MEDIA_TYPE, metrics::text(gate)),
        "/metrics" => not_found(path),
        "/ws" => {
            let problem = Problem::new(ErrorCode::InvalidRequest, "this path is for WebSocket connections");
            let mut response = render_problem(None, &problem);
            *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
            response
        }
        "/post" | "/index" | "/search" | "/update" | "/delete" => method_not_allowed(path),
        path => of_flow(caller, |flow| {
            let is_exposed = flow.exposed.iter().any(|exposed| exposed.path == path);
            let is_post = is_exposed || (ExposedPath::is_free(path) && flow.has_endpoint(path));
            if is_post { method_not_allowed(path) } else { not_found(path) }
        }),
    }
}

fn of_flow(caller: &Caller<'_>, answer: impl FnOnce(&ServedFlow) -> Response<Body>) -> Response<Body> {
    match caller.knock().and_then(|visitor| visitor.flow()) {
        Ok(flow) => answer(&flow),
        Err(problem) => render_problem(None, &problem),
    }
}

/// Of the host; under a prefix also of the flow that it names.
fn readiness(caller: &Caller<'_>) -> Result<(), Problem> {
    if caller.address.has_prefix() {
        caller.knock()?.flow()?;
    }
    caller.gate.readiness()
}

/// Which software serves here, in the shape of Jina's `JinaInfoProto`. Nothing of the environment is shown.
pub(crate) fn status_entries(flow: &ServedFlow) -> Vec<(&'static str, String)> {
    vec![("lockgate", env!("CARGO_PKG_VERSION").to_owned()), ("flow", flow.name().to_string())]
}

fn status(flow: &ServedFlow) -> String {
    let entries: serde_json::Map<String, serde_json::Value> =
        status_entries(flow).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    json!({ "jina": entries, "envs": {} }).to_string()
}

fn dry_run(gate: &Gate, visitor: &dyn Visitor) -> String {
    match gate.readiness().and_then(|()| visitor.flow()) {
        Ok(_) => json!({ "code": 0, "description": "", "exception": null }).to_string(),
        Err(problem) => json!({ "code": 1, "description": problem.message(), "exception": null }).to_string(),
    }
}

fn not_found(path: &str) -> Response<Body> {
    let problem = Problem::new(ErrorCode::NotFound, format!("there is nothing at {path:?}"))
        .with_hint("see /docs for what there is");
    render_problem(None, &problem)
}

fn page(kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
