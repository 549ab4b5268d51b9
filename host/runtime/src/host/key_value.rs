//! `key-value`: the executor's own store, if the revision is granted one.
//!
//! The store may write to a disk, so it is called on a thread where blocking is allowed; a guest whose time is over
//! does not wait for it. What bounds it: bytes of a key and of a value, keys of one answer, bytes of the whole store by
//! the grant, and a price in fuel that makes a loop of writes end.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, LinkerInstance, Lower};

use super::{Host, charge};
use crate::grants::GrantedStore;
use crate::journal::{Blob, answered};
use crate::key_value::{KeyValueError, KeyValueStore};
use crate::state::InstanceState;

/// Longest key in bytes.
const KEY_BYTES: usize = 1 << 10;
/// Longest value in bytes.
const VALUE_BYTES: usize = 1 << 20;
/// Most keys of one answer.
const MOST_KEYS: u32 = 1000;
/// What an operation costs besides its bytes, in bytes moved: reading is a look into a tree, writing ends on a disk.
const READ_BYTES: u64 = 16 << 10;
const WRITE_BYTES: u64 = 512 << 10;

/// `key-value.error`
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lower, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[component(variant)]
pub(crate) enum StoreError {
    #[component(name = "denied")]
    Denied,
    #[component(name = "full")]
    Full,
    #[component(name = "invalid")]
    Invalid(String),
    #[component(name = "failed")]
    Failed(String),
}

impl From<KeyValueError> for StoreError {
    fn from(error: KeyValueError) -> Self {
        match error {
            KeyValueError::Full { .. } => StoreError::Full,
            KeyValueError::TooLarge { .. } => StoreError::Invalid(error.to_string()),
            // What the disk said is for the operator, who has it in the log.
            KeyValueError::Failed(words) => {
                tracing::error!(words, "a key-value store failed");
                StoreError::Failed("the store failed".into())
            }
        }
    }
}

pub(super) fn link(store: &mut LinkerInstance<'_, InstanceState>) -> wasmtime::Result<()> {
    store.func_wrap_async("get", |mut store: Host<'_>, (key,): (String,)| {
        Box::new(async move {
            charge(&mut store, READ_BYTES)?;
            let (asked, length) = (key.clone().into_bytes(), key.len());
            let get = move |kept: &dyn KeyValueStore, _| Ok(kept.get(&key)?.map(Blob));
            let found = run(&mut store, "key-value.get", &asked, (length, 0), get).await?;
            let found = found.map(|found| found.map(|Blob(value)| Bytes::from(value)));
            charge(&mut store, found.as_ref().ok().and_then(Option::as_ref).map_or(0, |v| v.len() as u64))?;
            Ok((found,))
        })
    })?;
    store.func_wrap_async("set", |mut store: Host<'_>, (key, value): (String, Bytes)| {
        Box::new(async move {
            charge(&mut store, WRITE_BYTES + (key.len() + value.len()) as u64)?;
            let (asked, lengths) = ([key.as_bytes(), &[0], &value].concat(), (key.len(), value.len()));
            let set = move |kept: &dyn KeyValueStore, most| kept.set(&key, &value, most);
            Ok((run(&mut store, "key-value.set", &asked, lengths, set).await?,))
        })
    })?;
    store.func_wrap_async("delete", |mut store: Host<'_>, (key,): (String,)| {
        Box::new(async move {
            charge(&mut store, WRITE_BYTES)?;
            let (asked, length) = (key.clone().into_bytes(), key.len());
            let delete = move |kept: &dyn KeyValueStore, _| kept.delete(&key);
            Ok((run(&mut store, "key-value.delete", &asked, (length, 0), delete).await?,))
        })
    })?;
    type Range = (String, Option<String>, u32);
    store.func_wrap_async("keys", |mut store: Host<'_>, (prefix, after, limit): Range| {
        Box::new(async move {
            charge(&mut store, READ_BYTES)?;
            let asked = format!("{prefix}\0{after:?}\0{limit}").into_bytes();
            let limit = limit.min(MOST_KEYS) as usize;
            let longest = after.as_ref().map_or(0, String::len).max(prefix.len()).max(1);
            let list = move |kept: &dyn KeyValueStore, _| kept.keys(&prefix, after.as_deref(), limit);
            let keys = run(&mut store, "key-value.keys", &asked, (longest, 0), list).await?;
            let bytes = |keys: &Vec<String>| keys.iter().map(|key| 16 + key.len() as u64).sum();
            charge(&mut store, keys.as_ref().map_or(0, bytes))?;
            Ok((keys,))
        })
    })
}

/// Checks the lengths and asks the store, on a thread that may block.
async fn run<T: Serialize + DeserializeOwned + Send + 'static>(
    store: &mut Host<'_>,
    call: &'static str,
    asked: &[u8],
    lengths: (usize, usize),
    ask: impl FnOnce(&dyn KeyValueStore, u64) -> Result<T, KeyValueError> + Send + 'static,
) -> wasmtime::Result<Result<T, StoreError>> {
    let granted = store.data().setting.grants.key_value.clone();
    let live = answer(granted, lengths, ask);
    Ok(answered!(store, call, asked, Ok::<_, wasmtime::Error>(live.await)))
}

async fn answer<T: Send + 'static>(
    granted: Option<GrantedStore>,
    (key, value): (usize, usize),
    ask: impl FnOnce(&dyn KeyValueStore, u64) -> Result<T, KeyValueError> + Send + 'static,
) -> Result<T, StoreError> {
    let granted = granted.ok_or(StoreError::Denied)?;
    check(key, value)?;
    let answer = tokio::task::spawn_blocking(move || {
        let kept: Arc<dyn KeyValueStore> = granted.store;
        ask(&*kept, granted.bytes)
    });
    match answer.await {
        Ok(answer) => answer.map_err(StoreError::from),
        Err(_) => Err(StoreError::Failed("the store failed".into())),
    }
}

fn check(key: usize, value: usize) -> Result<(), StoreError> {
    let too_large = |what, len: usize, limit: usize| {
        KeyValueError::TooLarge { what, len: len as u64, limit: limit as u64 }.into()
    };
    match (key, value) {
        (0, _) => Err(StoreError::Invalid("the key is empty".into())),
        (key, _) if key > KEY_BYTES => Err(too_large("the key", key, KEY_BYTES)),
        (_, value) if value > VALUE_BYTES => Err(too_large("the value", value, VALUE_BYTES)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_have_a_length() {
        assert_eq!(check(1, VALUE_BYTES), Ok(()));
        assert_eq!(check(KEY_BYTES, 0), Ok(()));
        for (key, value, words) in [
            (0, 0, "the key is empty"),
            (KEY_BYTES + 1, 0, "the key has 1025 bytes, at most 1024 are taken"),
            (1, VALUE_BYTES + 1, "the value has 1048577 bytes, at most 1048576 are taken"),
        ] {
            assert_eq!(check(key, value), Err(StoreError::Invalid(words.into())));
        }
    }
}
