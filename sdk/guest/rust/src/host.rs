//! The seam between the SDK and whoever holds the documents; private to this crate.
//!
//! Two sets of the same functions, chosen by the target: the imports of the contract, and the
//! in-memory host of native tests. They pass plain values on and check nothing: meaning, words and
//! Rust-like types are added above.

#[cfg(target_arch = "wasm32")]
mod imported;
#[cfg(not(target_arch = "wasm32"))]
mod simulated;

#[cfg(target_arch = "wasm32")]
pub(crate) use imported::*;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use simulated::*;

use crate::{Code, Error};

/// Why the host refused to read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessError {
    WrongKind,
    OutOfRange,
    TooLarge,
    Invalid,
}

/// A result of the seam.
pub(crate) type Access<T> = Result<T, AccessError>;

/// What was attempted, for the message of a refusal.
#[derive(Clone, Copy)]
pub(crate) enum Attempt<'a> {
    Read(&'a str, &'a str),
    Write(&'a str, &'a str),
    Append,
    Select,
    Emit,
    Give,
}

impl AccessError {
    pub(crate) fn during(self, attempt: Attempt<'_>) -> Error {
        let what = match attempt {
            Attempt::Read(column, kind) => format!("reading the column {column:?} as {kind}"),
            Attempt::Write(column, kind) => format!("writing the column {column:?} as {kind}"),
            Attempt::Append => "appending documents".into(),
            Attempt::Select => "selecting the reply's documents".into(),
            Attempt::Emit => "emitting documents".into(),
            Attempt::Give => "giving results".into(),
        };
        let (code, why) = match self {
            Self::WrongKind => (Code::InvalidArgument, "the column holds another kind of value"),
            Self::OutOfRange => (Code::OutOfRange, "a row does not exist"),
            Self::TooLarge => (Code::ResourceExhausted, "a limit of the executor would be passed"),
            Self::Invalid if matches!(attempt, Attempt::Give) => (Code::Internal, "they are no JSON object"),
            Self::Invalid => (Code::Internal, "a value is not what its kind asks for"),
        };
        Error::new(code, format!("{what}: {why}"))
    }
}
