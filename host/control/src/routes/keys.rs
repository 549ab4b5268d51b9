//! API keys: made once and shown once, listed, revoked. Of a tenant, and of the host itself.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, HeaderValue};
use lockgate_domain::tenancy::ApiKey;
use lockgate_domain::{KeyId, Scope, TenantName};
use lockgate_registry::access::MintedKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::created;
use crate::Control;
use crate::extract::{Asked, At, Input, Listing, Operator, PageQuery, Tenancy};
use crate::refusal::{Result, invalid};
use crate::serving::Change;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(list_host_keys, create_host_key))
        .routes(routes!(revoke_host_key))
        .routes(routes!(list_keys, create_key))
        .routes(routes!(revoke_key))
}

/// A key that is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// What people call it.
    #[serde(default)]
    #[schema(max_length = 100)]
    label: String,
    /// What it is good for.
    scopes: BTreeSet<Scope>,
    /// Seconds after which it stops working; it works until it is revoked if they are left out.
    #[schema(minimum = 1)]
    expires_in_s: Option<u64>,
}

/// A new key with its secret, which is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedKey {
    #[serde(flatten)]
    key: ApiKey,
    /// The whole key: what callers send.
    secret: String,
}

impl NewKey {
    fn expires_in(&self) -> Result<Option<Duration>> {
        /// A hundred years: what lies beyond is a mistake.
        const LONGEST_S: u64 = 100 * 366 * 24 * 60 * 60;
        match self.expires_in_s {
            Some(seconds) if seconds > LONGEST_S => {
                Err(invalid(format!("expires_in_s: {seconds} seconds are more than a hundred years"))
                    .with_hint("leave it out for a key that works until it is revoked")
                    .into())
            }
            seconds => Ok(seconds.map(Duration::from_secs)),
        }
    }
}

/// The answer in which a key is shown. No cache may keep it.
fn shown_once(path: &str, minted: &MintedKey) -> Response {
    let key = minted.record.key.clone();
    let path = format!("{path}/{}", key.id);
    let id = key.id.clone();
    let mut response = created(&path, id, Json(CreatedKey { key, secret: minted.text.to_string() }));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Keys of the host, dead ones included.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<ApiKey>)
))]
async fn list_host_keys(
    State(control): State<Control>,
    Operator(access): Operator,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<ApiKey>>> {
    let request = page.request()?;
    Ok(Json(control.registry(move |registry| registry.host_keys(&access, &request)).await?.into()))
}

/// Makes a key of the host; its secret is shown in this answer only.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = NewKey, responses(
    (status = 201, description = "The key.", body = CreatedKey)
))]
async fn create_host_key(
    State(control): State<Control>,
    Operator(access): Operator,
    Input(new): Input<NewKey>,
) -> Result<Response> {
    let expires_in = new.expires_in()?;
    let minted = control
        .registry(move |registry| registry.create_host_key(&access, new.label, new.scopes, expires_in))
        .await?;
    Ok(shown_once("/v1/keys", &minted))
}

/// Revokes a key of the host, at once.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", responses(
    (status = 200, description = "The key, revoked.", body = ApiKey)
))]
async fn revoke_host_key(
    State(control): State<Control>,
    Operator(access): Operator,
    At(id): At<KeyId>,
) -> Result<Json<ApiKey>> {
    Ok(Json(control.registry(move |registry| registry.revoke_host_key(&access, &id)).await?))
}

/// Keys of a tenant, dead ones included.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/keys", tag = "keys", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<ApiKey>)
))]
async fn list_keys(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<ApiKey>>> {
    let request = page.request()?;
    Ok(Json(control.registry(move |registry| registry.keys(&access, &request)).await?.into()))
}

/// Makes a key of a tenant; its secret is shown in this answer only.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/keys", tag = "keys", request_body = NewKey, responses(
    (status = 201, description = "The key.", body = CreatedKey)
))]
async fn create_key(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Input(new): Input<NewKey>,
) -> Result<Response> {
    let (expires_in, tenant) = (new.expires_in()?, access.tenant().clone());
    let minted =
        control.registry(move |registry| registry.create_key(&access, new.label, new.scopes, expires_in));
    let minted = minted.await?;
    Ok(shown_once(&format!("/v1/tenants/{tenant}/keys"), &minted))
}

/// Revokes a key of a tenant, at once: streams that it opened end with their next message.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/keys/{id}", tag = "keys", responses(
    (status = 200, description = "The key, revoked.", body = ApiKey)
))]
async fn revoke_key(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(id): At<KeyId>,
) -> Result<Json<ApiKey>> {
    let tenant: TenantName = access.tenant().clone();
    let key = control.registry(move |registry| registry.revoke_key(&access, &id)).await?;
    control.follow(&tenant, Change::Keys).await?;
    Ok(Json(key))
}
