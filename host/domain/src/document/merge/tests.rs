//! Joining document lists, by hand and by property.

use proptest::prelude::*;

use super::*;
use crate::document::DocumentListBuilder;

/// Documents as (id, text, number, ids of chunks).
type Row<'a> = (&'a str, Option<&'a str>, Option<f64>, &'a [&'a str]);

fn list(rows: &[Row<'_>]) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for (id, text, number, chunks) in rows {
        let row = builder.push_root().unwrap();
        builder.set_text("id", row, id).unwrap();
        if let Some(text) = text {
            builder.set_text("text", row, text).unwrap();
        }
        if let Some(number) = number {
            builder.set_number("weight", row, *number).unwrap();
        }
        let targets = chunks.iter().map(|id| {
            let row = builder.push_nested().unwrap();
            builder.set_text("id", row, id).unwrap();
            row
        });
        let targets: Vec<u32> = targets.collect();
        if !targets.is_empty() {
            builder.set_links("chunks", row, targets, false).unwrap();
        }
    }
    builder.finish().unwrap()
}

#[test]
fn concat_keeps_every_document() {
    let a = list(&[("1", Some("a"), None, &["c1"])]);
    let b = list(&[("2", Some("b"), Some(2.0), &["c2", "c3"]), ("3", None, None, &[])]);
    let both = concat(&[&a, &b], &Limits::default()).unwrap();
    let expected = list(&[
        ("1", Some("a"), None, &["c1"]),
        ("2", Some("b"), Some(2.0), &["c2", "c3"]),
        ("3", None, None, &[]),
    ]);
    assert_eq!(both, expected);
}

#[test]
fn reduce_merges_by_id() {
    let check = |lists: &[DocumentList], expected: &[Row<'_>]| {
        let lists: Vec<&DocumentList> = lists.iter().collect();
        assert_eq!(reduce(&lists, &Limits::default()).unwrap(), list(expected));
    };
    check(
        &[list(&[("1", Some("a"), None, &[])]), list(&[("1", Some("b"), Some(1.0), &[])])],
        &[("1", Some("a"), Some(1.0), &[])],
    );
    check(
        &[list(&[("1", None, None, &[])]), list(&[("2", Some("b"), None, &[]), ("1", Some("x"), None, &[])])],
        &[("1", Some("x"), None, &[]), ("2", Some("b"), None, &[])],
    );
    check(
        &[list(&[("1", None, None, &["x", "y"])]), list(&[("1", None, None, &["y", "z"])])],
        &[("1", None, None, &["x", "y", "z"])],
    );
    check(&[list(&[]), list(&[("1", Some("a"), None, &[])])], &[("1", Some("a"), None, &[])]);
}

/// Documents as JSON objects: strings become texts, numbers numbers, objects JSON.
fn objects(rows: &[serde_json::Value]) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for object in rows {
        let row = builder.push_root().unwrap();
        for (name, value) in object.as_object().unwrap() {
            match value {
                serde_json::Value::String(text) => builder.set_text(name, row, text).unwrap(),
                serde_json::Value::Number(number) => {
                    builder.set_number(name, row, number.as_f64().unwrap()).unwrap();
                }
                other => builder.set_json(name, row, &other.to_string()).unwrap(),
            }
        }
    }
    builder.finish().unwrap()
}

#[test]
fn tags_are_united_key_by_key_and_documents_without_id_by_place() {
    use serde_json::json;
    let check = |lists: &[&[serde_json::Value]], expected: &[serde_json::Value]| {
        let lists: Vec<DocumentList> = lists.iter().map(|rows| objects(rows)).collect();
        let lists: Vec<&DocumentList> = lists.iter().collect();
        assert_eq!(reduce(&lists, &Limits::default()).unwrap(), objects(expected));
    };
    check(
        &[&[json!({"id": "1", "tags": {"a": 1, "b": 2}})], &[json!({"id": "1", "tags": {"b": 3, "c": 4}})]],
        &[json!({"id": "1", "tags": {"a": 1, "b": 2, "c": 4}})],
    );
    check(
        &[&[json!({"text": "x"}), json!({"text": "y"})], &[json!({"weight": 1.0}), json!({"weight": 2.0})]],
        &[json!({"text": "x", "weight": 1.0}), json!({"text": "y", "weight": 2.0})],
    );
    check(
        &[&[json!({"id": "1", "rank": 1.0})], &[json!({"id": "2", "rank": "first"})]],
        &[json!({"id": "1", "rank": 1.0}), json!({"id": "2", "rank": "first"})],
    );
}

#[test]
fn branches_that_only_add_columns_share_them() {
    let base = list(&[("1", Some("a"), None, &[]), ("2", Some("b"), None, &[])]);
    let mut overlay = crate::document::Overlay::new(base.clone(), &Limits::default());
    overlay.set_number("weight", 0, vec![Some(1.0), Some(2.0)]).unwrap();
    let branch = overlay.commit().unwrap();
    let joined = reduce(&[&base, &branch], &Limits::default()).unwrap();
    assert_eq!(joined, branch);
    let texts = |list: &DocumentList| match list.column("text").unwrap().values() {
        Values::Text(column) => Arc::as_ptr(column.parts().0),
        _ => panic!("text"),
    };
    assert_eq!(texts(&joined), texts(&base));
}

#[test]
fn kinds_without_a_common_form_are_an_error() {
    let blob = {
        let mut builder = DocumentListBuilder::new(Limits::default());
        let row = builder.push_root().unwrap();
        builder.set_bytes("weight", row, vec![1].into()).unwrap();
        builder.finish().unwrap()
    };
    let number = list(&[("1", None, Some(1.0), &[])]);
    let error = concat(&[&blob, &number], &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "field \"weight\" holds bytes in one document and number in another");
}

proptest! {
    #[test]
    fn reduce_keeps_every_id_once(ids in prop::collection::vec(prop::collection::vec(0u8..20, 0..8), 1..4)) {
        let lists: Vec<DocumentList> = ids.iter().map(|ids| {
            let mut seen = Vec::new();
            let names: Vec<String> = ids.iter().filter(|id| { let new = !seen.contains(*id); seen.push(**id); new })
                .map(u8::to_string).collect();
            let rows: Vec<Row<'_>> = names.iter().map(|id| (id.as_str(), Some("t"), None, &[][..])).collect();
            list(&rows)
        }).collect();
        let lists: Vec<&DocumentList> = lists.iter().collect();
        let once = reduce(&lists, &Limits::default()).unwrap();
        prop_assert_eq!(&reduce(&[&once, &once.clone()], &Limits::default()).unwrap(), &once);
        let mut expected: Vec<String> = ids.concat().iter().map(u8::to_string).collect();
        expected.sort();
        expected.dedup();
        let mut found: Vec<String> = (0..once.len()).filter_map(|row| once.text("id", row)).map(str::to_owned).collect();
        found.sort();
        prop_assert_eq!(found, expected);
    }
}
