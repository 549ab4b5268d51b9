//! What executors give beside documents: a JSON object of each, which callers read in the parameters of the answer.
//!
//! Whoever gives one may be a stranger, so it is read with two bounds: not nested deeper than clients can read it, and
//! not more than its giver may write, counted as what it holds in memory. That is far more than its text has: the six
//! bytes of `{"":0}` become a node of a tree. Reading stops where a bound is passed. A request without results pays for
//! a null pointer and nothing else.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What a value takes inside a list or an object.
const VALUE_BYTES: u64 = 64;
/// What an object takes besides.
const OBJECT_BYTES: u64 = 640;

/// What one executor gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    object: Map<String, Value>,
    bytes: u64,
}

/// What several executors gave, by the names under which callers read it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NamedResults(Option<Box<Results>>);

/// Why something cannot be results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResultsError {
    /// it is something else
    #[error("they are no JSON object")]
    NoObject,
    /// lists and objects within each other, too many
    #[error("they are nested more than {} deep", Results::NESTING)]
    TooDeep,
    /// more than may be given
    #[error("they hold more than {limit} bytes")]
    TooLarge {
        /// bytes that may be held
        limit: u64,
    },
}

// === impl Results ===

impl Results {
    /// Deepest nesting of lists and objects. A level takes three messages of a protobuf `Struct`, and readers of
    /// protobuf take a hundred.
    pub const NESTING: u32 = 30;

    /// Reads a JSON object that may hold so many bytes.
    ///
    /// # Errors
    /// If it is something else, or passes a bound.
    pub fn parse(text: &str, most: u64) -> Result<Self, ResultsError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let results = Self::read(&mut deserializer, Self::NESTING, most)?;
        deserializer.end().map_err(|_| ResultsError::NoObject)?;
        Ok(results)
    }

    /// The object.
    pub fn object(&self) -> &Map<String, Value> {
        &self.object
    }

    /// About the bytes that it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read<'de, D: Deserializer<'de>>(given: D, nesting: u32, most: u64) -> Result<Self, ResultsError> {
        let mut budget = Budget { left: most, most, passed: None };
        let read = Cell { budget: &mut budget, nesting }.deserialize(given);
        match (read, budget.passed) {
            (Ok(Value::Object(object)), None) => Ok(Self { object, bytes: most - budget.left }),
            (_, Some(passed)) => Err(passed),
            (_, None) => Err(ResultsError::NoObject),
        }
    }
}

// === impl NamedResults ===

impl NamedResults {
    /// What another host says that its executors gave. Nothing, if it says so.
    ///
    /// # Errors
    /// As [`Results::parse`].
    pub fn check(given: &Value, most: u64) -> Result<Self, ResultsError> {
        let results = Results::read(given, Results::NESTING + 1, most)?;
        Ok(Self((!results.object.is_empty()).then(|| Box::new(results))))
    }

    /// Adds what one executor gave.
    pub fn insert(&mut self, name: String, results: Results) {
        let all = self.all();
        all.bytes = all.bytes.saturating_add(VALUE_BYTES + name.len() as u64).saturating_add(results.bytes);
        all.object.insert(name, Value::Object(results.object));
    }

    /// Adds what others gave; of one name the later ones stay.
    pub fn extend(&mut self, others: Self) {
        let Some(others) = others.0 else { return };
        if self.0.is_none() {
            self.0 = Some(others);
            return;
        }
        let all = self.all();
        all.bytes = all.bytes.saturating_add(others.bytes);
        all.object.extend(others.object);
    }

    /// Whether nobody gave any.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// About the bytes that they hold.
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |results| results.bytes)
    }

    /// The objects by name, if there are any.
    pub fn object(&self) -> Option<&Map<String, Value>> {
        self.0.as_ref().map(|results| &results.object)
    }

    /// The objects by name.
    pub fn into_map(self) -> Map<String, Value> {
        self.0.map_or_else(Map::new, |results| results.object)
    }

    fn all(&mut self) -> &mut Results {
        self.0.get_or_insert_with(|| Box::new(Results { object: Map::new(), bytes: OBJECT_BYTES }))
    }
}

// === reading ===

/// What may still be held, and what was passed if anything was.
struct Budget {
    left: u64,
    most: u64,
    passed: Option<ResultsError>,
}

impl Budget {
    fn take<E: Error>(&mut self, bytes: u64) -> Result<(), E> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.pass(ResultsError::TooLarge { limit: self.most })),
        }
    }

    fn pass<E: Error>(&mut self, bound: ResultsError) -> E {
        self.passed = Some(bound);
        E::custom(bound)
    }
}

/// Reads one value.
struct Cell<'b> {
    budget: &'b mut Budget,
    /// Levels that it may have.
    nesting: u32,
}

impl Cell<'_> {
    /// Levels that what is in it may have.
    fn inner<E: Error>(&mut self) -> Result<u32, E> {
        match self.nesting.checked_sub(1) {
            Some(left) => Ok(left),
            None => Err(self.budget.pass(ResultsError::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Cell<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.budget.take(value.len() as u64)?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let nesting = self.inner()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Cell { budget: &mut *self.budget, nesting })? {
            self.budget.take(VALUE_BYTES)?;
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let nesting = self.inner()?;
        self.budget.take(OBJECT_BYTES)?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.budget.take(VALUE_BYTES + key.len() as u64)?;
            let value = entries.next_value_seed(Cell { budget: &mut *self.budget, nesting })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn objects_are_taken_as_they_are() {
        let check = |text: &str| {
            let results = Results::parse(text, 1 << 20).unwrap();
            assert_eq!(Value::Object(results.object().clone()), serde_json::from_str::<Value>(text).unwrap());
            assert!(results.bytes() >= text.len() as u64, "{text}: {}", results.bytes());
        };
        check("{}");
        check(r#"{"count": 2, "x": [1.5, null, {"a": "b"}, true, -7, 18446744073709551615], "": ""}"#);
        check(r#"{"a": 1, "a": 2}"#);
        check(&nested(30));
        check(&format!(r#"{{"a": {}1{}}}"#, "[".repeat(29), "]".repeat(29)));
    }

    #[test]
    fn anything_else_is_refused() {
        let check = |text: &str, most: u64, expected: ResultsError| {
            assert_eq!(Results::parse(text, most), Err(expected), "{}", &text[..text.len().min(60)]);
        };
        use ResultsError::{NoObject, TooDeep};
        for text in ["", "[]", "null", "\"{}\"", "{", "{} {}", "{\"a\": 1e999}", "{\"a\": NaN}", "\u{0}{}"] {
            check(text, 1 << 20, NoObject);
        }
        check(&nested(31), 1 << 20, TooDeep);
        check(&nested(100_000), 1 << 30, TooDeep);
        check(&format!("{}{}", r#"{"a":["#, "[".repeat(1_000_000)), 1 << 30, TooDeep);
        let too_large = |limit| ResultsError::TooLarge { limit };
        check("{}", 0, too_large(0));
        check(r#"{"a": "0123456789"}"#, 700, too_large(700));
        // A small text that would hold much: what counts is what it becomes.
        check(&format!(r#"{{"a": [{}0]}}"#, "0,".repeat(50_000)), 1 << 20, too_large(1 << 20));
        check(&format!(r#"{{"a": [{}0]}}"#, r#"{"":0},"#.repeat(2_000)), 1 << 20, too_large(1 << 20));
        check(&format!(r#"{{"{}": 0}}"#, "k".repeat(1 << 20)), 1 << 20, too_large(1 << 20));
    }

    #[test]
    fn results_of_several_stand_under_their_names() {
        let one = |text: &str| Results::parse(text, 1 << 20).unwrap();
        let mut all = NamedResults::default();
        all.extend(NamedResults::default());
        assert!(all.is_empty() && all.bytes() == 0);
        all.insert("a/rep-0".to_owned(), one(r#"{"n": 1}"#));
        let before = all.bytes();
        all.extend(NamedResults::check(&json!({"b/rep-0": {"n": 2}, "a/rep-0": {"n": 3}}), 1 << 20).unwrap());
        assert!(all.bytes() > before);
        assert_eq!(Value::Object(all.into_map()), json!({"a/rep-0": {"n": 3}, "b/rep-0": {"n": 2}}));
        assert!(NamedResults::check(&json!({}), 1 << 20).unwrap().is_empty());
        assert_eq!(NamedResults::check(&json!(7), 1 << 20), Err(ResultsError::NoObject));
        let deep = |levels| serde_json::from_str::<Value>(&nested(levels)).unwrap();
        assert!(NamedResults::check(&deep(31), 1 << 20).is_ok());
        assert_eq!(NamedResults::check(&deep(32), 1 << 20), Err(ResultsError::TooDeep));
        assert_eq!(NamedResults::check(&deep(2), 1000), Err(ResultsError::TooLarge { limit: 1000 }));
    }
}
