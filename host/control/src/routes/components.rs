//! Components: uploaded as bytes or pulled from an OCI registry, listed, downloaded, deleted.
//!
//! The bytes go straight into a file of the registry, a piece at a time; whatever ends an upload early leaves nothing.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, StatusCode};
use lockgate_domain::hosting::StoredComponent;
use lockgate_domain::{ComponentDigest, ErrorCode, Problem};
use lockgate_registry::access::TenantAccess;
use lockgate_registry::oci::OciPull;
use lockgate_registry::signature::ComponentSignature;
use lockgate_registry::{Arrival, Upload, UploadTerms};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{created, named};
use crate::Control;
use crate::body::{BoundedBody, read_json, refuse_encoded};
use crate::extract::{Asked, At, Listing, PageQuery, Tenancy, has_media_type, single};
use crate::guard::Unread;
use crate::refusal::Result;
use crate::uploads::UploadPlace;

/// Bytes that are collected before a thread writes them.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes of one piece of a download.
const DOWNLOAD_BYTES: usize = 64 << 10;
const SIGNATURE: http::HeaderName = http::HeaderName::from_static("lockgate-signature");

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(list_components, upload_component))
        .routes(routes!(show_component, put_component, delete_component))
        .routes(routes!(download_component))
}

/// From where a component is pulled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PullRequest {
    /// An OCI reference, such as `ghcr.io/acme/shout:1.2`.
    oci: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes the header that `signature` reads")]
struct SignatureHeader {
    /// `NAME:BASE64`: the tenant's signing key and its signature, as `lockgate sign` prints it.
    #[serde(rename = "lockgate-signature")]
    lockgate_signature: Option<String>,
}

/// A tenant's components by digest.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/components", tag = "components", params(PageQuery), responses(
    (status = 200, description = "Some of them.", body = Listing<StoredComponent>)
))]
async fn list_components(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<StoredComponent>>> {
    let request = page.request()?;
    Ok(Json(control.registry(move |registry| registry.components(&access, &request)).await?.into()))
}

/// Uploads a component: the body is its bytes, or JSON that names an OCI reference to pull. Uploading it again is free.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/components", tag = "components", params(SignatureHeader),
    request_body(content((Vec<u8> = "application/wasm"), (PullRequest = "application/json"))),
    responses(
        (status = 200, description = "It was there already.", body = StoredComponent),
        (status = 201, description = "It is there.", body = StoredComponent),
    ))]
async fn upload_component(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    request: Request,
) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let signature = signature(&parts.headers)?;
    refuse_encoded(&parts.headers)?;
    let place = control.0.uploads.begin(access.tenant())?;
    let mut terms = UploadTerms { signature, ..UploadTerms::default() };
    let options = &control.0.options;
    let source = if has_media_type(&parts.headers, &["application/json"]) {
        let limit = u64::try_from(options.max_body_bytes).unwrap_or(u64::MAX);
        let body = BoundedBody::new(body, limit, options.body_timeout)?.collect().await?;
        let pull = pull(&control, read_json(&body)?).await?;
        terms.pulled_from = Some(pull.resolved.clone());
        Source::Pull(pull)
    } else {
        Source::Body(BoundedBody::new(body, options.max_component_bytes, options.body_timeout)?)
    };
    receive(&control, access, &place, source, terms).await
}

/// Uploads a component whose digest is known before; nothing is read if it is there.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/components/{digest}", tag = "components", params(SignatureHeader),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses(
        (status = 200, description = "It was there already.", body = StoredComponent),
        (status = 201, description = "It is there.", body = StoredComponent),
    ))]
async fn put_component(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(digest): At<ComponentDigest>,
    request: Request,
) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let signature = signature(&parts.headers)?;
    refuse_encoded(&parts.headers)?;
    let (by, signed) = (access.clone(), signature.clone());
    let known = control.registry(move |registry| registry.known_component(&by, digest, signed.as_ref()));
    if let Some(component) = known.await? {
        let mut response = Json(component).into_response();
        response.extensions_mut().insert(Unread);
        return Ok(response);
    }
    let place = control.0.uploads.begin(access.tenant())?;
    let options = &control.0.options;
    let body = BoundedBody::new(body, options.max_component_bytes, options.body_timeout)?;
    let terms = UploadTerms { expected: Some(digest), signature, pulled_from: None };
    receive(&control, access, &place, Source::Body(body), terms).await
}

/// One component and what was found out about it.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/components/{digest}", tag = "components", responses(
    (status = 200, description = "The component.", body = StoredComponent)
))]
async fn show_component(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(digest): At<ComponentDigest>,
) -> Result<Json<StoredComponent>> {
    Ok(Json(control.registry(move |registry| registry.component(&access, digest)).await?))
}

/// The bytes of a component.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/components/{digest}/content", tag = "components", responses(
    (status = 200, description = "The bytes.", body = Vec<u8>, content_type = "application/wasm")
))]
async fn download_component(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(digest): At<ComponentDigest>,
) -> Result<Response> {
    let (file, size) = control.registry(move |registry| registry.component_content(&access, digest)).await?;
    let pieces = stream::try_unfold(tokio::fs::File::from_std(file), |mut file| async move {
        let mut piece = Vec::with_capacity(DOWNLOAD_BYTES);
        let mut part = (&mut file).take(u64::try_from(DOWNLOAD_BYTES).unwrap_or(u64::MAX));
        part.read_to_end(&mut piece).await?;
        Ok::<_, std::io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
    });
    let head = [
        (CONTENT_TYPE, "application/wasm".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}.wasm\"", digest.hex())),
    ];
    Ok((head, Body::from_stream(pieces)).into_response())
}

/// Deletes a component; one that a revision uses is a conflict, which names the revisions.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/components/{digest}", tag = "components", responses(
    (status = 204, description = "It is gone.")
))]
async fn delete_component(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(digest): At<ComponentDigest>,
) -> Result<StatusCode> {
    control.registry(move |registry| registry.delete_component(&access, digest)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn signature(headers: &HeaderMap) -> Result<Option<ComponentSignature>> {
    Ok(single(headers, &SIGNATURE)?.map(str::parse).transpose()?)
}

async fn pull(control: &Control, wanted: PullRequest) -> Result<OciPull> {
    let Some(puller) = &control.0.puller else {
        let problem =
            Problem::new(ErrorCode::PermissionDenied, "this host pulls no components from OCI registries");
        return Err(problem.with_hint("upload the bytes, or ask the operator to name the registry").into());
    };
    Ok(puller.pull(&wanted.oci, control.0.options.max_component_bytes).await?)
}

/// Where the bytes come from.
enum Source {
    Body(BoundedBody),
    Pull(OciPull),
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Source::Body(body) => body.chunk().await,
            Source::Pull(pull) => Ok(pull.next().await?),
        }
    }
}

/// Takes all bytes, has them examined, keeps them.
async fn receive(
    control: &Control,
    access: TenantAccess,
    place: &UploadPlace,
    mut source: Source,
    terms: UploadTerms,
) -> Result<Response> {
    let tenant = access.tenant().clone();
    let mut upload = control.registry(move |registry| registry.begin_upload(&access)).await?;
    let mut piece = Vec::new();
    let mut collected = 0;
    while let Some(chunk) = source.next().await? {
        collected += chunk.len();
        piece.push(chunk);
        if collected >= PIECE_BYTES {
            upload = write(control, upload, std::mem::take(&mut piece)).await?;
            collected = 0;
        }
    }
    upload = write(control, upload, piece).await?;
    let _turn = place.turn().await?;
    let finished = control.blocking(move |control| upload.finish(&terms, control.0.validator.as_ref()));
    let (component, arrival) = finished.await??;
    let digest = component.digest;
    Ok(match arrival {
        Arrival::Created => {
            created(&format!("/v1/tenants/{tenant}/components/{digest}"), digest, Json(component))
        }
        Arrival::Known => named(digest, Json(component)),
    })
}

/// Writes on a thread that may block: the disk is slower than the network at times.
async fn write(control: &Control, mut upload: Upload, piece: Vec<Bytes>) -> Result<Upload> {
    let written = control.blocking(move |_| {
        piece.iter().try_for_each(|chunk| upload.write(chunk))?;
        Ok::<_, Problem>(upload)
    });
    Ok(written.await??)
}
