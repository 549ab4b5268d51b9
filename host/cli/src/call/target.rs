//! Where to send it: the URL of a gateway, and what is said when it is not one.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// Where `lockgate up` serves unless told otherwise.
pub(crate) const DEFAULT_URL: &str = "grpc://127.0.0.1:8080";

/// A gateway's address and the protocol to speak with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Which protocol.
    pub(crate) protocol: Protocol,
    /// Whether it is spoken behind TLS.
    pub(crate) tls: bool,
    /// `host:port`.
    pub(crate) authority: String,
}

/// A protocol of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
    WebSocket,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("grpc://{text}") };
        let bad = || {
            format!(
                "expected grpc://, http:// or ws://, with TLS grpcs://, https:// or wss://, and HOST:PORT, such as {DEFAULT_URL}"
            )
        };
        let uri: Uri = with_scheme.parse().map_err(|_| bad())?;
        let (protocol, tls) = match uri.scheme_str() {
            Some("grpc") => (Protocol::Grpc, false),
            Some("grpcs") => (Protocol::Grpc, true),
            Some("http") => (Protocol::Http, false),
            Some("https") => (Protocol::Http, true),
            Some("ws") => (Protocol::WebSocket, false),
            Some("wss") => (Protocol::WebSocket, true),
            Some(_) | None => return Err(bad()),
        };
        if !matches!(uri.path(), "" | "/") {
            return Err(format!(
                "name the endpoint with --endpoint {} and leave it out of the URL",
                uri.path()
            ));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        // TLS most often ends at something in front that serves as the whole web does; without it one is at home.
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 8080 });
        Ok(Self { protocol, tls, authority: format!("{host}:{port}") })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http",
            Protocol::WebSocket => "ws",
        };
        write!(f, "{scheme}{}://{}", if self.tls { "s" } else { "" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let parsed = text.parse::<Target>().map(|target| target.to_string());
            assert_eq!(parsed.as_deref().map_err(String::as_str), expected, "{text}");
        };
        check("grpc://127.0.0.1:8080", Ok("grpc://127.0.0.1:8080"));
        check("127.0.0.1:9000", Ok("grpc://127.0.0.1:9000"));
        check("localhost", Ok("grpc://localhost:8080"));
        check("http://localhost:80/", Ok("http://localhost:80"));
        check("ws://[::1]:8080", Ok("ws://[::1]:8080"));
        check("https://x", Ok("https://x:443"));
        check("grpcs://x:443", Ok("grpcs://x:443"));
        check("wss://x", Ok("wss://x:443"));
        check(
            "http://x/search",
            Err("name the endpoint with --endpoint /search and leave it out of the URL"),
        );
        let bad = "expected grpc://, http:// or ws://, with TLS grpcs://, https:// or wss://, and HOST:PORT, such as grpc://127.0.0.1:8080";
        check("ftp://x", Err(bad));
        check("", Err(bad));
    }
}
