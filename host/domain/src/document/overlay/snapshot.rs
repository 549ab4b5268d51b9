//! A list of some rows while the call goes on: only the rows asked for and what they link are looked at, so that a
//! call that appends and emits a row at a time costs as much as its rows, and not their square.

use std::collections::HashMap;

use super::draft::Draft;
use super::{Edit, Overlay};
use crate::document::arrange::{ArrangeError, gather};
use crate::document::column::{Column, Values};
use crate::document::links::LinkColumn;
use crate::document::text::TextColumn;

/// Rows that some rows reach, those first; each once, in the order in which the links name them.
pub(super) struct Reach {
    rows: Vec<u32>,
    places: HashMap<u32, u32>,
}

/// A column of links, packed or while it is written.
enum Links<'a> {
    Sealed(&'a LinkColumn),
    Open(&'a [Box<[u32]>]),
}

impl Reach {
    /// Follows the links of `roots`. Bounded by the rows that there are, whatever cycles the links make.
    pub(super) fn from(overlay: &Overlay, roots: &[u32]) -> Result<Self, ArrangeError> {
        let mut reach = Self { rows: Vec::with_capacity(roots.len()), places: HashMap::new() };
        for &row in roots {
            reach.meet(row, overlay.total)?;
        }
        let columns = overlay.links();
        if columns.is_empty() {
            return Ok(reach);
        }
        let mut next = 0;
        while let Some(&row) = reach.rows.get(next) {
            for &target in columns.iter().flat_map(|links| links.get(row)) {
                reach.meet(target, overlay.total)?;
            }
            next += 1;
        }
        Ok(reach)
    }

    fn meet(&mut self, row: u32, total: u32) -> Result<(), ArrangeError> {
        if row >= total {
            return Err(ArrangeError::NoSuchRow { row });
        }
        let place = self.len();
        self.places.entry(row).or_insert_with(|| {
            self.rows.push(row);
            place
        });
        Ok(())
    }

    /// How many rows they are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// Where old rows stand among those reached.
    pub(super) fn places(&self, rows: &[u32]) -> Vec<u32> {
        rows.iter().filter_map(|row| self.places.get(row).copied()).collect()
    }

    /// The reached rows of a column of the base.
    pub(super) fn column(&self, column: &Column) -> Result<Column, ArrangeError> {
        Ok(column.with_values(self.values(column.name(), column.values())?))
    }

    /// The reached rows of a column that the call writes.
    pub(super) fn edit(&self, edit: &Edit) -> Result<Column, ArrangeError> {
        let texts = |rows: &[Option<Box<str>>]| {
            let texts = self.rows.iter().map(|&row| rows.get(row as usize)?.as_deref());
            TextColumn::pack(texts).map_err(|_| edit.too_large())
        };
        let values = match &edit.draft {
            Draft::Sealed(values) => self.values(&edit.name, values)?,
            Draft::Text(rows) => Values::Text(texts(rows)?),
            Draft::Json(rows) => Values::Json(texts(rows)?),
            Draft::Link(rows, single) => self.link(&Links::Open(rows), *single),
        };
        Ok(edit.column(values))
    }

    fn values(&self, name: &str, values: &Values) -> Result<Values, ArrangeError> {
        match values {
            Values::Link(links) => Ok(self.link(&Links::Sealed(links), links.is_single())),
            values => gather(name, values, &self.rows, 0),
        }
    }

    fn link(&self, links: &Links<'_>, single: bool) -> Values {
        let lists: Vec<Vec<u32>> = self.rows.iter().map(|&row| self.places(links.get(row))).collect();
        // As when a whole column is sealed: more than one document in a row is a list, whatever the field was.
        let single = single && lists.iter().all(|list| list.len() <= 1);
        Values::Link(LinkColumn::pack(lists.iter().map(Vec::as_slice)).with_single(single))
    }
}

impl<'a> Links<'a> {
    fn sealed(values: &'a Values) -> Option<Self> {
        if let Values::Link(links) = values { Some(Links::Sealed(links)) } else { None }
    }

    fn get(&self, row: u32) -> &[u32] {
        match self {
            Links::Sealed(links) => links.get(row),
            Links::Open(rows) => rows.get(row as usize).map_or(&[], |list| list),
        }
    }
}

impl Overlay {
    /// Every column of links as it is now.
    fn links(&self) -> Vec<Links<'_>> {
        let base = self.base.columns().iter().filter(|column| self.edit(column.name()).is_none());
        let edits = self.edits.iter().filter_map(|edit| match &edit.draft {
            Draft::Link(rows, _) => Some(Links::Open(rows)),
            Draft::Sealed(values) => Links::sealed(values),
            Draft::Text(_) | Draft::Json(_) => None,
        });
        base.filter_map(|column| Links::sealed(column.values())).chain(edits).collect()
    }
}
