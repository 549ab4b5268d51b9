//! Errors of an executor: one of sixteen codes, one sentence for the caller, optional JSON details.
//!
//! Anything that `?` converts (a standard error, a string) becomes [`Code::Internal`]; its chain of
//! sources is flattened into the message, because only text crosses the boundary. [`Error`] does
//! not implement `std::error::Error`, which is what makes that conversion possible.

use std::fmt;

use serde::Serialize;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The sixteen gRPC status codes other than OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The caller has gone or asked to stop.
    Cancelled,
    /// Nothing better is known.
    Unknown,
    /// The caller sent something that can never work.
    InvalidArgument,
    /// Time is up.
    DeadlineExceeded,
    /// Something that was asked for does not exist.
    NotFound,
    /// Something that was to be created exists already.
    AlreadyExists,
    /// The caller may not do this.
    PermissionDenied,
    /// A limit or a quota is used up.
    ResourceExhausted,
    /// The executor is not in the state that this needs.
    FailedPrecondition,
    /// A conflict with other work; the whole may be tried again.
    Aborted,
    /// A position past the end.
    OutOfRange,
    /// No such endpoint or feature.
    Unimplemented,
    /// A fault of the executor.
    Internal,
    /// Not now; try again.
    Unavailable,
    /// Data is damaged or lost.
    DataLoss,
    /// The caller did not say who it is.
    Unauthenticated,
}

impl Code {
    /// The name as the host writes it: `invalid_argument`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::OutOfRange => "out_of_range",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
        }
    }
}

/// Why a call failed, as its caller will see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    message: String,
    details: String,
}

impl Error {
    /// An error of this code; the message is one sentence for the caller.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: String::new() }
    }

    /// The same error with a JSON object of details; what does not become an object is left out.
    #[must_use]
    pub fn with_details(mut self, details: impl Serialize) -> Self {
        self.details =
            serde_json::to_string(&details).ok().filter(|text| text.starts_with('{')).unwrap_or_default();
        self
    }

    /// The same error with another code.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The sentence for the caller.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A JSON object, or empty.
    #[must_use]
    pub fn details(&self) -> &str {
        &self.details
    }

    /// Code, message and details.
    #[must_use]
    pub fn into_parts(self) -> (Code, String, String) {
        (self.code, self.message, self.details)
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident = $code:ident,)*) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self {
                Self::new(Code::$code, message)
            })*
        }
    };
}

constructors! {
    /// The caller has gone or asked to stop.
    cancelled = Cancelled,
    /// Nothing better is known.
    unknown = Unknown,
    /// The caller sent something that can never work.
    invalid_argument = InvalidArgument,
    /// Time is up.
    deadline_exceeded = DeadlineExceeded,
    /// Something that was asked for does not exist.
    not_found = NotFound,
    /// Something that was to be created exists already.
    already_exists = AlreadyExists,
    /// The caller may not do this.
    permission_denied = PermissionDenied,
    /// A limit or a quota is used up.
    resource_exhausted = ResourceExhausted,
    /// The executor is not in the state that this needs.
    failed_precondition = FailedPrecondition,
    /// A conflict with other work; the whole may be tried again.
    aborted = Aborted,
    /// A position past the end.
    out_of_range = OutOfRange,
    /// No such endpoint or feature.
    unimplemented = Unimplemented,
    /// A fault of the executor.
    internal = Internal,
    /// Not now; try again.
    unavailable = Unavailable,
    /// Data is damaged or lost.
    data_loss = DataLoss,
    /// The caller did not say who it is.
    unauthenticated = Unauthenticated,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code.name(), self.message)?;
        if self.details.is_empty() { Ok(()) } else { write!(formatter, " {}", self.details) }
    }
}

/// Any standard error, `String` or `&str`: [`Code::Internal`].
impl<E> From<E> for Error
where
    E: Into<Box<dyn std::error::Error>>,
{
    fn from(error: E) -> Self {
        let error = error.into();
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::internal(message)
    }
}

/// Words and codes for a result on its way up.
pub trait ResultExt<T> {
    /// Puts `what: ` before the message.
    ///
    /// # Errors
    /// Those of `self`.
    fn context(self, what: impl fmt::Display) -> Result<T>;

    /// Gives the error this code.
    ///
    /// # Errors
    /// Those of `self`.
    fn code(self, code: Code) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| {
            let error = error.into();
            Error { message: format!("{what}: {}", error.message), ..error }
        })
    }

    fn code(self, code: Code) -> Result<T> {
        self.map_err(|error| error.into().with_code(code))
    }
}

/// Returns an error: `bail!(NotFound, "there is no index {name}")`.
#[macro_export]
macro_rules! bail {
    ($code:ident, $($message:tt)+) => {
        return ::core::result::Result::Err($crate::Error::new($crate::Code::$code, ::std::format!($($message)+)).into())
    };
}

/// Returns an error unless the condition holds: `ensure!(k > 0, InvalidArgument, "top_k is {k}")`.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $code:ident, $($message:tt)+) => {
        if !$condition {
            $crate::bail!($code, $($message)+);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: Result<()>, expected: &str) {
        assert_eq!(format!("{:?}", result.unwrap_err()), expected);
    }

    #[test]
    fn conversions() {
        fn number(text: &str) -> Result<()> {
            text.parse::<u32>()?;
            Ok(())
        }
        fn refuse(count: u32) -> Result<()> {
            ensure!(count < 3, OutOfRange, "{count} is too many");
            Err("just a string")?
        }
        check(number("x"), "internal: invalid digit found in string");
        check(number("x").context("row 3"), "internal: row 3: invalid digit found in string");
        check(number("x").code(Code::InvalidArgument), "invalid_argument: invalid digit found in string");
        check(refuse(3), "out_of_range: 3 is too many");
        check(refuse(2), "internal: just a string");
        check(
            Err(Error::not_found("gone").with_details(serde_json::json!({"id": 1}))),
            r#"not_found: gone {"id":1}"#,
        );
        check(Err(Error::not_found("gone").with_details(3)), "not_found: gone");
    }
}
