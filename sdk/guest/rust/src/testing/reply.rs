//! What a caller would get back, in forms that a test compares in one line.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::column::parse_json;
use crate::host::Access;
use crate::testing::state::{State, enter};
use crate::testing::table::{Table, Values};
use crate::{Document, Documents, Error, Result};

/// Nested levels that are rendered; deeper ones, and cycles, end there.
const MAX_LEVELS: usize = 16;

/// The reply's documents, what was given beside them, what was emitted before, and what the call asked of the host.
#[derive(Clone, Debug)]
pub struct Reply {
    table: Table,
    rows: Vec<u32>,
    emitted: Vec<Vec<Value>>,
    results: Option<Value>,
    host_calls: Vec<&'static str>,
}

impl Reply {
    pub(crate) fn new(state: &mut State) -> Self {
        let table = std::mem::take(&mut state.table);
        let rows = table.reply_rows();
        let emitted = std::mem::take(&mut state.emitted);
        let results = state.results.take();
        Self { table, rows, emitted, results, host_calls: std::mem::take(&mut state.host_calls) }
    }

    /// Number of documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The texts, empty where a document has none.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.column("text").into_iter().map(|value| value.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The tags, `null` where a document has none.
    #[must_use]
    pub fn tags(&self) -> Vec<Value> {
        self.column("tags")
    }

    /// Any column as JSON values, `null` where a document holds no value.
    #[must_use]
    pub fn column(&self, name: &str) -> Vec<Value> {
        self.rows.iter().map(|row| value(&self.table, name, *row, 0)).collect()
    }

    /// A json column as `T`.
    ///
    /// # Errors
    /// `invalid_argument` when a value is no `T`.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>> {
        self.column(name)
            .into_iter()
            .map(|value| parse_json(&value.to_string(), || name.to_owned()))
            .collect()
    }

    /// Every document as JSON, nested ones included, without columns that hold no value.
    #[must_use]
    pub fn documents(&self) -> Vec<Value> {
        self.rows.iter().map(|row| render(&self.table, *row)).collect()
    }

    /// The documents as a type.
    ///
    /// # Errors
    /// Those of [`Documents::read`].
    pub fn read<T: Document>(&self) -> Result<Vec<T>> {
        let state = State { table: self.table.clone(), ..State::default() };
        let read = |row: &u32| {
            let row = *row as usize;
            crate::Span::rows(&(row..row.saturating_add(1)))?.read::<T>()
        };
        let (_, lists) = enter(state, || self.rows.iter().map(read).collect::<Result<Vec<_>>>());
        Ok(lists?.into_iter().flatten().collect())
    }

    /// The lists that were emitted, as JSON.
    #[must_use]
    pub fn emitted(&self) -> &[Vec<Value>] {
        &self.emitted
    }

    /// What was given beside the documents, `None` if nothing was.
    #[must_use]
    pub fn results(&self) -> Option<&Value> {
        self.results.as_ref()
    }

    /// The host calls of the endpoint, by the contract's names with underscores: what it cost.
    #[must_use]
    pub fn host_calls(&self) -> &[&'static str] {
        &self.host_calls
    }
}

/// One document as JSON.
pub(crate) fn render(table: &Table, row: u32) -> Value {
    document(table, row, 0)
}

/// Typed documents as a request's table.
pub(crate) fn tabulate<T: Document>(values: Vec<T>) -> Result<Table> {
    let rows = u32::try_from(values.len()).map_err(|_| Error::resource_exhausted("too many documents"))?;
    let table = Table::listing(rows).map_err(|_| Error::resource_exhausted("too many documents"))?;
    let (state, written) = enter(State { table, ..State::default() }, || Documents::new().write(values));
    written.map(|()| state.table)
}

fn document(table: &Table, row: u32, level: usize) -> Value {
    let names = table.columns().into_iter().map(|(name, _)| name);
    let fields = names.filter_map(|name| {
        let value = value(table, &name, row, level);
        (!value.is_null()).then_some((name, value))
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

fn value(table: &Table, name: &str, row: u32, level: usize) -> Value {
    let values: Access<Option<Values>> = table.get(name, row, 1);
    let Ok(Some(values)) = values else { return Value::Null };
    match values {
        Values::Text(values) => json!(values.first()),
        Values::Bytes(values) => json!(values.first()),
        Values::Integer(values) => json!(values.first()),
        Values::Number(values) => json!(values.first()),
        Values::Boolean(values) => json!(values.first()),
        Values::Json(values) => values
            .into_iter()
            .flatten()
            .next()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
        Values::Tensor(values) => {
            json!(values.into_iter().flatten().next().map(|tensor| tensor.to_f32().ok()))
        }
        Values::Link(values) => {
            let rows = values.into_iter().flatten().collect::<Vec<_>>();
            if rows.is_empty() || level >= MAX_LEVELS {
                return Value::Null;
            }
            rows.into_iter().map(|row| document(table, row, level + 1)).collect()
        }
    }
}
