//! The registry: one data directory, opened by one process, and everything that is kept in it.
//!
//! Methods block on the disk and are meant for blocking threads; what every request needs (tenants, keys) is kept in
//! memory and read without a lock. A `Registry` is a handle: clones are the same registry.
//! What happens to a tenant's things takes a [`TenantAccess`]; what happens to tenants takes a [`HostAccess`].

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use lockgate_domain::tenancy::ApiKey;
use lockgate_domain::{ComponentDigest, Principal, Problem, Scope, Timestamp};
use parking_lot::{Mutex, RwLock};

use crate::access::{self, KeyBook, KeyRequest, TenantAccess};
use crate::audit::AuditQueue;
use crate::components::{Flights, IncomingTally};
use crate::folder::{DataFolder, sync_folder, write_private};
use crate::key_value::KeyValueBook;
use crate::keys;
use crate::options::RegistryOptions;
use crate::store::{RowKey, Store, table};
use crate::tenants::TenantBook;
use crate::vault::Vault;

/// Everything that is kept, for as long as a handle lives.
#[derive(Clone)]
pub struct Registry(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) options: RegistryOptions,
    pub(crate) store: Store,
    pub(crate) tenants: TenantBook,
    pub(crate) keys: Arc<KeyBook>,
    pub(crate) vault: Vault,
    pub(crate) key_values: KeyValueBook,
    pub(crate) audit: AuditQueue,
    pub(crate) flights: Flights,
    pub(crate) incoming: IncomingTally,
    /// Components that the metadata name and whose file is gone: hidden until they are uploaded again.
    pub(crate) lost: RwLock<HashSet<ComponentDigest>>,
    /// Held while tenants or keys change, so that the books in memory follow the store in its order.
    pub(crate) owners: Mutex<()>,
    // Last, so that the lock is given back when everything else is closed.
    pub(crate) folder: DataFolder,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registry").field(&self.0.options.data_dir).finish()
    }
}

impl Registry {
    /// Opens a data directory, creating it if it is not there, and sweeps what broken uploads left. The first start
    /// writes a key of the host to `operator.key`.
    pub fn open(options: RegistryOptions) -> Result<Self, Problem> {
        let folder = DataFolder::open(&options.data_dir)?;
        let store = Store::open(&folder.path("registry.redb"))?;
        let tenants = TenantBook::load(&store)?;
        let keys = Arc::new(keys::load(&store)?);
        let vault_key = options.vault_key_file.clone().unwrap_or_else(|| folder.path("vault.key"));
        let registry = Self(Arc::new(Inner {
            tenants,
            keys,
            vault: Vault::open(&vault_key)?,
            key_values: KeyValueBook::open(&folder.path("key-value.redb"))?,
            audit: AuditQueue::default(),
            flights: Flights::default(),
            incoming: IncomingTally::default(),
            lost: RwLock::new(HashSet::new()),
            owners: Mutex::new(()),
            options,
            store,
            folder,
        }));
        sync_folder(&registry.0.options.data_dir)?;
        registry.sweep_components()?;
        registry.sweep_key_values()?;
        registry.make_operator_key()?;
        Ok(registry)
    }

    /// The moment by the registry's clock.
    pub fn now(&self) -> Timestamp {
        (self.0.options.clock)()
    }

    /// The keys of the host, for [`crate::access::Authenticator`].
    pub fn key_book(&self) -> Arc<KeyBook> {
        Arc::clone(&self.0.keys)
    }

    /// Decides whether a principal may do things of a scope with a tenant, by what the registry knows of it.
    pub fn authorise(
        &self,
        principal: &Principal,
        wanted: Scope,
        tenant: &str,
    ) -> Result<TenantAccess, Problem> {
        access::authorise(principal, wanted, tenant, |name| Ok(self.0.tenants.get(name).as_deref().into()))
    }

    /// Gives room that nothing needs any more back to the disk. Changes and reads of the metadata wait meanwhile; what is
    /// read from memory does not. A kill in the middle leaves the database as it was.
    pub fn compact(&self) -> Result<bool, Problem> {
        let metadata = self.0.store.compact()?;
        Ok(self.0.key_values.compact()? || metadata)
    }

    fn make_operator_key(&self) -> Result<(), Problem> {
        let host = RowKey::of(&[&keys::HOST]);
        if self.0.store.read(|source| table::KEYS.any(source, &host))? {
            return Ok(());
        }
        let request = KeyRequest {
            tenant: None,
            label: "operator".into(),
            scopes: BTreeSet::from([Scope::Host]),
            expires_in: None,
        };
        let minted = access::mint(request, self.now())?;
        // The file first: a key that nobody was told would lock the operator out for ever.
        let path = self.0.folder.path("operator.key");
        write_private(&path, format!("{}\n", minted.text.as_str()).as_bytes())?;
        self.keep_key(minted.record, None)?;
        tracing::info!(path = %path.display(), "the first start: the operator's key is in this file");
        Ok(())
    }

    pub(crate) fn keep_key(
        &self,
        record: access::KeyRecord,
        forget: Option<lockgate_domain::KeyId>,
    ) -> Result<ApiKey, Problem> {
        let owner = keys::owner(record.key.tenant.as_ref());
        self.0.store.write(|transaction| {
            if let Some(tenant) = &record.key.tenant {
                table::tenant_row(transaction, tenant)?;
            }
            if let Some(id) = &forget {
                table::KEYS.remove(transaction, &RowKey::of(&[&owner, id]))?;
            }
            table::KEYS.put(transaction, &RowKey::of(&[&owner, &record.key.id]), &record).map(drop)
        })?;
        if let Some(id) = &forget {
            self.0.keys.remove(id);
        }
        let key = record.key.clone();
        self.0.keys.put(record);
        Ok(key)
    }
}

/// A change is made once its transaction is on the disk. What clearing up after it could not do is done at the next
/// start, and is no reason to say that the change failed.
pub(crate) fn swept_later(cleared: Result<(), Problem>) {
    if let Err(problem) = cleared {
        tracing::warn!(%problem, "what a deletion leaves stays on the disk until the next start");
    }
}
