//! Secrets: set, listed by name, deleted; never shown.

use std::collections::BTreeSet;
use std::fmt;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use lockgate_domain::hosting::{RevisionNumber, Target};
use lockgate_domain::{ExecutorName, Problem, SecretName, Timestamp};
use lockgate_registry::access::TenantAccess;
use lockgate_registry::{Registry, SecretEntry};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Control;
use crate::extract::{Asked, At, Input, Listing, PageQuery, Tenancy};
use crate::refusal::Result;
use crate::serving::Change;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list_secrets)).routes(routes!(put_secret, delete_secret))
}

/// A secret's value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SecretValue {
    /// The value; it is sealed before it is written and never shown again.
    value: String,
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(..)")
    }
}

/// A secret as it is listed.
#[derive(Debug, Serialize, ToSchema)]
struct SecretView {
    /// Its name.
    name: SecretName,
    /// When it was set last.
    changed_at: Timestamp,
}

impl From<SecretEntry> for SecretView {
    fn from(entry: SecretEntry) -> Self {
        Self { name: entry.name, changed_at: entry.changed_at }
    }
}

/// The names of a tenant's secrets.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/secrets", tag = "secrets", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<SecretView>)
))]
async fn list_secrets(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<SecretView>>> {
    let request = page.request()?;
    let page = control.registry(move |registry| registry.secrets(&access, &request)).await?;
    Ok(Json(page.map(SecretView::from).into()))
}

/// Sets a secret or replaces it; instances that start from now on get the new value.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/secrets/{name}", tag = "secrets", request_body = SecretValue, responses(
    (status = 200, description = "It is set.", body = SecretView)
))]
async fn put_secret(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<SecretName>,
    Input(secret): Input<SecretValue>,
) -> Result<Json<SecretView>> {
    let (by, of) = (access.clone(), name.clone());
    let entry = control.registry(move |registry| registry.put_secret(&by, &of, &secret.value)).await?;
    follow_users(&control, access, name).await?;
    Ok(Json(entry.into()))
}

/// Deletes a secret. Revisions that use it do not start any more.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/secrets/{name}", tag = "secrets", responses(
    (status = 204, description = "It is gone.")
))]
async fn delete_secret(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<SecretName>,
) -> Result<StatusCode> {
    let (by, of) = (access.clone(), name.clone());
    control.registry(move |registry| registry.delete_secret(&by, &of)).await?;
    follow_users(&control, access, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has the executors that are served with that secret start anew. A failure of one leaves the others to follow.
async fn follow_users(control: &Control, access: TenantAccess, name: SecretName) -> Result<()> {
    let tenant = access.tenant().clone();
    let users = control.registry(move |registry| users_of(registry, &access, &name)).await?;
    let mut outcome = Ok(());
    for executor in users {
        let followed = control.follow(&tenant, Change::Executor(executor)).await;
        outcome = outcome.and(followed);
    }
    outcome
}

/// Executors of which a revision that traffic can reach names the secret.
fn users_of(
    registry: &Registry,
    access: &TenantAccess,
    name: &SecretName,
) -> std::result::Result<Vec<ExecutorName>, Problem> {
    let mut users = Vec::new();
    for executor in registry.executor_names(access)? {
        let Ok(known) = registry.executor(access, &executor) else { continue };
        let mut served: BTreeSet<RevisionNumber> = known.tags.iter().map(|tag| tag.revision).collect();
        served.insert(known.newest);
        if let Some(deployment) = &known.deployment {
            let spec = &deployment.spec;
            let canary = spec.canary.as_ref().map(|canary| &canary.target);
            let shadow = spec.shadow.as_ref().map(|shadow| &shadow.target);
            served.extend(std::iter::once(&spec.primary).chain(canary).chain(shadow).filter_map(|target| {
                match target {
                    Target::Revision(number) => Some(*number),
                    Target::Tag(_) => None,
                }
            }));
        }
        let uses_it = |number: &RevisionNumber| {
            registry
                .revision(access, &executor, *number)
                .is_ok_and(|revision| revision.spec.capabilities.secrets.contains(name))
        };
        if served.iter().any(uses_it) {
            users.push(executor);
        }
    }
    Ok(users)
}
