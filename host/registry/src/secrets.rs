//! Secrets of tenants: sealed before they are written, shown to nobody but the host that starts an instance with them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_domain::{ErrorCode, LimitKind, Problem, Scope, SecretName, TenantName, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::access::TenantAccess;
use crate::page::{self, Page, PageRequest};
use crate::refusal::{check_bytes, not_found, over_quota};
use crate::registry::Registry;
use crate::store::{RowKey, Tally, table};
use crate::vault::Vault;

/// Secrets of one tenant at most.
const MAX_SECRETS: usize = 1000;

/// A secret as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SealedSecret {
    name: SecretName,
    /// In base64.
    sealed: String,
    changed_at: Timestamp,
}

/// A secret as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretEntry {
    /// Its name.
    pub name: SecretName,
    /// When it was set last.
    pub changed_at: Timestamp,
}

impl Registry {
    /// Sets a secret, or replaces it.
    pub fn put_secret(
        &self,
        access: &TenantAccess,
        name: &SecretName,
        value: &str,
    ) -> Result<SecretEntry, Problem> {
        access.require(Scope::Deploy)?;
        self.0.folder.check_room()?;
        check_bytes("a secret", value.len(), Vault::MAX_SECRET_BYTES)?;
        let (tenant, changed_at) = (access.tenant(), self.now());
        let sealed = STANDARD.encode(self.0.vault.seal(tenant, name, value.as_bytes())?);
        let row = SealedSecret { name: name.clone(), sealed, changed_at };
        self.0.store.write(|transaction| {
            let quota = table::tenant_row(transaction, tenant)?.settings.quota;
            let (under, key) = (RowKey::of(&[tenant]), RowKey::of(&[tenant, name]));
            let is_new = table::SECRETS.get(transaction, &key)?.is_none();
            if is_new && table::SECRETS.names(transaction, &under)?.len() >= MAX_SECRETS {
                let message = format!("tenant {tenant} has {MAX_SECRETS} secrets, no more are kept");
                return Err(over_quota(LimitKind::StoredBytes, quota.stored_bytes, message).into());
            }
            let grown = table::SECRETS.put(transaction, &key, &row)?;
            Tally::adjust(transaction, tenant, |tally| {
                tally.grow(grown);
                tally.check_bytes(tenant, &quota, grown)
            })
        })?;
        Ok(SecretEntry { name: name.clone(), changed_at })
    }

    /// The names of the tenant's secrets.
    pub fn secrets(
        &self,
        access: &TenantAccess,
        request: &PageRequest,
    ) -> Result<Page<SecretEntry>, Problem> {
        access.require(Scope::Read)?;
        let under = RowKey::of(&[access.tenant()]);
        self.0.store.read(|source| {
            page::rows(&table::SECRETS, source, &under, ("secrets", request), |row| {
                Ok(Some(SecretEntry { name: row.name, changed_at: row.changed_at }))
            })
        })
    }

    /// Deletes a secret. Revisions whose configuration names it do not start any more.
    pub fn delete_secret(&self, access: &TenantAccess, name: &SecretName) -> Result<(), Problem> {
        access.require(Scope::Deploy)?;
        let (tenant, key) = (access.tenant(), RowKey::of(&[access.tenant(), name]));
        self.0.store.write(|transaction| {
            if table::SECRETS.get(transaction, &key)?.is_none() {
                return Err(not_found("secret", name).into());
            }
            let grown = table::SECRETS.remove(transaction, &key)?;
            Tally::adjust(transaction, tenant, |tally| {
                tally.grow(grown);
                Ok(())
            })
        })
    }

    /// The values of these secrets. For the host alone, when it starts an instance: no caller ever gets one.
    pub fn reveal_secrets<'a>(
        &self,
        access: &TenantAccess,
        names: impl IntoIterator<Item = &'a SecretName>,
    ) -> Result<BTreeMap<SecretName, Zeroizing<String>>, Problem> {
        access.require(Scope::Host)?;
        let tenant = access.tenant();
        let names: Vec<&SecretName> = names.into_iter().collect();
        let rows = self.0.store.read(|source| {
            let get = |name: &&SecretName| {
                let row = table::SECRETS.get(source, &RowKey::of(&[tenant, name]))?;
                row.ok_or_else(|| {
                    not_found("secret", name).with_hint("set it, or change the configuration").into()
                })
            };
            names.iter().map(get).collect::<Result<Vec<SealedSecret>, _>>()
        })?;
        rows.into_iter().map(|row| Ok((row.name.clone(), self.unseal(tenant, &row)?))).collect()
    }

    fn unseal(&self, tenant: &TenantName, row: &SealedSecret) -> Result<Zeroizing<String>, Problem> {
        let damaged =
            || Problem::new(ErrorCode::HostFault, format!("secret {} is damaged on disk", row.name));
        let sealed = STANDARD.decode(&row.sealed).map_err(|_| damaged())?;
        let value = self.0.vault.unseal(tenant, &row.name, &sealed)?;
        std::str::from_utf8(&value).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| damaged())
    }
}

#[cfg(test)]
mod tests;
