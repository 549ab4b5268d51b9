//! One request of the control API before it is sent.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderValue, Method};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

/// What a request carries.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer may take where the host compiles, tries out or pulls before it answers.
const LONG_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A request.
pub(crate) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Body,
    /// Whether the request can be sent again without doing anything twice.
    pub(super) is_repeatable: bool,
    pub(super) patience: Duration,
}

impl Ask {
    fn new(method: Method, path: impl Into<String>) -> Self {
        let is_repeatable = method == Method::GET;
        let body = whole(Bytes::new());
        Self { method, path: path.into(), headers: Vec::new(), body, is_repeatable, patience: PATIENCE }
    }

    /// Reads.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Creates, or does.
    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// Creates or replaces.
    pub(crate) fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// Removes.
    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Adds a parameter to the path.
    #[must_use]
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        self.path.push_str(&format!("{separator}{name}={}", escape(value)));
        self
    }

    /// Carries JSON.
    #[must_use]
    pub(crate) fn json(self, body: &Value) -> Self {
        self.bytes("application/json", body.to_string().into())
    }

    /// Carries bytes of that kind.
    #[must_use]
    pub(crate) fn bytes(mut self, kind: &'static str, body: Bytes) -> Self {
        self.headers.push((CONTENT_TYPE, HeaderValue::from_static(kind)));
        self.body = whole(body);
        self
    }

    /// Carries a stream.
    #[must_use]
    pub(super) fn stream(mut self, kind: &'static str, body: Body) -> Self {
        self.headers.push((CONTENT_TYPE, HeaderValue::from_static(kind)));
        self.body = body;
        self
    }

    /// Adds a header; a value that no header can hold is left out, and the host says what it misses.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Only if nobody changed the thing since it was read; without an entity tag only if it is not there yet.
    #[must_use]
    pub(crate) fn unchanged_since(self, etag: Option<&str>) -> Self {
        match etag {
            Some(etag) => self.header(IF_MATCH, etag),
            None => self.header(IF_NONE_MATCH, "*"),
        }
    }

    /// The host works before it answers.
    #[must_use]
    pub(crate) fn patiently(mut self) -> Self {
        self.patience = LONG_PATIENCE;
        self
    }
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A text as the value of a query parameter.
fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_cannot_break_out() {
        let ask = Ask::get("/v1/x").query("cursor", "a/b&c=d e").query("from", "2026-11-26T16:00:00+01:00");
        assert_eq!(ask.path, "/v1/x?cursor=a%2Fb%26c%3Dd%20e&from=2026-11-26T16%3A00%3A00%2B01%3A00");
    }
}
