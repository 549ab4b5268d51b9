//! What a caller shows: an API key or a JWT, read from headers.
//!
//! The same over HTTP, gRPC metadata and the WebSocket handshake, so it takes text and knows no transport. Bounded by
//! [`Credential::MAX_BYTES`]. No message and no `Debug` ever repeats a secret, not even a malformed one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_domain::{ErrorCode, KeyId, Problem};
use zeroize::Zeroizing;

/// Bytes of a key's secret part.
pub(crate) const SECRET_BYTES: usize = 32;
/// What every API key starts with.
pub(crate) const KEY_PREFIX: &str = "lg_";
/// Shortest and longest public part of a key.
const ID_BYTES: std::ops::RangeInclusive<usize> = 8..=32;

/// What a caller shows to say who it is.
#[derive(Clone)]
pub enum Credential {
    /// An API key.
    Key(PresentedKey),
    /// A JSON Web Token, not looked at yet.
    Token(Zeroizing<String>),
}

/// An API key as it was shown: well-formed, not yet compared with anything.
#[derive(Clone)]
pub struct PresentedKey {
    pub(crate) id: KeyId,
    pub(crate) secret: Zeroizing<[u8; SECRET_BYTES]>,
}

// === impl Credential ===

impl Credential {
    /// Longest credential that is looked at.
    pub const MAX_BYTES: usize = 8 << 10;

    /// Reads `authorization: Bearer …` and `x-api-key: …`; none if neither is there. Two that differ are refused: it
    /// would depend on the reader which one counts.
    pub fn from_headers(
        authorization: Option<&str>,
        x_api_key: Option<&str>,
    ) -> Result<Option<Self>, Problem> {
        let bearer = authorization.map(bearer).transpose()?;
        match (bearer, x_api_key) {
            (None, None) => Ok(None),
            (Some(text), None) => Self::parse(text).map(Some),
            (None, Some(text)) => Ok(Some(Self::Key(PresentedKey::parse(text)?))),
            (Some(one), Some(other)) if one == other => Ok(Some(Self::Key(PresentedKey::parse(one)?))),
            (Some(_), Some(_)) => Err(unauthenticated(
                "the headers authorization and x-api-key name different credentials",
                "send one of the two",
            )),
        }
    }

    /// An API key or a token by itself, as after `Bearer`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        check_text(text)?;
        if text.starts_with(KEY_PREFIX) {
            return PresentedKey::parse(text).map(Self::Key);
        }
        // Three parts and a signature that is not empty; `alg: none` has an empty one.
        let parts: Vec<&str> = text.split('.').collect();
        if parts.len() == 3 && parts.iter().all(|part| !part.is_empty()) {
            return Ok(Self::Token(Zeroizing::new(text.to_owned())));
        }
        Err(unauthenticated(
            "the credential is neither an API key nor a JSON Web Token",
            "an API key looks like lg_ID_SECRET; send it as authorization: Bearer KEY or as x-api-key: KEY",
        ))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Key(key) => write!(f, "Key({})", key.id),
            Credential::Token(_) => f.write_str("Token(..)"),
        }
    }
}

// === impl PresentedKey ===

impl PresentedKey {
    fn parse(text: &str) -> Result<Self, Problem> {
        check_text(text)?;
        let malformed = || {
            unauthenticated(
                "the API key is malformed",
                "a key looks like lg_ID_SECRET; copy it whole, as it was shown when it was made",
            )
        };
        let rest = text.strip_prefix(KEY_PREFIX).ok_or_else(malformed)?;
        let (id, secret) = rest.split_once('_').ok_or_else(malformed)?;
        if !ID_BYTES.contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(malformed());
        }
        let id = id.parse().map_err(|_| malformed())?;
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        // Exactly one text stands for a secret: the decoder refuses padding and stray bits at the end.
        match URL_SAFE_NO_PAD.decode_slice(secret, bytes.as_mut_slice()) {
            Ok(SECRET_BYTES) => Ok(Self { id, secret: bytes }),
            Ok(_) | Err(_) => Err(malformed()),
        }
    }
}

impl fmt::Debug for PresentedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PresentedKey({})", self.id)
    }
}

// === what is said ===

pub(crate) fn unauthenticated(message: &str, hint: &str) -> Problem {
    Problem::new(ErrorCode::Unauthenticated, message).with_hint(hint)
}

pub(crate) fn takes_no_tokens() -> Problem {
    unauthenticated("this host takes API keys and no JSON Web Tokens", "use an API key: lg_ID_SECRET")
}

pub(crate) fn token_expired() -> Problem {
    unauthenticated("the JSON Web Token has expired", "ask its issuer for a new one")
}

fn bearer(header: &str) -> Result<&str, Problem> {
    let hint = "send authorization: Bearer KEY";
    if header.len() > Credential::MAX_BYTES + "Bearer ".len() {
        return Err(too_long());
    }
    let Some((scheme, value)) = header.split_once(' ') else {
        return Err(unauthenticated("the header authorization has no scheme", hint));
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unauthenticated("the header authorization has another scheme than Bearer", hint));
    }
    Ok(value.trim_matches(' '))
}

/// Header values can hold tabs and bytes that were not meant for a header; a credential holds neither.
fn check_text(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(unauthenticated("the credential is empty", "send authorization: Bearer KEY"));
    }
    if text.len() > Credential::MAX_BYTES {
        return Err(too_long());
    }
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(unauthenticated(
        "the credential has characters that no key and no token has",
        "copy it again without spaces and line breaks",
    ))
}

fn too_long() -> Problem {
    let limit = Credential::MAX_BYTES;
    Problem::new(ErrorCode::Unauthenticated, format!("the credential is longer than {limit} bytes"))
}
