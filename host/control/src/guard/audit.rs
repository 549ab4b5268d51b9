//! What the audit log gets of an action: who, on whose things, what, and how it ended.
//!
//! An entry stands with the caller's own tenant, or, for the operator, with the tenant that was acted on. So nobody reads
//! in its log what strangers tried with its name, and nobody fills another's log.

use axum::extract::RawPathParams;
use axum::response::Response;
use http::request::Parts;
use lockgate_domain::{Principal, RequestId, TenantName};
use lockgate_registry::AuditDraft;

use crate::Control;
use crate::extract::Id;
use crate::refusal::{Failed, cut};

/// What an action was about, where the path does not say it: a handler puts it beside its answer.
#[derive(Debug, Clone)]
pub(crate) struct Object(pub(crate) String);

/// An action under way.
#[derive(Debug)]
pub(super) struct Record {
    principal: String,
    tenant: Option<TenantName>,
    action: &'static str,
    object: String,
    request_id: RequestId,
}

impl Record {
    pub(super) fn new(
        action: &'static str,
        principal: &Principal,
        params: &RawPathParams,
        parts: &Parts,
    ) -> Self {
        let id = parts.extensions.get::<Id>();
        Self {
            principal: principal.name.clone(),
            tenant: principal.tenant.clone(),
            action,
            object: object(principal, params),
            request_id: id.map_or_else(RequestId::fresh, |id| id.0.clone()),
        }
    }

    /// The tenant that the caller turned out to be allowed to act on.
    pub(super) fn on(&mut self, tenant: Option<TenantName>) {
        self.tenant = tenant.or_else(|| self.tenant.take());
    }

    /// What is written down once the action has ended.
    pub(super) fn end(self, response: &Response) -> AuditDraft {
        let Self { principal, tenant, action, object, request_id } = self;
        let named = response.extensions().get::<Object>().map(|object| object.0.clone());
        AuditDraft {
            principal,
            tenant,
            action: action.to_owned(),
            object: named.unwrap_or(object),
            error: response.extensions().get::<Failed>().map(|failed| failed.0.as_str().to_owned()),
            request_id: request_id.as_str().to_owned(),
        }
    }
}

/// Writes an entry. An action whose entry cannot be written is made all the same; the log of the host says so.
pub(super) async fn write(control: &Control, draft: AuditDraft) {
    let action = draft.action.clone();
    if let Err(refusal) = control.registry(move |registry| registry.audit(draft)).await {
        tracing::error!(problem = %refusal.problem, action, "an entry of the audit log could not be written");
    }
}

/// `shout@3`, `shout:stable`, `sha256:…`, `search`: what the path names, the tenant only if it is not the caller's or
/// nothing else is named. Text of a stranger, so it is cut and escaped.
fn object(principal: &Principal, params: &RawPathParams) -> String {
    let mut object = String::new();
    for (key, value) in params {
        let separator = match key {
            "tenant" => continue,
            "number" => "@",
            "tag" => ":",
            _ => "",
        };
        object.push_str(separator);
        object.extend(cut(value).chars().flat_map(char::escape_debug));
    }
    let tenant = params.iter().find(|(key, _)| *key == "tenant").map(|(_, value)| value);
    match tenant {
        Some(tenant) if object.is_empty() => cut(tenant).escape_debug().to_string(),
        Some(tenant) if principal.tenant.as_ref().is_some_and(|own| own.as_str() != tenant) => {
            format!("{}/{object}", cut(tenant).escape_debug())
        }
        Some(_) | None => object,
    }
}
