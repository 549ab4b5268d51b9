//! A column while a call writes to it.

use crate::document::column::{Kind, Values};
use crate::document::links::LinkColumn;
use crate::document::tensor::TensorColumn;
use crate::document::text::{BadParts, TextColumn};

/// Texts and links are packed when sealed, so partial writes need them open; other kinds are written in place.
#[derive(Debug)]
pub(super) enum Draft {
    Sealed(Values),
    Text(Vec<Option<Box<str>>>),
    Json(Vec<Option<Box<str>>>),
    /// the lists, and whether a row holds one nested document
    Link(Vec<Box<[u32]>>, bool),
}

impl Draft {
    /// A draft that starts from `values`, or empty.
    pub(super) fn of(kind: Kind, values: Option<Values>) -> Self {
        Draft::Sealed(values.unwrap_or_else(|| match kind {
            Kind::Text => Values::Text(TextColumn::default()),
            Kind::Json => Values::Json(TextColumn::default()),
            Kind::Bytes => Values::Bytes(Default::default()),
            Kind::Integer => Values::Integer(Default::default()),
            Kind::Number => Values::Number(Default::default()),
            Kind::Boolean => Values::Boolean(Default::default()),
            Kind::Tensor => Values::Tensor(TensorColumn::Rows(Default::default())),
            Kind::Link => Values::Link(LinkColumn::default()),
        }))
    }

    /// Makes single rows writable.
    pub(super) fn open(&mut self) {
        let opened = match self {
            Draft::Sealed(Values::Text(column)) => {
                Draft::Text(column.iter().map(|text| text.map(Into::into)).collect())
            }
            Draft::Sealed(Values::Json(column)) => {
                Draft::Json(column.iter().map(|text| text.map(Into::into)).collect())
            }
            Draft::Sealed(Values::Link(column)) => {
                let lists = (0..column.rows()).map(|row| column.get(row).into()).collect();
                Draft::Link(lists, column.is_single())
            }
            Draft::Sealed(_) | Draft::Text(_) | Draft::Json(_) | Draft::Link(..) => return,
        };
        *self = opened;
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Draft::Sealed(values) => values.kind(),
            Draft::Text(_) => Kind::Text,
            Draft::Json(_) => Kind::Json,
            Draft::Link(..) => Kind::Link,
        }
    }

    pub(super) fn rows(&self) -> u32 {
        let rows = match self {
            Draft::Sealed(values) => return values.rows(),
            Draft::Text(rows) | Draft::Json(rows) => rows.len(),
            Draft::Link(rows, _) => rows.len(),
        };
        u32::try_from(rows).unwrap_or(u32::MAX)
    }

    pub(super) fn sealed(&self) -> Option<&Values> {
        match self {
            Draft::Sealed(values) => Some(values),
            Draft::Text(_) | Draft::Json(_) | Draft::Link(..) => None,
        }
    }

    pub(super) fn open_texts(&self, kind: Kind) -> Option<&[Option<Box<str>>]> {
        match (self, kind) {
            (Draft::Text(rows), Kind::Text) | (Draft::Json(rows), Kind::Json) => Some(rows),
            _ => None,
        }
    }

    pub(super) fn seal(&self) -> Result<Values, BadParts> {
        Ok(match self {
            Draft::Sealed(values) => values.clone(),
            Draft::Text(rows) => Values::Text(TextColumn::pack(rows.iter().map(Option::as_deref))?),
            Draft::Json(rows) => Values::Json(TextColumn::pack(rows.iter().map(Option::as_deref))?),
            Draft::Link(rows, single) => {
                // More than one document in a row is a list, whatever the field was.
                let single = *single && rows.iter().all(|row| row.len() <= 1);
                Values::Link(LinkColumn::pack(rows.iter().map(|row| &**row)).with_single(single))
            }
        })
    }
}
