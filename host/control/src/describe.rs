//! The OpenAPI document: what the handlers say about themselves, completed from the table of operations.
//!
//! Paths, bodies and answers come from the handlers; who may call them, what stands in a path and how an operation can fail
//! is the same everywhere and therefore said once, here.

use http::Method;
use serde_json::{Map, Value, json};

use crate::operation::{Needs, Operation};
use crate::routes;

const ABOUT: &str = "JSON in and out. An error is `{\"error\": …}` with a stable `code`, a message and mostly a hint. \
Lists take `limit` and `cursor` and answer `{\"items\": […], \"next\": \"…\"}`. What can change carries an `ETag`; \
`If-Match` on a change is honoured, `If-None-Match: *` means: only if it is new. Every answer carries `x-request-id`. \
Another tenant's things are not found, exactly like those that do not exist.";

/// The document as JSON, laid out for people and the same every time.
pub fn openapi() -> String {
    let (_, described) = routes::all().split_for_parts();
    let mut document = serde_json::to_value(described).unwrap_or_default();
    complete(&mut document);
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn complete(document: &mut Value) {
    put(
        document,
        &["info"],
        json!({
            "title": "Lockgate control API",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        }),
    );
    put(document, &["components", "schemas", "Problem"], problem_schema());
    put(document, &["components", "responses"], responses());
    put(
        document,
        &["components", "securitySchemes"],
        json!({
            "bearer": { "type": "http", "scheme": "bearer", "description": "An API key (`lg_ID_SECRET`) or a JSON Web Token." },
            "api_key": { "type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API key." },
        }),
    );
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for (path, item) in paths {
        let Some(item) = item.as_object_mut() else { continue };
        for (method, described) in item {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap_or_default();
            if let (Some(operation), Some(described)) =
                (Operation::find(&method, path), described.as_object_mut())
            {
                complete_operation(operation, described);
            }
        }
    }
}

fn complete_operation(operation: &Operation, described: &mut Map<String, Value>) {
    let is_open = operation.needs == Needs::Nothing;
    described.insert(
        "security".into(),
        if is_open { json!([]) } else { json!([{ "bearer": [] }, { "api_key": [] }]) },
    );
    if let Some(scope) = operation.scope() {
        described.insert("x-scope".into(), json!(scope.as_str()));
    }
    if let Some(action) = operation.action {
        described.insert("x-audit-action".into(), json!(action));
    }
    let mut parameters: Vec<Value> = segments(operation.path).map(segment).collect();
    if let Some(Value::Array(own)) = described.remove("parameters") {
        parameters.extend(own);
    }
    let names = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
    let (is_conditional, has_query) = (names("if-match"), names("cursor"));
    let has_body = described.contains_key("requestBody");
    if !parameters.is_empty() {
        described.insert("parameters".into(), Value::Array(parameters));
    }
    let mut failures = vec!["503"];
    if !is_open {
        failures.extend(["401", "403", "429"]);
    }
    if operation.path.contains('{') {
        failures.extend(["400", "404"]);
    }
    if has_query {
        failures.push("400");
    }
    if has_body {
        failures.extend(["400", "408", "413", "415"]);
    }
    if is_conditional {
        failures.push("412");
    }
    if operation.action.is_some() {
        failures.push("409");
    }
    if has_body && operation.action.is_some() {
        failures.push("422");
    }
    failures.push("default");
    let Some(Value::Object(answers)) = described.get_mut("responses") else { return };
    for status in failures {
        answers
            .entry(status)
            .or_insert_with(|| json!({ "$ref": format!("#/components/responses/{status}") }));
    }
}

/// The names between braces in a path of the router.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn segment(name: &str) -> Value {
    const NAME: &str = "^[A-Za-z0-9_-]{1,63}$";
    let (about, schema) = match name {
        "tenant" => ("The tenant's name.", json!({ "type": "string", "pattern": NAME })),
        "executor" => ("The executor's name.", json!({ "type": "string", "pattern": NAME })),
        "tag" => ("The tag.", json!({ "type": "string", "pattern": NAME })),
        "flow" => ("The flow's name.", json!({ "type": "string", "pattern": NAME })),
        "digest" => (
            "The component's digest; `sha256:` may be left out.",
            json!({ "type": "string", "pattern": "^(sha256:)?[0-9a-f]{64}$" }),
        ),
        "number" => ("The revision's number.", json!({ "type": "integer", "format": "int32", "minimum": 1 })),
        "id" => {
            ("The id, as lists show it.", json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$" }))
        }
        _ => ("The name.", json!({ "type": "string", "pattern": NAME })),
    };
    json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
}

fn responses() -> Value {
    let list = [
        ("400", "The request means nothing: the message says where."),
        ("401", "The caller did not say who it is, or not convincingly."),
        ("403", "The caller is known and may not do this."),
        ("404", "There is no such thing, or it is another tenant's."),
        ("408", "The body came too slowly."),
        ("409", "It contradicts what is there; the message names what."),
        ("412", "It was changed since the caller read it, or is there already."),
        ("413", "The body is too large."),
        ("415", "The body is not of the type that this operation reads."),
        ("429", "A quota of the tenant is used up for now; `retry-after` says when to come back."),
        ("422", "The component or executor failed while it was examined or tried out: the code says how."),
        ("default", "Something else went wrong: the host failed."),
        ("503", "The host is full or not ready; `retry-after` says when to come back."),
    ];
    let content = json!({ "application/json": { "schema": {
        "type": "object",
        "required": ["error"],
        "properties": { "error": { "$ref": "#/components/schemas/Problem" } },
    } } });
    list.iter()
        .map(|(status, about)| ((*status).to_owned(), json!({ "description": about, "content": content })))
        .collect::<Map<_, _>>()
        .into()
}

fn problem_schema() -> Value {
    let codes: Vec<&str> = lockgate_domain::ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "type": "object",
        "description": "What went wrong. Programs look at `code`; `message` and `hint` are for people and may change.",
        "required": ["code", "status", "source", "message", "retryable"],
        "properties": {
            "code": { "type": "string", "enum": codes },
            "status": { "type": "string", "description": "the gRPC status that says the same" },
            "source": { "type": "string", "enum": ["client", "guest", "host"] },
            "message": { "type": "string" },
            "retryable": { "type": "boolean" },
            "hint": { "type": "string" },
            "executor": { "type": "string" },
            "digest": { "type": "string" },
            "limit": {
                "type": "object",
                "properties": { "name": { "type": "string" }, "value": { "type": "integer", "format": "int64", "minimum": 0 } },
            },
            "details": {},
            "backtrace": { "type": "array", "items": { "type": "string" } },
            "retry_after_ms": { "type": "integer", "format": "int64", "minimum": 0 },
        },
    })
}

/// Puts a value at a path of objects, making those that are not there.
fn put(document: &mut Value, path: &[&str], value: Value) {
    let mut place = document;
    for step in path {
        if !place.is_object() {
            *place = json!({});
        }
        let Some(object) = place.as_object_mut() else { return };
        place = object.entry(*step).or_insert(Value::Null);
    }
    *place = value;
}

#[cfg(test)]
mod tests;
