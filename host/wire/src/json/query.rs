//! A document in the query of a URL: `text=hello%20you&count=3`.
//!
//! Becomes the JSON object that says the same, so that everything else is checked where all documents are. The query is
//! bounded by the gateway's limit for a request's head.

use std::borrow::Cow;

use lockgate_domain::document::{Kind, names};
use lockgate_domain::{ErrorCode, Problem};
use serde_json::{Map, Value};

/// Of equal names the last counts; a name without `=` has an empty text.
pub(super) fn to_json(query: &str) -> Result<String, Problem> {
    let mut fields = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        let value = read(&name, value);
        fields.insert(name.into_owned(), value);
    }
    Ok(Value::Object(fields).to_string())
}

/// What a value means under that name.
fn read(name: &str, value: Cow<'_, str>) -> Value {
    let is_text = matches!(names::well_known_kind(name), Some(Kind::Text | Kind::Bytes));
    let json = if is_text { None } else { serde_json::from_str::<Value>(&value).ok() };
    match json {
        // A quoted text is a text with quotes: nobody writes them in a URL to have them taken away.
        Some(json) if !json.is_string() => json,
        _ => Value::String(value.into_owned()),
    }
}

/// Undoes the encoding of forms: `+` is a space, `%41` a byte.
fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                let byte = digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                decoded.push(byte.ok_or_else(undecodable)?);
            }
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| undecodable())
}

fn undecodable() -> Problem {
    Problem::new(ErrorCode::InvalidRequest, "the query is not percent-encoded UTF-8")
        .with_hint("write % and two hexadecimal digits for each byte, or no % at all")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn queries_are_documents() {
        let check = |query: &str, expected: Value| {
            let read = to_json(query).map(|json| serde_json::from_str::<Value>(&json).unwrap());
            assert_eq!(read.unwrap_or(Value::Null), expected, "{query}");
        };
        check("", json!({}));
        check("text=hello+you%21&id=007&count=3", json!({"text": "hello you!", "id": "007", "count": 3}));
        check(
            "text=3&price=1.5&good=true&code=007",
            json!({"text": "3", "price": 1.5, "good": true, "code": "007"}),
        );
        check("embedding=%5B1,2.5%5D&tags={\"a\":1}", json!({"embedding": [1, 2.5], "tags": {"a": 1}}));
        check(
            "title=gr%C3%B6%C3%9Fe&quoted=\"a\"&blob=5",
            json!({"title": "größe", "quoted": "\"a\"", "blob": "5"}),
        );
        check("a=1&a=2&b&&c=", json!({"a": 2, "b": "", "c": ""}));
        for bad in ["a=%", "a=%4", "a=%zz", "%ff=1"] {
            check(bad, Value::Null);
        }
    }
}
