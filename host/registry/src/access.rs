//! Who is asking, and what it may do: credentials become a principal, and a principal and a scope become access.
//!
//! [`authorise`] is the one place that decides about tenants. Nothing of a tenant can be reached without a
//! [`TenantAccess`], and only that function (and, for the host's own work, [`TenantAccess::of_host`]) makes one, so a
//! forgotten check does not compile. Another tenant's name is answered in exactly the words of a name that nobody has.
//!
//! A caller without a key's secret learns nothing about the key: not that it exists, was revoked or has expired.

mod authorise;
mod credential;
mod keys;

pub use self::authorise::{HostAccess, TenantAccess, TenantStanding, authorise, authorise_host};
pub(crate) use self::credential::token_expired;
pub use self::credential::{Credential, PresentedKey};
pub use self::keys::{KeyBook, KeyRecord, KeyRequest, MintedKey, SecretHash, mint};

use std::sync::Arc;

use lockgate_domain::{KeyId, Principal, Problem, Timestamp};

use crate::jwt::JwtVerifier;

/// All ways to authenticate on this host.
#[derive(Clone)]
pub struct Authenticator {
    keys: Arc<KeyBook>,
    tokens: Option<Arc<JwtVerifier>>,
}

/// A caller that has authenticated, and what its identity rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who it is.
    pub principal: Principal,
    basis: Basis,
}

/// What an identity rests on: a long stream outlives neither.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Basis {
    Key(KeyId),
    Token { expires_at: Timestamp },
    Local,
}

// === impl Authenticator ===

impl Authenticator {
    /// With the keys of this host and, if the operator configured it, JWTs.
    pub fn new(keys: Arc<KeyBook>, tokens: Option<Arc<JwtVerifier>>) -> Self {
        Self { keys, tokens }
    }

    /// Who that is.
    pub fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<Identity, Problem> {
        match credential {
            Credential::Key(key) => {
                let principal = self.keys.authenticate(credential, now)?;
                Ok(Identity { principal, basis: Basis::Key(key.id.clone()) })
            }
            Credential::Token(token) => {
                let verifier = self.tokens.as_ref().ok_or_else(credential::takes_no_tokens)?;
                let (principal, expires_at) = verifier.verify(token, now)?;
                Ok(Identity { principal, basis: Basis::Token { expires_at } })
            }
        }
    }

    /// Whether the identity still holds: asked for every message of a stream and every request of a connection.
    pub fn still_holds(&self, identity: &Identity, now: Timestamp) -> Result<(), Problem> {
        match &identity.basis {
            Basis::Key(id) => self.keys.still_holds(id, now),
            Basis::Token { expires_at } if now < *expires_at => Ok(()),
            Basis::Token { .. } => Err(credential::token_expired()),
            Basis::Local => Ok(()),
        }
    }
}

// === impl Identity ===

impl Identity {
    /// Whoever sits at a host in development mode, which asks for no credential.
    pub fn local() -> Self {
        Self { principal: Principal::local(), basis: Basis::Local }
    }
}

#[cfg(test)]
mod tests;
