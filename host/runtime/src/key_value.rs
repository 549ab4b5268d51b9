//! The key-value store of one executor, as the runtime needs it: the consumer's trait; and one in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::RwLock;

/// What is kept for one executor; all its revisions and instances see the same.
///
/// Called where blocking is allowed, by several calls at once. Keys and values have been checked for their length.
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

/// A store that lives as long as it is held: for a flow of the host's owner, and for tests.
#[derive(Debug, Default)]
pub struct MemoryStore(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    values: BTreeMap<String, Vec<u8>>,
    bytes: u64,
}

fn weight(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

impl KeyValueStore for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(self.0.read().values.get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], most_bytes: u64) -> Result<(), KeyValueError> {
        let mut kept = self.0.write();
        let before = kept.values.get(key).map_or(0, |before| weight(key, before));
        let bytes = kept.bytes.saturating_sub(before).saturating_add(weight(key, value));
        // What is too much already, after a smaller grant, may shrink.
        if bytes > most_bytes && bytes > kept.bytes {
            return Err(KeyValueError::Full { limit: most_bytes });
        }
        kept.values.insert(key.to_owned(), value.to_vec());
        kept.bytes = bytes;
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<bool, KeyValueError> {
        let mut kept = self.0.write();
        let Some(value) = kept.values.remove(key) else { return Ok(false) };
        kept.bytes = kept.bytes.saturating_sub(weight(key, &value));
        Ok(true)
    }

    fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, KeyValueError> {
        let kept = self.0.read();
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let keys = kept.values.range::<str, _>((start, Bound::Unbounded)).map(|(key, _)| key);
        Ok(keys.take_while(|key| key.starts_with(prefix)).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_in_memory_keeps_to_its_bytes_and_lists_in_order() {
        let store = MemoryStore::default();
        for key in ["b/2", "a/1", "b/1", "c"] {
            store.set(key, b"12345", 100).unwrap();
        }
        let keys = |prefix, after, limit| store.keys(prefix, after, limit).unwrap();
        assert_eq!(keys("", None, 10), ["a/1", "b/1", "b/2", "c"]);
        assert_eq!(keys("b/", None, 10), ["b/1", "b/2"]);
        assert_eq!(keys("b/", Some("b/1"), 10), ["b/2"]);
        assert_eq!(keys("b/", Some("a"), 1), ["b/1"]);
        assert_eq!(keys("b/", Some("c"), 10), Vec::<String>::new());
        assert_eq!(store.set("d", b"12345", 31), Err(KeyValueError::Full { limit: 31 }));
        assert_eq!(store.set("c", b"1234", 10), Ok(()), "what shrinks is taken");
        assert_eq!(store.set("d", b"", 31), Ok(()));
        assert_eq!(store.delete("c"), Ok(true));
        assert_eq!(store.delete("c"), Ok(false));
        assert_eq!(store.get("b/1"), Ok(Some(b"12345".to_vec())));
        assert_eq!(store.get("c"), Ok(None));
    }
}
