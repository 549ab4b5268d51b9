//! Rows: keys of names joined by `/`, values as JSON, and scans that cannot leave their prefix.
//!
//! No name holds a `/` (`domain::ids`), so the rows of one tenant are exactly those under `tenant/`. JSON keeps the rows
//! readable and lets a newer version add fields.

use std::fmt;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// Where a row is: parts joined by `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowKey(String);

impl RowKey {
    /// Of these parts.
    pub(crate) fn of(parts: &[&dyn fmt::Display]) -> Self {
        let mut text = String::new();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                text.push('/');
            }
            text.push_str(&part.to_string());
        }
        Self(text)
    }

    /// What all rows below begin with.
    fn prefix(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("{}/", self.0) }
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A transaction that can be read: of either kind.
pub(crate) trait Source {
    /// The tables it opens.
    type Table<'a, K: Key + 'static>: ReadableTable<K, &'static [u8]>
    where
        Self: 'a;
    /// Opens a table.
    fn table<K: Key + 'static>(
        &self,
        definition: TableDefinition<'static, K, &'static [u8]>,
    ) -> Result<Self::Table<'_, K>, StoreError>;
}

impl Source for ReadTransaction {
    type Table<'a, K: Key + 'static> = ReadOnlyTable<K, &'static [u8]>;
    fn table<K: Key + 'static>(
        &self,
        definition: TableDefinition<'static, K, &'static [u8]>,
    ) -> Result<Self::Table<'_, K>, StoreError> {
        Ok(self.open_table(definition)?)
    }
}

impl Source for WriteTransaction {
    type Table<'a, K: Key + 'static> = Table<'a, K, &'static [u8]>;
    fn table<K: Key + 'static>(
        &self,
        definition: TableDefinition<'static, K, &'static [u8]>,
    ) -> Result<Self::Table<'_, K>, StoreError> {
        Ok(self.open_table(definition)?)
    }
}

/// One table: rows of one type.
pub(crate) struct Shelf<V> {
    definition: TableDefinition<'static, &'static str, &'static [u8]>,
    row: PhantomData<fn() -> V>,
}

impl<V> Shelf<V> {
    /// The table of this name.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { definition: TableDefinition::new(name), row: PhantomData }
    }

    /// The table, for what goes over rows as they are.
    pub(crate) fn definition(&self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        self.definition
    }
}

impl<V: Serialize + DeserializeOwned> Shelf<V> {
    /// The row, if it is there.
    pub(crate) fn get(&self, source: &impl Source, key: &RowKey) -> Result<Option<V>, StoreError> {
        let table = source.table(self.definition)?;
        let found = table.get(key.0.as_str())?;
        found.map(|bytes| decode(&key.0, bytes.value())).transpose()
    }

    /// Writes the row. Returns by how many bytes the table grew.
    pub(crate) fn put(
        &self,
        transaction: &WriteTransaction,
        key: &RowKey,
        row: &V,
    ) -> Result<i64, StoreError> {
        let bytes = serde_json::to_vec(row)
            .map_err(|source| StoreError::Unwritable { key: key.0.clone(), source })?;
        let mut table = transaction.open_table(self.definition)?;
        let before = table.insert(key.0.as_str(), bytes.as_slice())?.map_or(0, |old| size(old.value()));
        Ok(size(&bytes) - before)
    }

    /// Removes the row. Returns by how many bytes the table grew: zero or less.
    pub(crate) fn remove(&self, transaction: &WriteTransaction, key: &RowKey) -> Result<i64, StoreError> {
        let mut table = transaction.open_table(self.definition)?;
        Ok(-table.remove(key.0.as_str())?.map_or(0, |old| size(old.value())))
    }

    /// Removes all rows below `under`. Returns by how many bytes the table grew: zero or less.
    pub(crate) fn remove_below(
        &self,
        transaction: &WriteTransaction,
        under: &RowKey,
    ) -> Result<i64, StoreError> {
        let mut table = transaction.open_table(self.definition)?;
        let (prefix, mut freed) = (under.prefix(), 0);
        let end = end_of(&prefix);
        table.retain_in::<&str, _>(prefix.as_str()..end.as_str(), |_, bytes| {
            freed += size(bytes);
            false
        })?;
        Ok(-freed)
    }

    /// Shows the rows below `under`, in order, from the first after `after`, until `take` breaks. `take` gets the part of
    /// the key below `under`. One row is in memory at a time.
    pub(crate) fn scan(
        &self,
        source: &impl Source,
        under: &RowKey,
        after: Option<&str>,
        mut take: impl FnMut(&str, V) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        self.scan_raw(source, under, after, |below, bytes| take(below, decode(below, bytes)?))
    }

    fn scan_raw(
        &self,
        source: &impl Source,
        under: &RowKey,
        after: Option<&str>,
        mut take: impl FnMut(&str, &[u8]) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let table = source.table(self.definition)?;
        let prefix = under.prefix();
        let (start, end) = (format!("{prefix}{}", after.unwrap_or_default()), end_of(&prefix));
        for entry in table.range::<&str>(start.as_str()..end.as_str())? {
            let (key, bytes) = entry?;
            let below = key.value().strip_prefix(prefix.as_str()).unwrap_or_default();
            if after.is_some_and(|after| below <= after) {
                continue;
            }
            if take(below, bytes.value())?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// As `scan`, from the last to the first, beginning before `before`.
    pub(crate) fn scan_back(
        &self,
        source: &impl Source,
        under: &RowKey,
        before: Option<&str>,
        mut take: impl FnMut(&str, V) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let table = source.table(self.definition)?;
        let prefix = under.prefix();
        let end = before.map_or_else(|| end_of(&prefix), |before| format!("{prefix}{before}"));
        for entry in table.range::<&str>(prefix.as_str()..end.as_str())?.rev() {
            let (key, bytes) = entry?;
            let below = key.value().strip_prefix(prefix.as_str()).unwrap_or_default();
            if take(below, decode(key.value(), bytes.value())?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// All rows below `under`, in order. Only for tables whose rows per prefix are bounded.
    pub(crate) fn all(&self, source: &impl Source, under: &RowKey) -> Result<Vec<V>, StoreError> {
        let mut rows = Vec::new();
        self.scan(source, under, None, |_, row| {
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// The names (parts of the key) below `under`, in order.
    pub(crate) fn names(&self, source: &impl Source, under: &RowKey) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        self.scan_raw(source, under, None, |name, _| {
            names.push(name.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(names)
    }

    /// Whether there is any row below `under`.
    pub(crate) fn any(&self, source: &impl Source, under: &RowKey) -> Result<bool, StoreError> {
        let mut found = false;
        self.scan_raw(source, under, None, |_, _| {
            found = true;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

/// The first key after all that begin with a prefix: `0` follows `/`. Of the empty prefix, a key that no name reaches.
fn end_of(prefix: &str) -> String {
    match prefix.strip_suffix('/') {
        Some(stem) => format!("{stem}0"),
        None => char::MAX.to_string(),
    }
}

fn decode<V: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<V, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Damaged { key: key.to_owned(), source })
}

fn size(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}
