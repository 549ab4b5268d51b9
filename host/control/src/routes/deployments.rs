//! Where an executor's traffic goes, and with how many instances.

use axum::extract::State;
use http::StatusCode;
use lockgate_domain::ExecutorName;
use lockgate_domain::hosting::{Deployment, DeploymentSpec};
use lockgate_registry::Precondition;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ConditionHeaders;
use crate::Control;
use crate::extract::{At, Condition, Input, Tagged, Tenancy};
use crate::refusal::Result;
use crate::serving::Change;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(show_deployment, put_deployment, delete_deployment))
}

/// How an executor is deployed.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/executors/{executor}/deployment", tag = "executors", responses(
    (status = 200, description = "Its deployment.", body = Deployment)
))]
async fn show_deployment(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
) -> Result<Tagged<Deployment>> {
    let deployment = control.registry(move |registry| registry.deployment(&access, &executor)).await?;
    Ok(Tagged(deployment.etag, deployment))
}

/// Deploys an executor or changes how it is deployed: primary, canary, shadow, scale, capsules.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/executors/{executor}/deployment", tag = "executors",
    params(ConditionHeaders), request_body = DeploymentSpec,
    responses((status = 200, description = "As it is now.", body = Deployment)))]
async fn put_deployment(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
    Condition(precondition): Condition,
    Input(spec): Input<DeploymentSpec>,
) -> Result<Tagged<Deployment>> {
    let (tenant, by, of) = (access.tenant().clone(), access.clone(), executor.clone());
    let (before, deployment) = control
        .registry(move |registry| {
            let before = registry.deployment(&by, &of).ok();
            Ok((before, registry.put_deployment(&by, &of, spec, precondition)?))
        })
        .await?;
    let (etag, of) = (deployment.etag, executor.clone());
    control
        .follow_or_undo(&tenant, Change::Executor(executor), move |registry| {
            let unchanged = Precondition::Match(etag);
            match before {
                Some(before) => registry.put_deployment(&access, &of, before.spec, unchanged).map(drop),
                None => registry.delete_deployment(&access, &of, unchanged),
            }
        })
        .await?;
    Ok(Tagged(deployment.etag, deployment))
}

/// Takes an executor out of service; one that a flow uses by its deployment is a conflict.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/executors/{executor}/deployment", tag = "executors",
    params(ConditionHeaders), responses((status = 204, description = "It serves no more.")))]
async fn delete_deployment(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
    Condition(precondition): Condition,
) -> Result<StatusCode> {
    let (tenant, of) = (access.tenant().clone(), executor.clone());
    control.registry(move |registry| registry.delete_deployment(&access, &of, precondition)).await?;
    control.follow(&tenant, Change::Executor(executor)).await?;
    Ok(StatusCode::NO_CONTENT)
}
