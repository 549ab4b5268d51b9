//! Executors as they are, and what runs of them just now.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use lockgate_domain::hosting::{Executor, ShadowReport};
use lockgate_domain::{ErrorCode, ExecutorName, Problem};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Control;
use crate::extract::{Asked, At, Listing, PageQuery, Tenancy};
use crate::refusal::Result;
use crate::serving::{Change, RevisionStatus};

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(list_executors))
        .routes(routes!(show_executor, delete_executor))
        .routes(routes!(show_status))
        .routes(routes!(show_shadow))
}

/// What runs of an executor just now.
#[derive(Debug, Serialize, ToSchema)]
struct ExecutorStatus {
    /// The executor.
    executor: ExecutorName,
    /// Its instances by revision.
    revisions: Vec<RevisionStatus>,
}

/// Executors by name, with their tags and deployments.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/executors", tag = "executors", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<Executor>)
))]
async fn list_executors(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<Executor>>> {
    let request = page.request()?;
    Ok(Json(control.registry(move |registry| registry.executors(&access, &request)).await?.into()))
}

/// One executor with its tags and its deployment.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/executors/{executor}", tag = "executors", responses(
    (status = 200, description = "The executor.", body = Executor)
))]
async fn show_executor(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<ExecutorName>,
) -> Result<Json<Executor>> {
    Ok(Json(control.registry(move |registry| registry.executor(&access, &name)).await?))
}

/// Deletes an executor with its revisions, tags, deployment and key-value store; one that a flow uses is a conflict.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/executors/{executor}", tag = "executors", responses(
    (status = 204, description = "It is gone.")
))]
async fn delete_executor(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<ExecutorName>,
) -> Result<StatusCode> {
    let (tenant, gone) = (access.tenant().clone(), name.clone());
    control.registry(move |registry| registry.delete_executor(&access, &gone)).await?;
    control.follow(&tenant, Change::Executor(name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Instances of an executor by revision, as they are just now.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/executors/{executor}/status", tag = "executors", responses(
    (status = 200, description = "Its instances.", body = ExecutorStatus)
))]
async fn show_status(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<ExecutorName>,
) -> Result<Json<ExecutorStatus>> {
    let (tenant, asked) = (access.tenant().clone(), name.clone());
    control.registry(move |registry| registry.executor(&access, &asked)).await?;
    let revisions = control.0.serving.status(&tenant, &name);
    Ok(Json(ExecutorStatus { executor: name, revisions }))
}

/// What a shadow's comparison has given so far; not found if the executor has no shadow.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/executors/{executor}/shadow", tag = "executors", responses(
    (status = 200, description = "The report.", body = ShadowReport)
))]
async fn show_shadow(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<ExecutorName>,
) -> Result<Json<ShadowReport>> {
    let (tenant, asked) = (access.tenant().clone(), name.clone());
    control.registry(move |registry| registry.executor(&access, &asked)).await?;
    let report = control.0.serving.shadow_report(&tenant, &name).ok_or_else(|| {
        Problem::new(ErrorCode::NotFound, format!("executor {name} has no shadow"))
            .with_hint("a deployment with `shadow` begins one")
    })?;
    Ok(Json(report))
}
