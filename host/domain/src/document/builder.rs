//! Builds a list document by document: what decoders of wire formats write into.
//!
//! Rows come in any order, nested ones between their parents' fields; `finish` puts them into canonical order. Values
//! of one name but of several kinds meet in the wild (a schema-less field that is 1 here and "one" there): they widen
//! to number, then to JSON; only what has no JSON form (blobs, tensors, links) refuses to be mixed.

use std::sync::Arc;

use bytes::Bytes;

use super::arrange::{ArrangeError, arrange};
use super::column::{Column, Kind, Values};
use super::links::LinkColumn;
use super::tensor::{Tensor, TensorColumn};
use super::text::TextPacker;
use super::{DocumentList, names};
use crate::limits::Limits;

/// Fields per document when the list is as long as allowed; shorter lists may have more.
const CELLS_PER_DOCUMENT: u64 = 32;

/// Why documents make no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Two kinds under one name that cannot be reconciled.
    #[error("field {name:?} holds {first} in one document and {second} in another", first = first.as_str(), second = second.as_str())]
    MixedKinds {
        /// the field
        name: String,
        /// the kind met first
        first: Kind,
        /// the other one
        second: Kind,
    },
    /// A well-known field with a value it cannot hold.
    #[error("field {name:?} holds {given}, expected {expected}", given = given.as_str(), expected = expected.as_str())]
    WrongKind {
        /// the field
        name: String,
        /// what it always holds
        expected: Kind,
        /// what was given
        given: Kind,
    },
    /// More fields than a list may have.
    #[error("the documents have more than {limit} different fields")]
    TooManyColumns {
        /// the limit
        limit: u32,
    },
    /// Many documents with many different fields.
    #[error("{rows} documents with {columns} different fields are too many cells")]
    TooManyCells {
        /// documents so far
        rows: u32,
        /// fields so far
        columns: usize,
    },
    /// A field's name is empty or too long.
    #[error("a field name has 1 to {limit} bytes, one with {len} was given", limit = Column::MAX_NAME_BYTES)]
    BadName {
        /// bytes given
        len: usize,
    },
    /// Too many documents, too deep, or too much text.
    #[error("the documents do not fit")]
    Arrange(#[from] ArrangeError),
}

/// Collects documents. Limits apply while it grows, so that a hostile message is refused early.
#[derive(Debug)]
pub struct DocumentListBuilder {
    rows: u32,
    roots: Vec<u32>,
    columns: Vec<Draft>,
    /// Where the last field was found: documents repeat their fields in one order.
    cursor: usize,
    /// Names that no value has come for yet.
    declared: Vec<Arc<str>>,
    limits: Limits,
}

#[derive(Debug)]
struct Draft {
    name: Arc<str>,
    hint: Option<Arc<str>>,
    nullable: bool,
    values: DraftValues,
}

#[derive(Debug)]
enum DraftValues {
    Text(Spans),
    Json(Spans),
    Bytes(Vec<Option<Bytes>>),
    Integer(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Boolean(Vec<Option<bool>>),
    Tensor(Vec<Option<Tensor>>),
    Link(Vec<Vec<u32>>, bool),
}

/// Texts in the order they came, and where each row's text is.
#[derive(Debug, Default)]
struct Spans {
    data: String,
    spans: Vec<Option<(usize, usize)>>,
}

impl DocumentListBuilder {
    /// An empty list that keeps `limits.documents` and `limits.columns`.
    pub fn new(limits: Limits) -> Self {
        Self { rows: 0, roots: Vec::new(), columns: Vec::new(), cursor: 0, declared: Vec::new(), limits }
    }

    /// Adds a document to the list; gives its row.
    pub fn push_root(&mut self) -> Result<u32, BuildError> {
        let row = self.push_nested()?;
        self.roots.push(row);
        Ok(row)
    }

    /// Adds a nested document; gives the row that a link can name.
    pub fn push_nested(&mut self) -> Result<u32, BuildError> {
        if self.rows >= self.limits.documents {
            return Err(ArrangeError::TooManyDocuments { limit: self.limits.documents }.into());
        }
        let row = self.rows;
        self.rows += 1;
        self.check_cells()?;
        Ok(row)
    }

    /// Names a field of which a document has no value, so that answers can say so. Without a value in any document its
    /// column is blank and its kind undecided: whoever writes first decides it.
    pub fn declare(&mut self, name: &str) -> Result<(), BuildError> {
        if let Some(draft) = self.columns.iter_mut().find(|draft| &*draft.name == name) {
            draft.nullable = true;
            return Ok(());
        }
        if self.declared.iter().any(|declared| &**declared == name) {
            return Ok(());
        }
        if self.columns.len() + self.declared.len() >= self.limits.columns as usize {
            return Err(BuildError::TooManyColumns { limit: self.limits.columns });
        }
        if name.is_empty() || name.len() > Column::MAX_NAME_BYTES {
            return Err(BuildError::BadName { len: name.len() });
        }
        self.declared.push(name.into());
        Ok(())
    }

    /// Keeps the caller's own type name of a field, if the field has a column.
    pub fn set_hint(&mut self, name: &str, hint: &str) {
        if let Some(draft) = self.columns.iter_mut().find(|draft| &*draft.name == name)
            && draft.hint.as_deref() != Some(hint)
        {
            draft.hint = Some(hint.into());
        }
    }

    /// Sets a text.
    pub fn set_text(&mut self, name: &str, row: u32, text: &str) -> Result<(), BuildError> {
        match &mut self.draft(name, Kind::Text)?.values {
            DraftValues::Text(spans) => spans.set(row, text),
            DraftValues::Json(spans) => spans.set(row, &json_text(text)),
            _ => {}
        }
        Ok(())
    }

    /// Sets a JSON value. `text` must be JSON: decoders have parsed or written it themselves.
    pub fn set_json(&mut self, name: &str, row: u32, text: &str) -> Result<(), BuildError> {
        if let DraftValues::Json(spans) = &mut self.draft(name, Kind::Json)?.values {
            spans.set(row, text);
        }
        Ok(())
    }

    /// Sets a binary value.
    pub fn set_bytes(&mut self, name: &str, row: u32, value: Bytes) -> Result<(), BuildError> {
        if let DraftValues::Bytes(values) = &mut self.draft(name, Kind::Bytes)?.values {
            put(values, row, value);
        }
        Ok(())
    }

    /// Sets an integer.
    pub fn set_integer(&mut self, name: &str, row: u32, value: i64) -> Result<(), BuildError> {
        match &mut self.draft(name, Kind::Integer)?.values {
            DraftValues::Integer(values) => put(values, row, value),
            DraftValues::Number(values) => put(values, row, value as f64),
            DraftValues::Json(spans) => spans.set(row, &value.to_string()),
            _ => {}
        }
        Ok(())
    }

    /// Sets a number.
    pub fn set_number(&mut self, name: &str, row: u32, value: f64) -> Result<(), BuildError> {
        match &mut self.draft(name, Kind::Number)?.values {
            DraftValues::Number(values) => put(values, row, value),
            DraftValues::Json(spans) => spans.set(row, &number_text(value)),
            _ => {}
        }
        Ok(())
    }

    /// Sets a boolean.
    pub fn set_boolean(&mut self, name: &str, row: u32, value: bool) -> Result<(), BuildError> {
        match &mut self.draft(name, Kind::Boolean)?.values {
            DraftValues::Boolean(values) => put(values, row, value),
            DraftValues::Json(spans) => spans.set(row, if value { "true" } else { "false" }),
            _ => {}
        }
        Ok(())
    }

    /// Sets a tensor.
    pub fn set_tensor(&mut self, name: &str, row: u32, value: Tensor) -> Result<(), BuildError> {
        if let DraftValues::Tensor(values) = &mut self.draft(name, Kind::Tensor)?.values {
            put(values, row, value);
        }
        Ok(())
    }

    /// Sets a document's nested documents. `single` marks a field that holds one document and not a list.
    pub fn set_links(
        &mut self,
        name: &str,
        row: u32,
        targets: Vec<u32>,
        single: bool,
    ) -> Result<(), BuildError> {
        if let DraftValues::Link(lists, is_single) = &mut self.draft(name, Kind::Link)?.values {
            *is_single = (*is_single || lists.is_empty()) && single;
            if lists.len() <= row as usize {
                lists.resize(row as usize + 1, Vec::new());
            }
            if let Some(slot) = lists.get_mut(row as usize) {
                *slot = targets;
            }
        }
        Ok(())
    }

    /// The list, in canonical order.
    pub fn finish(mut self) -> Result<DocumentList, BuildError> {
        for name in std::mem::take(&mut self.declared) {
            match self.columns.iter_mut().find(|draft| draft.name == name) {
                Some(draft) => draft.nullable = true,
                None => {
                    let kind = names::well_known_kind(&name).unwrap_or(Kind::Json);
                    let values = DraftValues::empty(kind);
                    self.columns.push(Draft { name, hint: None, nullable: true, values });
                }
            }
        }
        let columns = self.columns.into_iter().map(Draft::seal).collect::<Result<Vec<_>, _>>()?;
        Ok(arrange(&self.roots, self.rows, columns, &self.limits, 0)?)
    }

    /// The draft of that name, made ready for a value of `kind`: created, or widened.
    fn draft(&mut self, name: &str, kind: Kind) -> Result<&mut Draft, BuildError> {
        let index = match self.columns.get(self.cursor) {
            Some(draft) if &*draft.name == name => self.cursor,
            _ => match self.columns.iter().position(|draft| &*draft.name == name) {
                Some(index) => index,
                None => self.create(name, kind)?,
            },
        };
        self.cursor = if index + 1 < self.columns.len() { index + 1 } else { 0 };
        let limit = self.limits.columns;
        let draft = self.columns.get_mut(index).ok_or(BuildError::TooManyColumns { limit })?;
        draft.accept(kind)?;
        Ok(draft)
    }

    fn create(&mut self, name: &str, kind: Kind) -> Result<usize, BuildError> {
        if self.columns.len() >= self.limits.columns as usize {
            return Err(BuildError::TooManyColumns { limit: self.limits.columns });
        }
        if name.is_empty() || name.len() > Column::MAX_NAME_BYTES {
            return Err(BuildError::BadName { len: name.len() });
        }
        if let Some(expected) = names::well_known_kind(name)
            && expected != kind
        {
            return Err(BuildError::WrongKind { name: name.to_owned(), expected, given: kind });
        }
        self.columns.push(Draft {
            name: name.into(),
            hint: None,
            nullable: false,
            values: DraftValues::empty(kind),
        });
        self.check_cells()?;
        Ok(self.columns.len() - 1)
    }

    /// Bounds rows times columns: a small message could else blow up into a huge, mostly empty table.
    fn check_cells(&self) -> Result<(), BuildError> {
        let cells = u64::from(self.rows) * self.columns.len() as u64;
        if cells > u64::from(self.limits.documents) * CELLS_PER_DOCUMENT {
            return Err(BuildError::TooManyCells { rows: self.rows, columns: self.columns.len() });
        }
        Ok(())
    }
}

impl Draft {
    /// Makes room for a value of `kind`, widening the column where there is a common kind.
    fn accept(&mut self, kind: Kind) -> Result<(), BuildError> {
        let own = self.values.kind();
        if own == kind
            || (own == Kind::Json && is_scalar(kind))
            || (own == Kind::Number && kind == Kind::Integer)
        {
            return Ok(());
        }
        if let Some(expected) = names::well_known_kind(&self.name) {
            return Err(BuildError::WrongKind { name: self.name.to_string(), expected, given: kind });
        }
        if let (DraftValues::Integer(values), Kind::Number) = (&self.values, kind) {
            self.values = DraftValues::Number(values.iter().map(|v| v.map(|v| v as f64)).collect());
            return Ok(());
        }
        if is_scalar(own) && (is_scalar(kind) || kind == Kind::Json) {
            self.values = DraftValues::Json(self.values.as_json());
            return Ok(());
        }
        Err(BuildError::MixedKinds { name: self.name.to_string(), first: own, second: kind })
    }

    fn seal(self) -> Result<Column, BuildError> {
        let too_large = || ArrangeError::TextTooLarge { column: self.name.to_string() };
        let values = match self.values {
            DraftValues::Text(spans) => Values::Text(spans.seal().map_err(|_| too_large())?),
            DraftValues::Json(spans) => Values::Json(spans.seal().map_err(|_| too_large())?),
            DraftValues::Bytes(values) => Values::Bytes(Arc::new(values)),
            DraftValues::Integer(values) => Values::Integer(Arc::new(values)),
            DraftValues::Number(values) => Values::Number(Arc::new(values)),
            DraftValues::Boolean(values) => Values::Boolean(Arc::new(values)),
            DraftValues::Tensor(values) => Values::Tensor(TensorColumn::Rows(Arc::new(values))),
            DraftValues::Link(lists, single) => {
                Values::Link(LinkColumn::pack(lists.iter().map(Vec::as_slice)).with_single(single))
            }
        };
        Ok(Column::new(self.name, values).with_hint(self.hint).with_nullable(self.nullable))
    }
}

impl DraftValues {
    fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Text => DraftValues::Text(Spans::default()),
            Kind::Json => DraftValues::Json(Spans::default()),
            Kind::Bytes => DraftValues::Bytes(Vec::new()),
            Kind::Integer => DraftValues::Integer(Vec::new()),
            Kind::Number => DraftValues::Number(Vec::new()),
            Kind::Boolean => DraftValues::Boolean(Vec::new()),
            Kind::Tensor => DraftValues::Tensor(Vec::new()),
            Kind::Link => DraftValues::Link(Vec::new(), false),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            DraftValues::Text(_) => Kind::Text,
            DraftValues::Json(_) => Kind::Json,
            DraftValues::Bytes(_) => Kind::Bytes,
            DraftValues::Integer(_) => Kind::Integer,
            DraftValues::Number(_) => Kind::Number,
            DraftValues::Boolean(_) => Kind::Boolean,
            DraftValues::Tensor(_) => Kind::Tensor,
            DraftValues::Link(..) => Kind::Link,
        }
    }

    /// Scalars written as JSON texts; other kinds have no rows here because they are never widened.
    fn as_json(&self) -> Spans {
        fn spans<T>(values: &[Option<T>], write: impl Fn(&T) -> String) -> Spans {
            let mut spans = Spans::default();
            for (value, row) in values.iter().zip(0u32..) {
                if let Some(value) = value {
                    spans.set(row, &write(value));
                }
            }
            spans
        }
        match self {
            DraftValues::Text(texts) => {
                let texts: Vec<Option<&str>> = (0..texts.spans.len()).map(|row| texts.get(row)).collect();
                spans(&texts, |text| json_text(text))
            }
            DraftValues::Integer(values) => spans(values, i64::to_string),
            DraftValues::Number(values) => spans(values, |value| number_text(*value)),
            DraftValues::Boolean(values) => spans(values, bool::to_string),
            DraftValues::Json(_) | DraftValues::Bytes(_) | DraftValues::Tensor(_) | DraftValues::Link(..) => {
                Spans::default()
            }
        }
    }
}

impl Spans {
    fn set(&mut self, row: u32, text: &str) {
        let start = self.data.len();
        self.data.push_str(text);
        put(&mut self.spans, row, (start, self.data.len()));
    }

    fn get(&self, row: usize) -> Option<&str> {
        let (start, end) = (*self.spans.get(row)?)?;
        self.data.get(start..end)
    }

    fn seal(self) -> Result<super::TextColumn, super::text::BadParts> {
        let mut packer = TextPacker::with_rows(self.spans.len());
        for row in 0..self.spans.len() {
            packer.push(self.get(row))?;
        }
        Ok(packer.finish())
    }
}

fn is_scalar(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::Integer | Kind::Number | Kind::Boolean)
}

fn put<T: Clone>(values: &mut Vec<Option<T>>, row: u32, value: T) {
    let row = row as usize;
    if values.len() == row {
        return values.push(Some(value));
    }
    if values.len() < row {
        values.resize(row + 1, None);
    }
    if let Some(slot) = values.get_mut(row) {
        *slot = Some(value);
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn number_text(value: f64) -> String {
    serde_json::Value::from(value).to_string()
}
