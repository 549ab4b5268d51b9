//! The sentences in which the registry refuses: what is not there, in use, changed meanwhile, or over its quota.

use std::fmt::Display;

use lockgate_domain::{ErrorCode, LimitKind, Problem};

/// There is no such thing; also what another tenant's thing is.
pub(crate) fn not_found(what: &str, name: impl Display) -> Problem {
    Problem::new(ErrorCode::NotFound, format!("there is no {what} {name}"))
}

/// Something refers to it.
pub(crate) fn in_use(what: &str, name: impl Display, users: &[String]) -> Problem {
    let shown: Vec<&str> = users.iter().take(10).map(String::as_str).collect();
    let more = users.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("{what} {name} is used by {}{more}", shown.join(", "));
    Problem::new(ErrorCode::Conflict, message).with_hint("change or delete what uses it first")
}

/// It contradicts what is there.
pub(crate) fn conflict(message: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::Conflict, message).with_hint(hint)
}

/// It cannot be read as what it should be.
pub(crate) fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, message).with_hint(hint)
}

/// A tenant has as many as it may have.
pub(crate) fn over_quota(kind: LimitKind, most: u64, message: impl Into<String>) -> Problem {
    Problem::limit(kind, most, message)
        .with_hint("delete what is not needed, or ask the operator of the host for a larger quota")
}

/// Refuses what is longer than it may be.
pub(crate) fn check_bytes(what: &str, len: usize, most: usize) -> Result<(), Problem> {
    if len <= most {
        return Ok(());
    }
    let message = format!("{what} has {len} bytes, at most {most} are kept");
    Err(invalid(message, "make it shorter"))
}

/// What a change expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Whatever is there.
    #[default]
    Any,
    /// Exactly this entity tag (`If-Match`).
    Match(u64),
    /// Nothing (`If-None-Match: *`).
    New,
}

impl Precondition {
    /// Compares with the entity tag of what is there.
    pub(crate) fn check(self, what: &str, name: impl Display, current: Option<u64>) -> Result<(), Problem> {
        let message = match (self, current) {
            (Self::Any, _) | (Self::New, None) => return Ok(()),
            (Self::Match(wanted), Some(current)) if wanted == current => return Ok(()),
            (Self::Match(wanted), Some(current)) => {
                format!("{what} {name} is at \"{current}\" now, not at \"{wanted}\"")
            }
            (Self::Match(_), None) => format!("{what} {name} is not there any more"),
            (Self::New, Some(current)) => format!("{what} {name} is there already, at \"{current}\""),
        };
        Err(Problem::new(ErrorCode::PreconditionFailed, message)
            .with_hint("read it again, then send the change with the etag that it has now"))
    }
}
