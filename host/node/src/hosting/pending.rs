//! What the runtime is about to have: until then no capability is granted to anybody, so these are never asked.
use lockgate_runtime::{KeyValueError, KeyValueStore};
#[derive(Debug, Clone, Default)]
pub(crate) struct EgressAllowance(());
impl EgressAllowance {
    pub(crate) fn set(&self, _: u64) {}
}
#[derive(Debug, Default)]
pub(crate) struct MemoryStore(());
impl KeyValueStore for MemoryStore {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(None)
    }
    fn set(&self, _: &str, _: &[u8], _: u64) -> Result<(), KeyValueError> {
        Ok(())
    }
    fn delete(&self, _: &str) -> Result<bool, KeyValueError> {
        Ok(false)
    }
    fn keys(&self, _: &str, _: Option<&str>, _: usize) -> Result<Vec<String>, KeyValueError> {
        Ok(Vec::new())
    }
}
