//! A store of keys and values that only this executor sees; all its instances and revisions share it.
//!
//! Needs the capability `key_value`. Each function is one step of its own: there are no
//! transactions, and another instance may write between two calls. Keys have 1 to 1024 bytes,
//! values at most 1 MiB; the grant says how much there may be in all.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Code, Error, Result, host};

/// Why the host's store refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "the host in memory never fails"))]
pub(crate) enum StoreError {
    Denied,
    Full,
    Invalid(String),
    Failed(String),
}

/// Keys that one host call gives.
const PAGE: u32 = 1000;

/// The value of a key.
///
/// # Errors
/// As all functions here: `permission_denied` without the capability, `resource_exhausted` when
/// the store is full, `invalid_argument` for a bad key or value, `unavailable` when the store failed.
pub fn get(key: &str) -> Result<Option<Vec<u8>>> {
    host::store_get(key).map_err(|error| refused(error, key))
}

/// The value of a key as text.
///
/// # Errors
/// As [`get`], and `data_loss` when it is no UTF-8.
pub fn get_text(key: &str) -> Result<Option<String>> {
    let text = get(key)?.map(String::from_utf8).transpose();
    text.map_err(|_| Error::new(Code::DataLoss, format!("the value of {key:?} is no text")))
}

/// The value of a key, read as JSON.
///
/// # Errors
/// As [`get`], and `data_loss` when it is no `T`.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
    let value = get(key)?.map(|bytes| serde_json::from_slice(&bytes)).transpose();
    value.map_err(|error| Error::new(Code::DataLoss, format!("the value of {key:?}: {error}")))
}

/// Sets a key.
///
/// # Errors
/// As [`get`].
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<()> {
    host::store_set(key, value.as_ref()).map_err(|error| refused(error, key))
}

/// Sets a key to JSON.
///
/// # Errors
/// As [`get`], and `internal` for what cannot be written as JSON.
pub fn set_json(key: &str, value: &impl Serialize) -> Result<()> {
    set(key, serde_json::to_vec(value)?)
}

/// Removes a key; says whether it was there.
///
/// # Errors
/// As [`get`].
pub fn delete(key: &str) -> Result<bool> {
    host::store_delete(key).map_err(|error| refused(error, key))
}

/// All keys that begin with `prefix`, in ascending order.
///
/// # Errors
/// As [`get`].
pub fn keys(prefix: &str) -> Result<Vec<String>> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let page = keys_after(prefix, keys.last().map(String::as_str), PAGE)?;
        let is_last = page.len() < PAGE as usize;
        keys.extend(page);
        if is_last {
            return Ok(keys);
        }
    }
}

/// Keys that begin with `prefix` and come after `after`; at most `limit`, and at most 1000.
///
/// # Errors
/// As [`get`].
pub fn keys_after(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
    host::store_keys(prefix, after, limit).map_err(|error| refused(error, prefix))
}

fn refused(error: StoreError, key: &str) -> Error {
    let (code, why) = match error {
        StoreError::Denied => {
            (Code::PermissionDenied, "the executor is not granted the capability key_value".to_owned())
        }
        StoreError::Full => (Code::ResourceExhausted, "the store is full".to_owned()),
        StoreError::Invalid(why) => (Code::InvalidArgument, why),
        StoreError::Failed(why) => (Code::Unavailable, why),
    };
    let key: String = key.chars().take(80).collect();
    Error::new(code, format!("key-value store, key {key:?}: {why}"))
}
