//! Where a control API is.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// The port of a control API unless another one is named.
pub(crate) const CONTROL_PORT: u16 = 8081;

/// The address of a control API, and the path under which it is if something stands in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostUrl {
    /// Whether it speaks TLS.
    pub(crate) tls: bool,
    /// `host:port`.
    pub(crate) authority: String,
    /// Empty, or `/lockgate` without a slash at its end.
    pub(crate) prefix: String,
}

impl HostUrl {
    /// The name or address, without the port.
    pub(crate) fn host(&self) -> &str {
        self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host)
    }

    /// Whether what is sent there stays on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl Default for HostUrl {
    fn default() -> Self {
        Self { tls: false, authority: format!("127.0.0.1:{CONTROL_PORT}"), prefix: String::new() }
    }
}

impl FromStr for HostUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let bad = || format!("expected http://HOST:PORT or https://HOST:PORT, such as {}", Self::default());
        let uri: Uri = with_scheme.parse().map_err(|_| bad())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(bad()),
        };
        if uri.query().is_some() || uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(bad());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        let port = uri.port_u16().unwrap_or(CONTROL_PORT);
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { tls, authority: format!("{host}:{port}"), prefix })
    }
}

impl fmt::Display for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http{}://{}{}", if self.tls { "s" } else { "" }, self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed() {
        let check = |text: &str, expected: Option<(&str, bool)>| {
            let parsed = text.parse::<HostUrl>().ok().map(|url| (url.to_string(), url.is_loopback()));
            assert_eq!(parsed.as_ref().map(|(url, loopback)| (url.as_str(), *loopback)), expected, "{text}");
        };
        check("http://127.0.0.1:8081", Some(("http://127.0.0.1:8081", true)));
        check("127.0.0.1:9000", Some(("http://127.0.0.1:9000", true)));
        check("http://localhost/", Some(("http://localhost:8081", true)));
        check("http://[::1]:80", Some(("http://[::1]:80", true)));
        check("http://host.example/lockgate/", Some(("http://host.example:8081/lockgate", false)));
        check("https://x", Some(("https://x:8081", false)));
        check("https://localhost:443/", Some(("https://localhost:443", true)));
        check("ftp://x", None);
        check("http://me:secret@x", None);
        check("http://x/?q", None);
        check("", None);
    }
}
