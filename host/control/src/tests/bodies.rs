//! What strangers send as names, bodies, headers and queries.

use serde_json::{Value, json};

use super::{Headers, Host};
use crate::ControlOptions;

#[tokio::test]
async fn names_are_checked_wherever_they_stand() {
    let host = Host::new().await;
    let long = "x".repeat(10_000);
    let cases: [(&str, &str); 9] = [
        ("..%2F..%2Fetc", "400 invalid_request: "),
        ("%00", "400 invalid_request: "),
        ("%0a", "400 invalid_request: "),
        ("%ff", "400 invalid_request: the path holds bytes that are no UTF-8"),
        ("%D0%B0cme", "400 invalid_request: "),
        ("a%20b", "400 invalid_request: "),
        ("%2e%2e", "400 invalid_request: "),
        ("a:b", "400 invalid_request: "),
        (&long, "400 invalid_request: "),
    ];
    for (name, expected) in cases {
        for path in [
            format!("GET /v1/tenants/{name}"),
            format!("GET /v1/tenants/acme/executors/{name}"),
            format!("DELETE /v1/tenants/acme/executors/shout/tags/{name}"),
            format!("GET /v1/tenants/acme/flows/{name}"),
            format!("DELETE /v1/tenants/acme/secrets/{name}"),
            format!("GET /v1/tenants/acme/signing-keys/{name}"),
            format!("DELETE /v1/tenants/acme/keys/{name}"),
            format!("GET /v1/tenants/acme/components/{name}"),
            format!("GET /v1/tenants/acme/executors/shout/revisions/{name}"),
            format!("GET /v1/tenants/acme/capsules/{name}"),
        ] {
            let answer = host.send(&path, &host.acme, Value::Null).await;
            answer.check(expected);
            assert!(answer.body.len() < 1000, "{}", answer.text());
        }
        let new = json!({ "name": name });
        if !name.contains('%') {
            host.send("POST /v1/tenants", &host.operator, new).await.check("400 invalid_request: name: ");
        }
    }
}

#[tokio::test]
async fn json_bodies_are_refused_in_words() {
    let host = Host::new().await;
    let json = [("content-type", "application/json")];
    let cases: [(Headers<'_>, &str, &str); 13] = [
        (&json, "", "400 invalid_request: the request's body is empty"),
        (&json, "x", "400 invalid_request: the request's body: expected value"),
        (&json, "[]", "400 invalid_request: the request's body is a JSON list"),
        (&json, "{}", "400 invalid_request: the request's body: missing field `name`"),
        (&json, r#"{"name": 1}"#, "400 invalid_request: name: invalid type: integer `1`"),
        (&json, r#"{"name": "a", "colour": 1}"#, "400 invalid_request: colour: unknown field `colour`"),
        (
            &json,
            r#"{"name": "a", "settings": {"quota": {"flows": "many"}}}"#,
            "400 invalid_request: settings.quota.flows: invalid type: string",
        ),
        (&json, r#"{"name": "a", "settings": {"weight": 0}}"#, "400 invalid_request: a weight of 0"),
        (&json, r#"{"name": "a"} {}"#, "400 invalid_request: the request's body goes on after its JSON"),
        (&[], r#"{"name": "a"}"#, "415 invalid_request: the request's body has no content-type"),
        (
            &[("content-type", "text/plain")],
            "{}",
            "415 invalid_request: the request's body is \"text/plain\", not JSON",
        ),
        (&[("content-type", "application/json; charset=utf-8")], r#"{"name": "fine"}"#, "201"),
        (
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            "x",
            "400 invalid_request: compressed request bodies are not read",
        ),
    ];
    for (headers, body, expected) in cases {
        host.ask("POST /v1/tenants", &host.operator, headers, body).await.check(expected);
    }
    let deep = format!("{{\"name\": \"a\", \"settings\": {}", "{\"quota\":".repeat(100_000));
    host.ask("POST /v1/tenants", &host.operator, &json, deep).await.check("400 invalid_request: ");
    let huge = format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20));
    let refused = host.ask("POST /v1/tenants", &host.operator, &json, huge).await;
    refused.check("413 request_too_large: the request's body is larger than 2097152 bytes");
    assert_eq!(refused.header("connection"), "close");
    assert_eq!(refused.json()["error"]["limit"]["value"], 2 << 20);
}

#[tokio::test]
async fn texts_are_checked() {
    let host = Host::new().await;
    let yaml = [("content-type", "application/yaml")];
    let flow = "PUT /v1/tenants/acme/flows/search";
    host.ask(flow, &host.acme, &yaml, "").await.check("400 invalid_request: the request's body is empty");
    host.ask(flow, &host.acme, &yaml, [0x66, 0xff])
        .await
        .check("400 invalid_request: the request's body is not UTF-8: byte 1");
    host.ask(flow, &host.acme, &[], "shout").await.check("415 invalid_request: ");
    host.ask(flow, &host.acme, &yaml, "no executor").await.check("400 invalid_flow: flow search: ");
    host.ask(flow, &host.acme, &yaml, "shout")
        .await
        .check("400 invalid_flow: flow search: there is no executor shout");
    let pem = "PUT /v1/tenants/acme/signing-keys/release";
    host.ask(pem, &host.acme, &[], "not PEM").await.check("400 invalid_request: ");
}

#[tokio::test]
async fn queries_are_checked() {
    let host = Host::new().await;
    for (query, expected) in [
        ("limit=1", "200"),
        ("limit=500", "200"),
        ("limit=0", "400 invalid_request: a limit of 0 is not possible"),
        ("limit=501", "400 invalid_request: a limit of 501"),
        ("limit=-1", "400 invalid_request: the query of the request: "),
        ("limit=many", "400 invalid_request: the query of the request: "),
        ("colour=red", "400 invalid_request: the query of the request: colour: unknown field `colour`"),
        ("cursor=", "400 invalid_request: the cursor is not one of this list"),
        ("cursor=AAAAAAAAAAAAAAAA", "400 invalid_request: the cursor is not one of this list"),
    ] {
        host.send(&format!("GET /v1/tenants?{query}"), &host.operator, Value::Null).await.check(expected);
    }
    for (query, expected) in [
        ("from=2026-11-26T16:00:00Z&to=2026-11-27T16:00:00Z&executor=shout", "200"),
        (
            "from=yesterday",
            "400 invalid_request: the query of the request: from: \"yesterday\" is not a moment",
        ),
        ("from=2026-11-27T16:00:00Z&to=2026-11-26T16:00:00Z", "400 invalid_request: from, "),
        ("executor=..", "400 invalid_request: "),
    ] {
        host.send(&format!("GET /v1/tenants/acme/usage?{query}"), &host.acme, Value::Null)
            .await
            .check(expected);
    }
}

#[tokio::test]
async fn cursors_belong_to_one_list_of_one_tenant() {
    let host = Host::new().await;
    for name in ["a", "b", "c"] {
        host.publish(name, name).await;
    }
    let first = host.send("GET /v1/tenants/acme/executors?limit=2", &host.acme, Value::Null).await.json();
    let names = |page: &Value| -> Vec<String> {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    let cursor = first["next"].as_str().unwrap();
    let page = |path: &str, key: &str| {
        let (path, key) = (format!("GET {path}?cursor={cursor}"), key.to_owned());
        let host = &host;
        async move { host.send(&path, &key, Value::Null).await }
    };
    let second = page("/v1/tenants/acme/executors", &host.acme).await.json();
    assert_eq!(names(&second), ["c"]);
    assert!(second.get("next").is_none());
    page("/v1/tenants/other/executors", &host.other)
        .await
        .check("400 invalid_request: the cursor is not one");
    page("/v1/tenants/acme/flows", &host.acme).await.check("400 invalid_request: the cursor is not one");
}

#[tokio::test]
async fn changes_are_conditional() {
    let host = Host::new().await;
    let tenant = host.send("GET /v1/tenants/acme", &host.acme, Value::Null).await;
    assert_eq!(tenant.header("etag"), "\"1\"");
    let put = |condition: (&'static str, &'static str)| {
        let headers = [("content-type", "application/json"), condition];
        let host = &host;
        async move { host.ask("PUT /v1/tenants/acme", &host.operator, &headers, "{}").await }
    };
    let changed = put(("if-match", "\"1\"")).await;
    changed.check("200");
    assert_eq!(changed.header("etag"), "\"2\"");
    put(("if-match", "\"1\"")).await.check("412 precondition_failed: tenant acme is at \"2\" now");
    put(("if-match", "1")).await.check("400 invalid_request: the header if-match");
    put(("if-none-match", "*")).await.check("412 precondition_failed: ");
    host.publish("shout", "one").await;
    let yaml = |condition: &'static str, value: &'static str| {
        let headers = [("content-type", "application/yaml"), (condition, value)];
        let host = &host;
        async move { host.ask("PUT /v1/tenants/acme/flows/search", &host.acme, &headers, "shout").await }
    };
    yaml("if-match", "\"1\"").await.check("412 precondition_failed: ");
    yaml("if-none-match", "*").await.check("200");
    yaml("if-none-match", "*").await.check("412 precondition_failed: ");
    yaml("if-match", "\"1\"").await.check("200");
    let delete = "DELETE /v1/tenants/acme/flows/search";
    host.ask(delete, &host.acme, &[("if-match", "\"1\"")], "").await.check("412 precondition_failed: ");
    host.ask(delete, &host.acme, &[("if-match", "\"2\"")], "").await.check("204");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_in_the_same_form() {
    let host = Host::new().await;
    for (what, expected) in [
        ("GET /v2", "404 not_found: there is nothing at \"/v2\""),
        ("GET /v1/tenants/", "404 not_found: "),
        ("GET /v1/tenants/acme/components/a/b", "404 not_found: "),
        ("POST /healthz", "405 not_found: /healthz does not take POST"),
        ("PATCH /v1/tenants/acme", "405 not_found: "),
        ("TRACE /v1/tenants/acme", "405 not_found: "),
        ("DELETE /v1/tenants", "405 not_found: /v1/tenants does not take DELETE"),
    ] {
        host.send(what, "", Value::Null).await.check(expected);
    }
    let refused = host.send("PATCH /v1/tenants/acme", "", Value::Null).await;
    assert_eq!(refused.header("allow"), "GET, PUT, DELETE");
    let long = host.send(&format!("GET /{}", "x".repeat(10_000)), "", Value::Null).await;
    assert!(long.body.len() < 500, "{}", long.text());
}

#[tokio::test]
async fn a_full_host_refuses_and_says_when_to_come_back() {
    let host = Host::with(ControlOptions { max_concurrent_requests: 1, ..ControlOptions::default() }).await;
    let place = host.control.0.places.clone().try_acquire_owned().unwrap();
    let refused = host.send("GET /v1/whoami", &host.acme, Value::Null).await;
    refused.check("503 overloaded: the control API works on 1 requests already");
    assert_eq!(refused.header("retry-after"), "1");
    host.send("GET /healthz", "", Value::Null).await.check("200");
    drop(place);
    host.send("GET /v1/whoami", &host.acme, Value::Null).await.check("200");
}
