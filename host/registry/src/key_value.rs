//! Key-value stores of executors: a database of their own, because what a guest writes need not be on the disk at once.
//!
//! A write is seen by every read after it. It is committed without waiting for the disk; a commit that does wait follows
//! within a second of the next write, of [`Registry::flush_key_values`] (which a host calls every second) or of the end of
//! the process. A kill loses at most what was written since; what is there is never half a write.
//! A store holds what its executor was granted, counted exactly: bytes of all keys and values.

use std::path::Path;
use std::time::{Duration, Instant};

use lockgate_domain::{ExecutorName, Problem, TenantName};
use parking_lot::Mutex;
use redb::{Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};

use crate::registry::Registry;
use crate::store::{LiveDatabase, RowKey, StoreError, table};

type EntryKey = (&'static str, &'static str, &'static str);
const ENTRIES: TableDefinition<'static, EntryKey, &'static [u8]> = TableDefinition::new("entries");
const SIZES: TableDefinition<'static, (&'static str, &'static str), u64> = TableDefinition::new("sizes");

/// Pages of all stores in memory, at most.
const CACHE_BYTES: usize = 64 << 20;
/// How long a write may wait for the disk.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// The database of all key-value stores.
pub(crate) struct KeyValueBook {
    live: LiveDatabase,
    flushed: Mutex<Flushed>,
}

struct Flushed {
    /// When a commit waited for the disk last, or when the first after it did not.
    at: Instant,
    /// Writes so far; counted inside their transactions, so in the order of their commits.
    written: u64,
    /// The last of them that is on the disk.
    on_disk: u64,
}

/// The key-value store of one executor.
#[derive(Clone)]
pub struct ExecutorStore {
    registry: Registry,
    tenant: TenantName,
    executor: ExecutorName,
}

/// Why a key-value operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueFault {
    /// The store would hold too much.
    #[error("the store would hold more than {limit} bytes")]
    Full {
        /// bytes allowed
        limit: u64,
    },
    /// A key or a value is too large.
    #[error("{what} has {len} bytes, at most {limit} are taken")]
    TooLarge {
        /// key or value
        what: &'static str,
        /// bytes given
        len: u64,
        /// bytes allowed
        limit: u64,
    },
    /// The store failed.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl Registry {
    /// The key-value store of an executor; all its revisions share it.
    pub fn key_value_store(&self, tenant: TenantName, executor: ExecutorName) -> ExecutorStore {
        ExecutorStore { registry: self.clone(), tenant, executor }
    }

    /// Puts what guests wrote on the disk. A host calls it every second; it costs nothing if nothing was written.
    pub fn flush_key_values(&self) -> Result<(), Problem> {
        Ok(self.0.key_values.flush()?)
    }

    /// Removes stores whose executor is gone: a kill between its end and its store's leaves one.
    pub(crate) fn sweep_key_values(&self) -> Result<(), Problem> {
        for (tenant, executor) in self.0.key_values.stores()? {
            let key = RowKey::of(&[&tenant, &executor]);
            if self.0.store.read(|source| table::EXECUTORS.get(source, &key))?.is_none() {
                self.0.key_values.clear(&tenant, &executor)?;
            }
        }
        Ok(())
    }

    /// Removes the store of an executor that was deleted, unless there is another of its name by now.
    pub(crate) fn forget_key_values_unless_there(
        &self,
        tenant: &TenantName,
        executor: &ExecutorName,
    ) -> Result<(), Problem> {
        // Inside a write transaction, so that no executor is made meanwhile.
        self.0.store.write(|transaction| {
            match table::EXECUTORS.get(transaction, &RowKey::of(&[tenant, executor]))? {
                Some(_) => Ok(()),
                None => Ok(self.0.key_values.clear(tenant, executor)?),
            }
        })
    }
}

// === impl ExecutorStore ===

impl ExecutorStore {
    /// Longest key in bytes.
    pub const MAX_KEY_BYTES: usize = 1 << 10;
    /// Longest value in bytes.
    pub const MAX_VALUE_BYTES: usize = 1 << 20;

    /// The value of a key.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueFault> {
        Ok(self.registry.0.key_values.live.with(|database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            Ok(entries.get(self.entry(key))?.map(|value| value.value().to_vec()))
        })?)
    }

    /// Sets a key; `most_bytes` bounds all keys and values together.
    pub fn set(&self, key: &str, value: &[u8], most_bytes: u64) -> Result<(), KeyValueFault> {
        check_len("the key", key.len(), Self::MAX_KEY_BYTES)?;
        check_len("the value", value.len(), Self::MAX_VALUE_BYTES)?;
        self.registry.0.key_values.write(|transaction| {
            let mut entries = transaction.open_table(ENTRIES)?;
            let mut sizes = transaction.open_table(SIZES)?;
            let old = entries.insert(self.entry(key), value)?;
            let freed = old.map_or(0, |old| (key.len() + old.value().len()) as u64);
            let before = sizes.get(self.owner())?.map_or(0, |size| size.value());
            let now = (before + (key.len() + value.len()) as u64).saturating_sub(freed);
            if now > most_bytes && now > before {
                return Ok(Err(KeyValueFault::Full { limit: most_bytes }));
            }
            sizes.insert(self.owner(), now)?;
            Ok(Ok(()))
        })
    }

    /// Removes a key; says whether it was there.
    pub fn delete(&self, key: &str) -> Result<bool, KeyValueFault> {
        self.registry.0.key_values.write(|transaction| {
            let mut entries = transaction.open_table(ENTRIES)?;
            let mut sizes = transaction.open_table(SIZES)?;
            let old = entries.remove(self.entry(key))?;
            let Some(old) = old else { return Ok(Ok(false)) };
            let freed = (key.len() + old.value().len()) as u64;
            let before = sizes.get(self.owner())?.map_or(0, |size| size.value());
            sizes.insert(self.owner(), before.saturating_sub(freed))?;
            Ok(Ok(true))
        })
    }

    /// Keys with this prefix, in order, after `after`; at most `limit`.
    pub fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, KeyValueFault> {
        let start = after.map_or(prefix, |after| after.max(prefix));
        Ok(self.registry.0.key_values.live.with(|database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            let mut keys = Vec::new();
            for entry in entries.range(self.entry(start)..)? {
                let (key, _) = entry?;
                let (tenant, executor, key) = key.value();
                if keys.len() == limit || (tenant, executor) != self.owner() || !key.starts_with(prefix) {
                    break;
                }
                if after != Some(key) {
                    keys.push(key.to_owned());
                }
            }
            Ok(keys)
        })?)
    }

    /// Bytes of all keys and values.
    pub fn size(&self) -> Result<u64, KeyValueFault> {
        Ok(self.registry.0.key_values.live.with(|database| {
            let sizes = database.begin_read()?.open_table(SIZES)?;
            Ok(sizes.get(self.owner())?.map_or(0, |size| size.value()))
        })?)
    }

    fn entry<'a>(&'a self, key: &'a str) -> (&'a str, &'a str, &'a str) {
        (self.tenant.as_str(), self.executor.as_str(), key)
    }

    fn owner(&self) -> (&str, &str) {
        (self.tenant.as_str(), self.executor.as_str())
    }
}

impl From<StoreError> for KeyValueFault {
    fn from(error: StoreError) -> Self {
        Self::Failed(Problem::from(error).message().to_owned())
    }
}

// === impl KeyValueBook ===

impl KeyValueBook {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let live = LiveDatabase::open(path, CACHE_BYTES)?;
        live.with(|database| {
            let transaction = database.begin_write()?;
            drop((transaction.open_table(ENTRIES)?, transaction.open_table(SIZES)?));
            Ok(transaction.commit()?)
        })?;
        let flushed = Mutex::new(Flushed { at: Instant::now(), written: 0, on_disk: 0 });
        Ok(Self { live, flushed })
    }

    pub(crate) fn compact(&self) -> Result<bool, Problem> {
        self.flush()?;
        Ok(self.live.compact()?)
    }

    pub(crate) fn clear(&self, tenant: &TenantName, executor: &ExecutorName) -> Result<(), Problem> {
        let (tenant, executor) = (tenant.as_str(), executor.as_str());
        // The first text after a name: names have no control characters.
        let end = format!("{executor}\0");
        self.remove((tenant, executor)..(tenant, end.as_str()))
    }

    pub(crate) fn clear_tenant(&self, tenant: &TenantName) -> Result<(), Problem> {
        let end = format!("{tenant}\0");
        self.remove((tenant.as_str(), "")..(end.as_str(), ""))
    }

    fn remove(&self, stores: std::ops::Range<(&str, &str)>) -> Result<(), Problem> {
        let (start, end) = (stores.start, stores.end);
        Ok(self.live.with(|database| {
            let transaction = database.begin_write()?;
            let entries = (start.0, start.1, "")..(end.0, end.1, "");
            transaction.open_table(ENTRIES)?.retain_in::<(&str, &str, &str), _>(entries, |_, _| false)?;
            transaction.open_table(SIZES)?.retain_in::<(&str, &str), _>(start..end, |_, _| false)?;
            Ok(transaction.commit()?)
        })?)
    }

    fn stores(&self) -> Result<Vec<(TenantName, ExecutorName)>, Problem> {
        Ok(self.live.with(|database| {
            let sizes = database.begin_read()?.open_table(SIZES)?;
            let mut stores = Vec::new();
            for entry in sizes.iter()? {
                let (key, _) = entry?;
                let (tenant, executor) = key.value();
                stores.extend(tenant.parse().ok().zip(executor.parse().ok()));
            }
            Ok(stores)
        })?)
    }

    /// One change. What `work` refuses is taken back.
    fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<Result<T, KeyValueFault>, StoreError>,
    ) -> Result<T, KeyValueFault> {
        let (done, count, durable) = self.live.with(|database| {
            let mut transaction = database.begin_write()?;
            let (count, durable) = self.count_write();
            if !durable {
                transaction.set_durability(Durability::None)?;
            }
            let done = work(&transaction)?;
            if done.is_ok() {
                transaction.commit()?
            } else {
                transaction.abort()?
            }
            Ok((done, count, durable))
        })?;
        if durable && done.is_ok() {
            self.is_on_disk(count);
        }
        done
    }

    /// The number of a write, inside its transaction, and whether it has to wait for the disk.
    fn count_write(&self) -> (u64, bool) {
        let mut flushed = self.flushed.lock();
        if flushed.on_disk == flushed.written {
            flushed.at = Instant::now();
        }
        flushed.written += 1;
        (flushed.written, flushed.at.elapsed() >= FLUSH_AFTER)
    }

    fn flush(&self) -> Result<(), StoreError> {
        let is_clean = |flushed: &Flushed| flushed.on_disk == flushed.written;
        if is_clean(&self.flushed.lock()) {
            return Ok(());
        }
        let count = self.live.with(|database| {
            // A commit that waits for the disk takes all commits before it along.
            let transaction = database.begin_write()?;
            let count = self.flushed.lock().written;
            transaction.open_table(SIZES)?.insert(("", ""), count)?;
            transaction.commit()?;
            Ok(count)
        })?;
        self.is_on_disk(count);
        Ok(())
    }

    fn is_on_disk(&self, count: u64) {
        let mut flushed = self.flushed.lock();
        flushed.on_disk = flushed.on_disk.max(count);
        flushed.at = Instant::now();
    }
}

impl Drop for KeyValueBook {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the last writes of key-value stores may be lost"
            );
        }
    }
}

fn check_len(what: &'static str, len: usize, limit: usize) -> Result<(), KeyValueFault> {
    if len <= limit {
        return Ok(());
    }
    Err(KeyValueFault::TooLarge { what, len: len as u64, limit: limit as u64 })
}

#[cfg(test)]
mod tests;
