//! How a registry is set up.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use lockgate_domain::Timestamp;

/// Where the time comes from; tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a registry is set up.
#[derive(Clone)]
pub struct RegistryOptions {
    /// The one folder that holds everything.
    pub data_dir: PathBuf,
    /// Bytes of the largest component that is taken.
    pub max_component_bytes: u64,
    /// The key of the secrets; `vault.key` in the data directory unless another file is named.
    pub vault_key_file: Option<PathBuf>,
    /// Entries of the audit that are kept; older ones are dropped.
    pub audit_entries: u64,
    /// Where the time comes from.
    pub clock: Clock,
}

impl RegistryOptions {
    /// The usual set-up of a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            max_component_bytes: 64 << 20,
            vault_key_file: None,
            audit_entries: 1_000_000,
            clock: Arc::new(|| Timestamp::from_system(SystemTime::now())),
        }
    }
}

impl fmt::Debug for RegistryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data_dir, max_component_bytes, vault_key_file, audit_entries, clock: _ } = self;
        f.debug_struct("RegistryOptions")
            .field("data_dir", data_dir)
            .field("max_component_bytes", max_component_bytes)
            .field("vault_key_file", vault_key_file)
            .field("audit_entries", audit_entries)
            .finish_non_exhaustive()
    }
}
