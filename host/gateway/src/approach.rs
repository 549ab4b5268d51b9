//! Reads off a request's head what it shows at the door: credentials, and the name of what it wants.
//!
//! A name stands in the path (`/flows/NAME/...`, `/executors/NAME/...`) or in a header; both at once must agree. What
//! follows the prefix is what the path would be on a gateway with one flow. Nothing is allocated unless the path is
//! percent-encoded, and no credential is ever read from the path or the query, which end up in logs.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName};
use lockgate_domain::{ErrorCode, Problem};

use crate::door::{Credential, Door, Knock, Visitor, Wanted};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FLOW: HeaderName = HeaderName::from_static("lockgate-flow");
const EXECUTOR: HeaderName = HeaderName::from_static("lockgate-executor");
/// What a browser puts before its key among the subprotocols of a WebSocket: it cannot set headers.
pub(crate) const BEARER: &str = "bearer.";

/// A path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    prefix: Option<Prefix<'a>>,
    /// What follows the prefix, or all of it. Starts with a slash.
    pub(crate) path: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Prefix<'a> {
    Flow(Cow<'a, str>),
    Executor(Cow<'a, str>),
}

impl<'a> Address<'a> {
    /// Takes a request's path apart.
    pub(crate) fn of(path: &'a str) -> Result<Self, Problem> {
        type Kind<'a> = fn(Cow<'a, str>) -> Prefix<'a>;
        let kinds: [(&str, Kind<'a>); 2] = [("/flows/", Prefix::Flow), ("/executors/", Prefix::Executor)];
        for (start, kind) in kinds {
            let Some(rest) = path.strip_prefix(start) else { continue };
            let (name, path) = match rest.find('/') {
                Some(slash) => rest.split_at(slash),
                None => (rest, "/"),
            };
            if name.is_empty() {
                break;
            }
            return Ok(Self { prefix: Some(kind(decode(name)?)), path });
        }
        Ok(Self { prefix: None, path })
    }

    /// Whether the path itself names a flow or an executor.
    pub(crate) fn has_prefix(&self) -> bool {
        self.prefix.is_some()
    }

    fn wanted(&self) -> Wanted<'_> {
        match &self.prefix {
            None => Wanted::Any,
            Some(Prefix::Flow(name)) => Wanted::Flow(name),
            Some(Prefix::Executor(name)) => Wanted::Executor(name),
        }
    }
}

/// Shows a request at the door.
pub(crate) fn knock(
    door: &dyn Door,
    headers: &HeaderMap,
    address: &Address<'_>,
    peer: IpAddr,
) -> Result<Arc<dyn Visitor>, Problem> {
    let credential = credential(headers)?;
    let wanted = wanted(headers, address.wanted())?;
    door.identify(&Knock { credential, wanted, peer })
}

fn credential(headers: &HeaderMap) -> Result<Credential<'_>, Problem> {
    let authorization = only(headers, &AUTHORIZATION)?;
    let mut api_key = only(headers, &API_KEY)?;
    for name in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let names = name.to_str().unwrap_or_default().split(',');
        for key in names.filter_map(|name| name.trim().strip_prefix(BEARER)) {
            if api_key.is_some_and(|other| other != key) {
                return Err(contradiction("the subprotocols and header x-api-key hold different keys"));
            }
            api_key = Some(key);
        }
    }
    Ok(Credential { authorization, api_key })
}

/// What the headers ask for, which must be what the path asks for if both do.
fn wanted<'a>(headers: &'a HeaderMap, by_path: Wanted<'a>) -> Result<Wanted<'a>, Problem> {
    let by_header = match (only(headers, &FLOW)?, only(headers, &EXECUTOR)?) {
        (None, None) => return Ok(by_path),
        (Some(flow), None) => Wanted::Flow(flow),
        (None, Some(executor)) => Wanted::Executor(executor),
        (Some(_), Some(_)) => {
            return Err(contradiction("the headers lockgate-flow and lockgate-executor are both there"));
        }
    };
    if by_path != Wanted::Any && by_path != by_header {
        return Err(contradiction("the path and the headers name different flows or executors"));
    }
    Ok(by_header)
}

/// The value of a header that may come once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(contradiction(&format!("header {name} is there twice with different values")));
    }
    match first.to_str() {
        Ok(value) => Ok(Some(value)),
        Err(_) => {
            Err(Problem::new(ErrorCode::InvalidRequest, format!("header {name} is not printable text")))
        }
    }
}

fn contradiction(message: &str) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, message).with_hint("send one of them")
}

/// Undoes percent-encoding.
fn decode(name: &str) -> Result<Cow<'_, str>, Problem> {
    if !name.contains('%') {
        return Ok(Cow::Borrowed(name));
    }
    let mut bytes = name.bytes();
    let mut decoded = Vec::with_capacity(name.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(), digit());
        match high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => decoded.push(byte),
            None => return Err(undecodable()),
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| undecodable())
}

fn undecodable() -> Problem {
    Problem::new(ErrorCode::InvalidRequest, "the name in the path is not percent-encoded UTF-8")
        .with_hint("write % and two hexadecimal digits for each byte, or no % at all")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn paths_are_taken_apart() {
        let check = |path: &str, expected: Result<(Wanted<'_>, &str), ErrorCode>| {
            let address = Address::of(path);
            let got = address.as_ref().map(|address| (address.wanted(), address.path));
            assert_eq!(got.map_err(Problem::code), expected, "{path}");
        };
        check("/post", Ok((Wanted::Any, "/post")));
        check("/", Ok((Wanted::Any, "/")));
        check("/flows/search/post", Ok((Wanted::Flow("search"), "/post")));
        check("/flows/search", Ok((Wanted::Flow("search"), "/")));
        check("/flows/search/", Ok((Wanted::Flow("search"), "/")));
        check("/flows/a/flows/b", Ok((Wanted::Flow("a"), "/flows/b")));
        check(
            "/executors/shout:stable/docs/page.js",
            Ok((Wanted::Executor("shout:stable"), "/docs/page.js")),
        );
        check("/executors/shout%3Astable/ws", Ok((Wanted::Executor("shout:stable"), "/ws")));
        check("/executors/shout%403/ws", Ok((Wanted::Executor("shout@3"), "/ws")));
        check("/flows/a%2fb/ws", Ok((Wanted::Flow("a/b"), "/ws")));
        check("/flows/%", Err(ErrorCode::InvalidRequest));
        check("/flows/%4", Err(ErrorCode::InvalidRequest));
        check("/flows/%zz/a", Err(ErrorCode::InvalidRequest));
        check("/flows/%+4/a", Err(ErrorCode::InvalidRequest));
        check("/flows/%ff/a", Err(ErrorCode::InvalidRequest));
        check("/flows//post", Ok((Wanted::Any, "/flows//post")));
        check("/flows", Ok((Wanted::Any, "/flows")));
    }

    #[test]
    fn path_and_headers_agree() {
        let check =
            |path: &str, sent: &[(&'static str, &'static str)], expected: Result<Wanted<'_>, ErrorCode>| {
                let address = Address::of(path).unwrap();
                let headers = map(sent);
                let got = wanted(&headers, address.wanted()).map_err(|problem| problem.code());
                assert_eq!(got, expected, "{path} {sent:?}");
            };
        let (flow, executor) = ("lockgate-flow", "lockgate-executor");
        check("/post", &[(flow, "a")], Ok(Wanted::Flow("a")));
        check("/post", &[(executor, "a@1")], Ok(Wanted::Executor("a@1")));
        check("/flows/a/post", &[(flow, "a")], Ok(Wanted::Flow("a")));
        check("/flows/a/post", &[(flow, "b")], Err(ErrorCode::InvalidRequest));
        check("/flows/a/post", &[(executor, "a")], Err(ErrorCode::InvalidRequest));
        check("/post", &[(flow, "a"), (executor, "a")], Err(ErrorCode::InvalidRequest));
        check("/post", &[(flow, "a"), (flow, "b")], Err(ErrorCode::InvalidRequest));
        check("/post", &[(flow, "a"), (flow, "a")], Ok(Wanted::Flow("a")));
    }

    fn map(sent: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn credentials_come_once() {
        let check = |sent: &[(&'static str, &'static str)],
                     expected: Result<(Option<&str>, Option<&str>), ErrorCode>| {
            let headers = map(sent);
            let got = credential(&headers).map(|credential| (credential.authorization, credential.api_key));
            assert_eq!(got.map_err(|problem| problem.code()), expected, "{sent:?}");
        };
        let protocols = "sec-websocket-protocol";
        check(&[], Ok((None, None)));
        check(&[("authorization", "Bearer a")], Ok((Some("Bearer a"), None)));
        check(&[("x-api-key", "a")], Ok((None, Some("a"))));
        check(&[(protocols, "json, bearer.a")], Ok((None, Some("a"))));
        check(&[(protocols, "bearer.a.b.c"), (protocols, "bytes")], Ok((None, Some("a.b.c"))));
        check(&[(protocols, "bearer.a"), ("x-api-key", "a")], Ok((None, Some("a"))));
        check(&[(protocols, "bearer.a"), ("x-api-key", "b")], Err(ErrorCode::InvalidRequest));
        check(&[(protocols, "bearer.a, bearer.b")], Err(ErrorCode::InvalidRequest));
        check(
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
            Err(ErrorCode::InvalidRequest),
        );
        check(&[("x-api-key", "a"), ("x-api-key", "a")], Ok((None, Some("a"))));
    }
}
