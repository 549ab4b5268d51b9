//! Columns in memory, with the contract's rules on kinds, ranges and values.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use crate::host::{Access, AccessError};
use crate::{Kind, Tensor};

/// Rows that a table holds at most: more than any test needs, and far from overflow.
const MAX_ROWS: u32 = 1 << 24;

/// The documents of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    listed: u32,
    total: u32,
    columns: BTreeMap<String, Values>,
    selected: Option<Vec<u32>>,
}

/// The values of one column; shorter than the table when the last rows hold none.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    Text(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Integer(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Boolean(Vec<Option<bool>>),
    Json(Vec<Option<String>>),
    Tensor(Vec<Option<Tensor>>),
    Link(Vec<Vec<u32>>),
}

/// The same work for every kind of values.
macro_rules! each {
    ($values:expr, $bound:ident => $work:expr) => {
        match $values {
            Values::Text($bound) => $work,
            Values::Bytes($bound) => $work,
            Values::Integer($bound) => $work,
            Values::Number($bound) => $work,
            Values::Boolean($bound) => $work,
            Values::Json($bound) => $work,
            Values::Tensor($bound) => $work,
            Values::Link($bound) => $work,
        }
    };
}

impl Table {
    /// A table of this many listed documents.
    pub(crate) fn listing(rows: u32) -> Access<Self> {
        let mut table = Self::default();
        table.append(rows)?;
        table.listed = rows;
        Ok(table)
    }

    pub(crate) const fn len(&self) -> u32 {
        self.listed
    }

    pub(crate) const fn total(&self) -> u32 {
        self.total
    }

    pub(crate) fn columns(&self) -> Vec<(String, Kind)> {
        self.columns.iter().map(|(name, values)| (name.clone(), values.kind())).collect()
    }

    /// The reply's rows.
    pub(crate) fn reply_rows(&self) -> Vec<u32> {
        self.selected.clone().unwrap_or_else(|| (0..self.listed).collect())
    }

    /// The values of a range, `None` when the column does not exist.
    pub(crate) fn get(&self, column: &str, start: u32, count: u32) -> Access<Option<Values>> {
        let end = self.end(start, count as usize)?;
        Ok(self.columns.get(column).map(|values| values.part(start as usize, end)))
    }

    pub(crate) fn set(&mut self, column: &str, start: u32, values: Values) -> Access<()> {
        self.end(start, each!(&values, values => values.len()))?;
        values.check(self.total)?;
        match self.columns.get_mut(column) {
            Some(existing) => existing.put(start as usize, values),
            None => {
                let mut fresh = values.emptied();
                fresh.put(start as usize, values)?;
                self.columns.insert(column.into(), fresh);
                Ok(())
            }
        }
    }

    pub(crate) fn append(&mut self, count: u32) -> Access<u32> {
        let first = self.total;
        self.total =
            first.checked_add(count).filter(|total| *total <= MAX_ROWS).ok_or(AccessError::TooLarge)?;
        let ids = (first..self.total).map(|row| Some(format!("id-{row}"))).collect();
        self.set("id", first, Values::Text(ids))?;
        Ok(first)
    }

    pub(crate) fn select(&mut self, rows: &[u32]) -> Access<()> {
        self.check_rows(rows)?;
        self.selected = Some(rows.to_vec());
        Ok(())
    }

    pub(crate) fn check_rows(&self, rows: &[u32]) -> Access<()> {
        if rows.iter().all(|row| *row < self.total) { Ok(()) } else { Err(AccessError::OutOfRange) }
    }

    fn end(&self, start: u32, count: usize) -> Access<usize> {
        let end = (start as usize).checked_add(count).ok_or(AccessError::OutOfRange)?;
        if end <= self.total as usize { Ok(end) } else { Err(AccessError::OutOfRange) }
    }
}

impl Values {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::Integer(_) => Kind::Integer,
            Self::Number(_) => Kind::Number,
            Self::Boolean(_) => Kind::Boolean,
            Self::Json(_) => Kind::Json,
            Self::Tensor(_) => Kind::Tensor,
            Self::Link(_) => Kind::Link,
        }
    }

    fn emptied(&self) -> Self {
        match self {
            Self::Text(_) => Self::Text(Vec::new()),
            Self::Bytes(_) => Self::Bytes(Vec::new()),
            Self::Integer(_) => Self::Integer(Vec::new()),
            Self::Number(_) => Self::Number(Vec::new()),
            Self::Boolean(_) => Self::Boolean(Vec::new()),
            Self::Json(_) => Self::Json(Vec::new()),
            Self::Tensor(_) => Self::Tensor(Vec::new()),
            Self::Link(_) => Self::Link(Vec::new()),
        }
    }

    fn part(&self, start: usize, end: usize) -> Self {
        let mut part = self.clone();
        each!(&mut part, values => {
            values.resize_with(values.len().max(end), Default::default);
            values.truncate(end);
            values.drain(..start);
        });
        part
    }

    fn put(&mut self, start: usize, written: Self) -> Access<()> {
        macro_rules! same_kind {
            ($($kind:ident)*) => {
                match (self, written) {
                    $((Self::$kind(values), Self::$kind(written)) => {
                        let end = start + written.len();
                        values.resize_with(values.len().max(end), Default::default);
                        values.splice(start..end, written);
                        Ok(())
                    })*
                    _ => Err(AccessError::WrongKind),
                }
            };
        }
        same_kind!(Text Bytes Integer Number Boolean Json Tensor Link)
    }

    fn check(&self, total: u32) -> Access<()> {
        match self {
            Self::Json(texts) => {
                let is_json = |text: &String| serde_json::from_str::<IgnoredAny>(text).is_ok();
                if texts.iter().flatten().all(is_json) { Ok(()) } else { Err(AccessError::Invalid) }
            }
            Self::Link(links) if links.iter().flatten().any(|row| *row >= total) => {
                Err(AccessError::OutOfRange)
            }
            _ => Ok(()),
        }
    }
}
