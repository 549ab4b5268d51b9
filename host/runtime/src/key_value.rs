//! The key-value store of one executor, as the runtime needs it: the consumer's trait.

/// What is kept for one executor; all its revisions and instances see the same.
pub trait KeyValueStore: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError>;
    /// Sets a key; `most_bytes` bounds all keys and values together.
    fn set(&self, key: &str, value: &[u8], most_bytes: u64) -> Result<(), KeyValueError>;
    /// Removes a key; says whether it was there.
    fn delete(&self, key: &str) -> Result<bool, KeyValueError>;
    /// Keys with this prefix, in order, after `after`; at most `limit`.
    fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, KeyValueError>;
}

/// Why a key-value operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
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
