//! Reads request bodies: bounded in bytes, in silence and in slowness.
//!
//! A caller slower than one byte a millisecond, on top of the patience that every body has, would hold its connection
//! and its place for hours; it is refused like one that says nothing.

use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use lockgate_domain::{ErrorCode, LimitKind, Problem};
use serde::de::DeserializeOwned;
use tokio::time::timeout_at;

use crate::refusal::{Refusal, Result, cut, invalid};

/// A body and the bounds under which it is read.
#[derive(Debug)]
pub(crate) struct BoundedBody {
    body: Body,
    limit: u64,
    patience: Duration,
    started: Instant,
    received: u64,
}

impl BoundedBody {
    /// Nothing is read yet; a length that is declared beyond the limit is refused here.
    pub(crate) fn new(body: Body, limit: u64, patience: Duration) -> Result<Self> {
        let bounded = Self { body, limit, patience, started: Instant::now(), received: 0 };
        if bounded.body.size_hint().lower() > limit {
            return Err(bounded.too_large());
        }
        Ok(bounded)
    }

    /// The next bytes; none at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while !self.body.is_end_stream() {
            let slowest = self.started + self.patience + Duration::from_millis(self.received);
            let until = slowest.min(Instant::now() + self.patience);
            let frame = match timeout_at(until.into(), self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    return Err(invalid(format!("the request's body broke off: {error}")).into());
                }
                Ok(None) => return Ok(None),
                Err(_) => return Err(self.too_slow()),
            };
            let Ok(data) = frame.into_data() else { continue };
            self.received = self.received.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
            if self.received > self.limit {
                return Err(self.too_large());
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// All of it.
    pub(crate) async fn collect(mut self) -> Result<Bytes> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut whole = BytesMut::from(&first[..]);
        whole.extend_from_slice(&second);
        while let Some(more) = self.chunk().await? {
            whole.extend_from_slice(&more);
        }
        Ok(whole.freeze())
    }

    fn too_large(&self) -> Refusal {
        let message = format!("the request's body is larger than {} bytes", self.limit);
        let problem = Problem::request_limit(LimitKind::RequestBytes, self.limit, message);
        Refusal::from(problem)
    }

    fn too_slow(&self) -> Refusal {
        let message = format!("the request's body came too slowly: {} bytes so far", self.received);
        let problem = Problem::new(ErrorCode::DeadlineExceeded, message).with_hint("send the body at once");
        Refusal::with_status(problem, StatusCode::REQUEST_TIMEOUT)
    }
}

/// Refuses bodies that are compressed: what they expand to would have no bound.
pub(crate) fn refuse_encoded(headers: &HeaderMap) -> Result<()> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            Err(invalid("compressed request bodies are not read").with_hint("send the body as it is").into())
        }
        _ => Ok(()),
    }
}

/// Reads JSON of a known shape. Unknown fields and wrong types are told with their place in the document.
pub(crate) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(invalid("the request's body is empty").with_hint("send a JSON object").into());
    }
    // A derived reader would take a list as the fields in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(invalid("the request's body is a JSON list").with_hint("send a JSON object").into());
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner().to_string();
        match path.as_str() {
            "." | "?" => invalid(format!("the request's body: {reason}")),
            path => invalid(format!("{}: {reason}", cut(path))),
        }
    })?;
    let ended = reader.end();
    ended.map_err(|error| invalid(format!("the request's body goes on after its JSON: {error}")))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_domain::tenancy::TenantSettings;

    #[test]
    fn json_is_read_or_told_where_it_is_wrong() {
        let check = |text: &str, expected: &str| {
            let told = match read_json::<TenantSettings>(text.as_bytes()) {
                Ok(_) => "ok".to_owned(),
                Err(refusal) => refusal.problem.message().to_owned(),
            };
            assert!(told.starts_with(expected), "{}: {told}", cut(text));
        };
        check("{}", "ok");
        check(r#"{"weight": 3}"#, "ok");
        check("", "the request's body is empty");
        check("  \n", "the request's body is empty");
        check("{", "the request's body: EOF");
        check("{} {}", "the request's body goes on after its JSON");
        check(r#"{"wieght": 3}"#, "wieght: unknown field `wieght`");
        check(r#"{"quota": {"flows": -1}}"#, "quota.flows: invalid value: integer `-1`");
        check(r#"{"weight": 1, "weight": 2}"#, "the request's body: duplicate field `weight`");
        check("[1]", "the request's body is a JSON list");
        check(&r#"{"quota":"#.repeat(100_000), "quota.quota: unknown field");
        check("\u{0}", "the request's body: expected value");
    }

    #[tokio::test]
    async fn bodies_have_a_bound() {
        for (length, fits) in [(0_usize, true), (8, true), (9, false)] {
            let body = || Body::from(vec![0; length]);
            let read = match BoundedBody::new(body(), 8, Duration::from_secs(60)) {
                Ok(bounded) => bounded.collect().await.map(|bytes| bytes.len()),
                Err(refusal) => Err(refusal),
            };
            assert_eq!(read.ok(), fits.then_some(length));
            // Without a declared length the bound is met while reading.
            let chunks =
                futures_util::stream::iter((0..length / 3).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 3])));
            let bounded = BoundedBody::new(Body::from_stream(chunks), 8, Duration::from_secs(60)).unwrap();
            assert_eq!(bounded.collect().await.is_ok(), length / 3 * 3 <= 8);
        }
    }
}
