//! Keeps pages of other sites away from a host that asks for no credential.
//!
//! A browser on the developer's machine can reach loopback, and sends some requests for any page without asking. So in
//! development mode a request has to be addressed to loopback by name (a stranger's name that resolves to loopback is no
//! such name) and must come from no page, or from a page of this very host.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName};
use lockgate_domain::{ErrorCode, Problem};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a stranger's page may have sent.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(&HOST);
    if let Some(host) = host.filter(|host| !is_loopback(host)) {
        let message =
            format!("a host in development mode is not addressed as {:?}", crate::refusal::cut(host));
        return Err(denied(message));
    }
    let is_own_page = |origin: &str| {
        let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        page.is_some_and(|page| Some(page) == host)
    };
    let from_page = text(&ORIGIN).is_some_and(|origin| !is_own_page(origin));
    let cross_site = text(&FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if from_page || cross_site {
        return Err(denied("a host in development mode takes no requests from pages of other sites".into()));
    }
    Ok(())
}

fn denied(message: String) -> Problem {
    Problem::new(ErrorCode::PermissionDenied, message)
        .with_hint("address it as localhost or 127.0.0.1, or start it without --dev and send a key")
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_this_hosts_pages_come_in() {
        let check = |headers: &[(HeaderName, &'static str)], expected: bool| {
            let map =
                headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            assert_eq!(check(&map).is_ok(), expected, "{headers:?}");
        };
        check(&[], true);
        check(&[(HOST, "localhost:8081")], true);
        check(&[(HOST, "127.0.0.1:8081")], true);
        check(&[(HOST, "[::1]:8081")], true);
        check(&[(HOST, "LOCALHOST")], true);
        check(&[(HOST, "127.0.0.1.example.org:8081")], false);
        check(&[(HOST, "rebound.example.org:8081")], false);
        check(&[(HOST, "10.0.0.1")], false);
        check(&[(HOST, "localhost:8081"), (ORIGIN, "http://localhost:8081")], true);
        check(&[(HOST, "localhost:8081"), (ORIGIN, "https://localhost:8081")], true);
        check(&[(HOST, "localhost:8081"), (ORIGIN, "http://localhost:3000")], false);
        check(&[(HOST, "localhost:8081"), (ORIGIN, "null")], false);
        check(&[(HOST, "localhost:8081"), (ORIGIN, "https://example.org")], false);
        check(&[(HOST, "localhost:8081"), (FETCH_SITE, "cross-site")], false);
        check(&[(HOST, "localhost:8081"), (FETCH_SITE, "same-site")], false);
        check(&[(HOST, "localhost:8081"), (FETCH_SITE, "none")], true);
    }
}
