//! What conditions say of documents, and what is said of those that make no sense.

use serde_json::json;

use super::*;
use crate::Limits;
use crate::document::{DocumentList, DocumentListBuilder, Tensor};

/// JSON in the order in which it is written.
fn written(value: &Value) -> Written {
    match value {
        Value::Array(items) => Written::List(items.iter().map(written).collect()),
        Value::Object(map) => {
            Written::Map(map.iter().map(|(key, value)| (key.clone(), written(value))).collect())
        }
        value => Written::Plain(value.clone()),
    }
}

fn documents() -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    let row = builder.push_root().unwrap();
    builder.set_text("id", row, "a").unwrap();
    builder.set_text("text", row, "a red été").unwrap();
    let tags = json!({"n": 3, "s": "red", "yes": true, "none": null, "zero": 0, "list": [1, "x"], "in": {"deep": 2.5}, "other": "red"});
    builder.set_json("tags", row, &tags.to_string()).unwrap();
    builder.set_number("price", row, 9.5).unwrap();
    builder.set_integer("count", row, 7).unwrap();
    builder.set_boolean("flag", row, true).unwrap();
    builder.set_bytes("blob", row, vec![0; 5].into()).unwrap();
    builder.set_tensor("embedding", row, Tensor::from_f32(&[1.0; 3])).unwrap();
    let (first, second) = (builder.push_nested().unwrap(), builder.push_nested().unwrap());
    builder.set_text("text", first, "one").unwrap();
    builder.set_text("text", second, "two").unwrap();
    builder.set_json("tags", second, r#"{"s": "blue"}"#).unwrap();
    builder.set_links("chunks", row, vec![first, second], false).unwrap();
    builder.set_links("image", row, vec![second], true).unwrap();
    builder.finish().unwrap()
}

#[test]
fn documents_satisfy_conditions() {
    let list = documents();
    let check = |condition: Value, expected: bool| {
        let parsed = Condition::parse(&written(&condition)).unwrap();
        assert_eq!(Matcher::new(&parsed, &list).holds(0), Ok(expected), "{condition}");
    };
    let both = |yes: Value, no: Value| {
        check(yes, true);
        check(no, false);
    };
    check(json!({}), true);
    both(json!({"text": {"$eq": "a red été"}}), json!({"text": {"$eq": "red"}}));
    both(json!({"tags__n": {"$eq": 3}}), json!({"tags__n": {"$eq": "3"}}));
    both(json!({"tags__n": {"$eq": 3.0}}), json!({"tags__n": {"$neq": 3.0}}));
    both(json!({"tags__n": {"$gt": 2, "$lt": 4}}), json!({"tags__n": {"$gt": 2, "$lt": 3}}));
    both(json!({"tags__n": {"$gte": 3}}), json!({"tags__n": {"$lte": 2.9}}));
    both(json!({"tags__s": {"$lt": "s"}}), json!({"tags__s": {"$gt": "s"}}));
    both(json!({"tags__in__deep": {"$eq": 2.5}}), json!({"tags__in__none": {"$eq": 2.5}}));
    both(json!({"tags__list__1": {"$eq": "x"}}), json!({"tags__list__2": {"$eq": "x"}}));
    both(json!({"tags__yes": {"$eq": 1}}), json!({"tags__yes": {"$eq": false}}));
    both(json!({"tags__missing": {"$eq": null}}), json!({"tags__n": {"$eq": null}}));
    both(json!({"tags__none": {"$eq": null}}), json!({"tags__zero": {"$eq": null}}));
    // What cannot be compared does not satisfy, whichever way one asks.
    check(json!({"tags__s": {"$gt": 1}}), false);
    check(json!({"tags__s": {"$lte": 1}}), false);
    check(json!({"tags__missing": {"$lt": 1}}), false);
    both(json!({"tags__missing": {"$neq": 1}}), json!({"tags__missing": {"$in": [1]}}));
    both(json!({"tags__s": {"$in": ["blue", "red"]}}), json!({"tags__s": {"$nin": ["blue", "red"]}}));
    both(json!({"tags__n": {"$in": [3.0]}}), json!({"tags__n": {"$in": ["3"]}}));
    both(json!({"tags__s": {"$in": "reddish"}}), json!({"tags__s": {"$nin": "reddish"}}));
    both(json!({"tags__missing": {"$nin": [1]}}), json!({"tags__missing": {"$in": "x"}}));
    both(json!({"text": {"$regex": "r.d"}}), json!({"text": {"$regex": "^red"}}));
    both(json!({"tags__s": {"$regex": "^red$"}}), json!({"tags__n": {"$regex": "3"}}));
    both(json!({"text": {"$size": 9}}), json!({"text": {"$size": 11}}));
    both(json!({"tags__list": {"$size": 2}}), json!({"tags__n": {"$size": 1}}));
    both(json!({"chunks": {"$size": 2}}), json!({"matches": {"$size": 1}}));
    both(json!({"embedding": {"$size": 3}}), json!({"blob": {"$size": 4}}));
    both(json!({"tags__n": {"$exists": true}}), json!({"tags__missing": {"$exists": true}}));
    both(json!({"tags__none": {"$exists": false}}), json!({"uri": {"$exists": true}}));
    both(json!({"tags": {"$exists": true}}), json!({"matches": {"$exists": true}}));
    both(json!({"weight": {"$exists": false}}), json!({"unknown": {"$exists": true}}));
    both(json!({"price": {"$lt": 10}}), json!({"price": {"$lt": 9}}));
    both(json!({"count": {"$eq": 7}}), json!({"count": {"$eq": 8}}));
    both(json!({"flag": {"$eq": true}}), json!({"flag": {"$eq": false}}));
    both(json!({"chunks__1__text": {"$eq": "two"}}), json!({"chunks__2__text": {"$eq": "two"}}));
    both(json!({"chunks__1__tags__s": {"$eq": "blue"}}), json!({"chunks__0__tags__s": {"$eq": "blue"}}));
    both(json!({"image__text": {"$eq": "two"}}), json!({"image__text": {"$eq": "one"}}));
    both(json!({"tags__s": {"$eq": "{tags__other}"}}), json!({"tags__s": {"$eq": "{ text }"}}));
    both(json!({"uri": {"$eq": ""}}), json!({"text": {"$eq": ""}}));
    let (yes, no) = (json!({"tags__n": {"$eq": 3}}), json!({"tags__n": {"$eq": 4}}));
    both(json!({"$and": [yes, yes]}), json!({"$and": [yes, no]}));
    both(json!({"$or": [no, yes]}), json!({"$or": [no, no]}));
    both(json!({"$or": {"tags__n": {"$eq": 4}, "tags__s": {"$eq": "red"}}}), json!({"$or": [no]}));
    both(json!({"$not": no}), json!({"$not": yes}));
    both(json!({"$not": [yes, no]}), json!({"$not": [yes, yes]}));
    both(json!({"$and": [{"$or": [no, yes]}, {"$not": no}]}), json!({"$and": {"$not": yes}}));
}

#[test]
fn json_that_is_none_satisfies_nothing() {
    let mut builder = DocumentListBuilder::new(Limits::default());
    let row = builder.push_root().unwrap();
    builder.set_text("id", row, "a").unwrap();
    let list = builder.finish().unwrap();
    let parsed = Condition::parse(&written(&json!({"tags__a__b": {"$eq": 1}}))).unwrap();
    assert_eq!(Matcher::new(&parsed, &list).holds(0), Ok(false));
}

#[test]
fn long_texts_are_not_searched() {
    let mut builder = DocumentListBuilder::new(Limits::default());
    let row = builder.push_root().unwrap();
    builder.set_text("text", row, &"x".repeat(Condition::MAX_MATCHED_BYTES + 1)).unwrap();
    let list = builder.finish().unwrap();
    let parsed = Condition::parse(&written(&json!({"text": {"$regex": "y"}}))).unwrap();
    let error = Matcher::new(&parsed, &list).holds(0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`text` of a document has 65537 bytes, `$regex` looks at no more than 65536"
    );
}

#[test]
fn what_an_answer_costs_is_counted() {
    let list = documents();
    let parsed =
        Condition::parse(&written(&json!({"tags__n": {"$eq": 3}, "tags__s": {"$eq": "x"}}))).unwrap();
    let mut matcher = Matcher::new(&parsed, &list);
    matcher.holds(0).unwrap();
    let once = matcher.take_cost();
    assert!((90..180).contains(&once), "{once}: the tags are parsed once");
    assert_eq!(matcher.take_cost(), 0);
}

#[test]
fn wrong_conditions_are_explained() {
    let check = |condition: Written, path: &str, expected: &str| {
        let error = Condition::parse(&condition).unwrap_err();
        let steps: Vec<String> = error
            .path
            .iter()
            .map(|step| match step {
                Step::Key(key) => key.clone(),
                Step::Item(index) => index.to_string(),
            })
            .collect();
        assert_eq!((steps.join("/").as_str(), error.message.as_str()), (path, expected));
        assert!(error.hint.is_some());
    };
    let plain = |value: Value| written(&value);
    check(plain(json!([])), "", "it must be a set of keys");
    check(plain(json!("x")), "", "it must be a set of keys");
    check(plain(json!({"$nor": []})), "$nor", "`$nor` combines nothing");
    check(plain(json!({"$eq": 1})), "$eq", "`$eq` compares no field");
    check(plain(json!({"a": 1})), "a", "`a` must say how it is compared");
    check(plain(json!({"a": {}})), "a", "`a` must say how it is compared");
    check(plain(json!({"a__": {"$eq": 1}})), "a__", "`a__` is no field");
    check(plain(json!({"a": {"eq": 1}})), "a/eq", "`eq` is no operator");
    check(plain(json!({"a": {"$not": {"$eq": 1}}})), "a/$not", "`$not` compares nothing");
    check(plain(json!({"$and": []})), "$and", "`$and` must hold a list of conditions");
    check(plain(json!({"$or": [{"a": {"$eq": 1}}, 3]})), "$or/1", "it must be a set of keys");
    check(plain(json!({"$or": [{}]})), "$or/0", "it compares nothing");
    check(plain(json!({"a": {"$lt": [1]}})), "a/$lt", "`$lt` must be a number or a text");
    check(plain(json!({"a": {"$in": 3}})), "a/$in", "`$in` must be a list of values or a text");
    check(plain(json!({"a": {"$size": "3"}})), "a/$size", "`$size` must be a number");
    check(plain(json!({"a": {"$exists": 1}})), "a/$exists", "`$exists` must be true or false");
    check(plain(json!({"a": {"$regex": 1}})), "a/$regex", "`$regex` must be a text");
    check(plain(json!({"a": {"$eq": "{b c}"}})), "a/$eq", "`{b c}` is no field in braces");
    check(
        plain(json!({"a": {"$in": vec![1; 1025]}})),
        "a/$in",
        "`$in` lists 1025 values, at most 1024 are taken",
    );
    let key = |key: &str, value: Value| (key.to_owned(), written(&value));
    let first = Written::Map(vec![key("$or", json!([{"b": {"$eq": 1}}])), key("a", json!({"$eq": 1}))]);
    check(first, "", "`$or` stands before other keys, which leaves open how they go together");
    let after = Written::Map(vec![key("a", json!({"$eq": 1})), key("$or", json!([{"b": {"$eq": 1}}]))]);
    assert!(Condition::parse(&after).is_ok());
    let many: serde_json::Map<String, Value> =
        (0..129).map(|n| (format!("a{n}"), json!({"$eq": 1}))).collect();
    let error = Condition::parse(&written(&Value::Object(many))).unwrap_err();
    assert_eq!(error.message, "it makes more than 128 comparisons");
    let deep = (0..40).fold(json!({"a": {"$eq": 1}}), |inner, _| json!({"$and": [inner]}));
    let error = Condition::parse(&written(&deep)).unwrap_err();
    assert_eq!(error.message, "it is nested deeper than 12 levels");
    for (expression, expected) in
        [("(", "`$regex` is no expression"), ("((a{200}){200}){200}", "`$regex` is no expression")]
    {
        let error = Condition::parse(&written(&json!({"a": {"$regex": expression}}))).unwrap_err();
        assert!(error.message.starts_with(expected), "{}", error.message);
    }
    let error = Condition::parse(&written(&json!({"a": {"$regex": "a".repeat(513)}}))).unwrap_err();
    assert_eq!(error.message, "`$regex` has 513 bytes, at most 512 are taken");
}
