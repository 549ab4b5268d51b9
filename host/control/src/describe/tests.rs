//! The document is what is committed, and says of every operation what a client needs.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::operation::OPERATIONS;

const REFERENCE: &str = "../docs/reference/control-openapi.json";
const UPDATE: &str = "LOCKGATE_UPDATE_REFERENCE";

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &'_ Value)| -> Vec<(String, String)> {
        item.as_object().unwrap().keys().map(|method| (method.to_ascii_uppercase(), path.clone())).collect()
    };
    let names: Vec<(String, String)> = paths.iter().flat_map(of_path).collect();
    let find = |(method, path): (String, String)| {
        let described = &document["paths"][&path][method.to_ascii_lowercase()];
        (method, path, described)
    };
    names.into_iter().map(find).collect()
}

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE);
    let now = openapi();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(now.lines()).position(|(committed, now)| committed != now);
    let line = differs.unwrap_or_else(|| committed.lines().count().min(now.lines().count())) + 1;
    assert!(
        committed == now,
        "host/docs/reference/control-openapi.json differs from the code at line {line}: {:?}; \
         if it should, run {UPDATE}=1 cargo test -p lockgate-control reference_is_up_to_date",
        now.lines().nth(line - 1).unwrap_or_default(),
    );
}

#[test]
fn every_operation_is_described_and_every_description_is_guarded() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let described: BTreeSet<(String, String)> =
        operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    // The page to try things, its style and its script are for people.
    let table: BTreeSet<(String, String)> = OPERATIONS
        .iter()
        .filter(|operation| !operation.path.starts_with("/docs"))
        .map(|operation| (operation.method.to_string(), operation.path.to_owned()))
        .collect();
    assert_eq!(described, table);
}

#[test]
fn every_operation_says_what_a_client_needs() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut ids = BTreeSet::new();
    for (method, path, described) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(described["summary"].as_str().is_some_and(|summary| summary.len() > 10), "{name}: summary");
        assert!(described["tags"][0].is_string(), "{name}: tag");
        assert!(ids.insert(described["operationId"].to_string()), "{name}: {}", described["operationId"]);
        assert!(described["security"].is_array(), "{name}: security");
        let answers = described["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{name}: no good answer");
        assert!(answers.contains_key("503"), "{name}: no bad answer");
        let is_open = described["security"] == json!([]);
        assert_eq!(answers.contains_key("401"), !is_open, "{name}: 401");
        assert_eq!(answers.contains_key("404"), path.contains('{'), "{name}: 404");
        let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
        for segment in segments(&path) {
            assert!(
                parameters.iter().any(|p| p["name"] == segment && p["in"] == "path"),
                "{name}: {segment}"
            );
        }
        for parameter in &parameters {
            assert!(parameter["description"].is_string(), "{name}: {parameter}");
        }
    }
}

/// Every `$ref` leads somewhere.
#[test]
fn references_lead_somewhere() {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                object.values().for_each(|value| check(value, document));
            }
            Value::Array(list) => list.iter().for_each(|value| check(value, document)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    check(&document, &document);
}
