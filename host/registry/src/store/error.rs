//! Why the metadata could not be read or changed: the caller's doing, or the disk's.

use std::io::ErrorKind;
use std::path::PathBuf;

use lockgate_domain::{ErrorCode, Problem};

/// Failure of one transaction or one file operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// What was asked for is refused; nothing is wrong with the store.
    #[error("refused")]
    Refused(Problem),
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] redb::Error),
    /// A row is not what this version writes.
    #[error("the row {key:?} cannot be read")]
    Damaged { key: String, source: serde_json::Error },
    /// A value cannot be written as JSON.
    #[error("the row {key:?} cannot be written")]
    Unwritable { key: String, source: serde_json::Error },
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    /// A newer version wrote the database.
    #[error("{path} has schema {found}, this version knows {known}")]
    Newer { found: u64, known: u32, path: PathBuf },
    /// The database could not be opened again.
    #[error("the registry is closed")]
    Closed,
}

impl StoreError {
    /// A file operation that failed.
    pub(crate) fn file(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// The same for whoever starts the host, and may know what is on its disk.
    pub(crate) fn at_start(self) -> Problem {
        match &self {
            Self::File { source, .. } if !self.is_full_disk() => {
                Problem::new(ErrorCode::HostFault, format!("{self}: {source}"))
                    .with_hint("the data directory must be a folder that the host may make, read and write")
            }
            _ => self.into(),
        }
    }

    /// Whether redb will refuse everything until it is opened again.
    pub(crate) fn needs_reopening(&self) -> bool {
        matches!(
            self,
            Self::Database(redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::LockPoisoned(_))
        )
    }

    /// Whether there is no room on the disk.
    pub(crate) fn is_full_disk(&self) -> bool {
        matches!(self.io_kind(), Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    }

    fn io_kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Database(redb::Error::Io(error)) => Some(error.kind()),
            Self::File { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

impl From<Problem> for StoreError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

macro_rules! from_redb {
    ($($error:ident),+) => {
        $(impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::Database(error.into())
            }
        })+
    };
}

from_redb!(
    SetDurabilityError,
    StorageError,
    TableError,
    CommitError,
    TransactionError,
    DatabaseError,
    CompactionError
);

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_full_disk() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the disk of the data directory is full"
            );
            return Problem::new(ErrorCode::Overloaded, "the host's disk is full; nothing was changed")
                .with_hint("delete components that nothing uses, or ask the operator of the host for room");
        }
        match error {
            StoreError::Refused(problem) => problem,
            StoreError::Newer { .. } => Problem::new(ErrorCode::HostFault, error.to_string())
                .with_hint("a newer version of lockgate wrote this data directory; run that version"),
            StoreError::Database(redb::Error::DatabaseAlreadyOpen) => {
                Problem::new(ErrorCode::HostFault, "another process has the registry open")
                    .with_hint("one process at a time may use a data directory; stop the other one")
            }
            StoreError::Database(_)
            | StoreError::Damaged { .. }
            | StoreError::Unwritable { .. }
            | StoreError::File { .. }
            | StoreError::Closed => {
                let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(error = &error as &dyn std::error::Error, source, "the registry failed");
                Problem::new(ErrorCode::HostFault, "the host could not read or write its registry")
                    .with_hint("nothing was changed; the host's log says more")
            }
        }
    }
}
