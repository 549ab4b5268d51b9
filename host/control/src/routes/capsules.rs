//! Requests that were kept for replay.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use lockgate_domain::{ErrorCode, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Control;
use crate::extract::{Asked, At, CapsuleId, Listing, PageQuery, Tenancy};
use crate::refusal::{Result, invalid};
use crate::serving::CapsuleEntry;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list_capsules)).routes(routes!(download_capsule))
}

/// A tenant's capsules, newest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/capsules", tag = "capsules", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<CapsuleEntry>)
))]
async fn list_capsules(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<CapsuleEntry>>> {
    let request = page.request()?;
    let capsules = control.blocking(move |control| control.0.serving.capsules(access.tenant())).await??;
    let limit = request.limit.unwrap_or(lockgate_registry::PageRequest::USUAL);
    Ok(Json(after(capsules, request.cursor.as_deref(), limit)?))
}

/// The file of one capsule: `lockgate replay` takes it.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/capsules/{id}", tag = "capsules", responses(
    (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream")
))]
async fn download_capsule(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(CapsuleId(id)): At<CapsuleId>,
) -> Result<Response> {
    let asked = id.clone();
    let file = control.blocking(move |control| control.0.serving.capsule(access.tenant(), &asked)).await??;
    let missing = || Problem::new(ErrorCode::NotFound, format!("there is no capsule {id}"));
    let file = file.ok_or_else(missing)?;
    let head = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.capsule\"")),
    ];
    Ok((head, file).into_response())
}

/// The page after the capsule of that id. The list is the tenant's own, so an id of another one's means nothing in it.
fn after(capsules: Vec<CapsuleEntry>, cursor: Option<&str>, limit: usize) -> Result<Listing<CapsuleEntry>> {
    let start = match cursor {
        None => 0,
        Some(cursor) => match capsules.iter().position(|capsule| capsule.id == cursor) {
            Some(position) => position + 1,
            None => {
                let problem = invalid("the cursor is not one of this list");
                return Err(problem.with_hint("begin again without a cursor").into());
            }
        },
    };
    let has_more = capsules.len() > start.saturating_add(limit);
    let items: Vec<CapsuleEntry> = capsules.into_iter().skip(start).take(limit).collect();
    let next = items.last().filter(|_| has_more).map(|capsule| capsule.id.clone());
    Ok(Listing { items, next })
}
