//! What is known about the call in progress, and what is given, beside its documents.
//!
//! A handle without content, like [`Documents`](crate::Documents): each question is one host call.

use std::ops::Range;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::column::parse_json;
use crate::host::Attempt;
use crate::{Error, Result, host};

/// The request that the call in progress serves.
#[derive(Debug)]
pub struct Request {
    _by_dispatch_only: (),
}

/// One of the lists that were joined into the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The executor that it came from.
    pub executor: String,
    /// Its rows in the request's list.
    pub rows: Range<usize>,
}

impl Request {
    pub(crate) const fn new() -> Self {
        Self { _by_dispatch_only: () }
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> String {
        host::request_id()
    }

    /// Request metadata such as `traceparent`; names are lower-case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        host::header(name)
    }

    /// All parameters of the request for this executor.
    ///
    /// # Errors
    /// `invalid_argument` when they are no `T`.
    pub fn parameters<T: DeserializeOwned>(&self) -> Result<T> {
        parse_json(&host::parameters(), || "the request's parameters".into())
    }

    /// One parameter, `None` when the request does not have it.
    ///
    /// # Errors
    /// `invalid_argument` when it is no `T`.
    pub fn parameter<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        host::parameter(name).map(|text| parse_json(&text, || format!("the parameter {name:?}"))).transpose()
    }

    /// Gives the caller `results` beside the documents: anything that serde writes as a JSON object, in place of what was
    /// given before. They stand in the parameters of the answer, at `__results__`, under the name of the stage, and count
    /// as written bytes. Callers see nothing of a call that fails.
    ///
    /// # Errors
    /// `internal` when they are no JSON object, `resource_exhausted` when they pass a limit or are nested more than 30
    /// deep; what was given before stays.
    pub fn set_results<T: Serialize + ?Sized>(&self, results: &T) -> Result<()> {
        let text = serde_json::to_string(results)?;
        host::set_results(&text).map_err(|error| error.during(Attempt::Give))
    }

    /// Time left until the deadline, `None` without one.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        host::remaining().map(Duration::from_nanos)
    }

    /// Whether the caller has gone or asked to stop.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        host::cancelled()
    }

    /// For a long loop: an error as soon as going on is pointless.
    ///
    /// # Errors
    /// `cancelled` or `deadline_exceeded`.
    pub fn check(&self) -> Result<()> {
        if self.cancelled() {
            return Err(Error::cancelled("the caller stopped waiting"));
        }
        if self.remaining() == Some(Duration::ZERO) {
            return Err(Error::deadline_exceeded("the deadline has passed"));
        }
        Ok(())
    }

    /// The lists of the executors before this one, where several were joined.
    #[must_use]
    pub fn inputs(&self) -> Vec<Input> {
        let range = |start: u32, count: u32| start as usize..(start as usize).saturating_add(count as usize);
        let input = |(executor, start, count)| Input { executor, rows: range(start, count) };
        host::inputs().into_iter().map(input).collect()
    }
}
