//! The operator's side: tenants, the host's keys, numbers; and the pages that need no key.

use lockgate_domain::{ErrorCode, Problem};
use serde_json::{Value, json};

use super::Host;

#[tokio::test]
async fn tenants_are_made_changed_and_deleted() {
    let host = Host::new().await;
    let new = json!({ "name": "third", "settings": { "weight": 7 } });
    host.script.applied();
    let made = host.send("POST /v1/tenants", &host.operator, new.clone()).await;
    made.check("201");
    assert_eq!((made.header("location"), made.header("etag")), ("/v1/tenants/third", "\"1\""));
    assert_eq!(made.json()["settings"]["weight"], 7);
    assert_eq!(host.script.applied(), ["third: Tenant"]);
    host.send("POST /v1/tenants", &host.operator, new)
        .await
        .check("409 conflict: there is a tenant third already");
    let listed = host.send("GET /v1/tenants", &host.operator, Value::Null).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    host.publish("shout", "one").await;
    let shown = host.send("GET /v1/tenants/acme", &host.acme, Value::Null).await.json();
    assert_eq!(
        (shown["holdings"]["components"].as_u64(), shown["holdings"]["executors"].as_u64()),
        (Some(1), Some(1))
    );
    host.send("DELETE /v1/tenants/acme", &host.acme, Value::Null).await.check("403 permission_denied: ");
    host.send("DELETE /v1/tenants/acme", &host.operator, Value::Null).await.check("409 conflict: ");
    host.send("DELETE /v1/tenants/acme?force=maybe", &host.operator, Value::Null)
        .await
        .check("400 invalid_request: ");
    host.send("DELETE /v1/tenants/acme?force=true", &host.operator, Value::Null).await.check("204");
    host.send("GET /v1/tenants/acme", &host.acme, Value::Null).await.check("401 unauthenticated: ");
    host.send("GET /v1/tenants/acme", &host.operator, Value::Null).await.check("404 not_found: ");
}

#[tokio::test]
async fn keys_are_shown_once() {
    let host = Host::new().await;
    for (body, expected) in [
        (json!({ "scopes": [] }), "400 invalid_request: a key without scopes"),
        (json!({ "scopes": ["root"] }), "400 invalid_request: scopes[0]: unknown variant"),
        (json!({ "scopes": ["host"] }), "400 invalid_request: a tenant's key cannot have the scope host"),
        (json!({ "scopes": ["read"], "expires_in_s": 0 }), "400 invalid_request: a key that expires at once"),
        (json!({ "scopes": ["read"], "expires_in_s": u64::MAX }), "400 invalid_request: expires_in_s: "),
        (json!({ "scopes": ["read"], "label": "\u{202e}" }), "400 invalid_request: a key's label"),
    ] {
        host.send("POST /v1/tenants/acme/keys", &host.acme, body).await.check(expected);
    }
    let body = json!({ "label": "ci", "scopes": ["upload"], "expires_in_s": 60 });
    let made = host.send("POST /v1/tenants/acme/keys", &host.acme, body).await;
    made.check("201");
    assert_eq!(made.header("cache-control"), "no-store");
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert!(made.json()["expires_at"].is_string());
    let me = host.send("GET /v1/whoami", &secret, Value::Null).await.json();
    assert_eq!((me["tenant"].as_str(), me["scopes"][0].as_str()), (Some("acme"), Some("upload")));
    let hosts = host.send("POST /v1/keys", &host.operator, json!({ "scopes": ["host"] })).await.json();
    let second = hosts["secret"].as_str().unwrap();
    host.send("GET /v1/status", second, Value::Null).await.check("200");
    let revoke = format!("DELETE /v1/keys/{}", hosts["id"].as_str().unwrap());
    host.send(&revoke, &host.operator, Value::Null).await.check("200");
    host.send("GET /v1/status", second, Value::Null).await.check("401");
    let listed = host.send("GET /v1/keys", &host.operator, Value::Null).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_host_says_how_it_is() {
    let host = Host::new().await;
    host.upload("one").await;
    let status = host.send("GET /v1/status", &host.operator, Value::Null).await.json();
    assert_eq!((status["tenants"].as_u64(), status["components"].as_u64()), (Some(2), Some(1)));
    assert!(status["stored_bytes"].as_u64().unwrap() >= 3);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let metrics = host.send("GET /metrics", "", Value::Null).await.text();
    for line in ["lockgate_tenants 2", "lockgate_components 1", "lockgate_uploads_in_flight 0"] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("acme"));
    host.send("GET /healthz", "", Value::Null).await.check("200");
    host.send("HEAD /readyz", "", Value::Null).await.check("200");
    *host.script.unready.lock() = Some(Problem::new(ErrorCode::Unavailable, "flows are still being planned"));
    host.send("GET /readyz", "", Value::Null).await.check("503 unavailable: flows are still being planned");
    host.send("GET /healthz", "", Value::Null).await.check("200");
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere() {
    let host = Host::new().await;
    for (path, kind) in [
        ("/docs", "text/html"),
        ("/docs/style.css", "text/css"),
        ("/docs/page.js", "text/javascript"),
        ("/openapi.json", "application/json"),
    ] {
        let page = host.send(&format!("GET {path}"), "", Value::Null).await;
        assert!(page.header("content-type").starts_with(kind), "{path}");
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert!(!page.text().contains("http://") && !page.text().contains("https://"), "{path}");
    }
    let api = host.send("GET /openapi.json", "", Value::Null).await;
    assert_eq!(String::from_utf8(api.body).unwrap(), crate::openapi());
}
