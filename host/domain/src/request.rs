//! What travels with a request through every stage: who asks, until when, with what.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use serde_json::{Map, Value};

use crate::explain::Explanations;
use crate::fuel::FuelBudget;
use crate::ids::{ExecutorName, RequestId, TenantName};
use crate::results::NamedResults;

/// Circumstances of one request, fixed at the door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// the caller's id of the request, or a fresh one
    pub id: RequestId,
    /// on whose behalf
    pub tenant: TenantName,
    /// request metadata with lower-case names
    pub headers: Headers,
    /// when the caller stops waiting; every stage and host call ends by then
    pub deadline: Option<Instant>,
    /// what all stages together may burn
    pub fuel: FuelBudget,
    /// where stages say what they did with it; none unless the caller asked
    pub explanations: Option<Explanations>,
}

impl RequestContext {
    /// Circumstances without metadata, deadline or curiosity.
    pub fn new(id: RequestId, tenant: TenantName, fuel: FuelBudget) -> Self {
        Self { id, tenant, headers: Headers::default(), deadline: None, fuel, explanations: None }
    }
}

/// The header by which a caller stays with a revision.
pub const STICKY: &str = "lockgate-sticky";

/// Request metadata that guests may read. Names are lower-case.
#[derive(Debug, Clone, Default)]
pub struct Headers(Option<Arc<[(String, String)]>>);

impl Headers {
    /// Keeps the pairs as they are; the caller has lower-cased the names.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        if pairs.is_empty() { Self(None) } else { Self(Some(pairs.into())) }
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All pairs in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|pairs| pairs.iter()).map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// A request's parameters: a JSON object, shared between stages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters(Option<Arc<Map<String, Value>>>);

static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

impl Parameters {
    /// The key under which executors' results travel; never shown to executors as a parameter.
    pub const RESULTS: &'static str = "__results__";
    /// The key under which callers who asked read what the host did; never shown to executors as a parameter.
    pub const EXPLAIN: &'static str = "__explain__";

    /// Wraps an object.
    pub fn new(map: Map<String, Value>) -> Self {
        if map.is_empty() { Self(None) } else { Self(Some(Arc::new(map))) }
    }

    /// The object.
    pub fn map(&self) -> &Map<String, Value> {
        self.0.as_deref().unwrap_or(&EMPTY)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// One parameter.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.map().get(name)
    }

    /// The same with what executors gave, beside what the caller has put there itself. They are the same object if
    /// nobody gave anything.
    #[must_use]
    pub fn with_results(self, results: NamedResults) -> Self {
        if results.is_empty() {
            return self;
        }
        let mut map = self.map().clone();
        match map.get_mut(Self::RESULTS) {
            Some(Value::Object(known)) => known.extend(results.into_map()),
            _ => {
                map.insert(Self::RESULTS.to_owned(), Value::Object(results.into_map()));
            }
        }
        Self::new(map)
    }

    /// What one executor sees, by Jina's rules: `k` for everybody, `<executor>__k` as `k` for that executor, and the
    /// object at key `<executor>` merged in. The more specific wins.
    #[must_use]
    pub fn scoped(&self, executor: &ExecutorName) -> Self {
        let Some(map) = &self.0 else { return self.clone() };
        let is_special = |key: &str| key == executor.as_str() || key.contains("__");
        let is_reserved = |key: &str| key == Self::RESULTS || key == Self::EXPLAIN;
        if !map.keys().any(|key| is_special(key)) {
            return self.clone();
        }
        let mut scoped = Map::new();
        for (key, value) in map.iter() {
            let is_own = key == executor.as_str() && value.is_object();
            if !is_reserved(key) && !is_own && key.split_once("__").is_none_or(|(head, _)| head.is_empty()) {
                scoped.insert(key.clone(), value.clone());
            }
        }
        for (key, value) in map.iter() {
            match key.split_once("__") {
                Some((name, inner)) if name == executor.as_str() && !inner.is_empty() => {
                    scoped.insert(inner.to_owned(), value.clone());
                }
                _ => {}
            }
        }
        if let Some(Value::Object(own)) = map.get(executor.as_str()) {
            scoped.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        Self::new(scoped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parameters(given: Value) -> Parameters {
        let Value::Object(map) = given else { panic!("an object") };
        Parameters::new(map)
    }

    #[test]
    fn results_stand_beside_the_parameters() {
        let check = |given: Value, results: Value, expected: Value| {
            let results = NamedResults::check(&results, 1 << 20).unwrap();
            assert_eq!(parameters(given).with_results(results), parameters(expected));
        };
        let results = || json!({"a/rep-0": {"n": 1}});
        check(json!({}), json!({}), json!({}));
        check(json!({"k": 1}), results(), json!({"k": 1, "__results__": results()}));
        check(json!({"__results__": {}}), results(), json!({"__results__": results()}));
        check(json!({"__results__": 7}), results(), json!({"__results__": results()}));
        let both = json!({"x": 1, "a/rep-0": {"n": 1}});
        check(json!({"__results__": {"x": 1, "a/rep-0": 2}}), results(), json!({"__results__": both}));
        let shared = parameters(json!({"k": 1}));
        let same = shared.clone().with_results(NamedResults::default());
        assert!(std::ptr::eq(shared.map(), same.map()));
    }

    #[test]
    fn parameters_are_scoped_by_executor() {
        let check = |given: Value, expected: Value| {
            let scoped = parameters(given).scoped(&"enc".parse().unwrap());
            assert_eq!(Value::Object(scoped.map().clone()), expected);
        };
        check(json!({}), json!({}));
        check(json!({"k": 1}), json!({"k": 1}));
        check(json!({"k": 1, "enc__k": 2, "other__k": 3}), json!({"k": 2}));
        check(json!({"k": 1, "enc": {"k": 4, "m": 5}, "__results__": {}}), json!({"k": 4, "m": 5}));
        check(json!({"enc": 3}), json!({"enc": 3}));
        check(json!({"__explain__": {}, "__own": 1}), json!({"__own": 1}));
    }
}
