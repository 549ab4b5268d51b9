//! Names and ids, parsed once at the edge: inside the host a name is always well-formed.
//!
//! Names appear in URLs, metrics and log lines, so they are short, ASCII and free of separators and look-alikes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name in bytes: as in DNS labels, so that every name can become a Kubernetes object.
pub const MAX_NAME_BYTES: usize = 63;
/// Longest endpoint in bytes.
pub const MAX_ENDPOINT_BYTES: usize = 255;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{what} must not be empty")]
    Empty {
        /// which kind of name, with its article
        what: &'static str,
    },
    /// Over the limit.
    #[error("{what} has at most {limit} bytes, this one has {len}")]
    TooLong {
        /// which kind of name, with its article
        what: &'static str,
        /// the limit in bytes
        limit: usize,
        /// bytes given
        len: usize,
    },
    /// A character outside the allowed set.
    #[error("{name:?} cannot be {what}: {character:?} is not allowed in it ({rule})")]
    BadCharacter {
        /// which kind of name, with its article
        what: &'static str,
        /// the text given, cut to a readable length
        name: String,
        /// the first offending character
        character: char,
        /// which characters are allowed, or which are not
        rule: &'static str,
    },
    /// Not 64 hexadecimal digits.
    #[error("{0:?} is not a component digest: expected \"sha256:\" and 64 hexadecimal digits")]
    BadDigest(String),
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,63}$"))]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check_name($what, text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name_type!(
    /// Name of an executor in a flow (Jina: deployment name).
    ExecutorName, "an executor name");
name_type!(
    /// Name of a flow.
    FlowName, "a flow name");
name_type!(
    /// Name of a tenant.
    TenantName, "a tenant name");
name_type!(
    /// Movable name of a revision of an executor.
    TagName, "a tag");
name_type!(
    /// Name of a secret of a tenant.
    SecretName, "a secret name");
name_type!(
    /// Name of a key with which a tenant signs components.
    SigningKeyName, "a signing key name");
name_type!(
    /// Public part of an API key: what lists, audit log and revocation call it.
    KeyId, "a key id");

impl ExecutorName {
    /// The name that stands for the request itself where executors are named; no executor may have it.
    pub fn gateway() -> Self {
        Self("gateway".into())
    }
}

impl TagName {
    /// The tag that publishing moves unless it is told another one.
    pub fn latest() -> Self {
        Self("latest".into())
    }
}

impl TenantName {
    /// The tenant of a host that serves only its owner.
    pub fn local() -> Self {
        Self("local".into())
    }
}

/// What a client addresses inside an executor, such as `/index`. Always starts with a slash.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct EndpointName(Arc<str>);

impl EndpointName {
    /// The endpoint that serves whatever no other endpoint of an executor does.
    pub const FALLBACK: &'static str = "/default";

    /// Takes what a caller wrote; a missing leading slash is added, as Jina does.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let what = "an endpoint";
        if text.len() > MAX_ENDPOINT_BYTES {
            return Err(NameError::TooLong { what, limit: MAX_ENDPOINT_BYTES, len: text.len() });
        }
        if let Some(character) = text.chars().find(|c| c.is_control() || c.is_whitespace()) {
            let rule = "any but white space and control characters";
            return Err(NameError::BadCharacter { what, name: shorten(text), character, rule });
        }
        if text.starts_with('/') { Ok(Self(text.into())) } else { Ok(Self(format!("/{text}").into())) }
    }

    /// The endpoint as text, leading slash included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl<'de> Deserialize<'de> for EndpointName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// SHA-256 of a component's bytes: what identifies it everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$"))]
pub struct ComponentDigest([u8; 32]);

impl TryFrom<String> for ComponentDigest {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ComponentDigest> for String {
    fn from(digest: ComponentDigest) -> String {
        digest.to_string()
    }
}

impl ComponentDigest {
    /// Wraps a computed SHA-256.
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits, without the `sha256:` prefix: used in file names.
    pub fn hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            text
        })
    }
}

impl FromStr for ComponentDigest {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = || NameError::BadDigest(shorten(text));
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Id of one request: the caller's where it sent one, else a fresh one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Longest id that is taken from a caller, in bytes; a longer one is replaced.
    pub const MAX_BYTES: usize = 128;

    /// The caller's id if it can stand in a log line and a header, else a fresh one.
    pub fn accept(text: &str) -> Self {
        let fits =
            !text.is_empty() && text.len() <= Self::MAX_BYTES && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Self(text.into()) } else { Self::fresh() }
    }

    /// A new id of 32 hexadecimal digits.
    pub fn fresh() -> Self {
        Self(fresh_hex_id().into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A fresh id in the form DocArray gives its documents: 32 hexadecimal digits.
///
/// Unique, not secret: ids must not be used where guessing one gives access to anything.
pub fn fresh_hex_id() -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut value = fastrand::u128(..);
    let mut text = String::with_capacity(32);
    for _ in 0..32 {
        text.push(char::from(*DIGITS.get((value & 15) as usize).unwrap_or(&b'0')));
        value >>= 4;
    }
    text
}

fn check_name(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong { what, limit: MAX_NAME_BYTES, len: text.len() });
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-' || *c == '_')) {
        Some(character) => {
            let rule = "use letters, digits, '-' and '_'";
            Err(NameError::BadCharacter { what, name: shorten(text), character, rule })
        }
        None => Ok(()),
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 {
        text.to_owned()
    } else {
        text.chars().take(77).chain("...".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                text.parse::<ExecutorName>().err().map(|e| e.to_string()).as_deref(),
                expected,
                "{text:?}"
            );
        };
        check("encoder", None);
        check("a-b_C9", None);
        check("", Some("an executor name must not be empty"));
        check(
            "../x",
            Some(
                "\"../x\" cannot be an executor name: '.' is not allowed in it (use letters, digits, '-' and '_')",
            ),
        );
        check(&"x".repeat(64), Some("an executor name has at most 63 bytes, this one has 64"));
    }

    #[test]
    fn endpoints_get_their_slash() {
        assert_eq!(EndpointName::parse("index").unwrap().as_str(), "/index");
        assert_eq!(EndpointName::parse("/a/b").unwrap().as_str(), "/a/b");
        assert_eq!(
            EndpointName::parse("/a b").unwrap_err().to_string(),
            "\"/a b\" cannot be an endpoint: ' ' is not allowed in it (any but white space and control characters)"
        );
    }

    #[test]
    fn digests_round_trip() {
        let digest = ComponentDigest::from_sha256([0xab; 32]);
        assert_eq!(digest.to_string().parse::<ComponentDigest>().unwrap(), digest);
        assert!("sha256:xyz".parse::<ComponentDigest>().is_err());
    }
}
