//! A redb database that goes on after the disk failed it.
//!
//! After an error of the disk redb refuses everything until it is opened again: that happens here, at the next use, so
//! that a full disk is an answer and not the end of the process. After a full disk it is compacted too, so that deletions
//! find room. Transactions never nest: opening again and compaction
//! wait for those in progress and hold new ones back meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use redb::{Builder, Database};

use super::StoreError;
use crate::folder::{remove_file, sync_folder};

/// An open database.
pub(crate) struct LiveDatabase {
    path: PathBuf,
    cache_bytes: usize,
    database: RwLock<Option<Database>>,
    pub(super) broken: AtomicBool,
    full: AtomicBool,
}

impl LiveDatabase {
    /// Opens or creates the file; `cache_bytes` bounds the pages that are kept in memory.
    pub(crate) fn open(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes);
        if !path.exists() {
            create(&builder, path)?;
        }
        let database = builder.open(path)?;
        let database = RwLock::new(Some(database));
        let (broken, full) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { path: path.to_owned(), cache_bytes, database, broken, full })
    }

    /// Does something with it; one call must not be made inside another.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.repair()?;
        let guard = self.database.read();
        let database = guard.as_ref().ok_or(StoreError::Closed)?;
        work(database).inspect_err(|error| self.note(error))
    }

    /// Gives pages that nothing needs back to the file system; says whether there were any.
    pub(crate) fn compact(&self) -> Result<bool, StoreError> {
        self.repair()?;
        let mut guard = self.database.write();
        let database = guard.as_mut().ok_or(StoreError::Closed)?;
        database.compact().map_err(StoreError::from).inspect_err(|error| self.note(error))
    }

    fn note(&self, error: &StoreError) {
        if error.needs_reopening() {
            self.full.store(error.is_full_disk(), Ordering::Release);
            self.broken.store(true, Ordering::Release);
        }
    }

    fn repair(&self) -> Result<(), StoreError> {
        if !self.broken.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut guard = self.database.write();
        if self.broken.load(Ordering::Acquire) {
            drop(guard.take());
            let open = || Builder::new().set_cache_size(self.cache_bytes).open(&self.path);
            let mut database = open()?;
            if self.full.swap(false, Ordering::AcqRel) && database.compact().is_err() {
                // Not even that has room: then it can at least be read.
                drop(database);
                database = open()?;
            }
            *guard = Some(database);
            self.broken.store(false, Ordering::Release);
            tracing::warn!(path = %self.path.display(), "a database was opened again after an error of the disk");
        }
        Ok(())
    }
}

/// Makes a database beside its name first, then under it: one that a kill left half made would be refused for ever.
fn create(builder: &Builder, path: &Path) -> Result<(), StoreError> {
    let beside = path.with_extension("unfinished");
    remove_file(&beside)?;
    builder.create(&beside)?.close()?;
    fs::rename(&beside, path).map_err(StoreError::file("rename", &beside))?;
    path.parent().map_or(Ok(()), sync_folder)
}
