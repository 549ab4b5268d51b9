//! Uploads in progress: files in `incoming/`, counted by tenant so that unfinished ones fill neither disk nor memory.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockgate_domain::ids::fresh_hex_id;
use lockgate_domain::{ErrorCode, LimitKind, Problem, TenantName};
use parking_lot::Mutex;

use crate::folder::{self, Reserve};
use crate::store::StoreError;

/// Uploads of one tenant at once.
const MAX_UPLOADS: u32 = 256;
/// The disk is asked for its room once per this many bytes.
const ROOM_CHECK_BYTES: u64 = 4 << 20;

/// What is coming in, by tenant.
#[derive(Default)]
pub(crate) struct IncomingTally(Mutex<HashMap<TenantName, Incoming>>);

#[derive(Default)]
struct Incoming {
    uploads: u32,
    bytes: u64,
    examining: Arc<Mutex<()>>,
}

impl IncomingTally {
    /// Counts one more upload.
    pub(super) fn begin(&self, tenant: &TenantName) -> Result<(), Problem> {
        let mut tenants = self.0.lock();
        let incoming = tenants.entry(tenant.clone()).or_default();
        if incoming.uploads >= MAX_UPLOADS {
            let message =
                format!("tenant {tenant} has {MAX_UPLOADS} uploads in progress, no more are taken at once");
            return Err(Problem::new(ErrorCode::QuotaExceeded, message)
                .with_hint("wait until some are finished")
                .with_retry_after_ms(1000));
        }
        incoming.uploads += 1;
        Ok(())
    }

    /// Counts more bytes; all uploads of a tenant together may not pass `most`.
    pub(super) fn grow(&self, tenant: &TenantName, bytes: u64, most: u64) -> Result<(), Problem> {
        let mut tenants = self.0.lock();
        let incoming = tenants.entry(tenant.clone()).or_default();
        let now = incoming.bytes.saturating_add(bytes);
        if now > most {
            let message =
                format!("the uploads of tenant {tenant} in progress have over {most} bytes together");
            return Err(Problem::limit(LimitKind::StoredBytes, most, message)
                .with_hint("send fewer at once, or ask the operator of the host for a larger quota"));
        }
        incoming.bytes = now;
        Ok(())
    }

    /// What a tenant's uploads take turns at: one is examined at a time, so that a tenant whose components take long to
    /// compile keeps its own waiting and nobody else's. Asked while an upload of the tenant is in progress.
    pub(super) fn examining(&self, tenant: &TenantName) -> Arc<Mutex<()>> {
        self.0.lock().get(tenant).map(|incoming| Arc::clone(&incoming.examining)).unwrap_or_default()
    }

    /// An upload is over.
    pub(super) fn end(&self, tenant: &TenantName, bytes: u64) {
        let mut tenants = self.0.lock();
        if let Some(incoming) = tenants.get_mut(tenant) {
            incoming.uploads = incoming.uploads.saturating_sub(1);
            incoming.bytes = incoming.bytes.saturating_sub(bytes);
            if incoming.uploads == 0 {
                tenants.remove(tenant);
            }
        }
    }
}

/// The file of one upload; removed when it is dropped, unless it was moved away.
pub(super) struct IncomingFile {
    path: PathBuf,
    file: File,
    written: u64,
}

impl IncomingFile {
    pub(super) fn create(folder: &Path) -> Result<Self, Problem> {
        let path = folder.join(fresh_hex_id());
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(StoreError::file("create", &path))?;
        let incoming = Self { path, file, written: 0 };
        incoming.check_room()?;
        Ok(incoming)
    }

    pub(super) fn write(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        let (before, now) = (self.written, self.written + chunk.len() as u64);
        if before / ROOM_CHECK_BYTES != now / ROOM_CHECK_BYTES {
            self.check_room()?;
        }
        self.file.write_all(chunk).map_err(StoreError::file("write", &self.path))?;
        self.written = now;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the bytes on the disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::file("sync", &self.path))
    }

    fn check_room(&self) -> Result<(), Problem> {
        Reserve::OfUploads.check(&self.file)
    }
}

impl Drop for IncomingFile {
    fn drop(&mut self) {
        if let Err(error) = folder::remove_file(&self.path) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the file of an upload stays until the next start"
            );
        }
    }
}
