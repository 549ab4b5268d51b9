//! What is wrong with a message, and where in it: `data[3].chunks[0].embedding`.
//!
//! Faults collect their path on the way out, so that reading costs nothing when all is well.

use std::fmt;

use lockgate_domain::document::{ArrangeError, BuildError, TensorError};
use lockgate_domain::{ErrorCode, LimitKind, Limits, Problem};

use crate::protobuf::Malformed;

pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

/// A condition and its place. Boxed so that results stay small.
#[derive(Debug)]
pub(crate) struct Fault(Box<Located>);

#[derive(Debug)]
struct Located {
    cause: Cause,
    /// Innermost first.
    path: Vec<Step>,
}

#[derive(Debug)]
pub(crate) enum Step {
    Field(String),
    Index(usize),
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error("documents are nested deeper than {} levels", Limits::NESTING)]
    TooDeep,
    #[error("{message}")]
    Other { message: String, hint: Option<&'static str> },
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Cause::Other { message: message.into(), hint: None }.into()
    }

    pub(crate) fn with_hint(message: impl Into<String>, hint: &'static str) -> Self {
        Cause::Other { message: message.into(), hint: Some(hint) }.into()
    }

    /// The fault lies behind that step.
    pub(crate) fn under(mut self, step: Step) -> Self {
        self.0.path.push(match step {
            Step::Field(name) => Step::Field(cut(&name).to_owned()),
            index @ Step::Index(_) => index,
        });
        self
    }

    /// The fault lies in that field.
    pub(crate) fn in_field(mut self, name: &str) -> Self {
        self.0.path.push(Step::Field(cut(name).to_owned()));
        self
    }

    /// The fault lies in that element.
    pub(crate) fn at_index(mut self, index: usize) -> Self {
        self.0.path.push(Step::Index(index));
        self
    }

    /// As a problem of whoever sent the message.
    pub(crate) fn problem(self) -> Problem {
        let message = self.to_string();
        match &self.0.cause {
            Cause::TooDeep => Problem::request_limit(LimitKind::Nesting, u64::from(Limits::NESTING), message),
            Cause::Build(BuildError::Arrange(error)) => match error.limit() {
                Some((kind, value)) => Problem::request_limit(kind, value, arrange_message(error)),
                None => Problem::new(ErrorCode::InvalidRequest, message),
            },
            Cause::Build(BuildError::TooManyColumns { limit }) => {
                Problem::request_limit(LimitKind::Columns, u64::from(*limit), message)
            }
            Cause::Other { hint: Some(hint), .. } => {
                Problem::new(ErrorCode::InvalidRequest, message).with_hint(*hint)
            }
            Cause::Build(_) | Cause::Malformed(_) | Cause::Tensor(_) | Cause::Other { .. } => {
                Problem::new(ErrorCode::InvalidRequest, message)
            }
        }
    }
}

/// `BuildError` says only that the documents do not fit; its source says why.
fn arrange_message(error: &ArrangeError) -> String {
    error.to_string()
}

impl<E: Into<Cause>> From<E> for Fault {
    fn from(cause: E) -> Self {
        Fault(Box::new(Located { cause: cause.into(), path: Vec::new() }))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_path(f, self.0.path.iter().rev())?;
        if !self.0.path.is_empty() {
            f.write_str(": ")?;
        }
        self.0.cause.fmt(f)
    }
}

/// Writes `data[3].tags`.
fn write_path<'a>(f: &mut fmt::Formatter<'_>, steps: impl Iterator<Item = &'a Step>) -> fmt::Result {
    for (position, step) in steps.enumerate() {
        match step {
            Step::Field(name) if position == 0 => f.write_str(name)?,
            Step::Field(name) => write!(f, ".{name}")?,
            Step::Index(index) => write!(f, "[{index}]")?,
        }
    }
    Ok(())
}

/// A stranger's name, cut to what a message can show.
fn cut(name: &str) -> &str {
    const SHOWN_BYTES: usize = 64;
    name.get(..name.floor_char_boundary(SHOWN_BYTES)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_reads_from_the_outside() {
        let fault = Fault::new("no").in_field("embedding").at_index(0).in_field("chunks").at_index(3);
        assert_eq!(fault.in_field("data").to_string(), "data[3].chunks[0].embedding: no");
    }
}
