//! The audit log: of a tenant and of the whole host, newest first.

use axum::Json;
use axum::extract::State;
use lockgate_domain::usage::AuditEntry;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Control;
use crate::extract::{Asked, Listing, Operator, PageQuery, Tenancy};
use crate::refusal::Result;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list_host_audit)).routes(routes!(list_audit))
}

/// Control actions of the whole host, newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<AuditEntry>)
))]
async fn list_host_audit(
    State(control): State<Control>,
    Operator(access): Operator,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<AuditEntry>>> {
    let request = page.request()?;
    Ok(Json(control.registry(move |registry| registry.audit_of_host(&access, &request)).await?.into()))
}

/// Control actions on a tenant's things, newest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit", tag = "audit", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<AuditEntry>)
))]
async fn list_audit(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<AuditEntry>>> {
    let request = page.request()?;
    Ok(Json(control.registry(move |registry| registry.audit_of_tenant(&access, &request)).await?.into()))
}
