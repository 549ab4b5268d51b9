//! Every control action leaves an entry: done, refused or failed, with the tenant that it belongs to.

use serde_json::{Value, json};

use super::Host;

/// `principal's tenant | action | object | error`, newest first.
async fn entries(host: &Host, path: &str, key: &str) -> Vec<String> {
    let answer = host.send(&format!("GET {path}"), key, Value::Null).await.json();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |entry: &Value| {
        let fields = ["tenant", "action", "object", "error"].map(|field| text(&entry[field]));
        fields.join(" | ")
    };
    answer["items"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn actions_are_written_down_with_the_tenant_they_belong_to() {
    let host = Host::new().await;
    let digest = host.upload("one").await;
    host.publish("shout", "one").await;
    let read = host.key("acme", &["read"]).await;
    host.send("DELETE /v1/tenants/acme/executors/shout", &read, Value::Null).await.check("403");
    host.send("DELETE /v1/tenants/other/executors/shout", &read, Value::Null).await.check("404");
    let path = "PUT /v1/tenants/acme/executors/shout/tags/stable";
    host.send(path, &host.acme, json!({ "revision": 1 })).await.check("200");
    host.send("POST /v1/tenants/acme/executors/shout/rollback", &host.acme, Value::Null).await.check("409");
    host.send("DELETE /v1/tenants/acme/executors/shout", "", Value::Null).await.check("401");
    let key = host.key("acme", &["call"]).await;
    let id = key.split('_').nth(1).unwrap();
    let reader = read.split('_').nth(1).unwrap();
    let expected = [
        format!("acme | key.create | {id} | -"),
        "acme | tag.rollback | shout:latest | conflict".to_owned(),
        "acme | tag.move | shout:stable | -".to_owned(),
        "acme | executor.delete | other/shout | not_found".to_owned(),
        "acme | executor.delete | shout | permission_denied".to_owned(),
        format!("acme | key.create | {reader} | -"),
        "acme | revision.create | shout@1 | -".to_owned(),
        format!("acme | component.upload | {digest} | -"),
        format!("acme | component.upload | {digest} | -"),
    ];
    let acme = entries(&host, "/v1/tenants/acme/audit?limit=9", &host.acme).await;
    assert_eq!(acme, expected);
    let other = entries(&host, "/v1/tenants/other/audit", &host.other).await;
    assert!(other.iter().all(|entry| !entry.contains("shout")), "{other:?}");
    let whole = entries(&host, "/v1/audit?limit=500", &host.operator).await;
    assert!(whole.iter().any(|entry| entry == "- | tenant.create | acme | -"), "{whole:?}");
}

#[tokio::test]
async fn entries_name_principal_and_request_and_hold_no_strangers_text() {
    let host = Host::new().await;
    let id = [("x-request-id", "my-request")];
    let made = host.ask("DELETE /v1/tenants/acme/flows/search", &host.acme, &id, "").await;
    assert_eq!(made.header("x-request-id"), "my-request");
    let hostile = format!("DELETE /v1/tenants/acme/flows/%0A%1B[31m{}", "x".repeat(10_000));
    host.send(&hostile, &host.acme, Value::Null)
        .await
        .check("400 invalid_request: a flow name has at most 63");
    let answer = host.send("GET /v1/tenants/acme/audit?limit=2", &host.acme, Value::Null).await.json();
    let (hostile, first) = (&answer["items"][0], &answer["items"][1]);
    assert_eq!(first["request_id"], "my-request");
    assert!(first["principal"].as_str().unwrap().starts_with("key:"));
    let object = hostile["object"].as_str().unwrap();
    assert!(object.starts_with("\\n\\u{1b}[31m"), "{object}");
    assert!(object.len() < 200, "{object}");
    let numbers: Vec<u64> =
        answer["items"].as_array().unwrap().iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers[0], numbers[1] + 1);
}
