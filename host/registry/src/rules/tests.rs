//! One line for each thing that a revision may not ask for.

use lockgate_domain::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{digest_of, told};

fn component(needs: Option<&str>, signed: bool) -> StoredComponent {
    let imports = match needs {
        Some(kind) => {
            json!([{ "interface": "lockgate:executor/thing@0.1.0", "owner": "lockgate", "needs": kind }])
        }
        None => json!([]),
    };
    let report = json!({
        "manifest": { "endpoints": [] }, "imports": imports, "exports": [], "code_bytes": 0,
        "instantiate_us": 0.0, "engine": "e"
    });
    StoredComponent {
        digest: digest_of(b"x"),
        size: 1,
        uploaded_at: Timestamp::from_millis(0),
        uploaded_by: "local".into(),
        pulled_from: None,
        signed_by: signed.then(|| "release".parse().unwrap()),
        report: serde_json::from_value(report).unwrap(),
    }
}

fn judge(fields: Value, component: &StoredComponent, settings: &TenantSettings) -> Result<(), Problem> {
    let mut spec = json!({ "component": component.digest });
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let spec: RevisionSpec = serde_json::from_value(spec).unwrap();
    let secrets = ["openai", "other"].into_iter().map(|name| name.parse().unwrap()).collect();
    check_revision(&spec, &Circumstances { settings, component, secrets: &secrets })
}

#[test]
fn limits_stay_within_the_tenants_highest_field_by_field() {
    let settings = TenantSettings::default();
    let highest = serde_json::to_value(settings.limits).unwrap();
    for field in Limits::FIELDS {
        let most = highest[field].as_u64().unwrap();
        let ask =
            |value: u64| judge(json!({ "limits": { *field: value } }), &component(None, false), &settings);
        ask(most).unwrap();
        let problem = ask(most + 1).unwrap_err();
        let expected = format!("limits.{field} of {} is over the tenant's highest, {most}", most + 1);
        assert_eq!(problem.message(), expected);
        assert_eq!(problem.details().unwrap()["field"], format!("limits.{field}"));
    }
}

#[test]
fn each_refusal_names_what_is_wrong() {
    let check = |fields: Value, expected: &str| {
        let settings = TenantSettings::default();
        let shown = match judge(fields.clone(), &component(None, false), &settings) {
            Ok(()) => "fine".to_owned(),
            refused => told(refused),
        };
        assert!(shown.starts_with(expected), "{fields}: {shown}");
    };
    let example =
        |tolerance: f64| json!({ "endpoint": "/x", "data": [], "expect": [], "tolerance": tolerance });
    check(json!({}), "fine");
    check(json!({ "configuration": { "a": { "b": [1, "x", null, true] } }, "note": "first try" }), "fine");
    check(json!({ "configuration": { "a": "x".repeat(65_000) } }), "fine");
    check(
        json!({ "configuration": { "a": "x".repeat(66_000) } }),
        "invalid_request: the configuration has 66008 bytes",
    );
    check(json!({ "note": "x".repeat(1025) }), "invalid_request: the note has 1025 bytes");
    check(json!({ "note": "a\nb" }), "invalid_request: the note has control characters");
    check(json!({ "examples": [example(0.5)] }), "fine");
    check(
        json!({ "examples": [example(-0.5)] }),
        "invalid_request: the example of /x has a tolerance of -0.5",
    );
    check(json!({ "examples": vec![example(0.0); 64] }), "fine");
    check(json!({ "examples": vec![example(0.0); 65] }), "invalid_request: the revision has 65 examples");
    let large = json!({ "endpoint": "/x", "data": ["x".repeat(1 << 20)], "expect": [] });
    check(json!({ "examples": [large] }), "invalid_request: the list of examples has");
    let secret = |name: &str| json!({ "deep": [{ "$secret": name }] });
    let granted = |name: &str| json!({ "secrets": [name] });
    check(json!({ "configuration": secret("openai"), "capabilities": granted("openai") }), "fine");
    check(
        json!({ "configuration": secret("openai"), "capabilities": granted("other") }),
        "capability_denied: the configuration names secret openai and the capabilities do not",
    );
    check(
        json!({ "capabilities": granted("gone") }),
        "invalid_request: capabilities.secrets names gone, and the tenant has no such secret",
    );
    check(json!({ "configuration": secret("../x") }), "invalid_request: \"../x\" cannot be a secret name");
    let misplaced = "invalid_request: the configuration uses \"$secret\" for something else";
    check(json!({ "configuration": { "$secret": "openai" } }), misplaced);
    check(json!({ "configuration": { "a": { "$secret": "openai", "b": 1 } } }), misplaced);
    check(json!({ "configuration": { "a": { "$secret": 7 } } }), misplaced);
    let http = |private: bool| json!({ "http": { "hosts": ["a.org"], "private_networks": private } });
    check(json!({ "capabilities": http(false) }), "fine");
    check(json!({ "capabilities": http(true) }), "permission_denied: capabilities.http.private_networks");
    let hosts: Vec<String> = (0..257).map(|number| format!("h{number}.org")).collect();
    check(
        json!({ "capabilities": { "http": { "hosts": hosts } } }),
        "invalid_request: capabilities.http.hosts has 257",
    );
    let store = |bytes: u64| json!({ "capabilities": { "key_value": { "bytes": bytes } } });
    check(store(2 << 30), "fine");
    check(store((2 << 30) + 1), "invalid_request: capabilities.key_value.bytes of 2147483649");
}

#[test]
fn imports_must_be_granted() {
    let check = |needs: &str, fields: Value, expected: Option<&str>| {
        let found = judge(fields, &component(Some(needs), false), &TenantSettings::default());
        let shown = found.err().map(|problem| format!("{problem}; {}", problem.hint().unwrap()));
        assert_eq!(
            shown.as_deref().map(|shown| shown.contains(expected.unwrap())),
            expected.map(|_| true),
            "{shown:?}"
        );
    };
    let http = r#"imports lockgate:executor/thing@0.1.0 and the revision does not grant http; grant it: "capabilities": {"http": {"hosts": ["api.example.org"]}}"#;
    check("http", json!({}), Some(http));
    check("http", json!({ "capabilities": { "http": { "hosts": [] } } }), None);
    check(
        "key_value",
        json!({}),
        Some(r#"does not grant key_value; grant it: "capabilities": {"key_value": {"bytes": 1048576}}"#),
    );
    check("key_value", json!({ "capabilities": { "key_value": { "bytes": 1 } } }), None);
}

#[test]
fn what_the_operator_decided_counts() {
    let settings = |signature: bool, private: bool| TenantSettings {
        require_signature: signature,
        private_networks: private,
        ..TenantSettings::default()
    };
    let private = json!({ "capabilities": { "http": { "hosts": ["a.org"], "private_networks": true } } });
    judge(private, &component(None, false), &settings(false, true)).unwrap();
    judge(json!({}), &component(None, true), &settings(true, false)).unwrap();
    let refused = judge(json!({}), &component(None, false), &settings(true, false));
    assert!(told(refused).contains("is not signed, and the tenant requires signatures"));
}
