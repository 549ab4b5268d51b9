//! Tenants: who has things here, and what the operator lets them have.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{ComponentDigest, Problem, Scope, Tenant, TenantName};

use crate::access::{HostAccess, TenantAccess};
use crate::page::{self, Page, PageRequest};
use crate::refusal::{Precondition, conflict, in_use, not_found};
use crate::registry::{Registry, swept_later};
use crate::store::{RowKey, Store, Tally, table};

/// Tenants of one host at most.
const MAX_TENANTS: usize = 100_000;

/// All tenants, in memory: read for every request, without a lock.
pub(crate) struct TenantBook(ArcSwap<BTreeMap<TenantName, Arc<Tenant>>>);

impl TenantBook {
    pub(crate) fn load(store: &Store) -> Result<Self, Problem> {
        let rows = store.read(|source| table::TENANTS.all(source, &RowKey::of(&[])))?;
        let map = rows.into_iter().map(|tenant| (tenant.name.clone(), Arc::new(tenant))).collect();
        Ok(Self(ArcSwap::from_pointee(map)))
    }

    pub(crate) fn get(&self, name: &TenantName) -> Option<Arc<Tenant>> {
        self.0.load().get(name).cloned()
    }

    pub(crate) fn require(&self, name: &TenantName) -> Result<Arc<Tenant>, Problem> {
        self.get(name).ok_or_else(|| not_found("tenant", name))
    }

    fn put(&self, name: &TenantName, tenant: Option<&Tenant>) {
        self.0.rcu(|map| {
            let mut map = BTreeMap::clone(map);
            match tenant {
                Some(tenant) => drop(map.insert(name.clone(), Arc::new(tenant.clone()))),
                None => drop(map.remove(name)),
            }
            map
        });
    }
}

impl Registry {
    /// A tenant as it is, from memory.
    pub fn tenant(&self, name: &TenantName) -> Option<Arc<Tenant>> {
        self.0.tenants.get(name)
    }

    /// All tenants, from memory.
    pub fn all_tenants(&self) -> Vec<Arc<Tenant>> {
        self.0.tenants.0.load().values().cloned().collect()
    }

    /// Tenants by name.
    pub fn tenants(&self, _access: &HostAccess, request: &PageRequest) -> Result<Page<Tenant>, Problem> {
        let all = RowKey::of(&[]);
        self.0.store.read(|source| {
            page::rows(&table::TENANTS, source, &all, ("tenants", request), |row| Ok(Some(row)))
        })
    }

    /// Creates a tenant; one of the same name is a conflict.
    pub fn create_tenant(
        &self,
        _access: &HostAccess,
        name: TenantName,
        settings: TenantSettings,
    ) -> Result<Tenant, Problem> {
        check_settings(&settings)?;
        let _order = self.0.owners.lock();
        if self.0.tenants.0.load().len() >= MAX_TENANTS {
            return Err(conflict(
                format!("the host has {MAX_TENANTS} tenants, no more are taken"),
                "delete tenants that are gone",
            ));
        }
        let tenant = Tenant { name, settings, created_at: self.now(), etag: 1 };
        let key = RowKey::of(&[&tenant.name]);
        self.0.store.write(|transaction| {
            if table::TENANTS.get(transaction, &key)?.is_some() {
                let message = format!("there is a tenant {} already", tenant.name);
                return Err(conflict(message, "choose another name, or change its settings").into());
            }
            table::TENANTS.put(transaction, &key, &tenant).map(drop)
        })?;
        self.0.tenants.put(&tenant.name, Some(&tenant));
        Ok(tenant)
    }

    /// Replaces what the operator decided about a tenant.
    pub fn put_tenant(
        &self,
        _access: &HostAccess,
        name: &TenantName,
        settings: TenantSettings,
        precondition: Precondition,
    ) -> Result<Tenant, Problem> {
        check_settings(&settings)?;
        let _order = self.0.owners.lock();
        let tenant = self.0.store.write(|transaction| {
            let before = table::tenant_row(transaction, name)?;
            precondition.check("tenant", name, Some(before.etag))?;
            let tenant = Tenant { settings, etag: before.etag + 1, ..before };
            table::TENANTS.put(transaction, &RowKey::of(&[name]), &tenant)?;
            Ok(tenant)
        })?;
        self.0.tenants.put(name, Some(&tenant));
        Ok(tenant)
    }

    /// Deletes a tenant with its keys, components, secrets, usage and everything else. One that has executors or flows is
    /// deleted only by `force`.
    pub fn delete_tenant(
        &self,
        _access: &HostAccess,
        name: &TenantName,
        precondition: Precondition,
        force: bool,
    ) -> Result<(), Problem> {
        let _order = self.0.owners.lock();
        let under = RowKey::of(&[name]);
        let digests = self.0.store.write(|transaction| {
            let tenant = table::tenant_row(transaction, name)?;
            precondition.check("tenant", name, Some(tenant.etag))?;
            let tally = Tally::of(transaction, name)?;
            if !force && (tally.executors > 0 || tally.flows > 0) {
                let users = [(tally.executors, "executor"), (tally.flows, "flow")];
                let users: Vec<String> = users
                    .iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, noun)| format!("{count} {noun}{}", if *count == 1 { "" } else { "s" }))
                    .collect();
                return Err(in_use("tenant", name, &users)
                    .with_hint("delete them first, or force it")
                    .into());
            }
            let names = table::COMPONENTS.names(transaction, &under)?;
            let digests: Vec<ComponentDigest> = names.iter().filter_map(|hex| hex.parse().ok()).collect();
            for digest in &digests {
                table::HOLDERS.remove(transaction, &RowKey::of(&[&digest.hex(), name]))?;
            }
            table::remove_tenant(transaction, name)?;
            Ok(digests)
        })?;
        self.0.tenants.put(name, None);
        self.0.keys.remove_tenant(name);
        for digest in digests {
            swept_later(self.forget_file_unless_held(digest));
        }
        swept_later(self.0.key_values.clear_tenant(name));
        Ok(())
    }

    /// What the tenant has, against its quotas of kept things.
    pub fn holdings(&self, access: &TenantAccess) -> Result<Holdings, Problem> {
        access.require(Scope::Read)?;
        let tally = self.0.store.read(|source| Tally::of(source, access.tenant()))?;
        Ok(Holdings {
            stored_bytes: tally.stored_bytes(),
            components: tally.components,
            executors: tally.executors,
            flows: tally.flows,
        })
    }
}

/// What a tenant has of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Bytes of components, revisions, flows and secrets.
    pub stored_bytes: u64,
    /// Components.
    pub components: u32,
    /// Executors.
    pub executors: u32,
    /// Flows.
    pub flows: u32,
}

fn check_settings(settings: &TenantSettings) -> Result<(), Problem> {
    if (1..=10_000).contains(&settings.weight) {
        return Ok(());
    }
    let message = format!("a weight of {} is not possible", settings.weight);
    Err(crate::refusal::invalid(message, "choose one from 1 to 10000; 100 is the usual one"))
}

#[cfg(test)]
mod tests;
