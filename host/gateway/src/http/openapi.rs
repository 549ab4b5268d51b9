//! Describes a flow as OpenAPI 3.1, from what its executors say about themselves.
//!
//! `/post` takes every endpoint; each endpoint that an executor names has a path of its own beside it. `/default` is
//! left out on purpose: Jina's client would send requests for unlisted endpoints there, with the wrong endpoint.

use std::collections::BTreeMap;

use lockgate_domain::manifest::EndpointManifest;
use lockgate_domain::spec::ExposedPath;
use lockgate_domain::{EndpointName, ExecutorName, Manifest};
use serde_json::{Map, Value, json};

/// What a flow's author says about an API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    /// Whether `/post`, `/status` and `/dry_run` are there.
    pub(crate) debug: bool,
    pub(crate) exposed: &'a [ExposedPath],
}

/// The description of a flow whose executors are these, in the order of the plan.
pub(crate) fn describe<'a>(
    about: About<'_>,
    executors: impl IntoIterator<Item = (&'a ExecutorName, &'a Manifest)>,
) -> Value {
    let mut endpoints: BTreeMap<&EndpointName, Vec<(&ExecutorName, &EndpointManifest)>> = BTreeMap::new();
    for (name, manifest) in executors {
        for endpoint in &manifest.endpoints {
            endpoints.entry(&endpoint.name).or_default().push((name, endpoint));
        }
    }
    let mut paths = Map::new();
    if about.debug {
        paths.insert("/post".to_owned(), json!({ "post": any_endpoint() }));
    }
    for (endpoint, bound) in endpoints {
        if ExposedPath::is_free(endpoint.as_str()) {
            let mut item = json!({ "post": one_endpoint(endpoint, &bound) });
            if bound.iter().any(|(_, manifest)| manifest.streaming)
                && let Value::Object(methods) = &mut item
            {
                methods.insert("get".to_owned(), streaming_endpoint(endpoint));
            }
            paths.insert(endpoint.as_str().to_owned(), item);
        }
    }
    for exposed in about.exposed {
        let Value::Object(item) = paths.entry(exposed.path.clone()).or_insert_with(|| json!({})) else {
            continue;
        };
        for method in &exposed.methods {
            let method = method.to_ascii_lowercase();
            item.insert(method.clone(), exposed_path(exposed, &method));
        }
    }
    for (path, summary) in [
        ("/healthz", "Whether the process lives"),
        ("/readyz", "Whether the flow takes requests"),
        ("/dry_run", "The same in Jina's words"),
        ("/status", "What serves here"),
        ("/metrics", "Numbers for a collector, in Prometheus' text format"),
    ] {
        if !about.debug && matches!(path, "/dry_run" | "/status") {
            continue;
        }
        let answers = json!({ "200": { "description": "yes" }, "503": { "description": "no" } });
        paths.insert(path.to_owned(), json!({ "get": { "summary": summary, "responses": answers } }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": about.title,
            "description": about.description,
            "version": env!("CARGO_PKG_VERSION"),
        },
        // Relative to this description, which may stand under a prefix that names the flow.
        "servers": [{ "url": "." }],
        "paths": paths,
        "components": { "schemas": schemas() },
    })
}

fn any_endpoint() -> Value {
    operation(
        "Send documents to any endpoint",
        "The endpoint is named by `execEndpoint`; documents pass unchanged through executors that are not bound to it.",
        "post",
        json!({ "$ref": "#/components/schemas/Request" }),
    )
}

fn one_endpoint(endpoint: &EndpointName, bound: &[(&ExecutorName, &EndpointManifest)]) -> Value {
    let descriptions: Vec<&str> = bound
        .iter()
        .map(|(_, manifest)| manifest.description.as_str())
        .filter(|description| !description.is_empty())
        .collect();
    let parameters: Vec<&Value> =
        bound.iter().filter_map(|(_, manifest)| manifest.parameters.as_ref()).collect();
    let mut request = json!({ "$ref": "#/components/schemas/Request" });
    if !parameters.is_empty() {
        request = json!({
            "allOf": [request, { "properties": { "parameters": { "allOf": parameters } } }],
        });
    }
    let name = endpoint.as_str();
    let mut operation = operation(name, &descriptions.join("\n\n"), name.trim_start_matches('/'), request);
    let executors: Vec<Value> = bound
        .iter()
        .map(|(name, manifest)| {
            json!({
                "name": name,
                "description": manifest.description,
                "reads": manifest.reads,
                "writes": manifest.writes,
                "streaming": manifest.streaming,
            })
        })
        .collect();
    if let Value::Object(fields) = &mut operation {
        fields.insert("x-executors".to_owned(), Value::Array(executors));
    }
    operation
}

fn exposed_path(exposed: &ExposedPath, method: &str) -> Value {
    operation(
        exposed.summary.as_deref().unwrap_or(exposed.endpoint.as_str()),
        &format!("Leads to the endpoint {}.", exposed.endpoint),
        &format!("{method}{}", exposed.path),
        json!({ "$ref": "#/components/schemas/Request" }),
    )
}

/// One document in, documents out as they are emitted.
fn streaming_endpoint(endpoint: &EndpointName) -> Value {
    let document = json!({ "$ref": "#/components/schemas/Document" });
    let events = json!({ "text/event-stream": { "schema": { "type": "string" } } });
    let failure = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Failure" } } });
    json!({
        "summary": format!("Stream {endpoint}"),
        "description": "Each document is an event `update` as soon as it is emitted; the last event is `end`, or `error`. The document that is sent is the body, or else the query's fields. POST with `accept: text/event-stream` does the same for a whole request.",
        "operationId": format!("stream_{}", endpoint.as_str().trim_start_matches('/').replace('/', "_")),
        "parameters": [{ "name": "document", "in": "query", "style": "form", "explode": true, "schema": document }],
        "responses": {
            "200": { "description": "The documents, as events.", "content": events },
            "default": { "description": "The request could not be served.", "content": failure },
        },
    })
}

fn operation(summary: &str, description: &str, id: &str, request: Value) -> Value {
    let answer = |description: &str, schema: &str| {
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        json!({ "description": description, "content": { "application/json": { "schema": schema } } })
    };
    json!({
        "summary": summary,
        "description": description,
        "operationId": id.replace('/', "_"),
        "requestBody": { "required": true, "content": { "application/json": { "schema": request } } },
        "responses": {
            "200": answer("The documents after the last executor; an executor's error is in `header.status`.", "Reply"),
            "default": answer("The request could not be served.", "Failure"),
        },
    })
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let nullable = |kind: &str| json!({ "type": [kind, "null"] });
    let documents = json!({ "type": "array", "items": { "$ref": "#/components/schemas/Document" } });
    let status = json!({
        "type": ["object", "null"],
        "properties": {
            "code": { "type": "integer", "description": "0 success, 1 error" },
            "description": text,
            "exception": nullable("object"),
        },
    });
    let header = json!({
        "type": "object",
        "properties": {
            "requestId": text, "status": status, "execEndpoint": text, "targetExecutor": nullable("string"),
        },
    });
    let time = json!({ "type": ["string", "null"], "format": "date-time" });
    let route = json!({
        "type": "object",
        "properties": { "executor": text, "startTime": time, "endTime": time, "status": status },
    });
    json!({
        "Document": {
            "type": "object",
            "description": "Fields of DocArray; any other field is the caller's own.",
            "properties": {
                "id": text, "text": nullable("string"), "uri": nullable("string"),
                "mime_type": nullable("string"),
                "blob": { "type": ["string", "null"], "description": "base64" },
                "tensor": nullable("array"), "embedding": nullable("array"),
                "tags": nullable("object"), "scores": nullable("object"),
                "chunks": documents, "matches": documents,
            },
        },
        "Request": {
            "type": "object",
            "properties": {
                "data": documents, "parameters": nullable("object"),
                "execEndpoint": nullable("string"), "targetExecutor": nullable("string"),
            },
        },
        "Reply": {
            "type": "object",
            "properties": {
                "header": header, "parameters": nullable("object"),
                "routes": { "type": ["array", "null"], "items": route }, "data": documents,
            },
        },
        "Failure": {
            "type": "object",
            "properties": { "header": header, "error": { "$ref": "#/components/schemas/Problem" } },
        },
        "Problem": {
            "type": "object",
            "required": ["code", "status", "source", "message", "retryable"],
            "properties": {
                "code": text, "status": text, "message": text, "hint": text, "executor": text, "digest": text,
                "source": { "enum": ["client", "guest", "host"] },
                "retryable": { "type": "boolean" },
                "retry_after_ms": { "type": "integer" },
                "limit": { "type": "object", "properties": { "name": text, "value": { "type": "integer" } } },
                "details": {}, "backtrace": { "type": "array", "items": text },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_what_a_client_can_post_to() {
        let name: ExecutorName = "encoder".parse().unwrap();
        let manifest = Manifest::parse(
            r#"{"endpoints": [
                {"name": "/index", "description": "Keeps them.", "parameters": {"required": ["k"]}},
                {"name": "/default"}, {"name": "/status"}, {"name": "/a{b}"}
            ]}"#,
        )
        .unwrap();
        let exposed = [ExposedPath {
            path: "/v1/find".to_owned(),
            endpoint: EndpointName::parse("/a{b}").unwrap(),
            methods: vec!["PUT".to_owned()],
            summary: None,
        }];
        let about = About { title: "T", description: "D", debug: true, exposed: &exposed };
        let api = describe(about, [(&name, &manifest)]);
        assert_eq!(api["paths"]["/v1/find"]["put"]["summary"], "/a{b}");
        let hidden = describe(About { debug: false, ..about }, [(&name, &manifest)]);
        assert!(hidden["paths"]["/post"].is_null() && hidden["paths"]["/status"].is_null());
        let posts: Vec<&str> = api["paths"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, item)| item.get("post").is_some())
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(posts, ["/index", "/post"]);
        let index = &api["paths"]["/index"]["post"];
        assert_eq!(index["description"], "Keeps them.");
        assert_eq!(index["x-executors"][0]["name"], "encoder");
        let schema = &index["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(schema["allOf"][1]["properties"]["parameters"]["allOf"][0]["required"][0], "k");
        assert_eq!(api["info"]["title"], "T");
    }
}
