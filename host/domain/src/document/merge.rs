//! Several lists become one: what a stage with several needs gets, and what a flow with several ends answers.
//!
//! [`concat`] puts one list behind the other. [`reduce`] unites documents of the same id, as Jina does, but in the order
//! of the lists and not of their arrival, so the same request always gives the same answer: per attribute the first list
//! that has a value wins, attributes it lacks are taken from the others, `tags` and `scores` are united key by key,
//! nested documents are united by id, and documents with new ids are appended. Documents without an id are taken for the
//! same when they stand at the same place among such documents: branches of a flow start from one list.
//!
//! Branches usually add columns and leave rows alone. Then whole columns are shared and nothing is copied.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::builder::{BuildError, DocumentListBuilder};
use super::column::{Column, Values};
use super::tensor::TensorColumn;
use super::text::TextColumn;
use super::{ArrangeError, DocumentList, names};
use crate::limits::Limits;

#[cfg(test)]
mod tests;

/// One list behind the other. Keeps `limits.documents` and `limits.columns`.
pub fn concat(lists: &[&DocumentList], limits: &Limits) -> Result<DocumentList, BuildError> {
    match filled(lists).as_slice() {
        [] => Ok(lists.first().map(|list| (*list).clone()).unwrap_or_default()),
        [only] => Ok((*only).clone()),
        filled => Union::new(filled, limits).run(Roots::Apart),
    }
}

/// Documents of the same id become one, in the order of the lists. Keeps `limits.documents` and `limits.columns`.
pub fn reduce(lists: &[&DocumentList], limits: &Limits) -> Result<DocumentList, BuildError> {
    match filled(lists).as_slice() {
        [] => Ok(lists.first().map(|list| (*list).clone()).unwrap_or_default()),
        [only] => Ok((*only).clone()),
        filled => match aligned(filled, limits)? {
            Some(list) => Ok(list),
            None => Union::new(filled, limits).run(Roots::United),
        },
    }
}

fn filled<'a>(lists: &[&'a DocumentList]) -> Vec<&'a DocumentList> {
    lists.iter().copied().filter(|list| !list.is_empty()).collect()
}

// === lists with the same rows ===

/// The union column by column; none unless all lists have the same documents at the same rows.
fn aligned(lists: &[&DocumentList], limits: &Limits) -> Result<Option<DocumentList>, BuildError> {
    let Some((first, rest)) = lists.split_first() else { return Ok(None) };
    if !rest.iter().all(|list| same_rows(first, list)) {
        return Ok(None);
    }
    let mut columns = first.columns().to_vec();
    for list in rest {
        for column in list.columns() {
            match columns.iter_mut().find(|known| known.name() == column.name()) {
                None => columns.push(column.clone()),
                Some(known) => match filled_up(known, column, first.total())? {
                    Filled::Unchanged => {}
                    Filled::Changed(values) => {
                        *known = known.with_values(values);
                    }
                    Filled::Mixed => return Ok(None),
                },
            }
        }
    }
    if columns.len() > limits.columns as usize {
        return Err(BuildError::TooManyColumns { limit: limits.columns });
    }
    if first.total() > limits.documents {
        return Err(ArrangeError::TooManyDocuments { limit: limits.documents }.into());
    }
    Ok(Some(DocumentList::from_parts(first.len(), first.total(), columns)))
}

fn same_rows(a: &DocumentList, b: &DocumentList) -> bool {
    let is_link = |column: &&Column| matches!(column.values(), Values::Link(_));
    let agrees = |column: &Column, other: &DocumentList| match other.column(column.name()) {
        Some(twin) => shares_values(column, twin) || column.same_values(twin, a.total()),
        None => column.is_blank(),
    };
    let covers = |a: &DocumentList, b: &DocumentList| {
        a.column(names::ID).is_none_or(|column| agrees(column, b))
            && a.columns().iter().filter(is_link).all(|column| agrees(column, b))
    };
    a.len() == b.len() && a.total() == b.total() && covers(a, b) && covers(b, a)
}

enum Filled {
    Unchanged,
    Changed(Values),
    /// Kinds that only a common, wider kind can hold.
    Mixed,
}

/// `first` with its missing values taken from `second`.
fn filled_up(first: &Column, second: &Column, rows: u32) -> Result<Filled, BuildError> {
    let is_united = unites_keys(first.name());
    if shares_values(first, second) || (!is_united && (0..rows).all(|row| first.has_value(row))) {
        return Ok(Filled::Unchanged);
    }
    if first.kind() != second.kind() {
        return Ok(if second.is_blank() { Filled::Unchanged } else { Filled::Mixed });
    }
    fn either<T: Clone>(first: &[Option<T>], second: &[Option<T>], rows: u32) -> Arc<Vec<Option<T>>> {
        let at = |values: &[Option<T>], row: usize| values.get(row).cloned().flatten();
        Arc::new((0..rows as usize).map(|row| at(first, row).or_else(|| at(second, row))).collect())
    }
    let name = first.name();
    Ok(Filled::Changed(match (first.values(), second.values()) {
        (Values::Text(a), Values::Text(b)) => {
            Values::Text(pack(name, (0..rows).map(|row| a.get(row).or_else(|| b.get(row))))?)
        }
        (Values::Json(a), Values::Json(b)) if is_united => {
            let texts: Vec<Option<String>> = (0..rows).map(|row| united(a.get(row), b.get(row))).collect();
            Values::Json(pack(name, texts.iter().map(Option::as_deref))?)
        }
        (Values::Json(a), Values::Json(b)) => {
            Values::Json(pack(name, (0..rows).map(|row| a.get(row).or_else(|| b.get(row))))?)
        }
        (Values::Bytes(a), Values::Bytes(b)) => Values::Bytes(either(a, b, rows)),
        (Values::Integer(a), Values::Integer(b)) => Values::Integer(either(a, b, rows)),
        (Values::Number(a), Values::Number(b)) => Values::Number(either(a, b, rows)),
        (Values::Boolean(a), Values::Boolean(b)) => Values::Boolean(either(a, b, rows)),
        (Values::Tensor(a), Values::Tensor(b)) => {
            let rows = (0..rows).map(|row| a.get(row).or_else(|| b.get(row))).collect();
            Values::Tensor(TensorColumn::Rows(Arc::new(rows)))
        }
        // Links agree: that is what the same rows mean.
        _ => return Ok(Filled::Unchanged),
    }))
}

fn pack<'a>(
    name: &str,
    values: impl IntoIterator<Item = Option<&'a str>>,
) -> Result<TextColumn, ArrangeError> {
    TextColumn::pack(values).map_err(|_| ArrangeError::TextTooLarge { column: name.to_owned() })
}

fn shares_values(a: &Column, b: &Column) -> bool {
    match (a.values(), b.values()) {
        (Values::Text(a), Values::Text(b)) | (Values::Json(a), Values::Json(b)) => {
            Arc::ptr_eq(a.parts().0, b.parts().0) && Arc::ptr_eq(a.parts().1, b.parts().1)
        }
        (Values::Bytes(a), Values::Bytes(b)) => Arc::ptr_eq(a, b),
        (Values::Integer(a), Values::Integer(b)) => Arc::ptr_eq(a, b),
        (Values::Number(a), Values::Number(b)) => Arc::ptr_eq(a, b),
        (Values::Boolean(a), Values::Boolean(b)) => Arc::ptr_eq(a, b),
        (Values::Tensor(TensorColumn::Rows(a)), Values::Tensor(TensorColumn::Rows(b))) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

/// Objects that are united key by key: two branches that each add a tag both mean it.
fn unites_keys(name: &str) -> bool {
    matches!(name, names::TAGS | names::SCORES)
}

fn united(first: Option<&str>, second: Option<&str>) -> Option<String> {
    let (Some(a), Some(b)) = (first, second) else { return first.or(second).map(str::to_owned) };
    let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
    match (a != b).then(|| object(a).zip(object(b))).flatten() {
        Some((mut own, other)) => {
            let before = own.len();
            for (key, value) in other {
                own.entry(key).or_insert(value);
            }
            if own.len() == before { Some(a.to_owned()) } else { Some(Value::Object(own).to_string()) }
        }
        None => Some(a.to_owned()),
    }
}

// === lists with different rows ===

/// Whether the lists' own documents are united by id. Nested ones always are.
#[derive(Clone, Copy, PartialEq)]
enum Roots {
    United,
    Apart,
}

/// A document of the union: the rows that it is made of, at most one of each list, in the order of the lists.
type Sources = Vec<(usize, u32)>;

/// What two rows must share to be the same document: the id, and which one of that id it is within its list.
type Key<'a> = (Option<&'a str>, u32);

/// The columns of one name, list by list.
struct Attribute<'a> {
    name: &'a str,
    columns: Vec<Option<&'a Column>>,
}

struct Union<'a> {
    lists: &'a [&'a DocumentList],
    attributes: Vec<Attribute<'a>>,
    ids: Vec<Option<&'a Column>>,
    builder: DocumentListBuilder,
}

impl<'a> Union<'a> {
    fn new(lists: &'a [&'a DocumentList], limits: &Limits) -> Self {
        let mut attributes: Vec<Attribute<'a>> = Vec::new();
        for (list, index) in lists.iter().zip(0..) {
            for column in list.columns() {
                let known = attributes.iter_mut().find(|attribute| attribute.name == column.name());
                let slot = match known {
                    Some(attribute) => attribute.columns.get_mut(index),
                    None => {
                        attributes.push(Attribute { name: column.name(), columns: vec![None; lists.len()] });
                        attributes.last_mut().and_then(|attribute| attribute.columns.get_mut(index))
                    }
                };
                if let Some(slot) = slot {
                    *slot = Some(column);
                }
            }
        }
        let ids = lists.iter().map(|list| list.column(names::ID)).collect();
        Self { lists, attributes, ids, builder: DocumentListBuilder::new(*limits) }
    }

    fn run(mut self, roots: Roots) -> Result<DocumentList, BuildError> {
        let whole_lists: Vec<(usize, Vec<u32>)> =
            self.lists.iter().zip(0..).map(|(list, index)| (index, (0..list.len()).collect())).collect();
        let groups = match roots {
            Roots::United => self.group(&whole_lists),
            Roots::Apart => whole_lists
                .iter()
                .flat_map(|(index, rows)| rows.iter().map(|row| vec![(*index, *row)]))
                .collect(),
        };
        let mut queue: VecDeque<(u32, Sources)> = VecDeque::new();
        for sources in groups {
            queue.push_back((self.builder.push_root()?, sources));
        }
        // Each source row is in one group and linked from one parent, so the walk ends.
        while let Some((row, sources)) = queue.pop_front() {
            self.fill(row, &sources, &mut queue)?;
        }
        for attribute in &self.attributes {
            if let Some(hint) = attribute.columns.iter().flatten().find_map(|column| column.hint()) {
                self.builder.set_hint(attribute.name, hint);
            }
            if attribute.columns.iter().flatten().any(|column| column.is_nullable()) {
                self.builder.declare(attribute.name)?;
            }
        }
        self.builder.finish()
    }

    fn fill(
        &mut self,
        row: u32,
        sources: &Sources,
        queue: &mut VecDeque<(u32, Sources)>,
    ) -> Result<(), BuildError> {
        for index in 0..self.attributes.len() {
            let Some(attribute) = self.attributes.get(index) else { break };
            let name = attribute.name;
            let (mut found, mut nested, mut is_single) = (None, Vec::new(), false);
            for &(list, old) in sources {
                let Some(column) = attribute.columns.get(list).copied().flatten() else { continue };
                if !column.has_value(old) {
                    continue;
                }
                match column.values() {
                    Values::Link(links) => {
                        is_single = links.is_single();
                        nested.push((list, links.get(old).to_vec()));
                    }
                    Values::Json(texts) if unites_keys(name) => {
                        let so_far = match &found {
                            Some(Found::United(text)) => Some(text.as_str()),
                            _ => None,
                        };
                        found = united(so_far, texts.get(old)).map(Found::United);
                    }
                    values => {
                        found = Some(Found::Value(values, old));
                        break;
                    }
                }
            }
            match found {
                Some(Found::Value(values, old)) => copy_value(&mut self.builder, name, row, values, old)?,
                Some(Found::United(text)) => self.builder.set_json(name, row, &text)?,
                None => {}
            }
            if !nested.is_empty() {
                let groups = if is_single { self.single(&nested) } else { self.group(&nested) };
                let mut targets = Vec::with_capacity(groups.len());
                for group in groups {
                    let target = self.builder.push_nested()?;
                    targets.push(target);
                    queue.push_back((target, group));
                }
                self.builder.set_links(name, row, targets, is_single)?;
            }
        }
        Ok(())
    }

    /// Rows of several lists as documents of the union, in the order in which they first come.
    fn group(&self, parts: &[(usize, Vec<u32>)]) -> Vec<Sources> {
        let mut groups: Vec<Sources> = Vec::new();
        let mut places: HashMap<Key<'a>, usize> = HashMap::new();
        for (list, rows) in parts {
            let mut seen: HashMap<Option<&'a str>, u32> = HashMap::new();
            for &row in rows {
                let id = self.id(*list, row);
                let occurrence = seen.entry(id).and_modify(|count| *count += 1).or_insert(0);
                let place = *places.entry((id, *occurrence)).or_insert(groups.len());
                match groups.get_mut(place) {
                    Some(group) => group.push((*list, row)),
                    None => groups.push(vec![(*list, row)]),
                }
            }
        }
        groups
    }

    /// A field that holds one document: the first list's, united with those of the same id.
    fn single(&self, parts: &[(usize, Vec<u32>)]) -> Vec<Sources> {
        let rows: Sources =
            parts.iter().filter_map(|(list, rows)| rows.first().map(|row| (*list, *row))).collect();
        let wanted = rows.first().and_then(|&(list, row)| self.id(list, row));
        vec![rows.into_iter().filter(|&(list, row)| self.id(list, row) == wanted).collect()]
    }

    fn id(&self, list: usize, row: u32) -> Option<&'a str> {
        match self.ids.get(list).copied().flatten()?.values() {
            Values::Text(ids) => ids.get(row).filter(|id| !id.is_empty()),
            _ => None,
        }
    }
}

enum Found<'a> {
    Value(&'a Values, u32),
    United(String),
}

fn copy_value(
    builder: &mut DocumentListBuilder,
    name: &str,
    row: u32,
    values: &Values,
    old: u32,
) -> Result<(), BuildError> {
    fn at<T: Clone>(values: &[Option<T>], row: u32) -> Option<T> {
        values.get(row as usize).cloned().flatten()
    }
    match values {
        Values::Text(texts) => texts.get(old).map(|text| builder.set_text(name, row, text)),
        Values::Json(texts) => texts.get(old).map(|text| builder.set_json(name, row, text)),
        Values::Bytes(values) => at(values, old).map(|value| builder.set_bytes(name, row, value)),
        Values::Integer(values) => at(values, old).map(|value| builder.set_integer(name, row, value)),
        Values::Number(values) => at(values, old).map(|value| builder.set_number(name, row, value)),
        Values::Boolean(values) => at(values, old).map(|value| builder.set_boolean(name, row, value)),
        Values::Tensor(values) => values.get(old).map(|value| builder.set_tensor(name, row, value)),
        Values::Link(_) => None,
    }
    .unwrap_or(Ok(()))
}
