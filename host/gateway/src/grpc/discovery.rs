//! `endpoint_discovery`: what a flow answers to, for a gateway of Jina that uses it as an external executor.
//!
//! The layout is that of Jina's executors, not of its gateways: its gateways cannot read the latter, so flows of flows
//! never start there. Executors take documents with any fields, so every endpoint has the same schema, that of an
//! executor without types of its own. It has no references: gateways of 3.19 and 3.34 make classes of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use lockgate_domain::Problem;
use lockgate_domain::manifest::EndpointManifest;
use lockgate_wire::{grpc as wire, proto};
use serde_json::{Map, Value, json};

use crate::door::Visitor;
use crate::gate::Gate;

/// The name of the one schema; gateways keep the class that they make of it under this name.
const DOCUMENT: &str = "LockgateDocument";

/// The fields that both versions of DocArray have in a document without a schema.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let array =
        json!({ "type": "array", "items": { "type": "number" }, "tensor/array shape": "not specified" });
    let documents = json!({ "type": "array", "items": {} });
    json!({
        "title": DOCUMENT,
        "type": "object",
        "properties": {
            "id": { "type": "string" },
            "tensor": array,
            "chunks": documents,
            "matches": documents,
            "blob": { "type": "string", "format": "binary" },
            "text": { "type": "string" },
            "url": { "type": "string" },
            "embedding": array,
            "tags": { "type": "object", "default": {} },
            "scores": { "type": "object" },
        },
    })
});

/// The endpoints of the flow that the caller means.
pub(super) fn endpoints(_: &Gate, visitor: &dyn Visitor) -> Result<proto::EndpointsProto, Problem> {
    let manifests: Vec<_> = visitor.flow()?.manifests().collect();
    let mut endpoints: BTreeMap<&str, Vec<&EndpointManifest>> = BTreeMap::new();
    for endpoint in manifests.iter().flat_map(|manifest| &manifest.endpoints) {
        endpoints.entry(endpoint.name.as_str()).or_default().push(endpoint);
    }
    let schemas = endpoints.iter().map(|(name, bound)| ((*name).to_owned(), describe(name, bound))).collect();
    let names = endpoints.into_keys().map(str::to_owned).collect();
    Ok(wire::encode_endpoints(names, schemas))
}

fn describe(name: &str, bound: &[&EndpointManifest]) -> Value {
    let streams = bound.iter().any(|endpoint| endpoint.streaming);
    let document = json!({ "name": DOCUMENT, "model": *SCHEMA });
    let parameters = bound.iter().find_map(|endpoint| endpoint.parameters.as_ref().filter(|it| is_plain(it)));
    json!({
        "input": document,
        "output": document,
        "is_generator": streams,
        // What streams takes one document at a time.
        "is_singleton_doc": streams,
        "parameters": {
            "name": parameters.map(|_| format!("{}Parameters", name.trim_start_matches('/').replace('/', "_"))),
            "model": parameters,
        },
    })
}

/// Whether Jina's gateways can make a class of a schema. One that they cannot would keep them from starting.
fn is_plain(schema: &Value) -> bool {
    const KINDS: [&str; 4] = ["string", "integer", "number", "boolean"];
    let is_value = |schema: &Map<String, Value>| {
        schema.get("type").and_then(Value::as_str).is_some_and(|kind| KINDS.contains(&kind))
            && !["anyOf", "allOf", "oneOf", "$ref", "enum", "const"]
                .iter()
                .any(|key| schema.contains_key(*key))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.is_some_and(|properties| {
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        properties.iter().all(|(name, schema)| is_name(name) && schema.as_object().is_some_and(is_value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_parameters_are_told() {
        let check = |schema: Value, expected: bool| assert_eq!(is_plain(&schema), expected, "{schema}");
        check(json!({ "properties": { "k": { "type": "integer", "default": 3 } } }), true);
        check(json!({ "properties": {} }), true);
        check(json!({ "properties": { "k": { "type": ["integer", "null"] } } }), false);
        check(json!({ "properties": { "k": { "$ref": "#/x" } } }), false);
        check(json!({ "properties": { "k": { "type": "string", "enum": ["a"] } } }), false);
        check(json!({ "properties": { "a-b": { "type": "string" } } }), false);
        check(json!({ "properties": { "k": { "type": "array", "items": {} } } }), false);
        check(json!({ "type": "object" }), false);
        check(json!(true), false);
    }
}
