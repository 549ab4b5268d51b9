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

#[test]
fn kinds_that_differ_are_an_error() {
    let text = {
        let mut builder = DocumentListBuilder::new(Limits::default());
        let row = builder.push_root().unwrap();
        builder.set_text("weight", row, "heavy").unwrap();
        builder.finish().unwrap()
    };
    let number = list(&[("1", None, Some(1.0), &[])]);
    let error = concat(&[&text, &number], &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "field \"weight\" holds text in one document and number in another");
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
