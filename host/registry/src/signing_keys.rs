//! Public keys with which a tenant signs its components.

use lockgate_domain::{LimitKind, Problem, Scope, SigningKeyName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::access::TenantAccess;
use crate::page::{self, Page, PageRequest};
use crate::refusal::{check_bytes, not_found, over_quota};
use crate::registry::Registry;
use crate::signature::PublicSigningKey;
use crate::store::{RowKey, table};

/// Signing keys of one tenant at most.
const MAX_SIGNING_KEYS: usize = 100;
/// Longest PEM text in bytes.
const MAX_PEM_BYTES: usize = 4 << 10;

/// A public key of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// Its name.
    pub name: SigningKeyName,
    /// The key itself, ed25519, as `-----BEGIN PUBLIC KEY-----`.
    pub pem: String,
    /// When it was set last.
    pub changed_at: Timestamp,
}

impl Registry {
    /// Registers a key, or replaces it.
    pub fn put_signing_key(
        &self,
        access: &TenantAccess,
        name: &SigningKeyName,
        pem: String,
    ) -> Result<SigningKey, Problem> {
        access.require(Scope::Admin)?;
        check_bytes("a signing key", pem.len(), MAX_PEM_BYTES)?;
        PublicSigningKey::from_pem(&pem)?;
        let tenant = access.tenant();
        let row = SigningKey { name: name.clone(), pem, changed_at: self.now() };
        self.0.store.write(|transaction| {
            table::tenant_row(transaction, tenant)?;
            let (under, key) = (RowKey::of(&[tenant]), RowKey::of(&[tenant, name]));
            let is_new = table::SIGNING_KEYS.get(transaction, &key)?.is_none();
            if is_new && table::SIGNING_KEYS.names(transaction, &under)?.len() >= MAX_SIGNING_KEYS {
                let message =
                    format!("tenant {tenant} has {MAX_SIGNING_KEYS} signing keys, no more are kept");
                return Err(over_quota(LimitKind::StoredBytes, MAX_SIGNING_KEYS as u64, message).into());
            }
            table::SIGNING_KEYS.put(transaction, &key, &row).map(drop)
        })?;
        Ok(row)
    }

    /// The tenant's keys by name.
    pub fn signing_keys(
        &self,
        access: &TenantAccess,
        request: &PageRequest,
    ) -> Result<Page<SigningKey>, Problem> {
        access.require(Scope::Read)?;
        let under = RowKey::of(&[access.tenant()]);
        self.0.store.read(|source| {
            page::rows(&table::SIGNING_KEYS, source, &under, ("signing-keys", request), |row| Ok(Some(row)))
        })
    }

    /// One key.
    pub fn signing_key(&self, access: &TenantAccess, name: &SigningKeyName) -> Result<SigningKey, Problem> {
        access.require(Scope::Read)?;
        let key = RowKey::of(&[access.tenant(), name]);
        let row = self.0.store.read(|source| table::SIGNING_KEYS.get(source, &key))?;
        row.ok_or_else(|| not_found("signing key", name))
    }

    /// Removes a key. What it has signed stays.
    pub fn delete_signing_key(&self, access: &TenantAccess, name: &SigningKeyName) -> Result<(), Problem> {
        access.require(Scope::Admin)?;
        let key = RowKey::of(&[access.tenant(), name]);
        self.0.store.write(|transaction| {
            if table::SIGNING_KEYS.get(transaction, &key)?.is_none() {
                return Err(not_found("signing key", name).into());
            }
            table::SIGNING_KEYS.remove(transaction, &key).map(drop)
        })
    }
}
