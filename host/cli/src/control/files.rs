//! Values of the command line that are longer than a word: JSON files, `NAME=VALUE`, sizes, counts and spans of time.

use std::path::Path;
use std::time::Duration;

use lockgate_flow::yaml::units::{Unit, parse_text};
use serde_json::{Map, Value};

use crate::failure::Report;

/// Largest JSON file that is read.
const MAX_BYTES: u64 = 16 << 20;

/// `256MiB`, for clap.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    parse_text(text, Unit::Bytes).ok_or_else(|| "expected a size such as 256MiB".into())
}

/// `10G`, for clap.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    parse_text(text, Unit::Count).ok_or_else(|| "expected a number such as 5000 or 10G".into())
}

/// `90s`, `15m`, `12h`, `30d`, for clap.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let bad = || "expected a time such as 90s, 15m, 12h or 30d".to_owned();
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    if let Some(days) = days {
        return days.checked_mul(86_400).map(Duration::from_secs).ok_or_else(bad);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    parse_text(text, Unit::Time).map(Duration::from_millis).ok_or_else(bad)
}

/// `NAME=VALUE`; a value that is no JSON is text.
pub(crate) fn assignment(text: &str) -> Option<(String, Value)> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
    let parsed = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Some((name.to_owned(), parsed))
}

/// A JSON file. `what` says what it should hold.
pub(crate) fn read_json(path: &Path, what: &str) -> Result<Value, Report> {
    let cannot = || Report::new(format!("cannot read {what} from {}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| cannot().because(&error))?;
    if metadata.len() > MAX_BYTES {
        return Err(cannot().cause(format!("it has {} bytes, at most {MAX_BYTES}", metadata.len())));
    }
    let text = std::fs::read(path).map_err(|error| cannot().because(&error))?;
    serde_json::from_slice(&text).map_err(|error| cannot().because(&error).hint("the file must be JSON"))
}

/// Lays `over` on `base`: objects are merged, everything else is replaced.
pub(crate) fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name).or_insert(Value::Object(Map::new())), value);
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spans_are_parsed() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(span(text).ok().map(|span| span.as_secs()), expected, "{text}");
        };
        check("90s", Some(90));
        check("15m", Some(900));
        check("12h", Some(43_200));
        check("30d", Some(2_592_000));
        check("30", None);
        check("", None);
        check("99999999999999999999d", None);
        check("soon", None);
    }

    #[test]
    fn objects_are_merged_and_the_rest_replaced() {
        let check = |base: Value, over: Value, expected: Value| {
            let mut merged = base;
            merge(&mut merged, over);
            assert_eq!(merged, expected);
        };
        check(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"c": 3}}), json!({"a": {"b": 1, "c": 3}}));
        check(json!({"a": [1]}), json!({"a": [2]}), json!({"a": [2]}));
        check(json!({}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}}));
        check(json!(1), json!({"a": 1}), json!({"a": 1}));
    }

    #[test]
    fn assignments_are_json_or_text() {
        assert_eq!(assignment("a=1"), Some(("a".into(), json!(1))));
        assert_eq!(assignment("a=x=y"), Some(("a".into(), json!("x=y"))));
        assert_eq!(assignment("a"), None);
        assert_eq!(assignment("=1"), None);
    }
}
