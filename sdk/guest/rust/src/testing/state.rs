//! What the in-memory host knows while a call is in progress on this thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::host::Access;
use crate::http::{Request, Response};
use crate::metrics::Metric;
use crate::testing::reply::render;
use crate::testing::table::Table;
use crate::{Level, Result};

/// The host's side of a call.
pub(crate) struct State {
    pub(crate) table: Table,
    pub(crate) request: RequestState,
    pub(crate) configuration: Value,
    pub(crate) logs: Vec<(Level, String)>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) emitted: Vec<Vec<Value>>,
    pub(crate) results: Option<Value>,
    pub(crate) listens_to: Option<usize>,
    pub(crate) host_calls: Vec<&'static str>,
    /// What answers HTTP requests; none denies them.
    pub(crate) http: Option<Server>,
    /// The key-value store; none denies it.
    pub(crate) store: Option<BTreeMap<String, Vec<u8>>>,
}

/// A double of all the hosts that a test may call.
pub(crate) type Server = Rc<dyn Fn(&Request) -> Result<Response>>;

/// What the request says.
pub(crate) struct RequestState {
    pub(crate) id: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) parameters: Value,
    pub(crate) remaining: Option<u64>,
    pub(crate) cancelled: bool,
    pub(crate) inputs: Vec<(String, u32, u32)>,
}

impl State {
    /// Forgets what belongs to the call before.
    pub(crate) fn begin(&mut self) {
        self.emitted.clear();
        self.results = None;
        self.host_calls.clear();
    }

    pub(crate) fn emit(&mut self, rows: &[u32]) -> Access<bool> {
        self.table.check_rows(rows)?;
        if self.listens_to.is_some_and(|lists| self.emitted.len() >= lists) {
            return Ok(false);
        }
        self.emitted.push(rows.iter().map(|row| render(&self.table, *row)).collect());
        Ok(true)
    }

    pub(crate) fn record_metric(&mut self, metric: Metric, name: &str, value: f64) {
        let total = self.metrics.entry(name.into()).or_default();
        *total = if metric == Metric::Gauge { value } else { *total + value };
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            table: Table::default(),
            request: RequestState {
                id: "test".into(),
                headers: BTreeMap::new(),
                parameters: json!({}),
                remaining: None,
                cancelled: false,
                inputs: Vec::new(),
            },
            configuration: json!({}),
            logs: Vec::new(),
            metrics: BTreeMap::new(),
            emitted: Vec::new(),
            results: None,
            listens_to: None,
            host_calls: Vec::new(),
            http: None,
            store: None,
        }
    }
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Runs `work` with this state behind the seam and gives the state back.
pub(crate) fn enter<T>(state: State, work: impl FnOnce() -> T) -> (State, T) {
    let before = Outer(STATE.replace(Some(state)));
    let result = work();
    let state = STATE.take().unwrap_or_default();
    drop(before);
    (state, result)
}

/// Asks the state; `None` outside of a call. The name is noted as a host call unless empty.
pub(crate) fn with<T>(name: &'static str, ask: impl FnOnce(&mut State) -> T) -> Option<T> {
    STATE.with_borrow_mut(|state| {
        let state = state.as_mut()?;
        if !name.is_empty() {
            state.host_calls.push(name);
        }
        Some(ask(state))
    })
}

/// Puts back what was there before, also when a test panics in the middle of a call.
struct Outer(Option<State>);

impl Drop for Outer {
    fn drop(&mut self) {
        STATE.set(self.0.take());
    }
}
