//! JSON Web Tokens of an issuer that the operator trusts.
//!
//! Which algorithms count follows from the kind of key and never from the token: a token that names another one, or
//! none, is refused before anything is computed. Time is the caller's, so that a test can choose it. A token of a tenant
//! can never act for the host, and a token without a tenant only if it says so with the scope `host`: an issuer that
//! forgets the claim hands out nothing.

mod keys;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use jsonwebtoken::Validation;
use lockgate_domain::{ErrorCode, Principal, Problem, Scope, TenantName, Timestamp};
use serde::Deserialize;

use self::keys::VerifyingKeys;
use crate::access::Credential;

/// Longest subject in bytes.
const MAX_SUBJECT_BYTES: usize = 255;
/// By how much the clocks of issuer and host may differ.
const LEEWAY_MS: u64 = 30_000;

/// Whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtOptions {
    /// What the claim `iss` must be.
    pub issuer: String,
    /// What the claim `aud` must be or contain.
    pub audience: String,
    /// What signatures are verified with.
    pub key: JwtKeySource,
}

/// A file with what signatures are verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwtKeySource {
    /// One public key in PEM: RSA (2048 bits or more), P-256, P-384 or Ed25519.
    Pem(PathBuf),
    /// A JSON Web Key Set of public keys.
    Jwks(PathBuf),
    /// The shared secret of HS256, at least 32 bytes; a line break at its end does not count.
    Secret(PathBuf),
}

/// Verifies tokens.
pub struct JwtVerifier {
    issuer: String,
    audience: String,
    keys: VerifyingKeys,
}

/// The claims that count.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: OneOrMore,
    exp: f64,
    nbf: Option<f64>,
    sub: String,
    tenant: Option<String>,
    scope: Option<OneOrMore>,
}

/// A text, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

// === impl JwtVerifier ===

impl JwtVerifier {
    /// Reads the key file.
    pub fn open(options: JwtOptions) -> Result<Self, Problem> {
        let keys = VerifyingKeys::read(&options.key)?;
        if options.issuer.is_empty() || options.audience.is_empty() {
            let message = "the issuer and the audience of JSON Web Tokens must not be empty";
            return Err(Problem::new(ErrorCode::InvalidRequest, message));
        }
        Ok(Self { issuer: options.issuer, audience: options.audience, keys })
    }

    /// Whose token that is, and until when it counts.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<(Principal, Timestamp), Problem> {
        let claims = self.signed_claims(token)?;
        if claims.iss != self.issuer {
            return Err(refused("it is of another issuer"));
        }
        if !claims.aud.contains(&self.audience) {
            return Err(refused("it is meant for another audience"));
        }
        let expires_at = Timestamp::from_millis(milliseconds(claims.exp).saturating_add(LEEWAY_MS));
        if now >= expires_at {
            return Err(crate::access::token_expired());
        }
        let starts_at = claims.nbf.map_or(0, milliseconds);
        if starts_at > now.as_millis().saturating_add(LEEWAY_MS) {
            return Err(refused("it does not count yet (nbf)"));
        }
        Ok((claims.principal()?, expires_at))
    }

    fn signed_claims(&self, token: &str) -> Result<Claims, Problem> {
        if token.len() > Credential::MAX_BYTES {
            return Err(refused("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| refused("its header cannot be read"))?;
        if header.crit.is_some() {
            return Err(refused("its header has extensions (crit), which this host does not know"));
        }
        let key = self.keys.find(header.kid.as_deref()).map_err(refused)?;
        if !key.algorithms.contains(&header.alg) {
            return Err(refused("it is not signed with an algorithm of the issuer's key"));
        }
        // One algorithm, known to be one of the key's. Claims are checked here, with the caller's clock.
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode(token, &key.key, &validation);
        decoded.map(|data| data.claims).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_) => {
                refused("its claims are not as expected: iss, aud, exp and sub are needed")
            }
            _ => refused("its signature is not valid"),
        })
    }
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwtVerifier({} for {})", self.issuer, self.audience)
    }
}

// === impl Claims ===

impl Claims {
    fn principal(self) -> Result<Principal, Problem> {
        let subject = &self.sub;
        let fits = !subject.is_empty()
            && subject.len() <= MAX_SUBJECT_BYTES
            && subject.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(refused("its subject is empty, too long, or cannot stand in a log line"));
        }
        let scopes: BTreeSet<Scope> = self
            .scope
            .as_ref()
            .into_iter()
            .flat_map(OneOrMore::words)
            .filter_map(|word| word.parse().ok())
            .collect();
        let tenant: Option<TenantName> = match &self.tenant {
            Some(name) => Some(name.parse().map_err(|_| refused("its tenant is no tenant's name"))?),
            None => None,
        };
        match (&tenant, scopes.contains(&Scope::Host)) {
            (Some(_), true) => Err(refused("it names a tenant and the scope host, which is the operator's")),
            (None, false) => Err(refused("it names no tenant")),
            (Some(_), false) | (None, true) => {
                Ok(Principal { name: format!("jwt:{subject}"), tenant, scopes })
            }
        }
    }
}

// === impl OneOrMore ===

impl OneOrMore {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            OneOrMore::One(text) => text == wanted,
            OneOrMore::More(list) => list.iter().any(|text| text == wanted),
        }
    }

    /// Words between spaces, as OAuth writes scopes; those of a list as well.
    fn words(&self) -> impl Iterator<Item = &str> {
        let list = match self {
            OneOrMore::One(text) => std::slice::from_ref(text),
            OneOrMore::More(list) => list.as_slice(),
        };
        list.iter().flat_map(|text| text.split(' '))
    }
}

/// Seconds since 1970, with a fraction, as JSON has them. What is before counts as 1970, what is out of range as for ever.
fn milliseconds(seconds: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, which is meant"
    )]
    let milliseconds = (seconds * 1000.0) as u64;
    milliseconds
}

fn refused(why: &str) -> Problem {
    Problem::new(ErrorCode::Unauthenticated, format!("the JSON Web Token is refused: {why}"))
        .with_hint("ask its issuer for another one")
}

#[cfg(test)]
mod tests;
