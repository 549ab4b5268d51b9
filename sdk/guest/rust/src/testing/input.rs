//! From what a test writes down to the documents of a request.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::host::AccessError;
use crate::testing::reply::tabulate;
use crate::testing::table::{Table, Values};
use crate::{Document, Error, Result, ResultExt, Tensor};

/// What can be a request's documents: `documents![...]`, or typed ones.
pub trait IntoDocuments {
    #[doc(hidden)]
    fn into_documents(self) -> Result<Rows>;
}

/// The documents of a request, ready for a call.
#[doc(hidden)]
pub struct Rows(pub(crate) Table);

impl IntoDocuments for Value {
    fn into_documents(self) -> Result<Rows> {
        let Self::Array(listed) = self else {
            return Err(Error::invalid_argument("the documents are no array"));
        };
        let mut table = Table::listing(u32::try_from(listed.len())?).map_err(refused)?;
        let mut waiting = vec![(0, listed)];
        while let Some((first, documents)) = waiting.pop() {
            fill(&mut table, first, documents, &mut waiting)?;
        }
        Ok(Rows(table))
    }
}

impl<T: Document> IntoDocuments for Vec<T> {
    fn into_documents(self) -> Result<Rows> {
        tabulate(self).map(Rows)
    }
}

/// Writes documents from row `first` on; those nested in them wait with the rows they got.
fn fill(
    table: &mut Table,
    first: u32,
    documents: Vec<Value>,
    waiting: &mut Vec<(u32, Vec<Value>)>,
) -> Result<()> {
    let mut numbers = BTreeSet::new();
    let mut cells: BTreeMap<String, Vec<(u32, Value)>> = BTreeMap::new();
    for (row, document) in (first..).zip(documents) {
        let Value::Object(fields) = document else {
            return Err(Error::invalid_argument("a document is no object"));
        };
        for (name, value) in fields {
            if value.is_f64() {
                numbers.insert(name.clone());
            }
            if !value.is_null() {
                cells.entry(name).or_default().push((row, value));
            }
        }
    }
    for (name, cells) in cells {
        for (row, value) in cells {
            let values = match name.as_str() {
                "chunks" | "matches" => nested(table, value, waiting)?,
                _ => parse(&name, value, numbers.contains(&name))?,
            };
            table.set(&name, row, values).map_err(refused).context(format_args!("{name:?}"))?;
        }
    }
    Ok(())
}

fn nested(table: &mut Table, value: Value, waiting: &mut Vec<(u32, Vec<Value>)>) -> Result<Values> {
    let Value::Array(documents) = value else {
        return Err(Error::invalid_argument("nested documents are no array"));
    };
    let count = u32::try_from(documents.len())?;
    let first = table.append(count).map_err(refused)?;
    waiting.push((first, documents));
    Ok(Values::Link(vec![(first..first.saturating_add(count)).collect()]))
}

fn parse(name: &str, value: Value, is_number: bool) -> Result<Values> {
    Ok(match (name, value) {
        ("tensor" | "embedding", value) => {
            let values: Vec<f32> = serde_json::from_value(value)?;
            Values::Tensor(vec![Some(Tensor::vector(&values))])
        }
        ("blob", Value::String(text)) => Values::Bytes(vec![Some(text.into_bytes())]),
        ("blob", value) => Values::Bytes(vec![Some(serde_json::from_value(value)?)]),
        ("tags" | "scores", value) => Values::Json(vec![Some(value.to_string())]),
        (_, Value::String(text)) => Values::Text(vec![Some(text)]),
        (_, Value::Bool(value)) => Values::Boolean(vec![Some(value)]),
        (_, Value::Number(value)) => match value.as_i64().filter(|_| !is_number) {
            Some(value) => Values::Integer(vec![Some(value)]),
            None => Values::Number(vec![value.as_f64()]),
        },
        (_, value) => Values::Json(vec![Some(value.to_string())]),
    })
}

fn refused(error: AccessError) -> Error {
    match error {
        AccessError::WrongKind => {
            Error::invalid_argument("a column of the test's documents mixes kinds of values")
        }
        AccessError::OutOfRange | AccessError::TooLarge | AccessError::Invalid => {
            Error::invalid_argument("the test's documents do not fit a table")
        }
    }
}
