//! Reading and writing runs of cells, and what they weigh.

use std::sync::Arc;

use crate::document::tensor::{Tensor, TensorColumn};

/// What one cell costs besides its value: about the largest cell of any kind.
pub(super) const CELL_BYTES: u64 = 40;

/// Bytes that `values` add: their own and their cells'.
pub(super) fn weight<T>(values: &[Option<T>], size: impl Fn(&T) -> usize) -> u64 {
    values.iter().map(|value| 8 + value.as_ref().map_or(0, |value| size(value) as u64)).sum()
}

/// Rows `start..start+count`; rows past the column's end have no value.
pub(super) fn copy_range<T: Clone>(values: &[Option<T>], start: u32, count: u32) -> Vec<Option<T>> {
    let (start, count) = (start as usize, count as usize);
    let there = values.get(start.min(values.len())..(start + count).min(values.len())).unwrap_or(&[]);
    let mut rows = Vec::with_capacity(count);
    rows.extend_from_slice(there);
    rows.resize(count, None);
    rows
}

/// Writes `values` from row `start` on, growing the column if need be.
pub(super) fn write<T>(rows: &mut Vec<Option<T>>, start: u32, values: impl IntoIterator<Item = Option<T>>) {
    write_plain(rows, start, values);
}

/// The same for cells that have an empty value instead of none.
pub(super) fn write_plain<T: Default>(rows: &mut Vec<T>, start: u32, values: impl IntoIterator<Item = T>) {
    let start = start as usize;
    if rows.len() < start {
        rows.resize_with(start, T::default);
    }
    for (row, value) in (start..).zip(values) {
        match rows.get_mut(row) {
            Some(slot) => *slot = value,
            None => rows.push(value),
        }
    }
}

/// The column as single tensors, so that one row can be written.
pub(super) fn tensor_rows(column: &mut TensorColumn) -> &mut Arc<Vec<Option<Tensor>>> {
    if let TensorColumn::Stacked(_) = column {
        let rows = (0..column.rows()).map(|row| column.get(row)).collect();
        *column = TensorColumn::Rows(Arc::new(rows));
    }
    match column {
        TensorColumn::Rows(rows) => rows,
        TensorColumn::Stacked(_) => unreachable!("turned into rows above"),
    }
}
