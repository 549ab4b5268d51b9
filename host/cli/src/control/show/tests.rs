//! What a person reads: every report and table once.

use serde_json::json;

use super::*;
use crate::control::parse_reply;

fn plain(lines: &[String]) -> String {
    anstream::adapter::strip_str(&lines.join("\n")).to_string()
}

fn at() -> Timestamp {
    "2026-11-26T16:15:24Z".parse().unwrap()
}

fn stored() -> serde_json::Value {
    json!({
        "digest": format!("sha256:{}", "ab".repeat(32)), "size": 70_123, "uploaded_at": "2026-11-26T16:10:24Z",
        "uploaded_by": "key:k1", "signed_by": "release",
        "report": {
            "manifest": { "name": "shout", "version": "0.1.0", "description": "Says \u{1b}[31mit louder.", "endpoints": [{ "name": "/shout" }] },
            "imports": [
                { "interface": "lockgate:executor/docs@0.1.0", "owner": "lockgate" },
                { "interface": "wasi:http/outgoing-handler@0.2.6", "owner": "wasi", "needs": "http" },
            ],
            "exports": [], "compile_ms": 31.0, "compile_memory_bytes": 33_554_432, "code_bytes": 200_000, "instantiate_us": 48.5, "engine": "e",
        },
    })
}

#[test]
fn components() {
    let component = parse_reply(&stored()).unwrap();
    insta::assert_snapshot!(plain(&component::full(&component, at())));
    insta::assert_snapshot!(plain(&component::table(&[component], at()).render(0)));
}

#[test]
fn revisions() {
    let revision = |state: serde_json::Value| {
        let revision = json!({
            "number": 3, "created_at": "2026-11-26T16:10:24Z", "created_by": "key:k1", "state": state,
            "spec": {
                "component": format!("sha256:{}", "ab".repeat(32)), "note": "louder", "configuration": { "suffix": "!" },
                "capabilities": { "http": { "hosts": ["api.example.org"] }, "secrets": ["openai"] },
            },
            "examples": [{ "endpoint": "/shout", "fuel": 12_345 }, { "endpoint": "/shout", "fuel": 1, "difference": "document 1: text is \"A\", not \"B\"" }],
        });
        parse_reply(&revision).unwrap()
    };
    let ready = revision(json!({ "state": "ready" }));
    let waits = revision(json!({ "state": "awaits_approval", "added": ["http: api.example.org"] }));
    let refused = revision(json!({ "state": "refused", "reason": "no" }));
    insta::assert_snapshot!(plain(&revision::full(&"shout".parse().unwrap(), &ready, at())));
    insta::assert_snapshot!(plain(&revision::table(&[ready, waits, refused], at()).render(0)));
    let waits = json!({ "state": "awaits_approval", "added": ["http: api.example.org"] });
    let waits = revision::state_facts(&parse_reply(&waits).unwrap());
    let told = "  state        awaits approval of\n               http: api.example.org";
    assert_eq!(plain(&waits), told);
    let diff = json!({ "added": ["http: b.example.org"], "removed": ["secret: openai"] });
    let told = "  capabilities + http: b.example.org\n               - secret: openai";
    assert_eq!(plain(&revision::diff(&parse_reply(&diff).unwrap(), false)), told);
    assert_eq!(plain(&revision::diff(&Default::default(), false)), "  capabilities as before");
    assert_eq!(plain(&revision::diff(&Default::default(), true)), "  capabilities none");
}

#[test]
fn executors_and_deployments() {
    let executor = json!({
        "name": "shout", "created_at": "2026-11-20T16:10:24Z", "newest": 7,
        "tags": [{ "name": "latest", "revision": 7, "before": [6, 5, 4, 3, 2, 1], "moved_at": "2026-11-26T16:10:24Z", "etag": 7 }],
        "deployment": {
            "executor": "shout", "changed_at": "2026-11-26T16:10:24Z", "etag": 2,
            "spec": {
                "primary": "latest", "canary": { "target": "@7", "percent": 5.0 },
                "shadow": { "target": "next", "percent": 20.0, "decision": "promote_or_refuse" },
                "scale": { "min": 1, "mode": "reused" }, "capsules": { "failures": true, "sample_percent": 0.5 },
            },
        },
    });
    let executor = parse_reply(&executor).unwrap();
    insta::assert_snapshot!(plain(&revision::executor(&executor, at())));
    insta::assert_snapshot!(plain(&revision::executors(&[executor], at()).render(0)));
    let status = json!([{ "revision": 7, "resident": true, "instances": 2, "idle": 1, "waiting": 0, "calls": 12, "traps": 1 }]);
    let status: Vec<deployment::RevisionStatus> = parse_reply(&status).unwrap();
    insta::assert_snapshot!(plain(&deployment::status(&status)));
}

#[test]
fn shadows() {
    let report = json!({
        "primary": 6, "shadow": 7, "requests": 500, "skipped": 3, "documents": 1500, "differing_requests": 20,
        "failed_requests": 1, "text_differences": 21, "tag_differences": 0, "other_differences": 2,
        "max_embedding_distance": 0.0123, "fuel_ratio": 1.8, "latency_ratio": 1.1,
        "samples": ["request 1, document 0: text is \u{1b}\"A\", not \"B\""],
        "verdict": { "verdict": "outside", "reasons": ["fuel_ratio 1.80 > 1.50"] },
    });
    insta::assert_snapshot!(plain(&shadow::report(
        &"shout".parse().unwrap(),
        &parse_reply(&report).unwrap()
    )));
}

#[test]
fn tenants_and_what_they_did() {
    let tenant = json!({
        "name": "acme", "created_at": "2026-11-20T16:10:24Z", "etag": 1,
        "settings": { "weight": 50, "approval": "required", "suspended": true },
    });
    let tenant = parse_reply(&tenant).unwrap();
    insta::assert_snapshot!(plain(&tenant::full(&tenant, at())));
    insta::assert_snapshot!(plain(&tenant::table(&[tenant], at()).render(0)));
    let key = |more: serde_json::Value| {
        let mut key = json!({ "id": "k1", "tenant": "acme", "label": "ci", "scopes": ["upload", "call"], "created_at": "2026-11-20T16:10:24Z" });
        crate::control::merge(&mut key, more);
        parse_reply(&key).unwrap()
    };
    let keys = [
        key(json!({})),
        key(json!({ "expires_at": "2026-12-26T16:10:24Z" })),
        key(json!({ "expires_at": "2026-11-25T16:10:24Z" })),
        key(json!({ "revoked_at": "2026-11-26T16:10:24Z" })),
    ];
    insta::assert_snapshot!(plain(&tenant::keys(&keys, at()).render(0)));
    let record = json!({
        "executor": "shout", "hour": "2026-11-26T16:00:00Z", "requests": 12, "failures": 1, "documents": 24, "fuel": 123_456,
        "wall_time_us": 5400, "bytes_in": 2048, "bytes_out": 4096, "egress_bytes": 0,
    });
    let records: Vec<lockgate_domain::usage::UsageRecord> = vec![parse_reply(&record).unwrap()];
    insta::assert_snapshot!(plain(&tenant::usage(&records, &records[0].usage)));
    insta::assert_snapshot!(plain(&tenant::usage_csv(&records)));
    let entry = json!({
        "sequence": 9, "at": "2026-11-26T16:14:24Z", "principal": "key:k1", "tenant": "acme", "action": "revision.create",
        "object": "shout@3", "request_id": "r",
    });
    let refused = json!({
        "sequence": 8, "at": "2026-11-26T16:13:24Z", "principal": "key:k2", "tenant": "acme", "action": "key.create",
        "object": "k9", "error": "permission_denied", "request_id": "r",
    });
    let entries = [parse_reply(&entry).unwrap(), parse_reply(&refused).unwrap()];
    insta::assert_snapshot!(plain(&tenant::audit(&entries, at()).render(0)));
}
