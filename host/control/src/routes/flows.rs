//! Flows: YAML in, checked by the part that serves, kept as it was written.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use lockgate_domain::FlowName;
use lockgate_domain::hosting::StoredFlow;
use lockgate_registry::Precondition;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ConditionHeaders;
use crate::Control;
use crate::extract::{Asked, At, Condition, Listing, PageQuery, Tagged, Tenancy, Text, expect_yaml};
use crate::refusal::Result;
use crate::serving::Change;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list_flows)).routes(routes!(show_flow, put_flow, delete_flow))
}

/// Flows by name.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/flows", tag = "flows", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<StoredFlow>)
))]
async fn list_flows(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<StoredFlow>>> {
    let request = page.request()?;
    Ok(Json(control.registry(move |registry| registry.flows(&access, &request)).await?.into()))
}

/// One flow; with `accept: application/yaml` just the YAML.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/flows/{flow}", tag = "flows", responses(
    (status = 200, description = "The flow.", content(
        (StoredFlow = "application/json"), (String = "application/yaml")
    ))
))]
async fn show_flow(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<FlowName>,
    headers: http::HeaderMap,
) -> Result<Response> {
    let flow = control.registry(move |registry| registry.flow(&access, &name)).await?;
    let accepts = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("application/yaml") {
        let etag = format!("\"{}\"", flow.etag);
        let head = [(CONTENT_TYPE, "application/yaml".to_owned()), (http::header::ETAG, etag)];
        return Ok((head, flow.yaml).into_response());
    }
    Ok(Tagged(flow.etag, flow).into_response())
}

/// Keeps a flow and serves it: the body is the YAML itself.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/flows/{flow}", tag = "flows", params(ConditionHeaders),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, description = "As it is now.", body = StoredFlow)))]
async fn put_flow(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<FlowName>,
    Condition(precondition): Condition,
    headers: http::HeaderMap,
    Text(yaml): Text,
) -> Result<Tagged<StoredFlow>> {
    expect_yaml(&headers)?;
    let (tenant, by, of) = (access.tenant().clone(), access.clone(), name.clone());
    let (before, flow) = control
        .blocking(move |control| {
            let uses = control.0.serving.check_flow(by.tenant(), &of, &yaml)?;
            let before = control.0.registry.flow(&by, &of).ok();
            Ok::<_, lockgate_domain::Problem>((
                before,
                control.0.registry.put_flow(&by, &of, yaml, &uses, precondition)?,
            ))
        })
        .await??;
    let (etag, of, serving) = (flow.etag, name.clone(), Arc::clone(&control.0.serving));
    control
        .follow_or_undo(&tenant, Change::Flow(name), move |registry| {
            let unchanged = Precondition::Match(etag);
            match before {
                Some(before) => {
                    let uses = serving.check_flow(access.tenant(), &of, &before.yaml)?;
                    registry.put_flow(&access, &of, before.yaml, &uses, unchanged).map(drop)
                }
                None => registry.delete_flow(&access, &of, unchanged),
            }
        })
        .await?;
    Ok(Tagged(flow.etag, flow))
}

/// Deletes a flow: it serves no more.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/flows/{flow}", tag = "flows", params(ConditionHeaders), responses(
    (status = 204, description = "It is gone.")
))]
async fn delete_flow(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<FlowName>,
    Condition(precondition): Condition,
) -> Result<StatusCode> {
    let (tenant, of) = (access.tenant().clone(), name.clone());
    control.registry(move |registry| registry.delete_flow(&access, &of, precondition)).await?;
    control.follow(&tenant, Change::Flow(name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
