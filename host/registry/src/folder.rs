//! The data directory: its names, its lock, and files that are either whole or not there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lockgate_domain::{ErrorCode, Problem};
use rustix::fs::{FlockOperation, flock, fstatvfs};

use crate::store::StoreError;

/// The data directory, held by this process until it is dropped.
pub(crate) struct DataFolder {
    root: PathBuf,
    lock: File,
}

impl DataFolder {
    /// Creates what is missing and takes the lock. Uploads that a process before left unfinished are removed.
    pub(crate) fn open(root: &Path) -> Result<Self, Problem> {
        make_folder(root).map_err(StoreError::at_start)?;
        let lock = take_lock(&root.join("lock"))?;
        let folder = Self { root: root.to_owned(), lock };
        make_folder(&folder.components())?;
        make_folder(&folder.incoming())?;
        empty(&folder.incoming())?;
        Ok(folder)
    }

    /// Refuses a record that would take the last of the disk.
    pub(crate) fn check_room(&self) -> Result<(), Problem> {
        Reserve::OfRecords.check(&self.lock)
    }

    /// A file or folder directly in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Component files.
    pub(crate) fn components(&self) -> PathBuf {
        self.path("components")
    }

    /// Uploads in progress.
    pub(crate) fn incoming(&self) -> PathBuf {
        self.path("incoming")
    }
}

/// Refuses to fill the last of a disk. Uploads leave more room than records do, and deletions find what those leave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reserve {
    /// What uploads leave: 64 MiB, of a small disk a twentieth.
    OfUploads,
    /// What secrets, flows and revisions leave: half of it.
    OfRecords,
}

impl Reserve {
    const MOST_BYTES: u64 = 64 << 20;

    /// Asks the disk on which this file or folder is.
    pub(crate) fn check(self, on: impl AsFd) -> Result<(), Problem> {
        // A file system that cannot tell is trusted; writing to it fails when it is full.
        let Ok(disk) = fstatvfs(on) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let most = (disk.f_blocks.saturating_mul(disk.f_frsize) / 20).min(Self::MOST_BYTES);
        let reserve = match self {
            Reserve::OfUploads => most,
            Reserve::OfRecords => most / 2,
        };
        if free > reserve {
            return Ok(());
        }
        tracing::error!(
            free,
            reserve,
            "the disk of the data directory is nearly full; what needs room is refused"
        );
        Err(Problem::new(ErrorCode::Overloaded, "the host's disk is nearly full; nothing more is taken")
            .with_hint("delete components that nothing uses, or ask the operator of the host for room"))
    }
}

/// Writes a file that only this user may read: beside its name first, then under it.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let beside = path.with_extension("unfinished");
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(StoreError::file("write", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Creates a folder that only this user may enter, with all above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::file("create", path))
}

/// Makes names in a folder last.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(StoreError::file("sync", path))
}

/// Removes a file; one that is not there is as good.
pub(crate) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

fn take_lock(path: &Path) -> Result<File, Problem> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|error| StoreError::file("open", path)(error).at_start())?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        let folder = path.parent().unwrap_or(path).display();
        if error == rustix::io::Errno::WOULDBLOCK {
            return Problem::new(
                ErrorCode::HostFault,
                format!("another process uses the data directory {folder}"),
            )
            .with_hint("stop the other process, or give this one a data directory of its own");
        }
        Problem::new(ErrorCode::HostFault, format!("cannot lock the data directory {folder}: {error}"))
            .with_hint("the data directory must be on a local file system")
    })?;
    Ok(file)
}

fn empty(folder: &Path) -> Result<(), StoreError> {
    let read = || fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>();
    for entry in read().map_err(StoreError::file("read", folder))? {
        remove_file(&entry.path())?;
    }
    Ok(())
}
