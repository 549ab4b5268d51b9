//! The metadata: one redb database, rows of JSON under keys that begin with the tenant.
//!
//! Every change is one write transaction that is on the disk when it returns (`Durability::Immediate`); a kill leaves the
//! state before or after it. redb refuses to go on after an error of the disk until it is opened again: that happens here,
//! at the next use, so that a full disk is an answer and not the end of the process.
//! Transactions never nest: compaction waits for those in progress and holds new ones back meanwhile.

mod error;
mod row;
pub(crate) mod table;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use lockgate_domain::Problem;
use parking_lot::RwLock;
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

pub(crate) use self::error::StoreError;
pub(crate) use self::row::{RowKey, Shelf, Source};
pub(crate) use self::table::Tally;

/// The version of what is written; a newer one is refused, an older one would be migrated at start.
pub(crate) const SCHEMA: u32 = 1;

/// The database of the metadata.
pub(crate) struct Store {
    path: PathBuf,
    database: RwLock<Option<Database>>,
    broken: AtomicBool,
}

impl Store {
    /// Opens or creates the database and all its tables.
    pub(crate) fn open(path: &Path) -> Result<Self, Problem> {
        let database = Database::create(path).map_err(StoreError::from)?;
        let store = Self {
            path: path.to_owned(),
            database: RwLock::new(Some(database)),
            broken: AtomicBool::new(false),
        };
        store.write(|transaction| {
            table::create_all(transaction)?;
            match table::META.get(transaction, &RowKey::of(&[&"schema"]))? {
                None => table::META.put(transaction, &RowKey::of(&[&"schema"]), &u64::from(SCHEMA)).map(drop),
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
        self.with(|database| work(&database.begin_read()?))
    }

    /// Changes things: all of it or, after an error, nothing.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, Problem> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }

    /// Gives pages that nothing needs back to the file system. Waits for transactions in progress.
    pub(crate) fn compact(&self) -> Result<bool, Problem> {
        self.repair()?;
        let mut guard = self.database.write();
        let Some(database) = guard.as_mut() else { return Err(StoreError::Closed.into()) };
        let compacted = database.compact().map_err(StoreError::from);
        Ok(compacted.inspect_err(|error| self.note(error))?)
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, Problem> {
        self.repair()?;
        let guard = self.database.read();
        let Some(database) = guard.as_ref() else { return Err(StoreError::Closed.into()) };
        Ok(work(database).inspect_err(|error| self.note(error))?)
    }

    fn note(&self, error: &StoreError) {
        if error.needs_reopening() {
            self.broken.store(true, Ordering::Release);
        }
    }

    /// Opens the database again after the disk failed it.
    fn repair(&self) -> Result<(), Problem> {
        if !self.broken.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut guard = self.database.write();
        if self.broken.load(Ordering::Acquire) {
            drop(guard.take());
            *guard = Some(Database::open(&self.path).map_err(StoreError::from)?);
            self.broken.store(false, Ordering::Release);
            tracing::warn!(path = %self.path.display(), "the registry was opened again after an error of the disk");
        }
        Ok(())
    }
}
