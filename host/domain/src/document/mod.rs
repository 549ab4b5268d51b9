//! The document list: documents as columns that are shared, not copied.
//!
//! A list is an arena of rows. Rows `0..len` are the request's documents, rows `len..total` are nested ones that link
//! columns (`chunks`, `matches`) point to. Every column sits behind an `Arc`, and blobs and tensors are slices of the
//! message they came in, so a clone costs a few counters whatever the documents weigh, and a stage that changes one
//! column shares all others with its input. Rows of one list never change: changes go through [`Overlay`], which
//! gives a new list.

mod arrange;
mod builder;
mod column;
mod links;
mod merge;
mod overlay;
mod tensor;
mod text;

pub use arrange::ArrangeError;
pub use builder::{BuildError, DocumentListBuilder};
pub use column::{Column, Kind, Values};
pub use links::LinkColumn;
pub use merge::{concat, reduce};
pub use overlay::{AccessError, CommitError, Overlay, PackedText};
pub use tensor::{DType, Tensor, TensorColumn, TensorError};
pub use text::TextColumn;

use std::sync::{Arc, LazyLock};

/// Names of the columns that every language's SDK knows.
pub mod names {
    /// text: the document's id
    pub const ID: &str = "id";
    /// text: its text
    pub const TEXT: &str = "text";
    /// text: where its content is
    pub const URI: &str = "uri";
    /// text: media type of the content
    pub const MIME_TYPE: &str = "mime_type";
    /// bytes: binary content
    pub const BLOB: &str = "blob";
    /// tensor: numeric content
    pub const TENSOR: &str = "tensor";
    /// tensor: the vector that stands for the document
    pub const EMBEDDING: &str = "embedding";
    /// json: an object of free values
    pub const TAGS: &str = "tags";
    /// json: an object of named scores, `{"cosine": {"value": 0.9}}`
    pub const SCORES: &str = "scores";
    /// link: parts of the document
    pub const CHUNKS: &str = "chunks";
    /// link: documents found for it
    pub const MATCHES: &str = "matches";

    /// The kind that a well-known name always has.
    pub fn well_known_kind(name: &str) -> Option<super::Kind> {
        match name {
            ID | TEXT | URI | MIME_TYPE => Some(super::Kind::Text),
            BLOB => Some(super::Kind::Bytes),
            TENSOR | EMBEDDING => Some(super::Kind::Tensor),
            TAGS | SCORES => Some(super::Kind::Json),
            CHUNKS | MATCHES => Some(super::Kind::Link),
            _ => None,
        }
    }
}

/// An immutable list of documents, nested ones included. Cheap to clone and to send between threads.
#[derive(Clone)]
pub struct DocumentList {
    len: u32,
    total: u32,
    columns: Arc<Vec<Column>>,
}

static NO_COLUMNS: LazyLock<Arc<Vec<Column>>> = LazyLock::new(Arc::default);

impl Default for DocumentList {
    fn default() -> Self {
        Self { len: 0, total: 0, columns: NO_COLUMNS.clone() }
    }
}

impl DocumentList {
    /// A list of parts that fit together; the constructors of this module see to that.
    fn from_parts(len: u32, total: u32, columns: Vec<Column>) -> Self {
        Self { len, total, columns: Arc::new(columns) }
    }

    /// A list of these columns: rows `0..len` are its documents, those up to `total` are nested ones. What no link
    /// reaches is dropped.
    pub fn from_columns(
        len: u32,
        total: u32,
        columns: Vec<Column>,
        limits: &crate::Limits,
    ) -> Result<Self, BuildError> {
        if total > limits.documents {
            return Err(ArrangeError::TooManyDocuments { limit: limits.documents }.into());
        }
        if columns.len() > limits.columns as usize {
            return Err(BuildError::TooManyColumns { limit: limits.columns });
        }
        for column in &columns {
            if column.name().is_empty() || column.name().len() > Column::MAX_NAME_BYTES {
                return Err(BuildError::BadName { len: column.name().len() });
            }
            if column.values().rows() > total {
                return Err(ArrangeError::NoSuchRow { row: total }.into());
            }
        }
        let roots: Vec<u32> = (0..len.min(total.saturating_add(1))).collect();
        Ok(arrange::arrange(&roots, total, columns, limits, 0)?)
    }

    /// Documents in the list, nested ones not counted.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the list has no document.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Documents in all, nested ones included.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Bytes of all values, nested documents included: what a list weighs on a bill. Costs one addition a column, and
    /// one a row where rows have lengths of their own.
    pub fn bytes(&self) -> u64 {
        self.columns.iter().map(|column| column.values().bytes()).sum()
    }

    /// The columns, in the order in which they came to be.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name() == name)
    }

    /// The text in a text column; none where there is no column, no value, or another kind.
    pub fn text(&self, name: &str, row: u32) -> Option<&str> {
        match self.column(name)?.values() {
            Values::Text(column) => column.get(row),
            Values::Json(_)
            | Values::Bytes(_)
            | Values::Integer(_)
            | Values::Number(_)
            | Values::Boolean(_)
            | Values::Tensor(_)
            | Values::Link(_) => None,
        }
    }

    /// The same documents, each with an id: those without one (or with an empty one) get a fresh one, nested ones too.
    ///
    /// Joins, indexes and matches go by id, so the gateway sees to it before the first stage.
    #[must_use]
    pub fn with_ids(self) -> Self {
        let own = |row: u32| self.text(names::ID, row).filter(|id| !id.is_empty());
        if (0..self.total).all(|row| own(row).is_some()) {
            return self;
        }
        let ids: Vec<std::borrow::Cow<'_, str>> = (0..self.total)
            .map(|row| own(row).map_or_else(|| crate::ids::fresh_hex_id().into(), Into::into))
            .collect();
        // Ids of one message are far below the 4 GiB that a column can hold.
        let Ok(packed) = TextColumn::pack(ids.iter().map(|id| Some(id.as_ref()))) else { return self };
        let mut columns = Vec::with_capacity(self.columns.len() + 1);
        columns.push(Column::new(names::ID, Values::Text(packed)));
        columns.extend(self.columns.iter().filter(|column| column.name() != names::ID).cloned());
        Self::from_parts(self.len, self.total, columns)
    }

    /// The documents of these rows in this order, with what they hold inside; columns without a value in them are
    /// shared. No row may come twice.
    pub fn select(&self, rows: &[u32]) -> Result<Self, ArrangeError> {
        let is_whole =
            rows.len() == self.len as usize && rows.iter().zip(0u32..).all(|(row, place)| *row == place);
        if is_whole {
            return Ok(self.clone());
        }
        // What is chosen is no more than what is there.
        let limits = crate::Limits { documents: self.total, ..crate::Limits::default() };
        arrange::arrange(rows, self.total, self.columns.to_vec(), &limits, 0)
    }

    /// The linked rows of a row, in order; empty where there are none.
    pub fn links(&self, name: &str, row: u32) -> &[u32] {
        match self.column(name).map(Column::values) {
            Some(Values::Link(column)) => column.get(row),
            _ => &[],
        }
    }
}

impl PartialEq for DocumentList {
    /// Same documents with the same values; the order of columns and how values are stored do not matter, nor does a
    /// column without any value.
    fn eq(&self, other: &Self) -> bool {
        let covers = |a: &Self, b: &Self| {
            a.columns.iter().all(|column| match b.column(column.name()) {
                Some(twin) => column.same_values(twin, a.total),
                None => column.is_blank(),
            })
        };
        self.len == other.len && self.total == other.total && covers(self, other) && covers(other, self)
    }
}

impl std::fmt::Debug for DocumentList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentList")
            .field("len", &self.len)
            .field("total", &self.total)
            .field("columns", &self.columns)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_values() {
        let mut builder = DocumentListBuilder::new(crate::Limits::default());
        assert_eq!(DocumentList::default().bytes(), 0);
        for text in ["four", "ünï"] {
            let row = builder.push_root().unwrap();
            builder.set_text(names::TEXT, row, text).unwrap();
        }
        let nested = builder.push_nested().unwrap();
        builder.set_links(names::CHUNKS, 0, vec![nested], false).unwrap();
        builder.set_tensor(names::EMBEDDING, 0, Tensor::from_f32(&[1.0; 3])).unwrap();
        assert_eq!(builder.finish().unwrap().bytes(), (4 + 5) + 4 + 12);
    }

    #[test]
    fn rows_are_chosen_with_what_they_hold() {
        let mut builder = DocumentListBuilder::new(crate::Limits::default());
        for id in ["a", "b", "c"] {
            let row = builder.push_root().unwrap();
            builder.set_text(names::ID, row, id).unwrap();
            let chunk = builder.push_nested().unwrap();
            builder.set_text(names::ID, chunk, &format!("{id}0")).unwrap();
            builder.set_links(names::CHUNKS, row, vec![chunk], false).unwrap();
        }
        let list = builder.finish().unwrap();
        let chosen = list.select(&[2, 0]).unwrap();
        let ids: Vec<_> = (0..chosen.total()).map(|row| chosen.text(names::ID, row).unwrap()).collect();
        assert_eq!((chosen.len(), ids), (2, vec!["c", "a", "c0", "a0"]));
        assert_eq!(list.select(&[0, 1, 2]).unwrap(), list);
        assert!(list.select(&[]).unwrap().is_empty());
        assert!(list.select(&[6]).is_err());
        assert!(list.select(&[0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn documents_get_the_ids_they_lack() {
        let mut builder = DocumentListBuilder::new(crate::Limits::default());
        for id in ["a", "", "c"] {
            let row = builder.push_root().unwrap();
            builder.set_text(names::ID, row, id).unwrap();
        }
        let nested = builder.push_nested().unwrap();
        builder.set_links(names::CHUNKS, 0, vec![nested], false).unwrap();
        let list = builder.finish().unwrap().with_ids();
        let lengths: Vec<usize> =
            (0..list.total()).map(|row| list.text(names::ID, row).unwrap().len()).collect();
        assert_eq!(lengths, [1, 32, 1, 32]);
        assert_eq!(list.clone().with_ids(), list);
    }
}
