//! One column: a name, a kind, and the values of all rows.

use std::sync::Arc;

use bytes::Bytes;

use super::links::LinkColumn;
use super::tensor::TensorColumn;
use super::text::TextColumn;

/// Kind of a column's values, as in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Kind {
    Text,
    Bytes,
    Integer,
    Number,
    Boolean,
    Json,
    Tensor,
    Link,
}

impl Kind {
    /// The contract's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Bytes => "bytes",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Json => "json",
            Kind::Tensor => "tensor",
            Kind::Link => "link",
        }
    }
}

/// Values of a column. May cover fewer rows than the list has: rows beyond hold no value.
#[derive(Debug, Clone)]
pub enum Values {
    /// UTF-8 text
    Text(TextColumn),
    /// one JSON text per row
    Json(TextColumn),
    /// binary values, shared with the message they came in
    Bytes(Arc<Vec<Option<Bytes>>>),
    /// 64-bit signed integers
    Integer(Arc<Vec<Option<i64>>>),
    /// 64-bit floats
    Number(Arc<Vec<Option<f64>>>),
    /// true or false
    Boolean(Arc<Vec<Option<bool>>>),
    /// tensors
    Tensor(TensorColumn),
    /// rows of nested documents
    Link(LinkColumn),
}

impl Values {
    /// Their kind.
    pub fn kind(&self) -> Kind {
        match self {
            Values::Text(_) => Kind::Text,
            Values::Json(_) => Kind::Json,
            Values::Bytes(_) => Kind::Bytes,
            Values::Integer(_) => Kind::Integer,
            Values::Number(_) => Kind::Number,
            Values::Boolean(_) => Kind::Boolean,
            Values::Tensor(_) => Kind::Tensor,
            Values::Link(_) => Kind::Link,
        }
    }

    /// Rows covered.
    pub fn rows(&self) -> u32 {
        let rows = match self {
            Values::Text(column) | Values::Json(column) => return column.rows(),
            Values::Tensor(column) => return column.rows(),
            Values::Link(column) => return column.rows(),
            Values::Bytes(values) => values.len(),
            Values::Integer(values) => values.len(),
            Values::Number(values) => values.len(),
            Values::Boolean(values) => values.len(),
        };
        u32::try_from(rows).unwrap_or(u32::MAX)
    }

    /// Bytes of the values, from their lengths: nothing is read or copied, and missing values of a fixed size count.
    pub fn bytes(&self) -> u64 {
        let fixed = |rows: usize, size: usize| rows.saturating_mul(size);
        let bytes = match self {
            Values::Text(column) | Values::Json(column) => column.bytes(),
            Values::Bytes(values) => values.iter().flatten().map(Bytes::len).sum(),
            Values::Integer(values) => fixed(values.len(), size_of::<i64>()),
            Values::Number(values) => fixed(values.len(), size_of::<f64>()),
            Values::Boolean(values) => values.len(),
            Values::Tensor(TensorColumn::Rows(rows)) => {
                rows.iter().flatten().map(|tensor| tensor.data().len()).sum()
            }
            Values::Tensor(TensorColumn::Stacked(tensor)) => tensor.data().len(),
            Values::Link(column) => fixed(column.targets().len(), size_of::<u32>()),
        };
        bytes as u64
    }
}

/// A named column. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Column {
    name: Arc<str>,
    hint: Option<Arc<str>>,
    nullable: bool,
    values: Values,
}

impl Column {
    /// Longest name in bytes.
    pub const MAX_NAME_BYTES: usize = 255;

    /// A column of that name.
    pub fn new(name: impl Into<Arc<str>>, values: Values) -> Self {
        Self { name: name.into(), hint: None, nullable: false, values }
    }

    /// Keeps the caller's own name for the type of the values (DocArray v2's `type`), to be echoed in the answer.
    #[must_use]
    pub fn with_hint(mut self, hint: Option<Arc<str>>) -> Self {
        self.hint = hint;
        self
    }

    /// Keeps that the caller sent documents with this field and no value in it, so its type takes none.
    #[must_use]
    pub fn with_nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// Other values for what the caller knows as this column: name, hint and whether it may be empty stay.
    #[must_use]
    pub fn with_values(&self, values: Values) -> Self {
        Self { name: self.name.clone(), hint: self.hint.clone(), nullable: self.nullable, values }
    }

    /// Whether the caller sent this field without a value.
    pub fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, shared.
    pub fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// The caller's own name for the type of the values.
    pub fn hint(&self) -> Option<&Arc<str>> {
        self.hint.as_ref()
    }

    /// The values.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The kind of the values.
    pub fn kind(&self) -> Kind {
        self.values.kind()
    }

    /// Whether a row has a value.
    pub fn has_value(&self, row: u32) -> bool {
        let row_index = row as usize;
        match &self.values {
            Values::Text(column) | Values::Json(column) => column.get(row).is_some(),
            Values::Bytes(values) => matches!(values.get(row_index), Some(Some(_))),
            Values::Integer(values) => matches!(values.get(row_index), Some(Some(_))),
            Values::Number(values) => matches!(values.get(row_index), Some(Some(_))),
            Values::Boolean(values) => matches!(values.get(row_index), Some(Some(_))),
            Values::Tensor(TensorColumn::Rows(rows)) => matches!(rows.get(row_index), Some(Some(_))),
            Values::Tensor(column @ TensorColumn::Stacked(_)) => row < column.rows(),
            Values::Link(column) => !column.get(row).is_empty(),
        }
    }

    /// Whether no row has a value.
    pub fn is_blank(&self) -> bool {
        (0..self.values.rows()).all(|row| !self.has_value(row))
    }

    /// Bytes that one more row costs by its name alone, wherever a list is written row by row.
    pub(super) fn label_bytes(&self) -> u64 {
        (self.name.len() + self.hint.as_ref().map_or(0, |hint| hint.len())) as u64
    }

    /// Bytes of one row: its value and the name before it; none without a value.
    pub(super) fn weight(&self, row: u32) -> u64 {
        if !self.has_value(row) {
            return 0;
        }
        let index = row as usize;
        let value = match &self.values {
            Values::Text(column) | Values::Json(column) => column.get(row).map_or(0, str::len) as u64,
            Values::Bytes(values) => values.get(index).and_then(Option::as_ref).map_or(0, Bytes::len) as u64,
            Values::Integer(_) | Values::Number(_) | Values::Boolean(_) => 8,
            Values::Tensor(column) => column.get(row).map_or(0, |tensor| tensor.weight()),
            Values::Link(column) => 4 * column.get(row).len() as u64,
        };
        value.saturating_add(self.label_bytes())
    }

    pub(super) fn same_values(&self, other: &Self, rows: u32) -> bool {
        if self.kind() != other.kind() {
            return self.is_blank() && other.is_blank();
        }
        (0..rows).all(|row| same_value(&self.values, &other.values, row))
    }
}

fn same_value(a: &Values, b: &Values, row: u32) -> bool {
    fn at<T: Clone>(values: &[Option<T>], row: u32) -> Option<T> {
        values.get(row as usize).cloned().flatten()
    }
    match (a, b) {
        (Values::Text(a), Values::Text(b)) => a.get(row) == b.get(row),
        (Values::Json(a), Values::Json(b)) => {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            a.get(row) == b.get(row) || a.get(row).map(parse) == b.get(row).map(parse)
        }
        (Values::Bytes(a), Values::Bytes(b)) => at(a, row) == at(b, row),
        (Values::Integer(a), Values::Integer(b)) => at(a, row) == at(b, row),
        (Values::Number(a), Values::Number(b)) => {
            at(a, row).map(f64::to_bits) == at(b, row).map(f64::to_bits)
        }
        (Values::Boolean(a), Values::Boolean(b)) => at(a, row) == at(b, row),
        (Values::Tensor(a), Values::Tensor(b)) => a.get(row) == b.get(row),
        (Values::Link(a), Values::Link(b)) => a.get(row) == b.get(row),
        _ => false,
    }
}
