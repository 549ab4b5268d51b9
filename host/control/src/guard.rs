//! The one way to every handler: request id, admission, who asks, whether it may, and the audit log afterwards.
//!
//! What changes something runs in a task of its own and to its end, whatever becomes of the caller: a caller that hangs
//! up between "written" and "served" leaves no half-done change and no gap in the audit log. Reading stops with the
//! caller. Both take one of the places for requests, so the tasks are bounded.

mod audit;
mod origin;

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, AUTHORIZATION, CONNECTION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::body::Body as _;
use lockgate_domain::{ErrorCode, Problem, RequestId, Scope, TenantName};
use lockgate_registry::access::{Credential, Identity, TenantAccess, authorise_host};

pub(crate) use self::audit::Object;
use self::audit::Record;
use crate::Control;
use crate::extract::{Caller, Id, Operator, Tenancy};
use crate::operation::{Needs, Operation};
use crate::refusal::{Failed, Refusal, Result, cut, invalid};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// A body that is read off a connection without a thought, so that the connection can go on.
const SMALL_BODY_BYTES: u64 = 16 << 10;
/// Time after which a place for a request is likely to be free.
const PAUSE_MS: u64 = 500;

/// Beside an answer for which the body was not needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unread;

/// Gives every request its id, unknown paths included, and every answer the same.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    let asked = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let id = asked.map_or_else(RequestId::fresh, RequestId::accept);
    request.extensions_mut().insert(Id(id.clone()));
    let has_large_body = request.body().size_hint().exact().is_none_or(|bytes| bytes > SMALL_BODY_BYTES);
    let mut response = next.run(request).await;
    let may_be_unread =
        response.extensions().get::<Failed>().is_some() || response.extensions().get::<Unread>().is_some();
    if has_large_body && may_be_unread {
        // The rest of the body stays unread, so the connection ends: a client must not put its next request there.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Whatever the router does not know.
pub(crate) async fn not_found(request: Request) -> Refusal {
    let path = request.uri().path();
    Problem::new(ErrorCode::NotFound, format!("there is nothing at {:?}", cut(path)))
        .with_hint("see /docs for what there is")
        .into()
}

/// Stands in front of every route.
pub(crate) async fn guard(State(control): State<Control>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map(MatchedPath::as_str).unwrap_or_default();
    let Some(operation) = Operation::find(request.method(), path) else {
        return method_not_allowed(request.method().as_str(), path);
    };
    if operation.needs == Needs::Nothing {
        return next.run(request).await;
    }
    let passed = pass(control.clone(), operation, request, next).await;
    let response = passed.unwrap_or_else(IntoResponse::into_response);
    control.0.refusals.note(&response);
    response
}

async fn pass(
    control: Control,
    operation: &'static Operation,
    request: Request,
    next: Next,
) -> Result<Response> {
    let permit = Arc::clone(&control.0.places).try_acquire_owned().map_err(|_| full(&control))?;
    let (mut parts, body) = request.into_parts();
    let identity = authenticate(&control, &parts.headers)?;
    let tenant = identity.principal.tenant.as_ref();
    let place = tenant.map(|tenant| control.0.tenant_places.take(tenant)).transpose()?;
    let params = RawPathParams::from_request_parts(&mut parts, &()).await;
    let params = params.map_err(|_| invalid("the path holds bytes that are no UTF-8"))?;
    let Some(action) = operation.action else {
        admit(&control, operation, &identity, &params, &mut parts)?;
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let mut record = Record::new(action, &identity.principal, &params, &parts);
    let changing = {
        let control = control.clone();
        async move {
            let response = match admit(&control, operation, &identity, &params, &mut parts) {
                Ok(tenant) => {
                    record.on(tenant);
                    next.run(Request::from_parts(parts, body)).await
                }
                Err(refusal) => refusal.into_response(),
            };
            audit::write(&control, record.end(&response)).await;
            drop((permit, place));
            response
        }
    };
    Ok(control.0.changes.run(changing).await?)
}

/// Who asks. In development mode a caller without a credential is the operator, unless a page of some other site sent it.
fn authenticate(control: &Control, headers: &HeaderMap) -> Result<Identity> {
    let authorization = one(headers, &AUTHORIZATION)?;
    let api_key = one(headers, &API_KEY)?;
    match Credential::from_headers(authorization, api_key)? {
        Some(credential) => {
            Ok(control.0.authenticator.authenticate(&credential, control.0.registry.now())?)
        }
        None if control.0.options.dev => {
            origin::check(headers)?;
            Ok(Identity::local())
        }
        None => {
            Err(Problem::new(ErrorCode::Unauthenticated, "this request needs an API key or a JSON Web Token")
                .with_hint("send authorization: Bearer KEY, or x-api-key: KEY")
                .into())
        }
    }
}

/// The value of a header that may come once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let wrong = |what: &str| Problem::new(ErrorCode::Unauthenticated, format!("the header {name} {what}"));
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong("comes more than once").into());
    }
    Ok(Some(value.to_str().map_err(|_| wrong("holds bytes that no credential has"))?))
}

/// Decides, and gives the handler what it may work with. The tenant is the one that the path names.
fn admit(
    control: &Control,
    operation: &Operation,
    identity: &Identity,
    params: &RawPathParams,
    parts: &mut Parts,
) -> Result<Option<TenantName>> {
    let principal = &identity.principal;
    let asked = params.iter().find(|(key, _)| *key == "tenant").map_or("", |(_, value)| value);
    let tenancy =
        |scope| -> Result<TenantAccess> { Ok(control.0.registry.authorise(principal, scope, asked)?) };
    let mut tenant = None;
    match operation.needs {
        Needs::Nothing | Needs::Somebody => {}
        Needs::Operator => {
            parts.extensions.insert(Operator(authorise_host(principal)?));
        }
        Needs::OperatorOnTenant => {
            // First as anybody who looks at it: another tenant's key must not learn more than "not found".
            tenant = Some(tenancy(Scope::Read)?.tenant().clone());
            parts.extensions.insert(Operator(authorise_host(principal)?));
        }
        Needs::Tenant(scope) => {
            let access = tenancy(scope)?;
            tenant = Some(access.tenant().clone());
            parts.extensions.insert(Tenancy(access));
        }
    }
    parts.extensions.insert(Caller(identity.principal.clone()));
    Ok(tenant)
}

fn full(control: &Control) -> Problem {
    let most = control.0.options.max_concurrent_requests;
    Problem::new(ErrorCode::Overloaded, format!("the control API works on {most} requests already"))
        .with_retry_after_ms(PAUSE_MS)
}

fn method_not_allowed(method: &str, path: &str) -> Response {
    let allowed = Operation::allowed(path);
    let problem = Problem::new(ErrorCode::NotFound, format!("{path} does not take {}", cut(method)))
        .with_hint(format!("it takes {allowed}"));
    let mut response = Refusal::with_status(problem, StatusCode::METHOD_NOT_ALLOWED).into_response();
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}
