//! The handlers, one file per kind of thing. They translate; what may be and what is kept is the registry's to say.

mod audit;
mod capsules;
mod components;
mod deployments;
mod executors;
mod flows;
mod host;
mod keys;
mod revisions;
mod secrets;
mod signing_keys;
mod tags;
mod tenants;
mod usage;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use lockgate_domain::{Problem, TenantName};
use lockgate_registry::{Page, PageRequest};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;

use crate::extract::{Listing, PageQuery};
use crate::guard::Object;
use crate::refusal::{Result, invalid};
use crate::serving::Change;
use crate::{Control, pages};

/// Every route with what it says about itself.
pub(crate) fn all() -> OpenApiRouter<Control> {
    OpenApiRouter::default()
        .merge(pages::routes())
        .merge(host::routes())
        .merge(tenants::routes())
        .merge(keys::routes())
        .merge(components::routes())
        .merge(signing_keys::routes())
        .merge(executors::routes())
        .merge(revisions::routes())
        .merge(tags::routes())
        .merge(deployments::routes())
        .merge(flows::routes())
        .merge(secrets::routes())
        .merge(usage::routes())
        .merge(audit::routes())
        .merge(capsules::routes())
}

/// The headers of a conditional change, for the description of the API.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the extractor `Condition` reads them; this only describes them")]
pub(crate) struct ConditionHeaders {
    /// Only if it is still as it was with this `ETag`.
    #[serde(rename = "if-match")]
    #[param(example = "\"3\"")]
    if_match: Option<String>,
    /// `*`: only if it is new.
    #[serde(rename = "if-none-match")]
    #[param(pattern = r"^\*$")]
    if_none_match: Option<String>,
}

impl PageQuery {
    /// As the registry takes it.
    pub(crate) fn request(self) -> Result<PageRequest> {
        let most = u32::try_from(PageRequest::MOST).unwrap_or(u32::MAX);
        match self.limit {
            Some(limit) if limit == 0 || limit > most => {
                Err(invalid(format!("a limit of {limit} is not possible; lists give 1 to {most} items"))
                    .into())
            }
            limit => Ok(PageRequest {
                limit: limit.and_then(|limit| usize::try_from(limit).ok()),
                cursor: self.cursor,
            }),
        }
    }
}

impl<T> From<Page<T>> for Listing<T> {
    fn from(page: Page<T>) -> Self {
        Self { items: page.items, next: page.next }
    }
}

/// An answer of 201 with the place of what is new, named in the audit log.
pub(crate) fn created(path: &str, object: impl ToString, body: impl IntoResponse) -> Response {
    let mut response = (StatusCode::CREATED, body).into_response();
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    named(object, response)
}

/// An answer whose object the audit log could not read off the path.
pub(crate) fn named(object: impl ToString, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.extensions_mut().insert(Object(object.to_string()));
    response
}

impl Control {
    /// Has traffic follow a change that cannot be taken back (something is gone, or a key is). The change stands.
    pub(crate) async fn follow(&self, tenant: &TenantName, change: Change) -> Result<()> {
        self.0.serving.apply(tenant, change).await.map_err(|problem| {
            tracing::error!(%problem, tenant.name = %tenant, "traffic does not follow a change of the registry");
            let message = format!("the change is made, but traffic does not follow it yet: {}", problem.message());
            Problem::new(problem.code(), message).with_hint("make the same request again").into()
        })
    }

    /// Has traffic follow a change, or takes it back: `undo` runs where traffic did not follow.
    pub(crate) async fn follow_or_undo(
        &self,
        tenant: &TenantName,
        change: Change,
        undo: impl FnOnce(&lockgate_registry::Registry) -> std::result::Result<(), Problem> + Send + 'static,
    ) -> Result<()> {
        let Err(problem) = self.0.serving.apply(tenant, change.clone()).await else { return Ok(()) };
        let undone = self.registry(undo).await;
        let (said, hint) = match &undone {
            Ok(()) => {
                ("the change was taken back", "mend what the message names, then make the request again")
            }
            Err(refusal) => {
                tracing::error!(problem = %refusal.problem, tenant.name = %tenant, "a change could not be taken back");
                (
                    "the change stands, but traffic does not follow it yet",
                    "look at what is there, then make the request again",
                )
            }
        };
        // What serves kept what it had; this brings it to what the registry has now.
        if undone.is_ok()
            && let Err(problem) = self.0.serving.apply(tenant, change).await
        {
            tracing::error!(%problem, tenant.name = %tenant, "traffic does not follow the registry");
        }
        let message = format!("{}; {said}", problem.message());
        let hint = problem.hint().unwrap_or(hint).to_owned();
        Err(Problem::new(problem.code(), message).with_hint(hint).into())
    }
}
