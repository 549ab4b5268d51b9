//! Executors under native unit tests: an in-memory host with the semantics of the real one.
//!
//! [`TestHost`] holds configuration, request and the executors it has created, so state survives
//! from call to call; [`Reply`] is what a caller would get. Kinds, ranges, nested rows, selection
//! and refusals are the contract's; fuel, memory limits, deadlines that pass and traps are not
//! simulated. Not compiled on wasm.

mod input;
mod reply;
pub(crate) mod state;
pub(crate) mod table;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

pub use crate::testing::input::IntoDocuments;
pub use crate::testing::reply::Reply;
use crate::testing::state::{State, enter};
use crate::{Executor, Level, Result, http};

/// Documents for a test, in JSON: `documents![{ "text": "a" }, { "text": "b", "tags": { "n": 1 } }]`.
///
/// A string is a text, a number without fraction an integer, `tensor` and `embedding` are arrays of
/// numbers, `blob` is a string or an array of bytes, `chunks` and `matches` are arrays of
/// documents, everything else is JSON. A document without `id` gets one.
#[macro_export]
macro_rules! documents {
    ($($document:tt)*) => {
        $crate::serde_json::json!([$($document)*])
    };
}

/// An in-memory host for one test.
#[derive(Default)]
pub struct TestHost {
    state: State,
    executors: HashMap<TypeId, Box<dyn Any>>,
}

impl TestHost {
    /// A host with an empty configuration and a request without parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The configuration of the deployment (`uses_with`), for executors created from now on.
    #[must_use]
    pub fn config(mut self, configuration: Value) -> Self {
        self.state.configuration = configuration;
        self
    }

    /// The parameters of the next requests.
    #[must_use]
    pub fn parameters(mut self, parameters: Value) -> Self {
        self.set_parameters(parameters);
        self
    }

    /// The id of the next requests.
    #[must_use]
    pub fn request_id(mut self, id: &str) -> Self {
        self.state.request.id = id.into();
        self
    }

    /// One header of the next requests; the name is lower-case.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.state.request.headers.insert(name.into(), value.into());
        self
    }

    /// The time that the next requests have left; it does not run down by itself.
    #[must_use]
    pub fn remaining(mut self, left: Duration) -> Self {
        self.state.request.remaining = Some(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
        self
    }

    /// The callers of the next requests have gone.
    #[must_use]
    pub fn cancelled(mut self) -> Self {
        self.state.request.cancelled = true;
        self
    }

    /// Adds a list of `rows` documents that was joined into the next requests, after those before.
    #[must_use]
    pub fn input(mut self, executor: &str, rows: u32) -> Self {
        let start =
            self.state.request.inputs.last().map_or(0, |(_, start, count)| start.saturating_add(*count));
        self.state.request.inputs.push((executor.into(), start, rows));
        self
    }

    /// The caller of a stream goes after this many emitted lists.
    #[must_use]
    pub fn listener_leaves_after(mut self, lists: usize) -> Self {
        self.state.listens_to = Some(lists);
        self
    }

    /// Grants HTTP: `answer` stands for all hosts. Without it every request is denied.
    #[must_use]
    pub fn http(mut self, answer: impl Fn(&http::Request) -> Result<http::Response> + 'static) -> Self {
        self.state.http = Some(Rc::new(answer));
        self
    }

    /// Grants a key-value store and puts a value into it.
    #[must_use]
    pub fn stored(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        let store = self.state.store.get_or_insert_default();
        store.insert(key.into(), value.as_ref().to_vec());
        self
    }

    /// Grants an empty key-value store. Without a store every use of it is denied.
    #[must_use]
    pub fn key_value(mut self) -> Self {
        self.state.store.get_or_insert_default();
        self
    }

    /// A value in the key-value store.
    #[must_use]
    pub fn stored_value(&self, key: &str) -> Option<&[u8]> {
        Some(self.state.store.as_ref()?.get(key)?)
    }

    /// Changes the parameters between two calls.
    pub fn set_parameters(&mut self, parameters: Value) {
        self.state.request.parameters = parameters;
    }

    /// Calls an endpoint; the first call of an executor creates it, later ones find its state.
    ///
    /// # Errors
    /// What the caller would get. The documents of a failed call are gone, as they are in a flow.
    pub fn call<E: Executor + 'static>(
        &mut self,
        endpoint: &str,
        documents: impl IntoDocuments,
    ) -> Result<Reply> {
        self.state.table = documents.into_documents()?.0;
        self.state.begin();
        let executors = &mut self.executors;
        let (mut state, result) = enter(std::mem::take(&mut self.state), || {
            let executor = match executors.get_mut(&TypeId::of::<E>()) {
                Some(executor) => executor,
                None => executors.entry(TypeId::of::<E>()).or_insert(Box::new(create::<E>()?)),
            };
            match executor.downcast_mut::<E>() {
                Some(executor) => crate::executor::run(executor, endpoint),
                None => Err(crate::Error::internal("an executor of another type")),
            }
        });
        let reply = Reply::new(&mut state);
        self.state = state;
        result.map(|()| reply)
    }

    /// The executor, with what its calls left in it.
    #[must_use]
    pub fn executor<E: Executor + 'static>(&self) -> Option<&E> {
        self.executors.get(&TypeId::of::<E>())?.downcast_ref()
    }

    /// The manifest as the host would read it.
    ///
    /// # Errors
    /// `internal` when it is no JSON, which the derives do not allow.
    pub fn manifest<E: Executor>() -> Result<Value> {
        Ok(serde_json::from_str(&crate::executor::describe::<E>())?)
    }

    /// Every log line so far.
    #[must_use]
    pub fn logs(&self) -> &[(Level, String)] {
        &self.state.logs
    }

    /// A metric so far: the sum of a counter or a histogram, the last value of a gauge; `None` when
    /// it was never recorded. Attributes are not told apart.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.state.metrics.get(name).copied()
    }
}

/// Creates the executor; its host calls do not count to the call that waits for it.
fn create<E: Executor>() -> Result<E> {
    let executor = E::create();
    state::with("", State::begin);
    executor
}
