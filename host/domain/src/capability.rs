//! What a revision may reach besides its documents. Everything is denied unless it is written here.
//!
//! Log, metrics, configuration and the part of WASI that programs need to start are no capabilities: every executor has
//! them, and none of them leads out of the instance.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::SecretName;

/// The grants of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Capabilities {
    /// Outbound HTTP (`wasi:http/outgoing-handler`); none means that no connection is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpGrant>,
    /// A key-value store of the executor's own (`lockgate:executor/key-value`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_value: Option<KeyValueGrant>,
    /// Secrets that the configuration may refer to with `{"$secret": "NAME"}`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<SecretName>,
    /// How exactly the executor may read the time.
    pub clock: ClockGrant,
    /// Where its random numbers come from.
    pub random: RandomGrant,
}

/// Outbound HTTP to named hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HttpGrant {
    /// Hosts that may be called.
    pub hosts: BTreeSet<HostPattern>,
    /// Whether these hosts may resolve to loopback, private, link-local and other addresses that are not public.
    #[serde(default)]
    pub private_networks: bool,
    /// Requests of one call.
    #[serde(default = "HttpGrant::usual_requests")]
    pub requests_per_call: u32,
    /// Bytes of one response's body.
    #[serde(default = "HttpGrant::usual_response_bytes")]
    pub response_bytes: u64,
}

impl HttpGrant {
    /// A grant to these hosts on public networks, with the usual bounds.
    pub fn to(hosts: BTreeSet<HostPattern>) -> Self {
        Self {
            hosts,
            private_networks: false,
            requests_per_call: Self::usual_requests(),
            response_bytes: Self::usual_response_bytes(),
        }
    }

    fn usual_requests() -> u32 {
        16
    }

    fn usual_response_bytes() -> u64 {
        8 << 20
    }
}

/// A host that may be called: `api.example.org`, `*.example.org` (subdomains, not the name itself), with `:port` for a
/// port other than the scheme's own. Names are lower-case ASCII; a literal IP address stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct HostPattern(String);

/// The text is no host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host; write a name such as api.example.org, *.example.org or api.example.org:8443")]
pub struct HostPatternError(String);

impl HostPattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a host name and port are meant. `port` is the connection's, `usual_port` the scheme's.
    pub fn matches(&self, host: &str, port: u16, usual_port: u16) -> bool {
        let (pattern, wanted_port) = split_port(&self.0);
        if wanted_port.unwrap_or(usual_port) != port {
            return false;
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match pattern.strip_prefix("*.") {
            Some(parent) => {
                host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            None => host == pattern,
        }
    }
}

/// The part before the port, and the port. IPv6 literals stand in brackets.
fn split_port(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (text, None),
        },
        _ => (text, None),
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;
    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let lower = text.to_ascii_lowercase();
        let (host, _) = split_port(&lower);
        let name = host.strip_prefix("*.").unwrap_or(host);
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let is_literal = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|literal| literal.parse::<std::net::Ipv6Addr>().is_ok());
        let is_name = name.len() <= 253 && name.split('.').all(is_label);
        if is_name || is_literal {
            Ok(Self(lower))
        } else {
            Err(HostPatternError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostPatternError;
    fn try_from(text: String) -> Result<Self, HostPatternError> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> String {
        pattern.0
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key-value store that only this executor sees; all its revisions share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyValueGrant {
    /// Bytes of all keys and values together.
    pub bytes: u64,
}

/// How exactly an executor may read the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ClockGrant {
    /// Rounded down to 10 ms: too coarse to time what neighbours do.
    Coarse,
    /// As the system has it.
    #[default]
    Precise,
}

/// Where an executor's random numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RandomGrant {
    /// From the system.
    #[default]
    System,
    /// The same numbers in every instance, from this seed.
    Seeded(u64),
}

/// One kind of grant, for reports and comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum CapabilityKind {
    /// outbound HTTP
    Http,
    /// a key-value store
    KeyValue,
    /// secrets in the configuration
    Secrets,
}

impl CapabilityKind {
    /// The field of [`Capabilities`] that grants it.
    pub fn as_str(self) -> &'static str {
        match self {
            CapabilityKind::Http => "http",
            CapabilityKind::KeyValue => "key_value",
            CapabilityKind::Secrets => "secrets",
        }
    }
}

/// What one set of grants has more and less than another, in words such as `http: api.example.org`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CapabilityDiff {
    /// Granted now and not before: what somebody may have to approve.
    pub added: Vec<String>,
    /// Granted before and not now.
    pub removed: Vec<String>,
}

impl CapabilityDiff {
    /// Compares.
    pub fn between(before: &Capabilities, now: &Capabilities) -> Self {
        let (before, now) = (before.words(), now.words());
        Self {
            added: now.difference(&before).cloned().collect(),
            removed: before.difference(&now).cloned().collect(),
        }
    }
}

impl Capabilities {
    /// Whether this kind is granted at all.
    pub fn grants(&self, kind: CapabilityKind) -> bool {
        match kind {
            CapabilityKind::Http => self.http.is_some(),
            CapabilityKind::KeyValue => self.key_value.is_some(),
            CapabilityKind::Secrets => !self.secrets.is_empty(),
        }
    }

    /// One line for each thing that is granted beyond what every executor has.
    pub fn words(&self) -> BTreeSet<String> {
        let mut words = BTreeSet::new();
        if let Some(http) = &self.http {
            words.extend(http.hosts.iter().map(|host| format!("http: {host}")));
            if http.private_networks {
                words.insert("http: private networks".into());
            }
            words.insert(format!("http: {} requests a call", http.requests_per_call));
            words.insert(format!("http: {} bytes a response", http.response_bytes));
        }
        if let Some(store) = &self.key_value {
            words.insert(format!("key_value: {} bytes", store.bytes));
        }
        words.extend(self.secrets.iter().map(|name| format!("secret: {name}")));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_patterns_match_what_they_say() {
        let check = |pattern: &str, host: &str, port: u16, expected: bool| {
            let pattern: HostPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(host, port, 443), expected, "{pattern} {host}:{port}");
        };
        check("api.example.org", "api.example.org", 443, true);
        check("API.example.org", "api.EXAMPLE.org.", 443, true);
        check("api.example.org", "api.example.org", 80, false);
        check("api.example.org:8443", "api.example.org", 8443, true);
        check("*.example.org", "a.b.example.org", 443, true);
        check("*.example.org", "example.org", 443, false);
        check("*.example.org", ".example.org", 443, false);
        check("*.example.org", "evilexample.org", 443, false);
        check("127.0.0.1:80", "127.0.0.1", 80, true);
        check("[::1]", "[::1]", 443, true);
        for bad in ["", "*", "a b", "http://x", "a..b", "ex*mple.org", "x/y", "é.org", "a\0b"] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn differences_are_told_in_words() {
        let read = |text: &str| serde_json::from_str::<Capabilities>(text).unwrap();
        let before = read(r#"{"http": {"hosts": ["a.org", "b.org"]}}"#);
        let now =
            read(r#"{"http": {"hosts": ["b.org", "c.org"]}, "key_value": {"bytes": 10}, "secrets": ["k"]}"#);
        let diff = CapabilityDiff::between(&before, &now);
        assert_eq!(diff.added, ["http: c.org", "key_value: 10 bytes", "secret: k"]);
        assert_eq!(diff.removed, ["http: a.org"]);
        assert!(serde_json::from_str::<Capabilities>(r#"{"sockets": true}"#).is_err());
        assert_eq!(
            serde_json::to_string(&Capabilities::default()).unwrap(),
            r#"{"clock":"precise","random":"system"}"#
        );
    }
}
