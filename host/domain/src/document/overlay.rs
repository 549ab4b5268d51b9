//! One call's view of the documents: reads fall through to the request's list, writes stay here until the call is ok.
//!
//! This is the contract's `docs` interface as plain functions, without wasm, so that its rules are tested natively.
//! Everything a guest passes is checked here: ranges, kinds, JSON, offsets, shapes, links, and how much it writes in
//! all. A whole column that is written in one piece is kept as it came; a column that is written in parts is opened
//! into values once and sealed once, so that writing row by row costs no more than the rows.

mod cells;
mod draft;
mod snapshot;

use std::sync::Arc;

use bytes::Bytes;

use super::arrange::{ArrangeError, arrange};
use super::column::{Column, Kind, Values};
use super::tensor::{Tensor, TensorColumn};
use super::text::TextColumn;
use super::{DocumentList, names};
use crate::ids::fresh_hex_id;
use crate::limits::Limits;
use crate::results::{Results, ResultsError};
use draft::Draft;
use snapshot::Reach;

/// What the contract answers when a read or write is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessError {
    /// the column has another kind
    WrongKind,
    /// a row, a range or a link target does not exist
    OutOfRange,
    /// the write would pass a limit
    TooLarge,
    /// the value is not what its kind asks for
    Invalid,
}

/// A range of a text column, in the contract's packed form. Shared where the whole column was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedText {
    /// all texts, one after the other
    pub data: Arc<String>,
    /// where each ends
    pub ends: Arc<Vec<u32>>,
    /// rows without a value, ascending
    pub missing: Arc<Vec<u32>>,
}

/// Why the writes of a call cannot take effect.
pub type CommitError = ArrangeError;

/// Documents of a call in progress.
#[derive(Debug)]
pub struct Overlay {
    base: DocumentList,
    total: u32,
    edits: Vec<Edit>,
    selected: Option<Vec<u32>>,
    /// Whether rows or links changed, so that the arena must be put in order again.
    restructured: bool,
    written: u64,
    /// What is given beside the documents.
    results: Option<Box<Results>>,
    limits: Limits,
}

#[derive(Debug)]
struct Edit {
    name: Arc<str>,
    hint: Option<Arc<str>>,
    nullable: bool,
    draft: Draft,
}

type Access<T> = Result<T, AccessError>;

impl Overlay {
    /// A view of `base` that keeps the limits on written bytes, documents and columns.
    pub fn new(base: DocumentList, limits: &Limits) -> Self {
        let total = base.total();
        Self {
            base,
            total,
            edits: Vec::new(),
            selected: None,
            restructured: false,
            written: 0,
            results: None,
            limits: *limits,
        }
    }

    /// Documents in the request's list.
    pub fn len(&self) -> u32 {
        self.base.len()
    }

    /// Whether the request's list is empty.
    pub fn is_empty(&self) -> bool {
        self.base.is_empty()
    }

    /// Documents in all, appended ones included.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The request's list as it was.
    pub fn base(&self) -> &DocumentList {
        &self.base
    }

    /// Bytes written so far, as counted against the limit.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Names and kinds of all columns.
    pub fn columns(&self) -> Vec<(Arc<str>, Kind)> {
        let base = self.base.columns().iter().map(|column| (column.shared_name().clone(), column.kind()));
        let edits = self.edits.iter().filter(|edit| self.base.column(&edit.name).is_none());
        base.chain(edits.map(|edit| (edit.name.clone(), edit.draft.kind()))).collect()
    }

    /// Texts of a range.
    pub fn get_text(&self, name: &str, start: u32, count: u32) -> Access<Vec<Option<String>>> {
        self.get_texts(name, Kind::Text, start, count)
    }

    /// JSON texts of a range.
    pub fn get_json(&self, name: &str, start: u32, count: u32) -> Access<Vec<Option<String>>> {
        self.get_texts(name, Kind::Json, start, count)
    }

    /// Texts of a range in one piece; shares the column's memory when the range is the whole column.
    pub fn get_text_packed(&self, name: &str, start: u32, count: u32) -> Access<PackedText> {
        self.check_range(start, count)?;
        if let Some(Values::Text(column)) = self.sealed(name)
            && start == 0
            && column.rows() == count
        {
            let (data, ends, missing) = column.parts();
            return Ok(PackedText { data: data.clone(), ends: ends.clone(), missing: missing.clone() });
        }
        let texts = self.texts(name, Kind::Text, start, count)?;
        let packed = TextColumn::pack(texts).map_err(|_| AccessError::TooLarge)?;
        let (data, ends, missing) = packed.parts();
        Ok(PackedText { data: data.clone(), ends: ends.clone(), missing: missing.clone() })
    }

    /// Binary values of a range; shares their memory.
    pub fn get_bytes(&self, name: &str, start: u32, count: u32) -> Access<Vec<Option<Bytes>>> {
        self.check_range(start, count)?;
        match self.values(name, Kind::Bytes)? {
            Some(Values::Bytes(values)) => Ok(cells::copy_range(values, start, count)),
            _ => Ok(vec![None; count as usize]),
        }
    }

    /// Part of one binary value, shorter at its end.
    pub fn get_bytes_range(&self, name: &str, row: u32, offset: u64, count: u32) -> Access<Bytes> {
        let value = self.get_bytes(name, row, 1)?.pop().flatten().unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(value.len());
        Ok(value.slice(start..start.saturating_add(count as usize).min(value.len())))
    }

    /// Integers of a range.
    pub fn get_integer(&self, name: &str, start: u32, count: u32) -> Access<Vec<Option<i64>>> {
        self.check_range(start, count)?;
        match self.values(name, Kind::Integer)? {
            Some(Values::Integer(values)) => Ok(cells::copy_range(values, start, count)),
            _ => Ok(vec![None; count as usize]),
        }
    }

    /// Numbers of a range.
    pub fn get_number(&self, name: &str, start: u32, count: u32) -> Access<Vec<Option<f64>>> {
        self.check_range(start, count)?;
        match self.values(name, Kind::Number)? {
            Some(Values::Number(values)) => Ok(cells::copy_range(values, start, count)),
            _ => Ok(vec![None; count as usize]),
        }
    }

    /// Booleans of a range.
    pub fn get_boolean(&self, name: &str, start: u32, count: u32) -> Access<Vec<Option<bool>>> {
        self.check_range(start, count)?;
        match self.values(name, Kind::Boolean)? {
            Some(Values::Boolean(values)) => Ok(cells::copy_range(values, start, count)),
            _ => Ok(vec![None; count as usize]),
        }
    }

    /// Tensors of a range; shares their memory.
    pub fn get_tensor(&self, name: &str, start: u32, count: u32) -> Access<Vec<Option<Tensor>>> {
        self.check_range(start, count)?;
        match self.values(name, Kind::Tensor)? {
            Some(Values::Tensor(column)) => Ok((start..start + count).map(|row| column.get(row)).collect()),
            _ => Ok(vec![None; count as usize]),
        }
    }

    /// Tensors of a range as one; [`AccessError::WrongKind`] unless all are there with one type and shape.
    pub fn get_stacked(&self, name: &str, start: u32, count: u32) -> Access<Tensor> {
        self.check_range(start, count)?;
        match self.values(name, Kind::Tensor)? {
            Some(Values::Tensor(column)) => column.stack(start, count).ok_or(AccessError::WrongKind),
            _ => Err(AccessError::WrongKind),
        }
    }

    /// Linked rows of a range.
    pub fn get_link(&self, name: &str, start: u32, count: u32) -> Access<Vec<Vec<u32>>> {
        self.check_range(start, count)?;
        let rows = start..start + count;
        if let Some(Draft::Link(lists, _)) = self.edit(name).map(|edit| &edit.draft) {
            return Ok(rows
                .map(|row| lists.get(row as usize).map(|list| list.to_vec()).unwrap_or_default())
                .collect());
        }
        match self.values(name, Kind::Link)? {
            Some(Values::Link(column)) => Ok(rows.map(|row| column.get(row).to_vec()).collect()),
            _ => Ok(vec![Vec::new(); count as usize]),
        }
    }

    /// Writes texts.
    pub fn set_text(&mut self, name: &str, start: u32, values: Vec<Option<String>>) -> Access<()> {
        self.set_texts(name, Kind::Text, start, values)
    }

    /// Writes JSON texts, which must parse.
    pub fn set_json(&mut self, name: &str, start: u32, values: Vec<Option<String>>) -> Access<()> {
        let parses = |text: &String| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        if values.iter().flatten().any(|text| !parses(text)) {
            return Err(AccessError::Invalid);
        }
        self.set_texts(name, Kind::Json, start, values)
    }

    /// Writes texts in one piece; a whole column is kept as it came.
    pub fn set_text_packed(
        &mut self,
        name: &str,
        start: u32,
        data: String,
        ends: Vec<u32>,
        missing: Vec<u32>,
    ) -> Access<()> {
        let count = row_count(ends.len())?;
        self.check_range(start, count)?;
        let bytes = data.len() as u64 + 4 * (ends.len() + missing.len()) as u64;
        let column = TextColumn::from_parts(data, ends, missing).map_err(|_| AccessError::Invalid)?;
        if start == 0 && count >= self.rows_of(name) {
            return self.set_whole(name, Values::Text(column), bytes);
        }
        self.set_texts(name, Kind::Text, start, column.iter().map(|text| text.map(str::to_owned)).collect())
    }

    /// Writes binary values.
    pub fn set_bytes(&mut self, name: &str, start: u32, values: Vec<Option<Bytes>>) -> Access<()> {
        let count = row_count(values.len())?;
        let bytes = cells::weight(&values, Bytes::len);
        self.open(name, Kind::Bytes, start, count, bytes)?;
        if let Some(Values::Bytes(column)) = self.draft_values(name) {
            cells::write(Arc::make_mut(column), start, values);
        }
        Ok(())
    }

    /// Writes integers.
    pub fn set_integer(&mut self, name: &str, start: u32, values: Vec<Option<i64>>) -> Access<()> {
        let count = row_count(values.len())?;
        self.open(name, Kind::Integer, start, count, cells::weight(&values, |_| 0))?;
        if let Some(Values::Integer(column)) = self.draft_values(name) {
            cells::write(Arc::make_mut(column), start, values);
        }
        Ok(())
    }

    /// Writes numbers.
    pub fn set_number(&mut self, name: &str, start: u32, values: Vec<Option<f64>>) -> Access<()> {
        let count = row_count(values.len())?;
        self.open(name, Kind::Number, start, count, cells::weight(&values, |_| 0))?;
        if let Some(Values::Number(column)) = self.draft_values(name) {
            cells::write(Arc::make_mut(column), start, values);
        }
        Ok(())
    }

    /// Writes booleans.
    pub fn set_boolean(&mut self, name: &str, start: u32, values: Vec<Option<bool>>) -> Access<()> {
        let count = row_count(values.len())?;
        self.open(name, Kind::Boolean, start, count, cells::weight(&values, |_| 0))?;
        if let Some(Values::Boolean(column)) = self.draft_values(name) {
            cells::write(Arc::make_mut(column), start, values);
        }
        Ok(())
    }

    /// Writes tensors, which were checked when they were made.
    pub fn set_tensor(&mut self, name: &str, start: u32, values: Vec<Option<Tensor>>) -> Access<()> {
        let count = row_count(values.len())?;
        let bytes = cells::weight(&values, |tensor| {
            usize::try_from(tensor.weight()).unwrap_or(usize::MAX).saturating_add(4 * tensor.shape().len())
        });
        self.open(name, Kind::Tensor, start, count, bytes)?;
        if let Some(Values::Tensor(column)) = self.draft_values(name) {
            cells::write(Arc::make_mut(cells::tensor_rows(column)), start, values);
        }
        Ok(())
    }

    /// Writes one tensor whose first dimension counts rows.
    pub fn set_stacked(&mut self, name: &str, start: u32, tensor: Tensor) -> Access<()> {
        let &count = tensor.shape().first().ok_or(AccessError::Invalid)?;
        self.check_range(start, count)?;
        let bytes = tensor.weight();
        let column = TensorColumn::Stacked(tensor);
        if start == 0 && count >= self.rows_of(name) && count > 0 {
            return self.set_whole(name, Values::Tensor(column), bytes);
        }
        self.set_tensor(name, start, (0..count).map(|row| column.get(row)).collect())
    }

    /// Writes links; the targets must exist by now.
    pub fn set_link(&mut self, name: &str, start: u32, values: Vec<Vec<u32>>) -> Access<()> {
        let count = row_count(values.len())?;
        if values.iter().flatten().any(|&target| target >= self.total) {
            return Err(AccessError::OutOfRange);
        }
        let bytes = values.iter().map(|list| 24 + 4 * list.len() as u64).sum();
        self.open(name, Kind::Link, start, count, bytes)?;
        self.restructured = true;
        if let Some(Draft::Link(lists, _)) = self.edit_mut(name).map(|edit| &mut edit.draft) {
            cells::write_plain(lists, start, values.into_iter().map(Vec::into_boxed_slice));
        }
        Ok(())
    }

    /// Adds documents with fresh ids; gives the row of the first.
    pub fn append(&mut self, count: u32) -> Access<u32> {
        let first = self.total;
        let total = first.checked_add(count).filter(|&total| total <= self.limits.documents);
        let total = total.ok_or(AccessError::TooLarge)?;
        if count == 0 {
            return Ok(first);
        }
        let ids = (0..count).map(|_| Some(fresh_hex_id())).collect();
        self.total = total;
        self.restructured = true;
        let done = self.set_texts(names::ID, Kind::Text, first, ids);
        if done.is_err() {
            self.total = first;
        }
        done.map(|()| first)
    }

    /// Makes these rows the reply's list.
    pub fn select(&mut self, rows: Vec<u32>) -> Access<()> {
        if rows.iter().any(|&row| row >= self.total) {
            return Err(AccessError::OutOfRange);
        }
        if rows.len() > self.limits.documents as usize {
            return Err(AccessError::TooLarge);
        }
        self.selected = Some(rows);
        self.restructured = true;
        Ok(())
    }

    /// Gives a JSON object beside the documents, in place of one given before. Counts as written each time.
    pub fn set_results(&mut self, json: &str) -> Access<()> {
        let left = self.limits.written_bytes.saturating_sub(self.written);
        let results = Results::parse(json, left).map_err(|error| match error {
            ResultsError::NoObject => AccessError::Invalid,
            ResultsError::TooDeep | ResultsError::TooLarge { .. } => AccessError::TooLarge,
        })?;
        self.charge(results.bytes())?;
        self.results = Some(Box::new(results));
        Ok(())
    }

    /// What is given beside the documents.
    pub fn take_results(&mut self) -> Option<Box<Results>> {
        self.results.take()
    }

    /// These rows as they are now, as a list of their own: what a streaming endpoint emits. Costs as much as the rows
    /// and what they link, whatever else the call has written.
    pub fn snapshot(&self, rows: &[u32]) -> Result<DocumentList, CommitError> {
        let written = self.written_with_names()?;
        if rows.len() >= self.total as usize {
            return arrange(rows, self.total, self.merged()?, &self.limits, written);
        }
        let reach = Reach::from(self, rows)?;
        let columns = self.each_column(|column| reach.column(column), |edit| reach.edit(edit))?;
        arrange(&reach.places(rows), reach.len(), columns, &self.limits, written)
    }

    /// The list after the call. Untouched columns are shared with the request's list.
    pub fn commit(self) -> Result<DocumentList, CommitError> {
        if self.edits.is_empty() && self.selected.is_none() {
            return Ok(self.base);
        }
        let written = self.written_with_names()?;
        let columns = self.merged()?;
        if !self.restructured {
            return Ok(DocumentList::from_parts(self.base.len(), self.total, columns));
        }
        match &self.selected {
            Some(rows) => arrange(rows, self.total, columns, &self.limits, written),
            None => {
                let roots: Vec<u32> = (0..self.base.len()).collect();
                arrange(&roots, self.total, columns, &self.limits, written)
            }
        }
    }

    // === reading ===

    fn check_range(&self, start: u32, count: u32) -> Access<()> {
        match start.checked_add(count) {
            Some(end) if end <= self.total => Ok(()),
            _ => Err(AccessError::OutOfRange),
        }
    }

    fn edit(&self, name: &str) -> Option<&Edit> {
        self.edits.iter().find(|edit| &*edit.name == name)
    }

    fn edit_mut(&mut self, name: &str) -> Option<&mut Edit> {
        self.edits.iter_mut().find(|edit| &*edit.name == name)
    }

    /// The column as sealed values, if it is not open for writing.
    fn sealed(&self, name: &str) -> Option<&Values> {
        match self.edit(name) {
            Some(edit) => edit.draft.sealed(),
            None => self.base.column(name).map(Column::values),
        }
    }

    /// The column as sealed values of that kind; none if there is no such column.
    fn values(&self, name: &str, kind: Kind) -> Access<Option<&Values>> {
        match self.sealed(name) {
            Some(values) if values.kind() == kind => Ok(Some(values)),
            Some(_) if self.is_undecided(name) => Ok(None),
            Some(_) => Err(AccessError::WrongKind),
            None => match self.edit(name) {
                Some(edit) if edit.draft.kind() != kind => Err(AccessError::WrongKind),
                _ => Ok(None),
            },
        }
    }

    /// Whether a column exists only by name: the first write decides its kind.
    fn is_undecided(&self, name: &str) -> bool {
        self.edit(name).is_none() && self.base.column(name).is_some_and(Column::is_blank)
    }

    fn texts(&self, name: &str, kind: Kind, start: u32, count: u32) -> Access<Vec<Option<&str>>> {
        self.check_range(start, count)?;
        let rows = start..start + count;
        if let Some(open) = self.edit(name).and_then(|edit| edit.draft.open_texts(kind)) {
            return Ok(rows.map(|row| open.get(row as usize)?.as_deref()).collect());
        }
        match self.values(name, kind)? {
            Some(Values::Text(column) | Values::Json(column)) => {
                Ok(rows.map(|row| column.get(row)).collect())
            }
            _ => Ok(vec![None; count as usize]),
        }
    }

    fn get_texts(&self, name: &str, kind: Kind, start: u32, count: u32) -> Access<Vec<Option<String>>> {
        let texts = self.texts(name, kind, start, count)?;
        Ok(texts.into_iter().map(|text| text.map(str::to_owned)).collect())
    }

    // === writing ===

    fn rows_of(&self, name: &str) -> u32 {
        match self.edit(name) {
            Some(edit) => edit.draft.rows(),
            None => self.base.column(name).map_or(0, |column| column.values().rows()),
        }
    }

    fn charge(&mut self, bytes: u64) -> Access<()> {
        let written = self.written.saturating_add(bytes);
        if written > self.limits.written_bytes {
            return Err(AccessError::TooLarge);
        }
        self.written = written;
        Ok(())
    }

    /// Checks that `name` may be written with `kind`; gives the existing column of the base.
    fn check_column(&self, name: &str, kind: Kind) -> Access<()> {
        let existing = self.edit(name).map(|edit| edit.draft.kind());
        let existing = existing.or_else(|| self.base.column(name).map(Column::kind));
        if let Some(existing) = existing {
            let fits = existing == kind || self.is_undecided(name);
            return if fits && names::well_known_kind(name).is_none_or(|expected| expected == kind) {
                Ok(())
            } else {
                Err(AccessError::WrongKind)
            };
        }
        if name.is_empty() || name.len() > Column::MAX_NAME_BYTES {
            return Err(AccessError::Invalid);
        }
        if names::well_known_kind(name).is_some_and(|expected| expected != kind) {
            return Err(AccessError::WrongKind);
        }
        let columns = self.base.columns().len() + self.edits.len();
        if columns >= self.limits.columns as usize { Err(AccessError::TooLarge) } else { Ok(()) }
    }

    /// Puts a whole column in place of what there is.
    fn set_whole(&mut self, name: &str, values: Values, bytes: u64) -> Access<()> {
        self.check_column(name, values.kind())?;
        self.charge(bytes)?;
        match self.edit_mut(name) {
            Some(edit) => edit.draft = Draft::Sealed(values),
            None => self.push_edit(name, Draft::Sealed(values)),
        }
        Ok(())
    }

    fn push_edit(&mut self, name: &str, draft: Draft) {
        let base = self.base.column(name);
        let (name, hint, nullable) = match base {
            Some(column) => (column.shared_name().clone(), column.hint().cloned(), column.is_nullable()),
            None => (name.into(), None, false),
        };
        self.edits.push(Edit { name, hint, nullable, draft });
    }

    /// Opens a column for writes to rows `start..start+count` and charges for them: the bytes of the values, the
    /// cells that the column grows by, and once the copy of a column that was shared.
    fn open(&mut self, name: &str, kind: Kind, start: u32, count: u32, bytes: u64) -> Access<()> {
        self.check_range(start, count)?;
        self.check_column(name, kind)?;
        let before = self.rows_of(name);
        let growth = u64::from((start + count).saturating_sub(before)) * cells::CELL_BYTES;
        let copied = if self.edit(name).is_some() { 0 } else { u64::from(before) * cells::CELL_BYTES };
        self.charge(bytes.saturating_add(growth).saturating_add(copied))?;
        if self.edit(name).is_none() {
            let base = self.base.column(name).map(Column::values);
            let values = base.filter(|values| values.kind() == kind).cloned();
            self.push_edit(name, Draft::of(kind, values));
        }
        if let Some(edit) = self.edit_mut(name) {
            edit.draft.open();
        }
        Ok(())
    }

    fn draft_values(&mut self, name: &str) -> Option<&mut Values> {
        match &mut self.edit_mut(name)?.draft {
            Draft::Sealed(values) => Some(values),
            Draft::Text(_) | Draft::Json(_) | Draft::Link(..) => None,
        }
    }

    fn set_texts(&mut self, name: &str, kind: Kind, start: u32, values: Vec<Option<String>>) -> Access<()> {
        let count = row_count(values.len())?;
        let bytes = cells::weight(&values, String::len);
        self.open(name, kind, start, count, bytes)?;
        if let Some(Draft::Text(rows) | Draft::Json(rows)) = self.edit_mut(name).map(|edit| &mut edit.draft) {
            cells::write(rows, start, values.into_iter().map(|text| text.map(String::into_boxed_str)));
        }
        Ok(())
    }

    /// Bytes written, and the names of the written columns once for each row. A reply repeats a column's name in every
    /// document: without this, empty texts of four bytes each under names of 255 would make a reply of sixty times
    /// the limit. With it, an encoding of a reply stays within a small factor of what the limit allows.
    fn written_with_names(&self) -> Result<u64, CommitError> {
        let names = self.edits.iter().map(Edit::label_bytes);
        let written = names.fold(self.written, u64::saturating_add);
        let limit = self.limits.written_bytes;
        if written > limit { Err(ArrangeError::TooManyBytes { limit }) } else { Ok(written) }
    }

    /// Columns of the base with the edits in their place.
    fn merged(&self) -> Result<Vec<Column>, CommitError> {
        self.each_column(|column| Ok(column.clone()), Edit::seal)
    }

    fn each_column(
        &self,
        base: impl Fn(&Column) -> Result<Column, CommitError>,
        edited: impl Fn(&Edit) -> Result<Column, CommitError>,
    ) -> Result<Vec<Column>, CommitError> {
        let mut columns = Vec::with_capacity(self.base.columns().len() + self.edits.len());
        for column in self.base.columns() {
            columns.push(self.edit(column.name()).map_or_else(|| base(column), &edited)?);
        }
        for edit in self.edits.iter().filter(|edit| self.base.column(&edit.name).is_none()) {
            columns.push(edited(edit)?);
        }
        Ok(columns)
    }
}

impl Edit {
    fn label_bytes(&self) -> u64 {
        let label = self.name.len() + self.hint.as_ref().map_or(0, |hint| hint.len());
        u64::from(self.draft.rows()).saturating_mul(label as u64)
    }

    fn seal(&self) -> Result<Column, CommitError> {
        Ok(self.column(self.draft.seal().map_err(|_| self.too_large())?))
    }

    fn column(&self, values: Values) -> Column {
        Column::new(self.name.clone(), values).with_hint(self.hint.clone()).with_nullable(self.nullable)
    }

    fn too_large(&self) -> CommitError {
        ArrangeError::TextTooLarge { column: self.name.to_string() }
    }
}

fn row_count(len: usize) -> Access<u32> {
    u32::try_from(len).map_err(|_| AccessError::TooLarge)
}

#[cfg(test)]
mod tests;
