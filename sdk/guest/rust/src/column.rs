//! One column over a range of rows: the fast and general way to read and write documents.
//!
//! Each method is one host call. A write needs exactly one value per row of the range; a column
//! that does not exist reads as missing values and is created by the first write.

use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::{self, Access, Attempt};
use crate::{Error, Matrix, Result, Tensor, TextValue, Texts};

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say everything")]
pub enum Kind {
    Text,
    Bytes,
    Integer,
    Number,
    Boolean,
    Json,
    Tensor,
    Link,
}

impl Kind {
    /// The name as the contract writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Json => "json",
            Self::Tensor => "tensor",
            Self::Link => "link",
        }
    }
}

/// A column over a range of rows, at first those of the request's list.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    name: &'a str,
    start: u32,
    count: u32,
}

macro_rules! values {
    ($($kind:literal $get:ident $set:ident $read:ident $write:ident $type:ty,)*) => {
        impl Column<'_> {
            $(
                #[doc = concat!("The values of a ", $kind, " column, `None` where a row holds none.")]
                ///
                /// # Errors
                /// `invalid_argument` when the column has another kind.
                pub fn $get(&self) -> Result<Vec<Option<$type>>> {
                    self.read($kind, host::$read)
                }

                #[doc = concat!("Writes a ", $kind, " column, one value or `None` for each row.")]
                ///
                /// # Errors
                /// `invalid_argument` when the column has another kind or the number of values is not that of
                /// rows; `resource_exhausted` when a limit would be passed.
                pub fn $set<T: Into<Option<$type>>>(&self, values: impl IntoIterator<Item = T>) -> Result<()> {
                    let values: Vec<Option<$type>> = values.into_iter().map(Into::into).collect();
                    self.check_length(values.len())?;
                    host::$write(self.name, self.start, &values).map_err(|error| error.during(Attempt::Write(self.name, $kind)))
                }
            )*
        }
    };
}

values! {
    "bytes" bytes set_bytes get_bytes set_bytes Vec<u8>,
    "integer" integers set_integers get_integer set_integer i64,
    "number" numbers set_numbers get_number set_number f64,
    "boolean" booleans set_booleans get_boolean set_boolean bool,
}

impl<'a> Column<'a> {
    pub(crate) const fn new(name: &'a str, start: u32, count: u32) -> Self {
        Self { name, start, count }
    }

    /// The same column over other rows: part of the list, nested or appended documents.
    ///
    /// # Errors
    /// `out_of_range` when the range ends before it starts or passes 2^32; whether the rows exist
    /// shows when they are read or written.
    pub fn rows(&self, rows: Range<usize>) -> Result<Self> {
        let count = rows.end.checked_sub(rows.start).and_then(|count| u32::try_from(count).ok());
        match (u32::try_from(rows.start), count) {
            (Ok(start), Some(count)) => Ok(Self { name: self.name, start, count }),
            _ => Err(Error::out_of_range(format!("{rows:?} is not a range of rows"))),
        }
    }

    /// Number of rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether the range has no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values of a text column.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind.
    pub fn texts(&self) -> Result<Texts> {
        self.read("text", host::get_text_packed).map(Texts::from_packed)
    }

    /// Writes a text column, one value for each row (`None` for no value).
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind or the number of values is not that of
    /// rows; `resource_exhausted` when a limit would be passed.
    pub fn set_texts<T: TextValue>(&self, values: impl IntoIterator<Item = T>) -> Result<()> {
        let mut texts = Texts::with_capacity(self.len(), 0);
        for value in values {
            texts.push(value)?;
        }
        self.set_packed(&texts)
    }

    /// Writes a text column from values that are packed already.
    ///
    /// # Errors
    /// As [`set_texts`](Self::set_texts).
    pub fn set_packed(&self, texts: &Texts) -> Result<()> {
        self.check_length(texts.len())?;
        self.written("text", host::set_text_packed(self.name, self.start, texts.packed()))
    }

    /// Part of one value of a bytes column, without reading the rest: shorter than `count` at the
    /// end of the value, empty past it or when there is none.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind, `out_of_range` without such a row.
    pub fn bytes_range(&self, row: usize, offset: u64, count: usize) -> Result<Vec<u8>> {
        let row = u32::try_from(row)
            .ok()
            .filter(|row| *row < self.count)
            .and_then(|row| self.start.checked_add(row));
        let row =
            row.ok_or_else(|| Error::out_of_range(format!("the column {:?} has no such row", self.name)))?;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        host::get_bytes_range(self.name, row, offset, count)
            .map_err(|error| error.during(Attempt::Read(self.name, "bytes")))
    }

    /// The values of a json column as `T`, `None` where a row holds none.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind or a value is no `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<Vec<Option<T>>> {
        let values = self.json_texts()?;
        let parse =
            |(row, value): (usize, Option<String>)| value.map(|text| self.parse(row, &text)).transpose();
        values.into_iter().enumerate().map(parse).collect()
    }

    /// Writes a json column, one value for each row; what serialises as `null` is no value.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind or the number of values is not that of
    /// rows; `internal` when a value has no JSON form.
    pub fn set_json<T: Serialize>(&self, values: impl IntoIterator<Item = T>) -> Result<()> {
        let texts = values.into_iter().map(|value| json_text(&value)).collect::<Result<Vec<_>>>()?;
        self.set_json_texts(&texts)
    }

    /// The values of a tensor column, `None` where a row holds none.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind.
    pub fn tensors(&self) -> Result<Vec<Option<Tensor>>> {
        self.read("tensor", host::get_tensor)
    }

    /// Writes a tensor column, one value or `None` for each row.
    ///
    /// # Errors
    /// As [`set_texts`](Self::set_texts).
    pub fn set_tensors<T: Into<Option<Tensor>>>(&self, values: impl IntoIterator<Item = T>) -> Result<()> {
        let values: Vec<Option<Tensor>> = values.into_iter().map(Into::into).collect();
        self.check_length(values.len())?;
        self.written("tensor", host::set_tensor(self.name, self.start, values))
    }

    /// All values of a tensor column as one matrix of `f32`, whatever number they hold.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind, or rows without a value, of different
    /// shapes or of different dtypes.
    pub fn matrix(&self) -> Result<Matrix> {
        if self.is_empty() {
            return Ok(Matrix::zeros(0, 0));
        }
        let stacked = self.read("tensor of one shape", host::get_stacked)?;
        Matrix::from_stacked(&stacked, self.len())
    }

    /// Writes a tensor column, one vector for each row.
    ///
    /// # Errors
    /// As [`set_texts`](Self::set_texts).
    pub fn set_matrix(&self, values: &Matrix) -> Result<()> {
        self.check_length(values.len())?;
        self.written("tensor", host::set_stacked(self.name, self.start, values.to_stacked()?))
    }

    /// The rows that each row links to, empty where it links to none.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind.
    pub fn links(&self) -> Result<Vec<Vec<usize>>> {
        let widen = |rows: Vec<u32>| rows.into_iter().map(|row| row as usize).collect();
        Ok(self.read("link", host::get_link)?.into_iter().map(widen).collect())
    }

    /// Writes a link column, the linked rows for each row.
    ///
    /// # Errors
    /// As [`set_texts`](Self::set_texts); `out_of_range` when a linked row does not exist.
    pub fn set_links<L: IntoIterator<Item = usize>>(
        &self,
        values: impl IntoIterator<Item = L>,
    ) -> Result<()> {
        let values = values.into_iter().map(narrow).collect::<Result<Vec<_>>>()?;
        self.check_length(values.len())?;
        self.written("link", host::set_link(self.name, self.start, &values))
    }

    pub(crate) fn json_texts(&self) -> Result<Vec<Option<String>>> {
        self.read("json", host::get_json)
    }

    pub(crate) fn set_json_texts(&self, values: &[Option<String>]) -> Result<()> {
        self.check_length(values.len())?;
        self.written("json", host::set_json(self.name, self.start, values))
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, row: usize, text: &str) -> Result<T> {
        let row = row.saturating_add(self.start as usize);
        parse_json(text, || format!("row {row} of the column {:?}", self.name))
    }

    fn read<T>(&self, kind: &str, get: impl FnOnce(&str, u32, u32) -> Access<T>) -> Result<T> {
        get(self.name, self.start, self.count).map_err(|error| error.during(Attempt::Read(self.name, kind)))
    }

    fn written(&self, kind: &str, result: Access<()>) -> Result<()> {
        result.map_err(|error| error.during(Attempt::Write(self.name, kind)))
    }

    fn check_length(&self, values: usize) -> Result<()> {
        if values == self.len() {
            return Ok(());
        }
        let message = format!("writing the column {:?}: {values} values for {} rows", self.name, self.count);
        Err(Error::invalid_argument(message))
    }
}

/// The rows as the host counts them.
pub(crate) fn narrow(rows: impl IntoIterator<Item = usize>) -> Result<Vec<u32>> {
    let narrow = |row| u32::try_from(row).map_err(|_| Error::out_of_range("a row passes 2^32"));
    rows.into_iter().map(narrow).collect()
}

/// The JSON text of a value, `None` for `null`.
pub(crate) fn json_text(value: &impl Serialize) -> Result<Option<String>> {
    let text = serde_json::to_string(value)?;
    Ok(if text == "null" { None } else { Some(text) })
}

/// What came from outside as `T`; the message names what it was.
pub(crate) fn parse_json<T: DeserializeOwned>(text: &str, what: impl FnOnce() -> String) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::invalid_argument(format!("{}: {error}", what())))
}
