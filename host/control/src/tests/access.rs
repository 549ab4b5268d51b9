//! Every operation for every scope, for the caller's own tenant, another one and none.

use lockgate_domain::Scope;
use serde_json::Value;

use super::{Headers, Host};
use crate::ControlOptions;
use crate::operation::{Needs, OPERATIONS, Operation};

/// The path with names of things that are not there, so that nothing changes what the next question finds.
fn concrete(operation: &Operation, tenant: &str) -> String {
    let digest = format!("sha256:{}", "0".repeat(64));
    let path = operation
        .path
        .replace("{tenant}", tenant)
        .replace("{executor}", "nothing")
        .replace("{number}", "1")
        .replace("{tag}", "nothing")
        .replace("{flow}", "nothing")
        .replace("{name}", "nothing")
        .replace("{digest}", &digest)
        .replace("{id}", "nothing");
    format!("{} {path}", operation.method)
}

fn wanted(operation: &Operation) -> Option<Scope> {
    operation.scope()
}

#[tokio::test]
async fn scopes_decide_and_other_tenants_are_not_there() {
    let host = Host::new().await;
    for scope in Scope::ALL.into_iter().filter(|scope| *scope != Scope::Host) {
        let key = host.key("acme", &[scope.as_str()]).await;
        for operation in OPERATIONS {
            let name = format!("{scope}: {} {}", operation.method, operation.path);
            let own = host.send(&concrete(operation, "acme"), &key, Value::Null).await;
            let may = wanted(operation).is_none_or(|wanted| scope.covers(wanted));
            let is_hosts = matches!(operation.needs, Needs::Operator | Needs::OperatorOnTenant);
            if may && !is_hosts {
                assert!(!matches!(own.status.as_u16(), 401 | 403), "{name}: {}", own.text());
            } else {
                own.check("403 permission_denied: ");
            }
            if !matches!(operation.needs, Needs::Tenant(_) | Needs::OperatorOnTenant) {
                continue;
            }
            let others = host.send(&concrete(operation, "other"), &key, Value::Null).await;
            others.check("404 not_found: there is no tenant \"other\"");
            let nobodys = host.send(&concrete(operation, "nobody"), &key, Value::Null).await;
            let (others, nobodys) = (others.text(), nobodys.text());
            assert_eq!(others.replace("other", "nobody"), nobodys, "{name}");
        }
    }
}

#[tokio::test]
async fn the_operator_may_everything_and_nobody_nothing() {
    let host = Host::new().await;
    for operation in OPERATIONS {
        let name = format!("{} {}", operation.method, operation.path);
        let what = concrete(operation, "acme");
        if what != "DELETE /v1/tenants/acme" {
            let operators = host.send(&what, &host.operator, Value::Null).await;
            assert!(!matches!(operators.status.as_u16(), 401 | 403), "{name}: {}", operators.text());
        }
        let nobodys = host.send(&what, "", Value::Null).await;
        if operation.needs == Needs::Nothing {
            assert!(nobodys.status.is_success(), "{name}: {}", nobodys.text());
            continue;
        }
        nobodys.check("401 unauthenticated: this request needs an API key");
        assert_eq!(nobodys.header("www-authenticate"), "Bearer realm=\"lockgate\"");
    }
}

#[tokio::test]
async fn credentials_are_read_from_either_header() {
    let host = Host::new().await;
    let (acme, other) = (host.acme.as_str(), host.other.as_str());
    let bearer = format!("Bearer {acme}");
    let last = if acme.ends_with('A') { 'E' } else { 'A' };
    let wrong = format!("{}{last}", &acme[..acme.len() - 1]);
    let cases: [(Headers<'_>, &str); 9] = [
        (&[("x-api-key", acme)], "200"),
        (&[("authorization", &bearer)], "200"),
        (&[("authorization", &bearer), ("x-api-key", acme)], "200"),
        (&[("authorization", &bearer), ("x-api-key", other)], "401 unauthenticated: "),
        (
            &[("x-api-key", acme), ("x-api-key", other)],
            "401 unauthenticated: the header x-api-key comes more",
        ),
        (&[("authorization", "Basic YTpi")], "401 unauthenticated: "),
        (&[("x-api-key", "lg_")], "401 unauthenticated: "),
        (&[("x-api-key", &wrong)], "401 unauthenticated: "),
        (&[("x-api-key", "a.b.c")], "401 unauthenticated: "),
    ];
    for (headers, expected) in cases {
        host.ask("GET /v1/whoami", "", headers, "").await.check(expected);
    }
    let me = host.send("GET /v1/whoami", acme, Value::Null).await.json();
    assert_eq!((me["tenant"].as_str(), me["scopes"][0].as_str()), (Some("acme"), Some("admin")));
    assert_eq!(me["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn keys_stop_working_when_they_are_revoked() {
    let host = Host::new().await;
    let key = host.key("acme", &["read"]).await;
    host.send("GET /v1/whoami", &key, Value::Null).await.check("200");
    let id = key.split('_').nth(1).unwrap();
    host.send(&format!("DELETE /v1/tenants/other/keys/{id}"), &host.other, Value::Null).await.check("404");
    host.send(&format!("DELETE /v1/keys/{id}"), &host.operator, Value::Null).await.check("404");
    host.send("GET /v1/whoami", &key, Value::Null).await.check("200");
    let revoked = host.send(&format!("DELETE /v1/tenants/acme/keys/{id}"), &host.acme, Value::Null).await;
    assert!(revoked.json()["revoked_at"].is_string(), "{}", revoked.text());
    host.send("GET /v1/whoami", &key, Value::Null).await.check("401 unauthenticated: the API key");
    let listed = host.send("GET /v1/tenants/acme/keys", &host.acme, Value::Null).await;
    assert!(!listed.text().contains("secret"), "{}", listed.text());
}

#[tokio::test]
async fn suspended_tenants_may_only_look() {
    let host = Host::new().await;
    let suspended = serde_json::json!({ "suspended": true });
    host.send("PUT /v1/tenants/acme", &host.operator, suspended).await.check("200");
    host.send("GET /v1/tenants/acme", &host.acme, Value::Null).await.check("200");
    host.ask("POST /v1/tenants/acme/components", &host.acme, &[], "x")
        .await
        .check("403 permission_denied: tenant");
}

#[tokio::test]
async fn a_host_in_development_mode_asks_for_nothing_but_keeps_pages_out() {
    let host = Host::with(ControlOptions { dev: true, ..ControlOptions::default() }).await;
    let me = host.send("GET /v1/whoami", "", Value::Null).await.json();
    assert_eq!(me["principal"], "local");
    assert_eq!(me["scopes"][0], "host");
    host.send("GET /v1/whoami", "lg_wrong", Value::Null).await.check("401");
    let foreign = [("host", "localhost:8081"), ("origin", "https://example.org")];
    host.ask("POST /v1/tenants/acme/components", "", &foreign, "x").await.check("403 permission_denied: ");
    let rebound = [("host", "rebound.example.org:8081")];
    host.ask("GET /v1/tenants", "", &rebound, "").await.check("403 permission_denied: ");
    assert_eq!(host.uploads_left(), 0);
}
