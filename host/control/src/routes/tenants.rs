//! Tenants: the operator makes, settles and deletes them; a tenant may look at itself.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{ErrorCode, Problem, Tenant, TenantName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ConditionHeaders, created};
use crate::Control;
use crate::extract::{Asked, At, Condition, Input, Listing, Operator, PageQuery, Tagged, Tenancy};
use crate::refusal::Result;
use crate::serving::Change;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list_tenants, create_tenant)).routes(routes!(
        show_tenant,
        put_tenant,
        delete_tenant
    ))
}

/// A tenant that is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    /// Its name.
    name: TenantName,
    /// What it may have; the usual settings if they are left out.
    #[serde(default)]
    settings: TenantSettings,
}

/// A tenant, and what it has of what is kept.
#[derive(Debug, Serialize, ToSchema)]
struct TenantView {
    #[serde(flatten)]
    tenant: Tenant,
    /// What it has, against its quotas of kept things.
    holdings: HoldingsView,
}

/// What a tenant has of what is kept.
#[derive(Debug, Serialize, ToSchema)]
struct HoldingsView {
    /// Bytes of components, revisions, flows and secrets.
    stored_bytes: u64,
    /// Components.
    components: u32,
    /// Executors.
    executors: u32,
    /// Flows.
    flows: u32,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Deletion {
    /// Also with executors and flows.
    #[serde(default)]
    force: bool,
}

/// Tenants by name.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<Tenant>)
))]
async fn list_tenants(
    State(control): State<Control>,
    Operator(access): Operator,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<Tenant>>> {
    let request = page.request()?;
    let page = control.registry(move |registry| registry.tenants(&access, &request)).await?;
    Ok(Json(page.into()))
}

/// Creates a tenant.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant, responses(
    (status = 201, description = "It is there.", body = Tenant)
))]
async fn create_tenant(
    State(control): State<Control>,
    Operator(access): Operator,
    Input(new): Input<NewTenant>,
) -> Result<Response> {
    let tenant =
        control.registry(move |registry| registry.create_tenant(&access, new.name, new.settings)).await?;
    control.follow(&tenant.name, Change::Tenant).await?;
    let (name, path) = (tenant.name.clone(), format!("/v1/tenants/{}", tenant.name));
    Ok(created(&path, name, Tagged(tenant.etag, tenant)))
}

/// One tenant with its settings and what it has.
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants", responses(
    (status = 200, description = "The tenant.", body = TenantView)
))]
async fn show_tenant(State(control): State<Control>, Tenancy(access): Tenancy) -> Result<Tagged<TenantView>> {
    let view = control.registry(move |registry| {
        let tenant = registry.tenant(access.tenant()).ok_or_else(|| gone(access.tenant()))?;
        let held = registry.holdings(&access)?;
        Ok(TenantView {
            tenant: Tenant::clone(&tenant),
            holdings: HoldingsView {
                stored_bytes: held.stored_bytes,
                components: held.components,
                executors: held.executors,
                flows: held.flows,
            },
        })
    });
    let view = view.await?;
    Ok(Tagged(view.tenant.etag, view))
}

/// Replaces a tenant's settings.
#[utoipa::path(put, path = "/v1/tenants/{tenant}", tag = "tenants", params(ConditionHeaders),
    request_body = TenantSettings, responses((status = 200, description = "As it is now.", body = Tenant)))]
async fn put_tenant(
    State(control): State<Control>,
    Operator(access): Operator,
    At(name): At<TenantName>,
    Condition(precondition): Condition,
    Input(settings): Input<TenantSettings>,
) -> Result<Tagged<Tenant>> {
    let (host, asked) = (access.clone(), name.clone());
    let (before, tenant) = control
        .registry(move |registry| {
            let before = registry.tenant(&asked).map(|tenant| tenant.settings.clone());
            Ok((before, registry.put_tenant(&host, &asked, settings, precondition)?))
        })
        .await?;
    let (undone, etag) = (name.clone(), tenant.etag);
    control
        .follow_or_undo(&name, Change::Tenant, move |registry| match before {
            Some(before) => {
                let unchanged = lockgate_registry::Precondition::Match(etag);
                registry.put_tenant(&access, &undone, before, unchanged).map(drop)
            }
            None => Ok(()),
        })
        .await?;
    Ok(Tagged(tenant.etag, tenant))
}

/// Deletes a tenant with everything that it has.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", tag = "tenants", params(Deletion, ConditionHeaders), responses(
    (status = 204, description = "It is gone.")
))]
async fn delete_tenant(
    State(control): State<Control>,
    Operator(access): Operator,
    At(name): At<TenantName>,
    Condition(precondition): Condition,
    Asked(deletion): Asked<Deletion>,
) -> Result<StatusCode> {
    let gone = name.clone();
    control
        .registry(move |registry| registry.delete_tenant(&access, &gone, precondition, deletion.force))
        .await?;
    control.follow(&name, Change::Tenant).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deleted between the guard and here.
fn gone(name: &TenantName) -> Problem {
    Problem::new(ErrorCode::NotFound, format!("there is no tenant {name:?}"))
}
