//! Requests to the hosts that the executor is granted: `http::get("https://api.example.org/x")?.json()?`.
//!
//! Needs the capability `http` with the host in it. A call waits until the whole answer is there;
//! redirects are answers (status 3xx), and following one is a request of its own. Bodies, heads,
//! times and the number of requests are bounded by the host; passing a bound is an [`Error`].

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Code, Error, Result, ResultExt, host};

/// A request that is being put together.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `send`"]
pub struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
    fault: Option<Error>,
}

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// Sends a GET.
///
/// # Errors
/// As [`Request::send`].
pub fn get(url: &str) -> Result<Response> {
    Request::get(url).send()
}

impl Request {
    /// A request of any method.
    pub fn new(method: &str, url: &str) -> Self {
        let (method, url) = (method.to_ascii_uppercase(), url.to_owned());
        Self { method, url, headers: Vec::new(), body: Vec::new(), timeout: None, fault: None }
    }

    /// A GET.
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// A POST.
    pub fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// A PUT.
    pub fn put(url: &str) -> Self {
        Self::new("PUT", url)
    }

    /// A DELETE.
    pub fn delete(url: &str) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Adds `authorization: Bearer ...`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Adds a parameter to the URL, encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let mark = if self.url.contains('?') { '&' } else { '?' };
        self.url.push(mark);
        encode(name, &mut self.url);
        self.url.push('=');
        encode(value, &mut self.url);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to JSON, and its content type.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.header("content-type", "application/json").body(body),
            Err(error) => {
                self.fault = Some(error.into());
                self
            }
        }
    }

    /// How long to wait for the connection, for the answer to begin, and between two parts of it.
    /// The host has its own bounds, and so has the call.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the whole answer, whatever its status.
    ///
    /// # Errors
    /// `permission_denied` for a host that is not granted or an address that is not public,
    /// `resource_exhausted` for a bound of the host, `deadline_exceeded` when nothing came in time,
    /// `unavailable` when the other side cannot be reached, `invalid_argument` for a bad request.
    pub fn send(self) -> Result<Response> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let parts = Parts::of(&self.url)?;
        let shown = format!("{} {}", self.method, parts.shown());
        host::http_send(&self, &parts).context(shown)
    }

    /// The method, in upper case.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URL, parameters included.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first value of a header that was added; the name in lower case.
    #[must_use]
    pub fn sent_header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body.
    #[must_use]
    pub fn sent_body(&self) -> &[u8] {
        &self.body
    }
}

impl Response {
    /// An answer without headers and body, for tests.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The first value of a header, if it is text; the name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// All headers in the order in which they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The same, or an error for a status that is not 2xx.
    ///
    /// # Errors
    /// `unavailable` for 429 and 5xx, where another try may work, else `failed_precondition`.
    pub fn success(self) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let is_passing = self.status == 429 || self.status >= 500;
        let code = if is_passing { Code::Unavailable } else { Code::FailedPrecondition };
        Err(Error::new(code, format!("the answer has status {}", self.status)))
    }

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body itself.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.body
    }

    /// The body as text.
    ///
    /// # Errors
    /// `data_loss` when it is no UTF-8.
    pub fn text(self) -> Result<String> {
        String::from_utf8(self.body).map_err(|_| Error::new(Code::DataLoss, "the answer is no text"))
    }

    /// The body read as JSON.
    ///
    /// # Errors
    /// `data_loss` when it is no `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let read = serde_json::from_slice(&self.body);
        read.map_err(|error| {
            Error::new(Code::DataLoss, format!("the answer is not the JSON expected: {error}"))
        })
    }
}

/// A URL in the parts that the host takes.
pub(crate) struct Parts<'a> {
    pub(crate) is_tls: bool,
    pub(crate) authority: &'a str,
    pub(crate) path: String,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Result<Self> {
        let invalid = || {
            let shown: String = url.split(['?', '#']).next().unwrap_or_default().chars().take(80).collect();
            Error::new(Code::InvalidArgument, format!("{shown:?} is no URL with http:// or https://"))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(invalid()),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() {
            return Err(invalid());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { is_tls, authority, path })
    }

    /// Without what follows `?`, which may hold secrets.
    fn shown(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        let shown = format!("{scheme}://{}{path}", self.authority);
        shown.chars().take(200).collect()
    }
}

fn find<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().find(|(known, _)| known == name)?;
    std::str::from_utf8(value).ok()
}

fn encode(text: &str, url: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        let check = |url: &str, expected: Option<(bool, &str, &str)>| {
            let parts = Parts::of(url).ok();
            let parts = parts.as_ref().map(|parts| (parts.is_tls, parts.authority, parts.path.as_str()));
            assert_eq!(parts, expected, "{url}");
        };
        check("https://a.org", Some((true, "a.org", "/")));
        check("http://a.org:81/x?y=z#f", Some((false, "a.org:81", "/x?y=z")));
        check("https://a.org?q", Some((true, "a.org", "/?q")));
        check("https://a.org#f", Some((true, "a.org", "/")));
        check("ftp://a.org/", None);
        check("a.org/x", None);
        check("https:///x", None);
        let request = Request::get("https://a.org/x").query("a b", "c&d=é").query("e", "f");
        assert_eq!(request.url(), "https://a.org/x?a%20b=c%26d%3D%C3%A9&e=f");
    }
}
