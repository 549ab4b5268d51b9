//! Who am I, and how is the host: what needs no tenant.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use lockgate_domain::{Scope, TenantName, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Control;
use crate::extract::{Caller, Operator};
use crate::numbers::Numbers;
use crate::refusal::Result;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(whoami)).routes(routes!(status))
}

/// The caller, as the host sees it.
#[derive(Debug, Serialize, ToSchema)]
struct Whoami {
    /// How logs and the audit call it: `key:ID`, `jwt:SUBJECT` or `local`.
    principal: String,
    /// The tenant it belongs to; none for the operator of the host.
    tenant: Option<TenantName>,
    /// What it may do.
    scopes: BTreeSet<Scope>,
    /// The host's version.
    version: &'static str,
}

/// How a host is doing.
#[derive(Debug, Serialize, ToSchema)]
struct HostStatus {
    /// The host's version.
    version: &'static str,
    /// Since when it runs.
    started_at: Timestamp,
    /// Seconds that it has been running.
    uptime_s: u64,
    #[serde(flatten)]
    numbers: Numbers,
}

/// Who the caller is: principal, tenant, scopes.
#[utoipa::path(get, path = "/v1/whoami", tag = "host", responses((status = 200, description = "The caller.", body = Whoami)))]
async fn whoami(Caller(principal): Caller) -> Json<Whoami> {
    Json(Whoami {
        principal: principal.name,
        tenant: principal.tenant,
        scopes: principal.scopes,
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// How the host is doing: tenants, components, bytes, uptime.
#[utoipa::path(get, path = "/v1/status", tag = "host", responses((status = 200, description = "Its numbers.", body = HostStatus)))]
async fn status(State(control): State<Control>, Operator(_host): Operator) -> Result<Json<HostStatus>> {
    let numbers = control.blocking(Numbers::of).await??;
    let (now, started_at) = (control.0.registry.now(), control.0.started_at);
    let uptime_s = now.as_millis().saturating_sub(started_at.as_millis()) / 1000;
    Ok(Json(HostStatus { version: env!("CARGO_PKG_VERSION"), started_at, uptime_s, numbers }))
}
