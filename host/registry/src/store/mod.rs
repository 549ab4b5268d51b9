//! The metadata: one redb database, rows of JSON under keys that begin with the tenant.
//!
//! Every change is one write transaction that is on the disk when it returns (`Durability::Immediate`); a kill leaves the
//! state before or after it. What redb needs to go on after an error of the disk is in [`live`].

mod error;
mod live;
mod row;
pub(crate) mod table;

use std::path::Path;

use lockgate_domain::Problem;
use redb::{ReadTransaction, ReadableDatabase, WriteTransaction};

pub(crate) use self::error::StoreError;
pub(crate) use self::live::LiveDatabase;
pub(crate) use self::row::{RowKey, Shelf, Source};
pub(crate) use self::table::Tally;

/// The version of what is written; a newer one is refused, an older one would be migrated at start.
pub(crate) const SCHEMA: u32 = 1;

/// Pages of the metadata in memory, at most.
const CACHE_BYTES: usize = 64 << 20;

/// The database of the metadata.
pub(crate) struct Store {
    live: LiveDatabase,
}

impl Store {
    /// Opens or creates the database and all its tables.
    pub(crate) fn open(path: &Path) -> Result<Self, Problem> {
        let store = Self { live: LiveDatabase::open(path, CACHE_BYTES)? };
        store.write(|transaction| {
            table::create_all(transaction)?;
            let key = RowKey::of(&[&"schema"]);
            match table::META.get(transaction, &key)? {
                None => table::META.put(transaction, &key, &u64::from(SCHEMA)).map(drop),
                Some(found) if found == u64::from(SCHEMA) => Ok(()),
                Some(found) => Err(StoreError::Newer { found, known: SCHEMA, path: path.to_owned() }),
            }
        })?;
        Ok(store)
    }

    /// Reads one consistent snapshot.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, Problem> {
        Ok(self.live.with(|database| work(&database.begin_read()?))?)
    }

    /// Changes things: all of it or, after an error, nothing.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, Problem> {
        Ok(self.live.with(|database| {
            let transaction = database.begin_write()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })?)
    }

    /// Gives pages that nothing needs back to the file system. Waits for transactions in progress.
    pub(crate) fn compact(&self) -> Result<bool, Problem> {
        Ok(self.live.compact()?)
    }
}

#[cfg(test)]
mod tests;
