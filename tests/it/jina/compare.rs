//! Two answers, field by field.

use std::fmt;

use serde_json::Value;

use super::cases::StatedDifference;

/// Longest value that a message shows.
const SHOWN: usize = 300;

/// A place at which two answers differ.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    path: String,
    jina: Option<Value>,
    lockgate: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| match value {
            None => "nothing".to_owned(),
            Some(value) => value.to_string().chars().take(SHOWN).collect(),
        };
        write!(f, "{}: jina {} | lockgate {}", self.path, shown(&self.jina), shown(&self.lockgate))
    }
}

impl Difference {
    /// Whether that is the difference, or one above it.
    pub(super) fn is_covered_by(&self, stated: &StatedDifference) -> bool {
        if stated.only_null && (self.jina != Some(Value::Null) || self.lockgate.is_some()) {
            return false;
        }
        let (path, pattern) = (steps(&self.path), steps(&stated.at));
        let fits = |(step, wanted): (&String, &String)| wanted == "*" || step == wanted;
        let covers = |path: &[String], pattern: &[String]| {
            path.len() >= pattern.len() && path.iter().zip(pattern).all(fits)
        };
        match pattern.split_first() {
            Some((first, rest)) if first == "**" => (0..path.len()).any(|start| covers(&path[start..], rest)),
            _ => covers(&path, &pattern),
        }
    }
}

/// `a[0].b` as `a`, `0`, `b`. A name with a dot or bracket in it is no name of an answer's field, except in the
/// documents' own data, where several steps do as well.
fn steps(path: &str) -> Vec<String> {
    path.split(['.', '[', ']']).filter(|step| !step.is_empty()).map(str::to_owned).collect()
}

/// All differences; a value that only one side has is one.
pub(super) fn differences(jina: &Value, lockgate: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), Some(jina), Some(lockgate), &mut found);
    found
}

fn compare(path: String, jina: Option<&Value>, lockgate: Option<&Value>, found: &mut Vec<Difference>) {
    match (jina, lockgate) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let only_here = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(only_here) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(path, a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                compare(format!("{path}[{index}]"), a.get(index), b.get(index), found);
            }
        }
        (Some(Value::Number(a)), Some(Value::Number(b))) if a.as_f64() == b.as_f64() => {}
        (a, b) if a == b => {}
        (a, b) => found.push(Difference { path, jina: a.cloned(), lockgate: b.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({
            "responses": [{
                "status": {},
                "routes": [{ "executor": "gateway", "end": true }],
                "parameters": { "k": 1.0 },
                "documents": [{ "id": "a", "text": "x", "embedding": { "dense": { "shape": [2], "dtype": "<f4" } } }],
            }],
        })
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
        let mut changed = answer();
        change(&mut changed);
        let found: Vec<String> = differences(&answer(), &changed).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
        // As well the other way round: nothing that only Jina says is passed over.
        assert_eq!(differences(&changed, &answer()).len(), expected.len());
    }

    #[test]
    fn every_changed_field_is_reported() {
        check(|_| {}, &[]);
        check(|answer| answer["responses"][0]["parameters"]["k"] = json!(1), &[]);
        check(
            |answer| answer["responses"][0]["documents"][0]["text"] = json!("y"),
            &[r#"responses[0].documents[0].text: jina "x" | lockgate "y""#],
        );
        check(
            |answer| answer["responses"][0]["documents"][0]["embedding"]["dense"]["dtype"] = json!("<f8"),
            &[r#"responses[0].documents[0].embedding.dense.dtype: jina "<f4" | lockgate "<f8""#],
        );
        check(
            |answer| drop(answer["responses"][0]["documents"][0].as_object_mut().unwrap().remove("id")),
            &[r#"responses[0].documents[0].id: jina "a" | lockgate nothing"#],
        );
        check(
            |answer| answer["responses"][0]["status"]["code"] = json!("ERROR"),
            &[r#"responses[0].status.code: jina nothing | lockgate "ERROR""#],
        );
        check(
            |answer| {
                answer["responses"][0]["routes"].as_array_mut().unwrap().push(json!({ "executor": "a" }))
            },
            &[r#"responses[0].routes[1]: jina nothing | lockgate {"executor":"a"}"#],
        );
        check(
            |answer| answer["raised"] = json!("ConnectionError"),
            &[r#"raised: jina nothing | lockgate "ConnectionError""#],
        );
    }

    #[test]
    fn a_stated_difference_covers_its_place_and_no_other() {
        let stated = |at: &str| -> StatedDifference {
            serde_json::from_value(json!({ "at": at, "because": "of this test" })).unwrap()
        };
        let found = |path: &str| Difference { path: path.to_owned(), jina: None, lockgate: None };
        for (at, path, is_covered) in [
            ("responses[*].status", "responses[0].status.description", true),
            ("responses[*].status", "responses[12].status", true),
            ("responses[0].status", "responses[1].status", false),
            ("responses[*].status.description", "responses[0].status", false),
            ("responses[*].stat", "responses[0].status", false),
            ("responses", "raised", false),
            ("**.exception.args", "responses[0].routes[2].status.exception.args[1]", true),
            ("**.exception.args", "responses[0].routes[2].status.exception.name", false),
        ] {
            assert_eq!(found(path).is_covered_by(&stated(at)), is_covered, "{at} {path}");
        }
    }
}
