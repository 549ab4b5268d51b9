//! Asks a condition of the documents of one list.
//!
//! JSON of a row is parsed once per row and column, whatever asks for it. What an answer cost is counted, so that who
//! asks can let others have a turn.

use std::cmp::Ordering;

use serde_json::Value;

use super::cells::Cell;
use super::{Condition, Field, Operand, Operator, Test};
use crate::document::{Column, DocumentList, TensorColumn, Values, names};

/// What one byte of an expression's text costs beside a byte that is only read.
const EXPRESSION_COST: u64 = 64;

/// A text that no expression is looked for in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{field}` of a document has {len} bytes, `$regex` looks at no more than {limit}",
    limit = Condition::MAX_MATCHED_BYTES
)]
pub struct TextTooLong {
    /// the field
    pub field: String,
    /// bytes of its text
    pub len: usize,
}

/// A condition and the list whose documents it is asked of.
pub struct Matcher<'a> {
    condition: &'a Condition,
    list: &'a DocumentList,
    row: u32,
    parsed: Vec<(&'a str, Value)>,
    cost: u64,
}

impl<'a> Matcher<'a> {
    /// Nothing is asked yet.
    pub fn new(condition: &'a Condition, list: &'a DocumentList) -> Self {
        Self { condition, list, row: 0, parsed: Vec::new(), cost: 0 }
    }

    /// Whether the document of this row satisfies the condition.
    pub fn holds(&mut self, row: u32) -> Result<bool, TextTooLong> {
        (self.row, self.cost) = (row, self.cost.saturating_add(1));
        self.parsed.clear();
        self.ask(self.condition)
    }

    /// What the answers since the last time cost, in bytes read.
    pub fn take_cost(&mut self) -> u64 {
        std::mem::take(&mut self.cost)
    }

    fn ask(&mut self, condition: &'a Condition) -> Result<bool, TextTooLong> {
        match condition {
            Condition::All(all) => {
                for condition in all {
                    if !self.ask(condition)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Any(any) => {
                for condition in any {
                    if self.ask(condition)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::Not(condition) => Ok(!self.ask(condition)?),
            Condition::Test(test) => self.test(test),
        }
    }

    fn test(&mut self, test: &'a Test) -> Result<bool, TextTooLong> {
        let cell = self.cell(&test.field);
        let is = |ordering: Option<Ordering>, wanted: fn(Ordering) -> bool| ordering.is_some_and(wanted);
        Ok(match &test.operator {
            Operator::Equal(operand) => cell.equals(&self.operand(operand)),
            Operator::NotEqual(operand) => !cell.equals(&self.operand(operand)),
            Operator::Less(operand) => is(cell.compare(&self.operand(operand)), Ordering::is_lt),
            Operator::LessOrEqual(operand) => is(cell.compare(&self.operand(operand)), Ordering::is_le),
            Operator::Greater(operand) => is(cell.compare(&self.operand(operand)), Ordering::is_gt),
            Operator::GreaterOrEqual(operand) => is(cell.compare(&self.operand(operand)), Ordering::is_ge),
            Operator::In(operand) => cell.is_in(&self.operand(operand)),
            Operator::NotIn(operand) => !cell.is_in(&self.operand(operand)),
            Operator::Size(operand) => {
                let wanted = self.operand(operand).number();
                cell.size().zip(wanted).is_some_and(|(size, wanted)| size as f64 == wanted)
            }
            Operator::Exists(exists) => exists_in(&test.field, &cell) == *exists,
            Operator::Matches(pattern) => match cell.text() {
                Some(text) if text.len() > Condition::MAX_MATCHED_BYTES => {
                    return Err(TextTooLong { field: test.field.to_string(), len: text.len() });
                }
                Some(text) => {
                    self.cost = self.cost.saturating_add(text.len() as u64 * EXPRESSION_COST);
                    pattern.expression.is_match(text)
                }
                None => false,
            },
        })
    }

    fn operand(&mut self, operand: &'a Operand) -> Cell<'a> {
        match operand {
            Operand::Value(Value::String(text)) => Cell::Text(text),
            Operand::Value(value) => Cell::Json(value.clone()),
            Operand::Field(field) => self.cell(field),
        }
    }

    fn cell(&mut self, field: &'a Field) -> Cell<'a> {
        let list = self.list;
        let (mut row, mut parts) = (self.row, field.parts.as_slice());
        while let Some((name, rest)) = parts.split_first() {
            let Some(column) = list.column(name).filter(|column| column.has_value(row)) else {
                return if rest.is_empty() { unset(name) } else { Cell::Nothing };
            };
            match (column.values(), rest) {
                (Values::Link(links), [_, ..]) => {
                    let targets = links.get(row);
                    let (target, rest) = if links.is_single() {
                        (targets.first(), rest)
                    } else {
                        let index = rest.first().and_then(|part| part.parse::<usize>().ok());
                        (index.and_then(|index| targets.get(index)), rest.get(1..).unwrap_or(&[]))
                    };
                    match target {
                        Some(_) if rest.is_empty() => return Cell::Sized(1),
                        Some(target) => (row, parts) = (*target, rest),
                        None => return Cell::Nothing,
                    }
                }
                (Values::Json(_), rest) => return self.json(column, row, rest),
                (_, []) => {
                    let cell = plain(column, row);
                    self.cost = self.cost.saturating_add(cell.text().map_or(8, str::len) as u64);
                    return cell;
                }
                (_, [_, ..]) => return Cell::Nothing,
            }
        }
        Cell::Nothing
    }

    /// Something inside a JSON text; only those of the document itself are kept for the next question.
    fn json(&mut self, column: &'a Column, row: u32, path: &[Box<str>]) -> Cell<'a> {
        let kept = self.parsed.iter().find(|(name, _)| row == self.row && *name == column.name());
        if let Some((_, value)) = kept {
            return inside(value, path);
        }
        let Values::Json(texts) = column.values() else { return Cell::Nothing };
        let text = texts.get(row).unwrap_or("null");
        self.cost = self.cost.saturating_add(text.len() as u64);
        let value = serde_json::from_str(text).unwrap_or(Value::Null);
        let cell = inside(&value, path);
        if row == self.row {
            self.parsed.push((column.name(), value));
        }
        cell
    }
}

fn inside<'a>(value: &Value, path: &[Box<str>]) -> Cell<'a> {
    let mut value = value;
    for part in path {
        let found = match value {
            Value::Object(map) => map.get(&**part),
            Value::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        match found {
            Some(found) => value = found,
            None => return Cell::Nothing,
        }
    }
    Cell::Json(value.clone())
}

fn plain(column: &Column, row: u32) -> Cell<'_> {
    fn at<T: Copy>(values: &[Option<T>], row: u32) -> Option<T> {
        values.get(row as usize).copied().flatten()
    }
    let sized = |size: usize| Cell::Sized(u64::try_from(size).unwrap_or(u64::MAX));
    match column.values() {
        Values::Text(texts) => texts.get(row).map_or(Cell::Nothing, Cell::Text),
        Values::Integer(values) => at(values, row).map_or(Cell::Nothing, |value| Cell::Number(value as f64)),
        Values::Number(values) => at(values, row).map_or(Cell::Nothing, Cell::Number),
        Values::Boolean(values) => {
            at(values, row).map_or(Cell::Nothing, |value| Cell::Number(f64::from(u8::from(value))))
        }
        Values::Bytes(values) => values
            .get(row as usize)
            .and_then(Option::as_ref)
            .map_or(Cell::Nothing, |bytes| sized(bytes.len())),
        Values::Tensor(tensors) => length(tensors, row).map_or(Cell::Nothing, Cell::Sized),
        Values::Link(links) => sized(links.get(row).len()),
        Values::Json(_) => Cell::Nothing,
    }
}

/// The first dimension of a row's tensor.
fn length(tensors: &TensorColumn, row: u32) -> Option<u64> {
    tensors.get(row).map(|tensor| tensor.shape().first().map_or(0, |first| u64::from(*first)))
}

/// What DocArray gives for an attribute that was not set.
fn unset<'a>(name: &str) -> Cell<'a> {
    match name {
        names::TEXT | names::URI | names::MIME_TYPE | "modality" | "parent_id" => Cell::Text(""),
        names::TAGS | names::SCORES | "evaluations" => Cell::Json(Value::Object(serde_json::Map::new())),
        "location" => Cell::Json(Value::Array(Vec::new())),
        names::BLOB | names::CHUNKS | names::MATCHES => Cell::Sized(0),
        "weight" | "offset" | "granularity" | "adjacency" => Cell::Number(0.0),
        _ => Cell::Nothing,
    }
}

/// DocArray's `$exists`: an attribute that is empty does not, something inside one that is there does.
fn exists_in(field: &Field, cell: &Cell<'_>) -> bool {
    if cell.is_nothing() {
        return false;
    }
    let [name] = field.parts.as_slice() else { return true };
    match cell {
        Cell::Text(text) => !text.is_empty(),
        Cell::Json(Value::Object(map)) => !map.is_empty(),
        Cell::Json(Value::Array(items)) => !items.is_empty(),
        Cell::Sized(size) => *size > 0,
        Cell::Number(number) => {
            *number != 0.0 || !matches!(&**name, "weight" | "offset" | "granularity" | "adjacency")
        }
        Cell::Nothing | Cell::Json(_) => true,
    }
}
