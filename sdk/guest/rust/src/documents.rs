//! The documents of the call in progress.
//!
//! A handle without content: nothing is read before it is asked for, so a call that touches nothing
//! costs nothing. Writes are seen by later reads at once and by the flow only when the call
//! returns ok.

use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::column::narrow;
use crate::host::{self, Attempt};
use crate::{Column, Document, Error, Kind, Matrix, Result, Span, Tensor, TextValue, Texts};

/// The document list of the request, column by column, with the documents nested in it.
///
/// Rows `0..len()` are the list; rows `len()..total()` are nested or appended documents.
#[derive(Debug)]
pub struct Documents {
    _by_dispatch_only: (),
}

impl Documents {
    pub(crate) const fn new() -> Self {
        Self { _by_dispatch_only: () }
    }

    /// Documents in the request's list.
    #[must_use]
    pub fn len(&self) -> usize {
        host::len() as usize
    }

    /// Whether the request's list has no document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        host::len() == 0
    }

    /// Documents in all, nested and appended ones included.
    #[must_use]
    pub fn total(&self) -> usize {
        host::total() as usize
    }

    /// The columns that exist, with their kinds.
    #[must_use]
    pub fn columns(&self) -> Vec<(String, Kind)> {
        host::columns()
    }

    /// A column by name, over the request's list.
    #[must_use]
    pub fn column<'a>(&self, name: &'a str) -> Column<'a> {
        Column::new(name, 0, host::len())
    }

    /// The texts of the list.
    ///
    /// # Errors
    /// Those of [`Column::texts`].
    pub fn texts(&self) -> Result<Texts> {
        self.column("text").texts()
    }

    /// Writes the texts of the list, one for each document.
    ///
    /// # Errors
    /// Those of [`Column::set_texts`].
    pub fn set_texts<T: TextValue>(&mut self, values: impl IntoIterator<Item = T>) -> Result<()> {
        self.column("text").set_texts(values)
    }

    /// Changes every text of the list in two host calls; documents without a text stay so.
    ///
    /// # Errors
    /// Those of [`Column::texts`] and [`Column::set_texts`].
    pub fn map_texts<T: AsRef<str>>(&mut self, change: impl FnMut(&str) -> T) -> Result<()> {
        let column = self.column("text");
        column.set_packed(&column.texts()?.map(change)?)
    }

    /// The ids of the list.
    ///
    /// # Errors
    /// Those of [`Column::texts`].
    pub fn ids(&self) -> Result<Texts> {
        self.column("id").texts()
    }

    /// The blobs of the list.
    ///
    /// # Errors
    /// Those of [`Column::bytes`].
    pub fn blobs(&self) -> Result<Vec<Option<Vec<u8>>>> {
        self.column("blob").bytes()
    }

    /// Writes the blobs of the list.
    ///
    /// # Errors
    /// Those of [`Column::set_bytes`].
    pub fn set_blobs<T: Into<Option<Vec<u8>>>>(&mut self, values: impl IntoIterator<Item = T>) -> Result<()> {
        self.column("blob").set_bytes(values)
    }

    /// The tensors of the list.
    ///
    /// # Errors
    /// Those of [`Column::tensors`].
    pub fn tensors(&self) -> Result<Vec<Option<Tensor>>> {
        self.column("tensor").tensors()
    }

    /// The embeddings of the list as one matrix.
    ///
    /// # Errors
    /// Those of [`Column::matrix`].
    pub fn embeddings(&self) -> Result<Matrix> {
        self.column("embedding").matrix()
    }

    /// Writes the embeddings of the list.
    ///
    /// # Errors
    /// Those of [`Column::set_matrix`].
    pub fn set_embeddings(&mut self, values: &Matrix) -> Result<()> {
        self.column("embedding").set_matrix(values)
    }

    /// The tags of the list as `T`.
    ///
    /// # Errors
    /// Those of [`Column::json`].
    pub fn tags<T: DeserializeOwned>(&self) -> Result<Vec<Option<T>>> {
        self.column("tags").json()
    }

    /// Writes the tags of the list.
    ///
    /// # Errors
    /// Those of [`Column::set_json`].
    pub fn set_tags<T: Serialize>(&mut self, values: impl IntoIterator<Item = T>) -> Result<()> {
        self.column("tags").set_json(values)
    }

    /// The scores of the list as `T`, for instance a map from name to number.
    ///
    /// # Errors
    /// Those of [`Column::json`].
    pub fn scores<T: DeserializeOwned>(&self) -> Result<Vec<Option<T>>> {
        self.column("scores").json()
    }

    /// Writes the scores of the list.
    ///
    /// # Errors
    /// Those of [`Column::set_json`].
    pub fn set_scores<T: Serialize>(&mut self, values: impl IntoIterator<Item = T>) -> Result<()> {
        self.column("scores").set_json(values)
    }

    /// The rows of each document's chunks.
    ///
    /// # Errors
    /// Those of [`Column::links`].
    pub fn chunks(&self) -> Result<Vec<Vec<usize>>> {
        self.column("chunks").links()
    }

    /// Writes which rows are each document's chunks.
    ///
    /// # Errors
    /// Those of [`Column::set_links`].
    pub fn set_chunks<L: IntoIterator<Item = usize>>(
        &mut self,
        values: impl IntoIterator<Item = L>,
    ) -> Result<()> {
        self.column("chunks").set_links(values)
    }

    /// The rows of each document's matches.
    ///
    /// # Errors
    /// Those of [`Column::links`].
    pub fn matches(&self) -> Result<Vec<Vec<usize>>> {
        self.column("matches").links()
    }

    /// Writes which rows are each document's matches.
    ///
    /// # Errors
    /// Those of [`Column::set_links`].
    pub fn set_matches<L: IntoIterator<Item = usize>>(
        &mut self,
        values: impl IntoIterator<Item = L>,
    ) -> Result<()> {
        self.column("matches").set_links(values)
    }

    /// The list as typed documents, with the nested ones their type asks for.
    ///
    /// # Errors
    /// `invalid_argument` when a column has another kind or a required value is missing.
    pub fn read<T: Document>(&self) -> Result<Vec<T>> {
        Span::list(host::len()).read()
    }

    /// Writes typed documents over the list, row by row. Documents beyond the list are appended and
    /// selected; with fewer documents than the list has, the reply is cut to them.
    ///
    /// # Errors
    /// `invalid_argument` when a column has another kind; `resource_exhausted` at a limit.
    pub fn write<T: Document>(&mut self, mut values: Vec<T>) -> Result<()> {
        let (length, listed) = (values.len(), self.len());
        let beyond = values.split_off(length.min(listed));
        if beyond.is_empty() {
            Span::list(host_count(length)?).write(values)?;
            return if length < listed { self.select(0..length) } else { Ok(()) };
        }
        let appended = self.append_all(beyond)?;
        Span::list(host_count(listed)?).write(values)?;
        self.select((0..listed).chain(appended))
    }

    /// Appends typed documents and gives their rows; link to them or select them, or they are gone
    /// after the call.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn append_all<T: Document>(&mut self, values: Vec<T>) -> Result<Range<usize>> {
        let rows = self.append(values.len())?;
        Span::rows(&rows)?.write(values)?;
        Ok(rows)
    }

    /// Appends documents with fresh ids and gives their rows; link to them or select them, or they
    /// are gone after the call.
    ///
    /// # Errors
    /// `resource_exhausted` when a limit would be passed.
    pub fn append(&mut self, count: usize) -> Result<Range<usize>> {
        let first = host::append(host_count(count)?).map_err(|error| error.during(Attempt::Append))? as usize;
        Ok(first..first.saturating_add(count))
    }

    /// Makes these rows, in this order, the reply's list.
    ///
    /// # Errors
    /// `out_of_range` when a row does not exist.
    pub fn select(&mut self, rows: impl IntoIterator<Item = usize>) -> Result<()> {
        host::select(&narrow(rows)?).map_err(|error| error.during(Attempt::Select))
    }

    /// Sends these rows as they are now to the caller of a streaming endpoint, waiting for a slow
    /// one. `false`: nobody listens any more, return soon.
    ///
    /// # Errors
    /// `out_of_range` when a row does not exist.
    pub fn emit(&mut self, rows: impl IntoIterator<Item = usize>) -> Result<bool> {
        host::emit(&narrow(rows)?).map_err(|error| error.during(Attempt::Emit))
    }
}

fn host_count(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| Error::resource_exhausted("a list holds less than 2^32 documents"))
}
