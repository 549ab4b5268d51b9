//! The pages that need no key: health, readiness, metrics, the description of the API and a page to try it.
//!
//! They say nothing of any tenant by name except in metrics, and load nothing from elsewhere.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use lockgate_telemetry::page::MEDIA_TYPE;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Control;
use crate::refusal::Result;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How a host is.
#[derive(Debug, Serialize, ToSchema)]
struct Condition {
    /// `healthy` or `ready`.
    status: &'static str,
}

/// The routes of this file. The page to try things is no operation, so it stands beside the description.
pub(crate) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .routes(routes!(openapi))
        .route("/docs", axum::routing::get(|| async { page(HTML, include_str!("docs/index.html")) }))
        .route("/docs/style.css", axum::routing::get(|| async { page(CSS, include_str!("docs/style.css")) }))
        .route("/docs/page.js", axum::routing::get(|| async { page(SCRIPT, include_str!("docs/page.js")) }))
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "host", responses((status = 200, description = "It is.", body = Condition)))]
async fn healthz() -> Response {
    page(JSON, r#"{"status":"healthy"}"#)
}

/// Whether the host takes requests: 503 says why not.
#[utoipa::path(get, path = "/readyz", tag = "host", responses((status = 200, description = "It does.", body = Condition)))]
async fn readyz(State(control): State<Control>) -> Result<Response> {
    control.readiness()?;
    Ok(page(JSON, r#"{"status":"ready"}"#))
}

/// Numbers of the host in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "host", responses(
    (status = 200, description = "All metrics.", body = String, content_type = "text/plain")
))]
async fn metrics(State(control): State<Control>) -> Result<Response> {
    let text = control.blocking(|control| control.metrics_page()).await?;
    Ok(page(MEDIA_TYPE, text))
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "host", responses(
    (status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json")
))]
async fn openapi(State(control): State<Control>) -> Response {
    page(JSON, control.0.description.clone())
}

fn page(kind: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
