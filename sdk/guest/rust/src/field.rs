//! What a field of a typed document may be, and how it becomes a column.
//!
//! Text, numbers, booleans, bytes, tensors and `Vec<f32>`, any serde type as [`Json`], nested
//! documents as `Vec<T>`, and an `Option` of all but the last for values that may be missing.
//! A value that is missing or does not fit is an error that names its row; nothing is guessed.

use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Kind, Result, Span, Tensor};

/// A type that a column holds.
#[diagnostic::on_unimplemented(
    message = "no column holds a `{Self}`",
    label = "not a column's value",
    note = "use String, integers, f32, f64, bool, Vec<u8>, Vec<f32>, Tensor, an Option of these, Vec<T> of a nested document, or Json<T> for any serde type"
)]
pub trait Field: Sized {
    /// The kind of its column.
    const KIND: Kind;

    #[doc(hidden)]
    fn read(column: &str, span: &Span<'_>) -> Result<Vec<Self>>;

    #[doc(hidden)]
    fn write(column: &str, span: &Span<'_>, values: Vec<Self>) -> Result<()>;
}

/// Any serde type as a json column.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Json<T>(pub T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// A field whose rows may hold no value: what `T` and `Option<T>` are made of.
#[doc(hidden)]
pub trait Optional: Sized {
    const KIND: Kind;
    fn read(column: &str, span: &Span<'_>) -> Result<Vec<Option<Self>>>;
    fn write(column: &str, span: &Span<'_>, values: Vec<Option<Self>>) -> Result<()>;
}

impl<T: Optional> Field for Option<T> {
    const KIND: Kind = T::KIND;

    fn read(column: &str, span: &Span<'_>) -> Result<Vec<Self>> {
        T::read(column, span)
    }

    fn write(column: &str, span: &Span<'_>, values: Vec<Self>) -> Result<()> {
        T::write(column, span, values)
    }
}

macro_rules! required {
    ($([$($generics:tt)*] $type:ty,)*) => {
        $(impl<$($generics)*> Field for $type {
            const KIND: Kind = <$type as Optional>::KIND;

            fn read(column: &str, span: &Span<'_>) -> Result<Vec<Self>> {
                let values = <$type as Optional>::read(column, span)?;
                let required = |(row, value): (usize, Option<Self>)| value.ok_or_else(|| span.missing(column, row));
                values.into_iter().enumerate().map(required).collect()
            }

            fn write(column: &str, span: &Span<'_>, values: Vec<Self>) -> Result<()> {
                <$type as Optional>::write(column, span, values.into_iter().map(Some).collect())
            }
        })*
    };
}

required! {
    [] String, [] Vec<u8>, [] Vec<f32>, [] Tensor, [] bool, [] f64, [] f32,
    [] i64, [] i32, [] i16, [] i8, [] u64, [] u32, [] u16, [] u8, [] usize,
    [T: Serialize + DeserializeOwned] Json<T>,
}

macro_rules! direct {
    ($($type:ty: $kind:ident $get:ident $set:ident,)*) => {
        $(impl Optional for $type {
            const KIND: Kind = Kind::$kind;

            fn read(column: &str, span: &Span<'_>) -> Result<Vec<Option<Self>>> {
                span.column(column)?.$get()
            }

            fn write(column: &str, span: &Span<'_>, values: Vec<Option<Self>>) -> Result<()> {
                span.column(column)?.$set(values)
            }
        })*
    };
}

direct! {
    Vec<u8>: Bytes bytes set_bytes,
    Tensor: Tensor tensors set_tensors,
    bool: Boolean booleans set_booleans,
    f64: Number numbers set_numbers,
    i64: Integer integers set_integers,
}

macro_rules! integers {
    ($($type:ty)*) => {
        $(impl Optional for $type {
            const KIND: Kind = Kind::Integer;

            fn read(column: &str, span: &Span<'_>) -> Result<Vec<Option<Self>>> {
                let values = span.column(column)?.integers()?.into_iter().enumerate();
                let fit = |(row, value): (usize, Option<i64>)| {
                    let fitted = value.map(Self::try_from).transpose();
                    fitted.map_err(|_| span.refused(column, row, concat!("the value is no ", stringify!($type))))
                };
                values.map(fit).collect()
            }

            fn write(column: &str, span: &Span<'_>, values: Vec<Option<Self>>) -> Result<()> {
                let fit = |(row, value): (usize, Option<Self>)| {
                    let fitted = value.map(i64::try_from).transpose();
                    fitted.map_err(|_| span.refused(column, row, "the value passes 2^63"))
                };
                let values = values.into_iter().enumerate().map(fit).collect::<Result<Vec<_>>>()?;
                span.column(column)?.set_integers(values)
            }
        })*
    };
}

integers!(i32 i16 i8 u64 u32 u16 u8 usize);

impl Optional for String {
    const KIND: Kind = Kind::Text;

    fn read(column: &str, span: &Span<'_>) -> Result<Vec<Option<Self>>> {
        Ok(span.column(column)?.texts()?.values().map(|text| text.map(Self::from)).collect())
    }

    fn write(column: &str, span: &Span<'_>, values: Vec<Option<Self>>) -> Result<()> {
        span.column(column)?.set_texts(values)
    }
}

impl Optional for f32 {
    const KIND: Kind = Kind::Number;

    #[expect(clippy::cast_possible_truncation, reason = "the author asks for single precision")]
    fn read(column: &str, span: &Span<'_>) -> Result<Vec<Option<Self>>> {
        let values = span.column(column)?.numbers()?;
        Ok(values.into_iter().map(|value| value.map(|value| value as Self)).collect())
    }

    fn write(column: &str, span: &Span<'_>, values: Vec<Option<Self>>) -> Result<()> {
        span.column(column)?.set_numbers(values.into_iter().map(|value| value.map(f64::from)))
    }
}

impl Optional for Vec<f32> {
    const KIND: Kind = Kind::Tensor;

    fn read(column: &str, span: &Span<'_>) -> Result<Vec<Option<Self>>> {
        let values = span.column(column)?.tensors()?;
        values.into_iter().map(|value| value.map(|tensor| tensor.to_f32()).transpose()).collect()
    }

    fn write(column: &str, span: &Span<'_>, values: Vec<Option<Self>>) -> Result<()> {
        span.column(column)?
            .set_tensors(values.into_iter().map(|value| value.map(|value| Tensor::vector(&value))))
    }
}

impl<T: Serialize + DeserializeOwned> Optional for Json<T> {
    const KIND: Kind = Kind::Json;

    fn read(column: &str, span: &Span<'_>) -> Result<Vec<Option<Self>>> {
        span.column(column)?.json()
    }

    fn write(column: &str, span: &Span<'_>, values: Vec<Option<Self>>) -> Result<()> {
        span.column(column)?.set_json(values)
    }
}
