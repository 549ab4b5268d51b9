//! Several lists made one: end to end, or merged by document id.
//!
//! Both keep the order of the lists they are given, so a join gives the same answer however the branches raced.

use std::collections::HashMap;
use std::sync::Arc;

use super::arrange::{ArrangeError, arrange};
use super::builder::BuildError;
use super::column::{Column, Kind, Values};
use super::links::LinkColumn;
use super::overlay::{AccessError, Overlay};
use super::tensor::TensorColumn;
use super::text::TextColumn;
use super::{DocumentList, names};
use crate::limits::Limits;

/// The lists end to end; nested documents follow in canonical order.
pub fn concat(lists: &[&DocumentList], limits: &Limits) -> Result<DocumentList, BuildError> {
    match lists {
        [] => Ok(DocumentList::default()),
        [only] => Ok((*only).clone()),
        _ => {
            let (columns, total, roots) = stack(lists, limits)?;
            Ok(arrange(&roots.concat(), total, columns, limits)?)
        }
    }
}

/// The lists merged by document id, as Jina reduces them: of each attribute the first list that has it wins, what it
/// lacks is taken from the others, chunks and matches are united by id, and documents with new ids are appended.
pub fn reduce(lists: &[&DocumentList], limits: &Limits) -> Result<DocumentList, BuildError> {
    match lists {
        [] => return Ok(DocumentList::default()),
        [first, rest @ ..] if rest.iter().all(|list| same_list(first, list)) => return Ok((*first).clone()),
        _ => {}
    }
    let (columns, total, roots) = stack(lists, limits)?;
    let arena = DocumentList::from_parts(total, total, columns);
    let overlay = Overlay::new(arena.clone(), &own_limits(limits));
    let mut merge = Merge { overlay, arena, limit: limits.documents };
    let merged = merge.groups(roots.concat(), 0)?;
    merge.write(|overlay| overlay.select(merged))?;
    Ok(merge.overlay.commit()?)
}

/// Whether two lists share all their memory, as the branches of a flow do where nothing was changed.
fn same_list(a: &DocumentList, b: &DocumentList) -> bool {
    a.len == b.len && a.total == b.total && Arc::ptr_eq(&a.columns, &b.columns)
}

/// The merge writes what the lists hold already: only the number of documents is bounded by the caller's limits.
fn own_limits(limits: &Limits) -> Limits {
    Limits { written_bytes: u64::MAX, columns: u32::MAX, ..*limits }
}

struct Merge {
    arena: DocumentList,
    overlay: Overlay,
    limit: u32,
}

impl Merge {
    /// Merges rows with equal ids into the first of them; gives one row per id, in the order of first appearance.
    fn groups(&mut self, rows: Vec<u32>, depth: u32) -> Result<Vec<u32>, BuildError> {
        if depth > Limits::NESTING {
            return Err(ArrangeError::TooDeep { limit: Limits::NESTING }.into());
        }
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(rows.len());
        let mut groups: Vec<Vec<u32>> = Vec::with_capacity(rows.len());
        let arena = self.arena.clone();
        for row in rows {
            let place = arena.text(names::ID, row).map(|id| *places.entry(id).or_insert(groups.len()));
            match place.and_then(|place| groups.get_mut(place)) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        for group in groups.iter().filter(|group| group.len() > 1) {
            self.merge(group, depth)?;
        }
        Ok(groups.iter().filter_map(|group| group.first().copied()).collect())
    }

    /// Completes the first row of a group from the others.
    fn merge(&mut self, group: &[u32], depth: u32) -> Result<(), BuildError> {
        let Some((&first, others)) = group.split_first() else { return Ok(()) };
        let arena = self.arena.clone();
        for column in arena.columns() {
            if column.kind() == Kind::Link {
                let targets: Vec<u32> =
                    group.iter().flat_map(|&row| arena.links(column.name(), row)).copied().collect();
                if !targets.is_empty() {
                    let united = self.groups(targets, depth + 1)?;
                    self.write(|overlay| overlay.set_link(column.name(), first, vec![united]))?;
                }
            } else if !column.has_value(first)
                && let Some(&donor) = others.iter().find(|&&row| column.has_value(row))
            {
                self.write(|overlay| copy(overlay, column.name(), column.kind(), donor, first))?;
            }
        }
        Ok(())
    }

    fn write(&mut self, act: impl FnOnce(&mut Overlay) -> Result<(), AccessError>) -> Result<(), BuildError> {
        // Rows, kinds and values come from the arena itself, so only its size can be refused.
        act(&mut self.overlay).map_err(|_| ArrangeError::TooManyDocuments { limit: self.limit }.into())
    }
}

fn copy(overlay: &mut Overlay, name: &str, kind: Kind, from: u32, to: u32) -> Result<(), AccessError> {
    match kind {
        Kind::Text => overlay.set_text(name, to, overlay.get_text(name, from, 1)?),
        Kind::Json => overlay.set_json(name, to, overlay.get_json(name, from, 1)?),
        Kind::Bytes => overlay.set_bytes(name, to, overlay.get_bytes(name, from, 1)?),
        Kind::Integer => overlay.set_integer(name, to, overlay.get_integer(name, from, 1)?),
        Kind::Number => overlay.set_number(name, to, overlay.get_number(name, from, 1)?),
        Kind::Boolean => overlay.set_boolean(name, to, overlay.get_boolean(name, from, 1)?),
        Kind::Tensor => overlay.set_tensor(name, to, overlay.get_tensor(name, from, 1)?),
        Kind::Link => overlay.set_link(name, to, overlay.get_link(name, from, 1)?),
    }
}

/// All rows of all lists in one arena: columns, rows, and the roots of each list.
type Stacked = (Vec<Column>, u32, Vec<Vec<u32>>);

fn stack(lists: &[&DocumentList], limits: &Limits) -> Result<Stacked, BuildError> {
    let too_many = || ArrangeError::TooManyDocuments { limit: limits.documents };
    let (mut total, mut starts) = (0u32, Vec::with_capacity(lists.len()));
    for list in lists {
        starts.push(total);
        total = total.checked_add(list.total).ok_or_else(too_many)?;
    }
    let roots = lists.iter().zip(&starts).map(|(list, &start)| (start..start + list.len).collect()).collect();
    let mut columns: Vec<Column> = Vec::new();
    for list in lists {
        for column in list.columns() {
            if columns.iter().all(|done| done.name() != column.name()) {
                // A column without values says nothing about its kind.
                let twins = lists.iter().filter_map(|list| list.column(column.name()));
                let decided = twins.into_iter().find(|twin| !twin.is_blank()).unwrap_or(column);
                columns.push(stack_column(decided, lists, &starts)?);
            }
        }
    }
    Ok((columns, total, roots))
}

/// The column of that name in all lists, one under the other.
fn stack_column(column: &Column, lists: &[&DocumentList], starts: &[u32]) -> Result<Column, BuildError> {
    let mut parts: Vec<(u32, &Values)> = Vec::with_capacity(lists.len());
    for (list, &start) in lists.iter().zip(starts) {
        match list.column(column.name()) {
            Some(twin) if twin.kind() == column.kind() => parts.push((start, twin.values())),
            Some(twin) if twin.is_blank() => {}
            Some(twin) => {
                let (name, first, second) = (column.name().to_owned(), column.kind(), twin.kind());
                return Err(BuildError::MixedKinds { name, first, second });
            }
            None => {}
        }
    }
    let too_large = |_| ArrangeError::TextTooLarge { column: column.name().to_owned() };
    let values = match column.kind() {
        Kind::Text => Values::Text(stack_texts(&parts).map_err(too_large)?),
        Kind::Json => Values::Json(stack_texts(&parts).map_err(too_large)?),
        Kind::Link => Values::Link(stack_links(&parts)),
        Kind::Bytes => Values::Bytes(stack_cells(&parts, |values, row| match values {
            Values::Bytes(values) => values.get(row as usize).cloned().flatten(),
            _ => None,
        })),
        Kind::Integer => Values::Integer(stack_cells(&parts, |values, row| match values {
            Values::Integer(values) => values.get(row as usize).copied().flatten(),
            _ => None,
        })),
        Kind::Number => Values::Number(stack_cells(&parts, |values, row| match values {
            Values::Number(values) => values.get(row as usize).copied().flatten(),
            _ => None,
        })),
        Kind::Boolean => Values::Boolean(stack_cells(&parts, |values, row| match values {
            Values::Boolean(values) => values.get(row as usize).copied().flatten(),
            _ => None,
        })),
        Kind::Tensor => Values::Tensor(TensorColumn::Rows(stack_cells(&parts, |values, row| match values {
            Values::Tensor(column) => column.get(row),
            _ => None,
        }))),
    };
    Ok(Column::new(column.shared_name().clone(), values).with_hint(column.hint().cloned()))
}

fn stack_texts(parts: &[(u32, &Values)]) -> Result<TextColumn, super::text::BadParts> {
    let mut packer = super::text::TextPacker::with_rows(0);
    for (start, values) in parts {
        while packer.rows() < *start {
            packer.push(None)?;
        }
        if let Values::Text(column) | Values::Json(column) = values {
            for text in column.iter() {
                packer.push(text)?;
            }
        }
    }
    Ok(packer.finish())
}

fn stack_links(parts: &[(u32, &Values)]) -> LinkColumn {
    let (mut lists, mut single): (Vec<Vec<u32>>, bool) = (Vec::new(), true);
    for (start, values) in parts {
        lists.resize(*start as usize, Vec::new());
        if let Values::Link(column) = values {
            single &= column.is_single();
            lists.extend(
                (0..column.rows()).map(|row| column.get(row).iter().map(|target| target + start).collect()),
            );
        }
    }
    LinkColumn::pack(lists.iter().map(Vec::as_slice)).with_single(single)
}

fn stack_cells<T: Clone>(
    parts: &[(u32, &Values)],
    get: impl Fn(&Values, u32) -> Option<T>,
) -> Arc<Vec<Option<T>>> {
    let mut cells: Vec<Option<T>> = Vec::new();
    for (start, values) in parts {
        cells.resize(*start as usize, None);
        cells.extend((0..values.rows()).map(|row| get(values, row)));
    }
    Arc::new(cells)
}

#[cfg(test)]
mod tests;
