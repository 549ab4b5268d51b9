//! What handlers take from a request, each with its own words when it is not there or wrong.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use lockgate_domain::hosting::RevisionNumber;
use lockgate_domain::{
    ComponentDigest, ErrorCode, ExecutorName, FlowName, KeyId, Principal, Problem, RequestId, SecretName,
    SigningKeyName, TagName, TenantName,
};
use lockgate_registry::Precondition;
use lockgate_registry::access::{HostAccess, TenantAccess};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Control;
use crate::body::{BoundedBody, read_json, refuse_encoded};
use crate::refusal::{Refusal, Result, cut, invalid};

// === who asks ===

/// An authenticated caller. The guard puts it into the request.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Principal);

/// A caller that may do with the path's tenant what the operation's scope covers.
#[derive(Debug, Clone)]
pub(crate) struct Tenancy(pub(crate) TenantAccess);

/// The operator of the host.
#[derive(Debug, Clone)]
pub(crate) struct Operator(pub(crate) HostAccess);

/// The id of the request.
#[derive(Debug, Clone)]
pub(crate) struct Id(pub(crate) RequestId);

macro_rules! from_guard {
    ($($type:ident),*) => {$(
        impl<S: Sync> FromRequestParts<S> for $type {
            type Rejection = Refusal;
            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
                parts.extensions.get::<Self>().cloned().ok_or_else(not_guarded)
            }
        }
    )*};
}
from_guard!(Caller, Tenancy, Operator, Id);

/// The table says less than the handler wants: a fault of this crate that its tests find.
fn not_guarded() -> Refusal {
    Problem::new(ErrorCode::HostFault, "this operation is not guarded as it needs to be").into()
}

// === names in the path ===

/// A name in a path, and what the router calls its segment.
pub(crate) trait PathName: FromStr<Err: Display> {
    const SEGMENT: &'static str;
}

macro_rules! path_names {
    ($($type:ty = $segment:literal),* $(,)?) => {$(
        impl PathName for $type {
            const SEGMENT: &'static str = $segment;
        }
    )*};
}
path_names!(
    TenantName = "tenant",
    KeyId = "id",
    ComponentDigest = "digest",
    SigningKeyName = "name",
    SecretName = "name",
    ExecutorName = "executor",
    Number = "number",
    TagName = "tag",
    FlowName = "flow",
    CapsuleId = "id",
);

/// A revision's number in a path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number(pub(crate) RevisionNumber);

impl FromStr for Number {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = text.strip_prefix('@').unwrap_or(text);
        // `parse` takes a sign, a number in a path has none.
        let plain = number.bytes().all(|byte| byte.is_ascii_digit());
        match number.parse::<NonZeroU32>() {
            Ok(number) if plain => Ok(Self(RevisionNumber(number))),
            _ => Err(format!("{:?} is no number of a revision; they are 1, 2, 3 ...", cut(text))),
        }
    }
}

/// The id of a capsule: a request's id, which can stand in a file name only if it is this plain.
#[derive(Debug, Clone)]
pub(crate) struct CapsuleId(pub(crate) String);

impl FromStr for CapsuleId {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = (1..=RequestId::MAX_BYTES).contains(&text.len())
            && text.bytes().all(is_plain)
            && !text.starts_with('.');
        if fits { Ok(Self(text.to_owned())) } else { Err(format!("{:?} is no id of a capsule", cut(text))) }
    }
}

/// A checked name from the path.
#[derive(Debug, Clone)]
pub(crate) struct At<T>(pub(crate) T);

impl<S: Send + Sync, T: PathName> FromRequestParts<S> for At<T> {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = segment(parts, state, T::SEGMENT).await?.ok_or_else(not_guarded)?;
        text.parse().map(Self).map_err(|error: T::Err| invalid(error.to_string()).into())
    }
}

/// The text of a segment; an error if the path is not UTF-8.
pub(crate) async fn segment<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<Option<String>> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params.map_err(|_| invalid("the path holds bytes that are no UTF-8"))?;
    Ok(params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()))
}

// === bodies and queries ===

/// A JSON body of a known shape.
#[derive(Debug)]
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Control> for Input<T> {
    type Rejection = Refusal;
    async fn from_request(request: Request, control: &Control) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let options = &control.0.options;
        expect_json(&parts.headers)?;
        refuse_encoded(&parts.headers)?;
        let limit = u64::try_from(options.max_body_bytes).unwrap_or(u64::MAX);
        let bytes = BoundedBody::new(body, limit, options.body_timeout)?.collect().await?;
        read_json(&bytes).map(Self)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct OptionalInput<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Control> for OptionalInput<T> {
    type Rejection = Refusal;
    async fn from_request(request: Request, control: &Control) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let options = &control.0.options;
        refuse_encoded(&parts.headers)?;
        let limit = u64::try_from(options.max_body_bytes).unwrap_or(u64::MAX);
        let bytes = BoundedBody::new(body, limit, options.body_timeout)?.collect().await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        expect_json(&parts.headers)?;
        read_json(&bytes).map(Self)
    }
}

/// A body of text: YAML or PEM.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) String);

impl FromRequest<Control> for Text {
    type Rejection = Refusal;
    async fn from_request(request: Request, control: &Control) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let options = &control.0.options;
        refuse_encoded(&parts.headers)?;
        let limit = u64::try_from(options.max_body_bytes).unwrap_or(u64::MAX);
        let bytes = BoundedBody::new(body, limit, options.body_timeout)?.collect().await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(invalid("the request's body is empty").into());
        }
        match String::from_utf8(Bytes::into(bytes)) {
            Ok(text) => Ok(Self(text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                Err(invalid(format!("the request's body is not UTF-8: byte {at} is wrong")).into())
            }
        }
    }
}

/// Whether a body of that media type was announced, parameters aside.
pub(crate) fn has_media_type(headers: &HeaderMap, wanted: &[&str]) -> bool {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    wanted.iter().any(|wanted| kind.eq_ignore_ascii_case(wanted))
}

/// A flow's body says that it is YAML.
pub(crate) fn expect_yaml(headers: &HeaderMap) -> Result<()> {
    if has_media_type(headers, &["application/yaml", "application/x-yaml", "text/yaml"]) {
        return Ok(());
    }
    let problem = invalid("the request's body is not announced as YAML");
    let problem = problem.with_hint("send content-type: application/yaml");
    Err(Refusal::with_status(problem, StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

fn expect_json(headers: &HeaderMap) -> Result<()> {
    if has_media_type(headers, &["application/json"]) {
        return Ok(());
    }
    let problem = match headers.get(CONTENT_TYPE) {
        None => invalid("the request's body has no content-type"),
        Some(kind) => {
            let kind = String::from_utf8_lossy(kind.as_bytes());
            invalid(format!("the request's body is {:?}, not JSON", cut(&kind)))
        }
    };
    let problem = problem.with_hint("send content-type: application/json");
    Err(Refusal::with_status(problem, StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

/// A query of a known shape.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                let source = std::error::Error::source(&rejection).map(ToString::to_string);
                let reason = source.unwrap_or_else(|| rejection.body_text());
                Err(invalid(format!("the query of the request: {}", cut_long(&reason))).into())
            }
        }
    }
}

/// A parser's own words, which may repeat what a stranger wrote.
fn cut_long(text: &str) -> &str {
    text.get(..text.floor_char_boundary(300)).unwrap_or(text)
}

// === lists ===

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Most items in the answer; 100 if it is left out.
    #[param(minimum = 1, maximum = 500)]
    pub(crate) limit: Option<u32>,
    /// The `next` of the answer before.
    pub(crate) cursor: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Listing<T> {
    /// The items, in order.
    pub(crate) items: Vec<T>,
    /// What to pass as `cursor` for the items after these; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

// === entity tags ===

/// An answer with the number of its changes as its entity tag.
#[derive(Debug)]
pub(crate) struct Tagged<T>(pub(crate) u64, pub(crate) T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let Self(etag, value) = self;
        let mut response = axum::Json(value).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{etag}\"")) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

/// The condition under which a change is wanted: `If-Match: "3"` or `If-None-Match: *`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition(pub(crate) Precondition);

impl<S: Send + Sync> FromRequestParts<S> for Condition {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        condition(&parts.headers).map(Self)
    }
}

fn condition(headers: &HeaderMap) -> Result<Precondition> {
    match (single(headers, &IF_MATCH)?, single(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(Precondition::Any),
        (Some(tag), None) => match tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                // A number that no counter reaches matches nothing, as it should.
                Ok(Precondition::Match(digits.parse().unwrap_or(u64::MAX)))
            }
            _ => Err(invalid(format!("the header if-match is {:?}, no entity tag of this API", cut(tag)))
                .with_hint("send back the ETag of the answer, such as \"3\", quotes included")
                .into()),
        },
        (None, Some("*")) => Ok(Precondition::New),
        (None, Some(tag)) => {
            Err(invalid(format!("the header if-none-match is {:?}; only * is taken", cut(tag))).into())
        }
        (Some(_), Some(_)) => {
            Err(invalid("the headers if-match and if-none-match exclude each other").into())
        }
    }
}

/// The text of a header that may come once.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(format!("the header {name} comes more than once")).into());
    }
    let text = value.to_str().map(str::trim);
    text.map(Some).map_err(|_| invalid(format!("the header {name} is no text")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let check = |headers: &[(HeaderName, &str)], expected: Option<Precondition>| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(condition(&map).ok(), expected, "{headers:?}");
        };
        check(&[], Some(Precondition::Any));
        check(&[(IF_MATCH, "\"3\"")], Some(Precondition::Match(3)));
        check(&[(IF_NONE_MATCH, "*")], Some(Precondition::New));
        check(&[(IF_MATCH, "\"99999999999999999999999\"")], Some(Precondition::Match(u64::MAX)));
        for bad in ["*", "3", "\"\"", "\"-3\"", "W/\"3\"", "\"3\", \"4\"", "\"x\"", "\"+3\"", "\""] {
            check(&[(IF_MATCH, bad)], None);
        }
        check(&[(IF_NONE_MATCH, "\"3\"")], None);
        check(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "*")], None);
        check(&[(IF_MATCH, "\"3\""), (IF_MATCH, "\"4\"")], None);
    }

    #[test]
    fn numbers_and_capsules_are_checked() {
        for (text, fits) in
            [("1", true), ("@3", true), ("0", false), ("-1", false), ("+1", false), ("", false)]
        {
            assert_eq!(text.parse::<Number>().is_ok(), fits, "{text}");
        }
        assert!("99999999999".parse::<Number>().is_err());
        for (text, fits) in [("0af", true), ("a-b_c.d", true), ("..", false), ("../x", false), ("a\0", false)]
        {
            assert_eq!(text.parse::<CapsuleId>().is_ok(), fits, "{text:?}");
        }
        assert!("x".repeat(129).parse::<CapsuleId>().is_err());
    }
}
