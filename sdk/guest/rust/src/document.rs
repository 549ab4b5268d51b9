//! Typed documents: a struct whose fields are columns, read and written column by column.
//!
//! `#[derive(Document)]` writes the [`Document`] implementation; [`Field`](crate::Field) says what
//! a field may be. Nested documents follow links, whose shape another executor decides: reading is
//! bounded by a depth and by a number of documents, so a link cycle is an error and not a hang.

use std::cell::Cell;
use std::ops::Range;

use crate::column::narrow;
use crate::{Error, Field, Kind, Result};

/// Levels of nested documents that are read at most.
const MAX_DEPTH: u8 = 32;
/// Nested documents that one read gives at most.
const MAX_NESTED: usize = 1 << 20;
/// Rows between two wanted ones that are read along rather than paid for with another host call.
const MAX_GAP: usize = 16;

/// A struct whose fields are columns. Derive it: `#[derive(Document)]`.
///
/// A field maps to the column of its name; `#[document(column = "...")]` names another,
/// `#[document(default)]` fills a missing value with the type's default, and `#[document(skip)]`
/// leaves the field out of the documents.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a typed document",
    note = "add `#[derive(Document)]` to `{Self}`"
)]
pub trait Document: Sized {
    /// The columns of the fields.
    const COLUMNS: &'static [(&'static str, Kind)];

    #[doc(hidden)]
    fn read(span: &Span<'_>) -> Result<Vec<Self>>;

    #[doc(hidden)]
    fn write(values: Vec<Self>, span: &Span<'_>) -> Result<()>;
}

/// The rows that a typed read or write is about; made by this crate only.
#[doc(hidden)]
#[derive(Debug)]
pub struct Span<'a> {
    start: usize,
    count: usize,
    depth: u8,
    nested: Option<&'a Cell<usize>>,
}

impl Span<'static> {
    pub(crate) const fn list(count: u32) -> Self {
        Self { start: 0, count: count as usize, depth: 0, nested: None }
    }

    pub(crate) fn rows(rows: &Range<usize>) -> Result<Self> {
        narrow([rows.start, rows.end])?;
        Ok(Self { start: rows.start, count: rows.len(), depth: 0, nested: None })
    }
}

impl<'a> Span<'a> {
    /// Number of rows.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn column<'n>(&self, name: &'n str) -> Result<crate::Column<'n>> {
        crate::Column::new(name, 0, 0).rows(self.start..self.start.saturating_add(self.count))
    }

    pub(crate) fn missing(&self, name: &str, row: usize) -> Error {
        Error::invalid_argument(format!(
            "row {} holds no value in the column {name:?}",
            self.start.saturating_add(row)
        ))
    }

    pub(crate) fn refused(&self, name: &str, row: usize, why: &str) -> Error {
        Error::invalid_argument(format!(
            "row {} of the column {name:?}: {why}",
            self.start.saturating_add(row)
        ))
    }

    pub(crate) fn read<T: Document>(&self) -> Result<Vec<T>> {
        let nested = Cell::new(0);
        T::read(&Span { nested: Some(self.nested.unwrap_or(&nested)), ..*self })
    }

    pub(crate) fn write<T: Document>(&self, values: Vec<T>) -> Result<()> {
        T::write(values, self)
    }

    fn below(&self, rows: Range<usize>) -> Result<Span<'a>> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::resource_exhausted(format!(
                "documents are nested deeper than {MAX_DEPTH} levels"
            )));
        }
        Ok(Span { start: rows.start, count: rows.len(), depth: self.depth + 1, nested: self.nested })
    }

    fn account(&self, documents: usize) -> Result<()> {
        let Some(nested) = self.nested else { return Ok(()) };
        nested.set(nested.get().saturating_add(documents));
        if nested.get() > MAX_NESTED {
            return Err(Error::resource_exhausted(format!("more than {MAX_NESTED} nested documents")));
        }
        Ok(())
    }
}

/// Nested documents: a link column.
impl<T: Document> Field for Vec<T> {
    const KIND: Kind = Kind::Link;

    fn read(column: &str, span: &Span<'_>) -> Result<Vec<Self>> {
        let links = span.column(column)?.links()?;
        span.account(links.iter().map(Vec::len).sum())?;
        let mut fetched = fetch(&links, span)?;
        let mut one = |row: usize| match fetched.binary_search_by_key(&row, |(row, _)| *row) {
            Ok(index) => match fetched.get_mut(index).and_then(|(_, value)| value.take()) {
                Some(value) => Ok(value),
                // A document that several rows link to: every owner gets its own.
                None => take(&mut T::read(&span.below(row..row.saturating_add(1))?)?.into_iter()),
            },
            Err(_) => Err(span.refused(column, row, "the linked document was not read")),
        };
        links.into_iter().map(|rows| rows.into_iter().map(&mut one).collect()).collect()
    }

    fn write(column: &str, span: &Span<'_>, values: Vec<Self>) -> Result<()> {
        let counts: Vec<usize> = values.iter().map(Vec::len).collect();
        let flat: Vec<T> = values.into_iter().flatten().collect();
        let rows = if flat.is_empty() { 0..0 } else { crate::Documents::new().append_all(flat)? };
        let mut next = rows.start;
        span.column(column)?.set_links(counts.into_iter().map(|count| {
            let links = next..next.saturating_add(count);
            next = links.end;
            links
        }))
    }
}

/// The next value of a column that was read for all rows; what the derive calls for each field.
///
/// # Errors
/// `internal` when the host gave fewer values than rows.
#[doc(hidden)]
pub fn take<T>(values: &mut impl Iterator<Item = T>) -> Result<T> {
    values.next().ok_or_else(|| Error::internal("a column has fewer values than there are rows"))
}

/// Every linked document once, by ascending row, with one read for each run of neighbouring rows.
fn fetch<T: Document>(links: &[Vec<usize>], span: &Span<'_>) -> Result<Vec<(usize, Option<T>)>> {
    let mut rows: Vec<usize> = links.iter().flatten().copied().collect();
    rows.sort_unstable();
    rows.dedup();
    let mut fetched = Vec::with_capacity(rows.len());
    for run in rows.chunk_by(|row, next| next - row <= MAX_GAP) {
        let (Some(&first), Some(&last)) = (run.first(), run.last()) else { continue };
        let values = T::read(&span.below(first..last.saturating_add(1))?)?;
        let wanted = (first..).zip(values).filter(|(row, _)| run.binary_search(row).is_ok());
        fetched.extend(wanted.map(|(row, value)| (row, Some(value))));
    }
    Ok(fetched)
}
