//! Revisions, tags, deployments, flows and secrets: what is written is what is served.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{Headers, Host};

const SHOUT: &str = "/v1/tenants/acme/executors/shout";

impl Host {
    async fn revise(&self, body: Value) -> super::Answer {
        self.send(&format!("POST {SHOUT}/revisions"), &self.acme, body).await
    }

    /// Where a tag of the executor points, as text; empty if it is not there.
    async fn tag(&self, name: &str) -> String {
        let tags = self.send(&format!("GET {SHOUT}/tags"), &self.acme, Value::Null).await.json();
        let tag = tags["items"].as_array().unwrap().iter().find(|tag| tag["name"] == name);
        tag.map(|tag| tag["revision"].to_string()).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_revision_is_made_tagged_deployed_and_served() {
    let host = Host::new().await;
    host.script.applied();
    let made = host.publish("shout", "one").await;
    assert_eq!(made.header("location"), format!("{SHOUT}/revisions/1"));
    let answer = made.json();
    assert_eq!(answer["revision"]["number"], 1);
    assert_eq!(answer["revision"]["state"]["state"], "ready");
    assert_eq!(answer["revision"]["examined_with"], "engine 1");
    assert_eq!(answer["tag"]["name"], "latest");
    assert_eq!(answer["deployment"]["spec"]["primary"], "latest");
    assert_eq!(answer["fuel"], 7);
    assert_eq!(host.script.applied(), ["acme: Executor(\"shout\")"]);
    let shown = host.send(&format!("GET {SHOUT}"), &host.acme, Value::Null).await.json();
    assert_eq!((shown["newest"].as_u64(), shown["tags"][0]["revision"].as_u64()), (Some(1), Some(1)));
    host.send(&format!("GET {SHOUT}/revisions/1"), &host.acme, Value::Null).await.check("200");
    host.send(&format!("GET {SHOUT}/revisions/2"), &host.acme, Value::Null).await.check("404 not_found: ");
    let status = host.send(&format!("GET {SHOUT}/status"), &host.acme, Value::Null).await.json();
    assert_eq!(status["revisions"][0]["instances"], 2);
    host.send(&format!("GET {SHOUT}/shadow"), &host.acme, Value::Null)
        .await
        .check("404 not_found: executor shout has no");
    for path in ["", "/status", "/shadow", "/tags", "/revisions", "/deployment", "/revisions/1"] {
        let theirs = format!("GET /v1/tenants/other/executors/shout{path}");
        host.send(&theirs, &host.other, Value::Null).await.check("404 not_found: there is no ");
    }
    let untagged =
        host.revise(json!({ "component": host.upload("one").await, "tag": null, "deploy": false })).await;
    assert_eq!((untagged.json()["tag"].clone(), host.tag("latest").await.as_str()), (Value::Null, "1"));
}

#[tokio::test]
async fn what_is_wrong_with_a_revision_refuses_it_and_changes_nothing() {
    let host = Host::new().await;
    let (plain, http) = (host.upload("one").await, host.upload("http one").await);
    let with = |more: Value| {
        let mut body = json!({ "component": plain });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let theirs = super::digest_of("nobody has it");
    let cases = [
        (json!({}), "400 invalid_request: the request's body: missing field `component`"),
        (json!({ "component": "sha256:00" }), "400 invalid_request: component: "),
        (json!({ "component": theirs }), "404 not_found: there is no component"),
        (json!({ "component": http }), "403 capability_denied: "),
        (with(json!({ "colour": 1 })), "400 invalid_request: colour: unknown field"),
        (with(json!({ "tag": "../x" })), "400 invalid_request: tag: "),
        (with(json!({ "limits": { "fuel": u64::MAX } })), "400 invalid_request: "),
        (with(json!({ "limits": { "fule": 1 } })), "400 invalid_request: limits.fule: unknown field"),
        (
            with(json!({ "capabilities": { "sockets": true } })),
            "400 invalid_request: capabilities.sockets: unknown field",
        ),
        (
            with(json!({ "capabilities": { "secrets": ["openai"] } })),
            "400 invalid_request: capabilities.secrets names openai",
        ),
        (with(json!({ "configuration": { "start": "fails" } })), "422 guest_trap: init trapped"),
        (
            with(json!({ "configuration": { "example": "differs" } })),
            "409 conflict: golden example 1 (/index) differs: data[0].text",
        ),
    ];
    host.script.applied();
    for (body, expected) in cases {
        host.revise(body).await.check(expected);
    }
    host.send(&format!("GET {SHOUT}"), &host.acme, Value::Null)
        .await
        .check("404 not_found: there is no executor shout");
    assert_eq!(host.script.applied(), Vec::<String>::new());
    let differs = host.revise(with(json!({ "configuration": { "example": "differs" } }))).await.json();
    assert_eq!(differs["error"]["details"]["examples"][0]["fuel"], 7);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let host = Host::new().await;
    let component = host.upload("http one").await;
    let body = json!({ "component": component, "capabilities": { "http": { "hosts": ["a.org"] } }, "dry_run": true });
    let answer = host.revise(body).await;
    answer.check("200");
    let answer = answer.json();
    assert_eq!((answer["dry_run"].as_bool(), answer["fuel"].as_u64()), (Some(true), Some(7)));
    assert_eq!(answer["diff"]["added"][0], "http: 16 requests a call");
    assert_eq!(answer["report"]["imports"][0]["needs"], "http");
    assert_eq!(answer["revision"]["examples"][0]["endpoint"], "/index");
    host.send(&format!("GET {SHOUT}"), &host.acme, Value::Null).await.check("404");
}

#[tokio::test]
async fn new_capabilities_await_approval_where_the_tenant_requires_it() {
    let host = Host::new().await;
    let required = json!({ "approval": "required" });
    host.send("PUT /v1/tenants/acme", &host.operator, required).await.check("200");
    let component = host.upload("http one").await;
    let body = json!({ "component": component, "capabilities": { "http": { "hosts": ["a.org"] } } });
    host.script.applied();
    let deployer = host.key("acme", &["deploy"]).await;
    let made = host.send(&format!("POST {SHOUT}/revisions"), &deployer, body.clone()).await;
    made.check("201");
    assert_eq!(made.json()["revision"]["state"]["state"], "awaits_approval");
    assert_eq!((made.json()["tag"].clone(), made.json()["deployment"].clone()), (Value::Null, Value::Null));
    assert_eq!(host.script.applied(), Vec::<String>::new());
    let move_tag = format!("PUT {SHOUT}/tags/latest");
    let first = json!({ "revision": 1 });
    host.send(&move_tag, &deployer, first.clone())
        .await
        .check("409 conflict: revision shout@1 awaits approval");
    let approve = format!("POST {SHOUT}/revisions/1/approve");
    host.send(&approve, &deployer, Value::Null).await.check("403 permission_denied: ");
    let approved = host.send(&approve, &host.acme, Value::Null).await;
    assert_eq!(approved.json()["state"]["state"], "ready");
    host.send(&move_tag, &deployer, first).await.check("200");
    host.send(&format!("POST {SHOUT}/revisions"), &deployer, body).await.check("201");
    let refused = host
        .send(&format!("POST {SHOUT}/revisions/2/refuse"), &host.acme, json!({ "reason": "too slow" }))
        .await;
    refused.check("409 conflict: ");
    host.send(&format!("PUT {SHOUT}/tags/latest"), &host.acme, json!({ "revision": 1 })).await.check("200");
    let refused = host
        .send(&format!("POST {SHOUT}/revisions/2/refuse"), &host.acme, json!({ "reason": "too slow" }))
        .await;
    refused.check("200");
    let reason = refused.json()["state"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("too slow (by key:"), "{reason}");
}

#[tokio::test]
async fn tags_move_and_go_back() {
    let host = Host::new().await;
    host.publish("shout", "one").await;
    host.publish("shout", "two").await;
    assert_eq!(host.tag("latest").await, "2");
    let back = host.send(&format!("POST {SHOUT}/rollback"), &host.acme, Value::Null).await;
    assert_eq!((back.json()["revision"].as_u64(), back.header("etag")), (Some(1), "\"3\""));
    host.send(&format!("POST {SHOUT}/rollback"), &host.acme, json!({ "tag": "none" }))
        .await
        .check("404 not_found: ");
    host.send(&format!("PUT {SHOUT}/tags/stable"), &host.acme, json!({ "revision": 9 })).await.check("404");
    host.send(&format!("PUT {SHOUT}/tags/stable"), &host.acme, json!({ "revision": 0 }))
        .await
        .check("400 invalid_request: revision: ");
    host.send(&format!("PUT {SHOUT}/tags/stable"), &host.acme, json!({ "revision": 2 })).await.check("200");
    host.send(&format!("DELETE {SHOUT}/tags/latest"), &host.acme, Value::Null)
        .await
        .check("409 conflict: tag shout:latest is used by");
    host.send(&format!("DELETE {SHOUT}/tags/stable"), &host.acme, Value::Null).await.check("204");
    host.send(&format!("DELETE {SHOUT}/tags/stable"), &host.acme, Value::Null).await.check("404");
}

/// Traffic does not follow: whatever was written is taken back, and the answer says so.
#[tokio::test]
async fn a_change_that_traffic_does_not_follow_is_taken_back() {
    let host = Host::new().await;
    host.publish("shout", "one").await;
    let two = host.upload("two").await;
    let deployment = format!("{SHOUT}/deployment");
    let state = async || {
        let shown = host.send(&format!("GET {SHOUT}"), &host.acme, Value::Null).await.json();
        let flow = host.send("GET /v1/tenants/acme/flows/search", &host.acme, Value::Null).await.json();
        let tenant = host.send("GET /v1/tenants/acme", &host.acme, Value::Null).await.json();
        let tags: Vec<String> = shown["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| format!("{}@{}", tag["name"], tag["revision"]))
            .collect();
        json!([tags, shown["deployment"]["spec"], flow["yaml"], tenant["settings"]])
    };
    let json = [("content-type", "application/json")];
    let yaml = [("content-type", "application/yaml")];
    let scaled = json!({ "scale": { "max": 7 } }).to_string();
    let revision = json!({ "component": two }).to_string();
    let cases: [(String, Headers<'_>, &str); 6] = [
        (format!("POST {SHOUT}/revisions"), &json, &revision),
        (format!("PUT {SHOUT}/tags/stable"), &json, r#"{"revision": 1}"#),
        (format!("PUT {deployment}"), &json, &scaled),
        ("PUT /v1/tenants/acme/flows/search".to_owned(), &yaml, "shout"),
        ("PUT /v1/tenants/acme".to_owned(), &json, r#"{"weight": 7}"#),
        (format!("POST {SHOUT}/rollback"), &json, ""),
    ];
    for (what, headers, body) in &cases {
        if what.ends_with("rollback") {
            host.publish("shout", "three").await;
        }
        let key = if what.ends_with("acme") { &host.operator } else { &host.acme };
        let before = state().await;
        host.script.refuse_next("no room for instances");
        let refused = host.ask(what, key, headers, body).await;
        refused.check("503 overloaded: no room for instances; the change was taken back");
        assert_eq!(state().await, before, "{what}");
    }
    // A first revision: the executor stays, and nothing leads to it.
    host.script.refuse_next("no room for instances");
    let first = json!({ "component": two });
    host.send("POST /v1/tenants/acme/executors/new/revisions", &host.acme, first)
        .await
        .check("503 overloaded: ");
    let new = host.send("GET /v1/tenants/acme/executors/new", &host.acme, Value::Null).await.json();
    assert_eq!((&new["tags"], new.get("deployment")), (&json!([]), None));
}

#[tokio::test]
async fn deployments_are_changed_and_ended() {
    let host = Host::new().await;
    host.publish("shout", "one").await;
    let path = format!("{SHOUT}/deployment");
    let shown = host.send(&format!("GET {path}"), &host.acme, Value::Null).await;
    assert_eq!(shown.header("etag"), "\"1\"");
    let put = format!("PUT {path}");
    let spec = json!({ "primary": "@1", "scale": { "min": 1, "max": 4, "mode": "fresh" } });
    let changed = host.send(&put, &host.acme, spec).await;
    assert_eq!((changed.json()["spec"]["primary"].as_str(), changed.header("etag")), (Some("@1"), "\"2\""));
    for (spec, expected) in [
        (json!({ "primary": "@9" }), "404 not_found: "),
        (json!({ "primary": "@x" }), "400 invalid_request: primary: "),
        (
            json!({ "canary": { "target": "latest", "percent": 200 } }),
            "400 invalid_request: canary.percent of 200",
        ),
        (json!({ "scale": { "mode": "warm" } }), "400 invalid_request: scale.mode: unknown variant"),
    ] {
        host.send(&put, &host.acme, spec).await.check(expected);
    }
    host.send(&format!("DELETE {path}"), &host.acme, Value::Null).await.check("204");
    host.send(&format!("GET {path}"), &host.acme, Value::Null).await.check("404 not_found: ");
    host.send(&format!("DELETE {SHOUT}"), &host.acme, Value::Null).await.check("204");
    host.send(&format!("DELETE {SHOUT}"), &host.acme, Value::Null).await.check("404");
}

#[tokio::test]
async fn flows_keep_what_they_use() {
    let host = Host::new().await;
    host.publish("shout", "one").await;
    let yaml = [("content-type", "application/yaml")];
    let put = host
        .ask("PUT /v1/tenants/acme/flows/search", &host.acme, &yaml, "shout\nshout@1\nshout:latest")
        .await;
    put.check("200");
    host.send(&format!("DELETE {SHOUT}"), &host.acme, Value::Null)
        .await
        .check("409 conflict: executor shout is used by flow search");
    host.send("GET /v1/tenants/other/flows/search", &host.other, Value::Null).await.check("404");
    let accept = [("accept", "application/yaml")];
    let text = host.ask("GET /v1/tenants/acme/flows/search", &host.acme, &accept, "").await;
    assert_eq!(text.body, b"shout\nshout@1\nshout:latest");
    assert_eq!(text.header("content-type"), "application/yaml");
    let listed = host.send("GET /v1/tenants/acme/flows", &host.acme, Value::Null).await.json();
    assert_eq!(listed["items"][0]["name"], "search");
    host.script.applied();
    host.send("DELETE /v1/tenants/acme/flows/search", &host.acme, Value::Null).await.check("204");
    assert_eq!(host.script.applied(), ["acme: Flow(\"search\")"]);
}

#[tokio::test]
async fn secrets_are_never_shown_and_their_users_follow() {
    let host = Host::new().await;
    let put = "PUT /v1/tenants/acme/secrets/openai";
    let hidden = "s3cr3t-value";
    let set = host.send(put, &host.acme, json!({ "value": hidden })).await;
    set.check("200");
    let component = host.upload("one").await;
    let body = json!({
        "component": component,
        "configuration": { "key": { "$secret": "openai" } },
        "capabilities": { "secrets": ["openai"] },
    });
    host.revise(body).await.check("201");
    host.publish("other", "two").await;
    host.script.applied();
    host.send(put, &host.acme, json!({ "value": "another" })).await.check("200");
    assert_eq!(host.script.applied(), ["acme: Executor(\"shout\")"]);
    let listed = host.send("GET /v1/tenants/acme/secrets", &host.acme, Value::Null).await;
    assert_eq!(listed.json()["items"][0]["name"], "openai");
    assert!(!listed.text().contains(hidden) && !set.text().contains(hidden));
    host.send("GET /v1/tenants/acme/secrets/openai", &host.acme, Value::Null).await.check("405");
    let wrong = host.send(put, &host.acme, json!({ "value": hidden, "x": 1 })).await;
    wrong.check("400 invalid_request: x: unknown field");
    assert!(!wrong.text().contains(hidden));
    host.send("DELETE /v1/tenants/other/secrets/openai", &host.other, Value::Null).await.check("404");
    host.send("DELETE /v1/tenants/acme/secrets/openai", &host.acme, Value::Null).await.check("204");
}

#[tokio::test]
async fn usage_is_settled_before_it_is_shown() {
    let host = Host::new().await;
    let usage = host.send("GET /v1/tenants/acme/usage", &host.acme, Value::Null).await.json();
    assert_eq!(usage["items"], json!([]));
    assert_eq!(usage["sum"]["requests"], 0);
    assert_eq!(host.script.settled.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn capsules_are_listed_by_pages_and_downloaded() {
    let host = Host::new().await;
    for id in ["c3", "c2", "c1"] {
        host.script.keep_capsule("acme", id);
    }
    host.script.keep_capsule("other", "c0");
    let first = host.send("GET /v1/tenants/acme/capsules?limit=2", &host.acme, Value::Null).await.json();
    assert_eq!((first["items"][1]["id"].as_str(), first["next"].as_str()), (Some("c2"), Some("c2")));
    let second = host.send("GET /v1/tenants/acme/capsules?cursor=c2", &host.acme, Value::Null).await.json();
    assert_eq!((second["items"][0]["id"].as_str(), second.get("next")), (Some("c1"), None));
    host.send("GET /v1/tenants/acme/capsules?cursor=c0", &host.acme, Value::Null)
        .await
        .check("400 invalid_request: the cursor");
    let file = host.send("GET /v1/tenants/acme/capsules/c1", &host.acme, Value::Null).await;
    assert_eq!(
        (file.body.as_slice(), file.header("content-type")),
        (b"cap".as_slice(), "application/octet-stream")
    );
    host.send("GET /v1/tenants/acme/capsules/c0", &host.acme, Value::Null)
        .await
        .check("404 not_found: there is no capsule c0");
}
