//! Public keys with which a tenant signs its components.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use lockgate_domain::{SigningKeyName, Timestamp};
use lockgate_registry::SigningKey;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Control;
use crate::extract::{Asked, At, Listing, PageQuery, Tenancy, Text};
use crate::refusal::Result;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list_signing_keys)).routes(routes!(
        show_signing_key,
        put_signing_key,
        delete_signing_key
    ))
}

/// A public key of a tenant.
#[derive(Debug, Serialize, ToSchema)]
struct SigningKeyView {
    /// Its name.
    name: SigningKeyName,
    /// The key itself, ed25519, as `-----BEGIN PUBLIC KEY-----`.
    pem: String,
    /// When it was set last.
    changed_at: Timestamp,
}

impl From<SigningKey> for SigningKeyView {
    fn from(key: SigningKey) -> Self {
        Self { name: key.name, pem: key.pem, changed_at: key.changed_at }
    }
}

/// A tenant's signing keys by name.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/signing-keys", tag = "components", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<SigningKeyView>)
))]
async fn list_signing_keys(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<SigningKeyView>>> {
    let request = page.request()?;
    let page = control.registry(move |registry| registry.signing_keys(&access, &request)).await?;
    Ok(Json(page.map(SigningKeyView::from).into()))
}

/// One signing key.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/signing-keys/{name}", tag = "components", responses(
    (status = 200, description = "The key.", body = SigningKeyView)
))]
async fn show_signing_key(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<SigningKeyName>,
) -> Result<Json<SigningKeyView>> {
    Ok(Json(control.registry(move |registry| registry.signing_key(&access, &name)).await?.into()))
}

/// Registers a signing key or replaces it: the body is its PEM text.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/signing-keys/{name}", tag = "components",
    request_body(content = String, content_type = "application/x-pem-file"),
    responses((status = 200, description = "The key.", body = SigningKeyView)))]
async fn put_signing_key(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<SigningKeyName>,
    Text(pem): Text,
) -> Result<Json<SigningKeyView>> {
    Ok(Json(control.registry(move |registry| registry.put_signing_key(&access, &name, pem)).await?.into()))
}

/// Removes a signing key; what it has signed stays.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/signing-keys/{name}", tag = "components", responses(
    (status = 204, description = "It is gone.")
))]
async fn delete_signing_key(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(name): At<SigningKeyName>,
) -> Result<StatusCode> {
    control.registry(move |registry| registry.delete_signing_key(&access, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
