//! The canonical order of an arena: roots first, then nested documents level by level.
//!
//! Every list that leaves this module's siblings went through here, so two lists with the same documents have the
//! same rows, every row is reachable, and a hostile set of links (a cycle, a diamond that doubles at every level) ends
//! in an error and not in endless output: linked twice means copied, and copies count against the limits.

use std::sync::Arc;

use super::DocumentList;
use super::column::{Column, Values};
use super::links::LinkColumn;
use super::tensor::TensorColumn;
use super::text::{TextColumn, TextPacker};
use crate::error::LimitKind;
use crate::limits::Limits;

/// Why rows and links make no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArrangeError {
    /// More documents than allowed, copies of doubly linked ones included.
    #[error("the list would hold more than {limit} documents, nested ones included")]
    TooManyDocuments {
        /// the limit
        limit: u32,
    },
    /// More bytes than a call may write: what it wrote, the names of the columns it wrote in every row, and what is
    /// copied because it is selected or linked twice.
    #[error(
        "the list would hold more than {limit} bytes written or copied, the names of columns in each row included"
    )]
    TooManyBytes {
        /// the limit
        limit: u64,
    },
    /// Nested deeper than allowed, or in a cycle.
    #[error("documents are nested deeper than {limit} levels, or in a cycle")]
    TooDeep {
        /// the limit
        limit: u32,
    },
    /// All texts of a column together pass 4 GiB.
    #[error("the texts of column {column:?} pass 4 GiB")]
    TextTooLarge {
        /// the column
        column: String,
    },
    /// A link or a root points past the last row.
    #[error("row {row} does not exist")]
    NoSuchRow {
        /// the row
        row: u32,
    },
}

impl ArrangeError {
    /// The limit that was passed, if it was one.
    pub fn limit(&self) -> Option<(LimitKind, u64)> {
        match self {
            ArrangeError::TooManyDocuments { limit } => Some((LimitKind::Documents, u64::from(*limit))),
            ArrangeError::TooManyBytes { limit } => Some((LimitKind::WrittenBytes, *limit)),
            ArrangeError::TooDeep { limit } => Some((LimitKind::Nesting, u64::from(*limit))),
            ArrangeError::TextTooLarge { .. } => Some((LimitKind::WrittenBytes, u64::from(u32::MAX))),
            ArrangeError::NoSuchRow { .. } => None,
        }
    }
}

/// Puts `roots` first and what they link to behind them; rows that nothing reaches are dropped. `written` bytes count
/// against the limit already.
pub(super) fn arrange(
    roots: &[u32],
    total: u32,
    columns: Vec<Column>,
    limits: &Limits,
    written: u64,
) -> Result<DocumentList, ArrangeError> {
    let walk = Walk::run(roots, total, &columns, limits)?;
    let len = u32::try_from(roots.len()).unwrap_or(u32::MAX);
    let count = u32::try_from(walk.order.len()).unwrap_or(u32::MAX);
    let stays = walk.order.iter().zip(0u32..).take_while(|(old, new)| **old == *new).count();
    if stays == walk.order.len() && count == total {
        return Ok(DocumentList::from_parts(len, total, columns));
    }
    check_copies(&walk.order, total, &columns, limits, written)?;
    let mut links = walk.links.into_iter();
    let mut arranged = Vec::with_capacity(columns.len());
    for column in columns {
        let values = match column.values() {
            Values::Link(old) => {
                let lists = links.next().unwrap_or_default();
                Values::Link(LinkColumn::pack(lists.iter().map(Vec::as_slice)).with_single(old.is_single()))
            }
            values => gather(column.name(), values, &walk.order, stays)?,
        };
        arranged.push(column.with_values(values));
    }
    Ok(DocumentList::from_parts(len, count, arranged))
}

/// The walk over all links: which old row stands at which new one, and every link in new rows.
struct Walk {
    order: Vec<u32>,
    links: Vec<Vec<Vec<u32>>>,
}

impl Walk {
    fn run(roots: &[u32], total: u32, columns: &[Column], limits: &Limits) -> Result<Self, ArrangeError> {
        let too_many = || ArrangeError::TooManyDocuments { limit: limits.documents };
        if roots.len() > limits.documents as usize {
            return Err(too_many());
        }
        let link_columns: Vec<&LinkColumn> = columns
            .iter()
            .filter_map(|column| if let Values::Link(links) = column.values() { Some(links) } else { None })
            .collect();
        let mut walk = Self { order: roots.to_vec(), links: vec![Vec::new(); link_columns.len()] };
        if let Some(&row) = roots.iter().find(|&&row| row >= total) {
            return Err(ArrangeError::NoSuchRow { row });
        }
        if link_columns.iter().all(|links| links.targets().is_empty()) {
            return Ok(walk);
        }
        let (mut next, mut level_end, mut depth) = (0, walk.order.len(), 0);
        while let Some(&old) = walk.order.get(next) {
            if next == level_end {
                (level_end, depth) = (walk.order.len(), depth + 1);
                if depth > Limits::NESTING {
                    return Err(ArrangeError::TooDeep { limit: Limits::NESTING });
                }
            }
            for (links, lists) in link_columns.iter().zip(&mut walk.links) {
                let mut list = Vec::with_capacity(links.get(old).len());
                for &target in links.get(old) {
                    if target >= total {
                        return Err(ArrangeError::NoSuchRow { row: target });
                    }
                    list.push(u32::try_from(walk.order.len()).map_err(|_| too_many())?);
                    walk.order.push(target);
                }
                lists.push(list);
            }
            if walk.order.len() > limits.documents as usize {
                return Err(too_many());
            }
            next += 1;
        }
        Ok(walk)
    }
}

/// A row that comes again is written again: a small call must not make a large reply by naming one row many times.
fn check_copies(
    order: &[u32],
    total: u32,
    columns: &[Column],
    limits: &Limits,
    mut written: u64,
) -> Result<(), ArrangeError> {
    let limit = limits.written_bytes;
    let mut seen = vec![false; total as usize];
    for &old in order {
        let Some(seen) = seen.get_mut(old as usize) else { continue };
        if !std::mem::replace(seen, true) {
            continue;
        }
        let bytes = columns.iter().map(|column| column.weight(old));
        written = bytes.fold(written, u64::saturating_add);
        if written > limit {
            return Err(ArrangeError::TooManyBytes { limit });
        }
    }
    Ok(())
}

/// Values in the new order. `stays` is the number of leading rows that keep their place.
pub(super) fn gather(
    name: &str,
    values: &Values,
    order: &[u32],
    stays: usize,
) -> Result<Values, ArrangeError> {
    let rows = values.rows();
    let moved = order.get(stays..).unwrap_or(&[]);
    if rows as usize <= stays && moved.iter().all(|&old| old >= rows) {
        return Ok(values.clone());
    }
    Ok(match values {
        Values::Text(column) => Values::Text(gather_text(name, column, order)?),
        Values::Json(column) => Values::Json(gather_text(name, column, order)?),
        Values::Bytes(values) => Values::Bytes(gather_rows(values, order)),
        Values::Integer(values) => Values::Integer(gather_rows(values, order)),
        Values::Number(values) => Values::Number(gather_rows(values, order)),
        Values::Boolean(values) => Values::Boolean(gather_rows(values, order)),
        Values::Tensor(TensorColumn::Rows(values)) => {
            Values::Tensor(TensorColumn::Rows(gather_rows(values, order)))
        }
        Values::Tensor(column) => {
            Values::Tensor(TensorColumn::Rows(Arc::new(order.iter().map(|&old| column.get(old)).collect())))
        }
        Values::Link(column) => Values::Link(column.clone()),
    })
}

fn gather_rows<T: Clone>(values: &[Option<T>], order: &[u32]) -> Arc<Vec<Option<T>>> {
    Arc::new(order.iter().map(|&old| values.get(old as usize).cloned().flatten()).collect())
}

fn gather_text(name: &str, column: &TextColumn, order: &[u32]) -> Result<TextColumn, ArrangeError> {
    let mut packer = TextPacker::with_rows(order.len());
    for &old in order {
        packer.push(column.get(old)).map_err(|_| ArrangeError::TextTooLarge { column: name.to_owned() })?;
    }
    Ok(packer.finish())
}
