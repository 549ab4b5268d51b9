//! Tags: moved over revisions, and back.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use lockgate_domain::hosting::{RevisionNumber, Tag};
use lockgate_domain::{ExecutorName, Problem, TagName, TenantName};
use lockgate_registry::access::TenantAccess;
use lockgate_registry::{Precondition, Registry};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ConditionHeaders, named};
use crate::Control;
use crate::extract::{At, Condition, Input, Listing, OptionalInput, Tagged, Tenancy};
use crate::refusal::Result;
use crate::serving::Change;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(list_tags))
        .routes(routes!(put_tag, delete_tag))
        .routes(routes!(roll_back))
}

/// Where a tag is to point.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TagSpec {
    /// The revision.
    revision: RevisionNumber,
}

/// Which tag goes back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Rollback {
    /// The tag; `latest` if it is left out.
    tag: Option<TagName>,
}

/// All tags of an executor; there are at most 256, so they come in one page.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/executors/{executor}/tags", tag = "executors", responses(
    (status = 200, description = "All of them.", body = Listing<Tag>)
))]
async fn list_tags(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
) -> Result<Json<Listing<Tag>>> {
    let items = control.registry(move |registry| registry.tags(&access, &executor)).await?;
    Ok(Json(Listing { items, next: None }))
}

/// Points a tag at a revision, which then gets the traffic that goes through the tag.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/executors/{executor}/tags/{tag}", tag = "executors",
    params(ConditionHeaders), request_body = TagSpec, responses((status = 200, description = "As it is now.", body = Tag)))]
async fn put_tag(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
    At(tag): At<TagName>,
    Condition(precondition): Condition,
    Input(spec): Input<TagSpec>,
) -> Result<Tagged<Tag>> {
    let moving = Moving { access, executor, tag };
    moving
        .run(&control, move |registry, moving| {
            registry.put_tag(&moving.access, &moving.executor, &moving.tag, spec.revision, precondition)
        })
        .await
}

/// Points a tag at where it was before.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/executors/{executor}/rollback", tag = "executors",
    params(ConditionHeaders), request_body = Option<Rollback>,
    responses((status = 200, description = "As it is now.", body = Tag)))]
async fn roll_back(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
    Condition(precondition): Condition,
    OptionalInput(rollback): OptionalInput<Rollback>,
) -> axum::response::Response {
    let tag = rollback.tag.unwrap_or_else(TagName::latest);
    let object = format!("{executor}:{tag}");
    let moving = Moving { access, executor, tag };
    let moved = moving
        .run(&control, move |registry, moving| {
            registry.roll_back(&moving.access, &moving.executor, &moving.tag, precondition)
        })
        .await;
    match moved {
        Ok(moved) => named(object, moved),
        Err(refusal) => named(object, refusal),
    }
}

/// Deletes a tag; one that a deployment or a flow goes through is a conflict.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/executors/{executor}/tags/{tag}", tag = "executors",
    params(ConditionHeaders), responses((status = 204, description = "It is gone.")))]
async fn delete_tag(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
    At(tag): At<TagName>,
    Condition(precondition): Condition,
) -> Result<StatusCode> {
    let (tenant, of): (TenantName, _) = (access.tenant().clone(), executor.clone());
    control.registry(move |registry| registry.delete_tag(&access, &of, &tag, precondition)).await?;
    control.follow(&tenant, Change::Executor(executor)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A tag on its way, and back if traffic does not follow.
#[derive(Debug, Clone)]
struct Moving {
    access: TenantAccess,
    executor: ExecutorName,
    tag: TagName,
}

impl Moving {
    async fn run(
        self,
        control: &Control,
        change: impl FnOnce(&Registry, &Self) -> std::result::Result<Tag, Problem> + Send + 'static,
    ) -> Result<Tagged<Tag>> {
        let moving = self.clone();
        let (before, moved) = control
            .registry(move |registry| {
                let before = registry.tag(&moving.access, &moving.executor, &moving.tag).ok();
                Ok((before, change(registry, &moving)?))
            })
            .await?;
        let (tenant, executor) = (self.access.tenant().clone(), self.executor.clone());
        let now = moved.clone();
        control
            .follow_or_undo(&tenant, Change::Executor(executor), move |registry| {
                self.put_back(registry, before.as_ref(), &now)
            })
            .await?;
        Ok(Tagged(moved.etag, moved))
    }

    fn put_back(
        &self,
        registry: &Registry,
        before: Option<&Tag>,
        now: &Tag,
    ) -> std::result::Result<(), Problem> {
        let unchanged = Precondition::Match(now.etag);
        let Self { access, executor, tag } = self;
        match before {
            Some(before) if before.etag == now.etag => Ok(()),
            Some(before) if now.before.first() == Some(&before.revision) => {
                registry.roll_back(access, executor, tag, unchanged).map(drop)
            }
            Some(before) => registry.put_tag(access, executor, tag, before.revision, unchanged).map(drop),
            None => registry.delete_tag(access, executor, tag, unchanged),
        }
    }
}
