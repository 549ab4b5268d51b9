//! API keys on the disk; the book in memory follows what was committed.
//!
//! A revoked or expired key stays listed until its owner needs the room: [`KeyBook::MAX_OF_TENANT`] bounds them.

use std::collections::BTreeSet;
use std::time::Duration;

use lockgate_domain::tenancy::ApiKey;
use lockgate_domain::{KeyId, Problem, Scope, TenantName};

use crate::access::{self, HostAccess, KeyBook, KeyRequest, MintedKey, TenantAccess};
use crate::page::{self, Page, PageRequest};
use crate::refusal::not_found;
use crate::registry::Registry;
use crate::store::{RowKey, Store, table};

/// Owner of the keys that belong to no tenant; no tenant can be called so.
pub(crate) const HOST: &str = "@host";

/// The part of a key's row that says whose it is.
pub(crate) fn owner(tenant: Option<&TenantName>) -> String {
    tenant.map_or_else(|| HOST.to_owned(), ToString::to_string)
}

/// All keys, for the book.
pub(crate) fn load(store: &Store) -> Result<KeyBook, Problem> {
    KeyBook::new(store.read(|source| table::KEYS.all(source, &RowKey::of(&[])))?)
}

impl Registry {
    /// Makes a key of the tenant. Its text is in the answer and nowhere else.
    pub fn create_key(
        &self,
        access: &TenantAccess,
        label: String,
        scopes: BTreeSet<Scope>,
        expires_in: Option<Duration>,
    ) -> Result<MintedKey, Problem> {
        access.require(Scope::Admin)?;
        self.mint_key(KeyRequest { tenant: Some(access.tenant().clone()), label, scopes, expires_in })
    }

    /// Makes a key of the host.
    pub fn create_host_key(
        &self,
        _access: &HostAccess,
        label: String,
        scopes: BTreeSet<Scope>,
        expires_in: Option<Duration>,
    ) -> Result<MintedKey, Problem> {
        self.mint_key(KeyRequest { tenant: None, label, scopes, expires_in })
    }

    /// The tenant's keys, dead ones included.
    pub fn keys(&self, access: &TenantAccess, request: &PageRequest) -> Result<Page<ApiKey>, Problem> {
        access.require(Scope::Admin)?;
        self.list_keys(Some(access.tenant()), request)
    }

    /// The host's keys, dead ones included.
    pub fn host_keys(&self, _access: &HostAccess, request: &PageRequest) -> Result<Page<ApiKey>, Problem> {
        self.list_keys(None, request)
    }

    /// Ends a key of the tenant, at once. One that was revoked before stays as it is.
    pub fn revoke_key(&self, access: &TenantAccess, id: &KeyId) -> Result<ApiKey, Problem> {
        access.require(Scope::Admin)?;
        self.end_key(Some(access.tenant()), id)
    }

    /// Ends a key of the host, at once.
    pub fn revoke_host_key(&self, _access: &HostAccess, id: &KeyId) -> Result<ApiKey, Problem> {
        self.end_key(None, id)
    }

    fn mint_key(&self, request: KeyRequest) -> Result<MintedKey, Problem> {
        let minted = access::mint(request, self.now())?;
        let _order = self.0.owners.lock();
        let forget = self.0.keys.room_for(minted.record.key.tenant.as_ref(), self.now())?;
        self.keep_key(minted.record.clone(), forget)?;
        Ok(minted)
    }

    fn list_keys(&self, tenant: Option<&TenantName>, request: &PageRequest) -> Result<Page<ApiKey>, Problem> {
        let under = RowKey::of(&[&owner(tenant)]);
        self.0.store.read(|source| {
            page::rows(&table::KEYS, source, &under, ("keys", request), |record| Ok(Some(record.key)))
        })
    }

    fn end_key(&self, tenant: Option<&TenantName>, id: &KeyId) -> Result<ApiKey, Problem> {
        let _order = self.0.owners.lock();
        let row = RowKey::of(&[&owner(tenant), id]);
        let found = self.0.store.read(|source| table::KEYS.get(source, &row))?;
        let mut record = found.ok_or_else(|| not_found("API key", id))?;
        if record.key.revoked_at.is_none() {
            record.key.revoked_at = Some(self.now());
            self.keep_key(record.clone(), None)?;
        }
        Ok(record.key)
    }
}
