//! Answers side by side: what counts as a difference, and in which words.

use lockgate_domain::Results;
use lockgate_wire::json;
use serde_json::{Value, json};

use super::*;

fn reply(documents: &Value, results: Option<&str>) -> ExecutorReply {
    let results = results.map(|text| Box::new(Results::parse(text, 1 << 20).unwrap()));
    ExecutorReply { documents: list(documents), results: results.into(), fuel: 1 }
}

fn list(documents: &Value) -> DocumentList {
    let body = json!({ "data": documents }).to_string();
    json::decode_request(body.as_bytes(), &Limits::default()).unwrap().documents
}

/// `documents texts tags others`, whether it differs, and the samples.
fn check(primary: Value, shadow: Value, counts: [u64; 4], samples: &[&str]) -> f64 {
    let found = compare(&reply(&primary, None), &reply(&shadow, None), 1e-3);
    assert_eq!([found.documents, found.texts, found.tags, found.others], counts, "{primary} {shadow}");
    assert_eq!(found.samples, samples, "{primary} {shadow}");
    assert_eq!(found.differs, !samples.is_empty(), "{primary} {shadow}");
    found.embedding_distance
}

#[test]
fn equal_answers_do_not_differ() {
    for documents in [
        json!([]),
        json!([{"text": "hi", "tags": {"a": 1, "b": [2]}, "weight": 0.5}]),
        json!([{"text": "hi", "chunks": [{"text": "h"}, {"text": "i", "chunks": [{"text": "."}]}]}]),
    ] {
        let found = compare(&reply(&documents, None), &reply(&documents, None), 0.0);
        assert!(!found.differs, "{found:?}");
        assert_eq!(found.documents, u64::from(list(&documents).total()));
    }
}

#[test]
fn differences_are_counted_by_document_and_told_by_place() {
    check(
        json!([{"text": "HI"}, {"text": "HO"}]),
        json!([{"text": "HI"}, {"text": "ho"}]),
        [2, 1, 0, 0],
        &[r#"data[1].text: "HO", the shadow gives "ho""#],
    );
    check(json!([{"tags": {"a": 1, "b": 2}}]), json!([{"tags": {"b": 2, "a": 1}}]), [1, 0, 0, 0], &[]);
    check(
        json!([{"tags": {"a": 1}}]),
        json!([{"tags": {"a": 2}}]),
        [1, 0, 1, 0],
        &[r#"data[0].tags: {"a":1}, the shadow gives {"a":2}"#],
    );
    check(
        json!([{"text": "a", "price": 3}]),
        json!([{"text": "a"}]),
        [1, 0, 0, 1],
        &["data[0].price: 3, the shadow gives nothing"],
    );
    check(
        json!([{"text": "a"}, {"text": "b"}]),
        json!([{"text": "a"}]),
        [1, 0, 0, 1],
        &["documents: 2 of them, the shadow gives 1"],
    );
    check(
        json!([{"chunks": [{"text": "a"}, {"text": "b"}]}]),
        json!([{"chunks": [{"text": "a"}, {"text": "c"}, {"text": "d"}]}]),
        [3, 1, 0, 1],
        &[
            "data[0].chunks: 2 of them, the shadow gives 3",
            r#"data[0].chunks[1].text: "b", the shadow gives "c""#,
        ],
    );
}

#[test]
fn ids_count_unless_both_are_freshly_made() {
    let fresh = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];
    check(json!([{"id": fresh[0]}]), json!([{"id": fresh[1]}]), [1, 0, 0, 0], &[]);
    check(
        json!([{"id": "a"}]),
        json!([{"id": "b"}]),
        [1, 0, 0, 1],
        &[r#"data[0].id: "a", the shadow gives "b""#],
    );
}

#[test]
fn embeddings_are_compared_by_their_angle() {
    let near =
        check(json!([{"embedding": [1.0, 0.0]}]), json!([{"embedding": [2.0, 0.001]}]), [1, 0, 0, 0], &[]);
    assert!(near > 0.0 && near < 1e-6, "{near}");
    let far = check(
        json!([{"embedding": [1.0, 0.0]}]),
        json!([{"embedding": [0.0, 1.0]}]),
        [1, 0, 0, 0],
        &["data[0].embedding: at a distance of 1.000000"],
    );
    assert_eq!(far, 1.0);
    let vectors = [
        (vec![0.0, 0.0], vec![0.0, 0.0], 0.0),
        (vec![0.0, 0.0], vec![1.0, 0.0], 2.0),
        (vec![1.0, 0.0], vec![-1.0, 0.0], 2.0),
        (vec![f32::NAN], vec![1.0], 2.0),
    ];
    for (a, b, expected) in vectors {
        let distance = cosine_distance(&Tensor::from_f32(&a), &Tensor::from_f32(&b));
        assert_eq!(distance, Some(expected), "{a:?} {b:?}");
    }
    assert_eq!(cosine_distance(&Tensor::from_f32(&[1.0]), &Tensor::from_f32(&[1.0, 2.0])), None);
}

#[test]
fn what_is_given_beside_documents_counts_as_well() {
    let check = |primary: Option<&str>, shadow: Option<&str>, sample: Option<&str>| {
        let documents = json!([{ "text": "a" }]);
        let found = compare(&reply(&documents, primary), &reply(&documents, shadow), 0.0);
        assert_eq!((found.differs, found.others), (sample.is_some(), u64::from(sample.is_some())));
        assert_eq!(found.samples.first().map(String::as_str), sample);
    };
    check(None, None, None);
    check(Some(r#"{"a": 1, "b": 2}"#), Some(r#"{"b": 2, "a": 1}"#), None);
    check(Some(r#"{"n": 1}"#), None, Some(r#"results: {"n":1}, the shadow gives nothing"#));
    check(Some(r#"{"n": 1}"#), Some(r#"{"n": 2}"#), Some(r#"results: {"n":1}, the shadow gives {"n":2}"#));
    let long = format!(r#"{{"é": "{}"}}"#, "é".repeat(100_000));
    let start =
        format!(r#"results: {{"é":"{}..., the shadow gives nothing"#, "é".repeat(SAMPLE_CHARACTERS - 6));
    check(Some(&long), None, Some(&start));
}

#[test]
fn samples_are_few_and_short() {
    let texts = |text: &str| Value::Array((0..100).map(|_| json!({ "text": text.repeat(1000) })).collect());
    let found = compare(&reply(&texts("a"), None), &reply(&texts("\u{7}"), None), 0.0);
    assert_eq!((found.texts, found.samples.len()), (100, MOST_SAMPLES));
    assert!(found.samples.iter().all(|sample| sample.len() < 300 && !sample.contains('\u{7}')), "{found:?}");
}
