//! Uploads: whole, known, wrong, refused, too many, broken off.

use std::sync::atomic::Ordering;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use lockgate_registry::signature::PrivateSigningKey;
use serde_json::{Value, json};

use super::{Headers, Host, digest_of};
use crate::ControlOptions;

const COMPONENTS: &str = "/v1/tenants/acme/components";
const WASM: [(&str, &str); 1] = [("content-type", "application/wasm")];

#[tokio::test]
async fn a_component_comes_and_goes() {
    let host = Host::new().await;
    let digest = digest_of("one");
    let made = host.ask(&format!("POST {COMPONENTS}"), &host.acme, &WASM, "one").await;
    made.check("201");
    assert_eq!(made.header("location"), format!("{COMPONENTS}/{digest}"));
    assert_eq!(
        (made.json()["digest"].as_str(), made.json()["size"].as_u64()),
        (Some(digest.as_str()), Some(3))
    );
    host.ask(&format!("POST {COMPONENTS}"), &host.acme, &WASM, "one").await.check("200");
    assert_eq!(host.judge.examined.load(Ordering::SeqCst), 1);
    let content = host.send(&format!("GET {COMPONENTS}/{digest}/content"), &host.acme, Value::Null).await;
    assert_eq!((content.body.as_slice(), content.header("content-length")), (b"one".as_slice(), "3"));
    let listed = host.send(&format!("GET {COMPONENTS}"), &host.acme, Value::Null).await.json();
    assert_eq!(listed["items"][0]["digest"], digest);
    // Another tenant has none of it, and the same bytes are as new to it as any.
    let theirs = format!("/v1/tenants/other/components/{digest}");
    host.send(&format!("GET {theirs}"), &host.other, Value::Null)
        .await
        .check("404 not_found: there is no component");
    host.send(&format!("GET {theirs}/content"), &host.other, Value::Null).await.check("404");
    host.send(&format!("DELETE {theirs}"), &host.other, Value::Null).await.check("404");
    host.ask("POST /v1/tenants/other/components", &host.other, &WASM, "one").await.check("201");
    host.send(&format!("DELETE {COMPONENTS}/{digest}"), &host.acme, Value::Null).await.check("204");
    host.send(&format!("GET {COMPONENTS}/{digest}"), &host.acme, Value::Null).await.check("404");
    host.send(&format!("GET {theirs}/content"), &host.other, Value::Null).await.check("200");
    assert_eq!(host.uploads_left(), 0);
}

#[tokio::test]
async fn a_component_in_use_stays() {
    let host = Host::new().await;
    host.publish("shout", "one").await;
    let refused =
        host.send(&format!("DELETE {COMPONENTS}/{}", digest_of("one")), &host.acme, Value::Null).await;
    refused.check("409 conflict: ");
    assert!(refused.told().contains("shout@1"), "{}", refused.told());
}

#[tokio::test]
async fn digests_said_before_are_held_to() {
    let host = Host::new().await;
    let put = format!("PUT {COMPONENTS}/{}", digest_of("one"));
    host.ask(&put, &host.acme, &WASM, "two").await.check("400 invalid_request: the bytes have digest");
    host.ask(&put, &host.acme, &WASM, "one").await.check("201");
    // Known: the body is not even looked at.
    host.ask(&put, &host.acme, &WASM, "two").await.check("200");
    let poisoned = stream::once(async { Err::<Bytes, _>(std::io::Error::other("read")) });
    let request = Request::put(format!("{COMPONENTS}/{}", digest_of("one")))
        .header("authorization", format!("Bearer {}", host.acme))
        .body(Body::from_stream(poisoned));
    let known = host.run(request.unwrap()).await;
    known.check("200");
    assert_eq!(known.header("connection"), "close");
    assert_eq!(host.judge.examined.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn refused_uploads_leave_nothing() {
    let options = ControlOptions { max_component_bytes: 1000, ..ControlOptions::default() };
    let host = Host::with(options).await;
    let post = format!("POST {COMPONENTS}");
    let endless = "x".repeat(1001);
    let cases: [(Headers<'_>, &str, &str); 9] = [
        (&WASM, "", "400 invalid_request: the upload is empty"),
        (&WASM, "bad one", "400 invalid_component: it is bad"),
        (&WASM, &endless, "413 request_too_large: the request's body is larger than 1000 bytes"),
        (&[("content-encoding", "gzip")], "x", "400 invalid_request: compressed request bodies are not read"),
        (&[("lockgate-signature", "x")], "x", "400 invalid_request: the signature cannot be read"),
        (
            &[("lockgate-signature", "a:b"), ("lockgate-signature", "a:b")],
            "x",
            "400 invalid_request: the header lockgate-signature",
        ),
        (
            &[("content-type", "application/json")],
            "{}",
            "400 invalid_request: the request's body: missing field `oci`",
        ),
        (
            &[("content-type", "application/json")],
            r#"{"oci": "x", "y": 1}"#,
            "400 invalid_request: y: unknown field",
        ),
        (
            &[("content-type", "application/json")],
            r#"{"oci": "ghcr.io/a/b:1"}"#,
            "403 permission_denied: this host pulls no components",
        ),
    ];
    for (headers, body, expected) in cases {
        host.ask(&post, &host.acme, headers, body).await.check(expected);
        assert_eq!(host.uploads_left(), 0, "{expected}");
    }
    let chunks = stream::iter((0..2000).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"x"))));
    let request = Request::post(COMPONENTS).header("x-api-key", &host.acme).body(Body::from_stream(chunks));
    host.run(request.unwrap()).await.check("413 request_too_large: ");
    let broken = stream::iter([Ok(Bytes::from_static(b"x")), Err(std::io::Error::other("gone"))]);
    let request = Request::post(COMPONENTS).header("x-api-key", &host.acme).body(Body::from_stream(broken));
    host.run(request.unwrap()).await.check("400 invalid_request: the request's body broke off");
    assert_eq!(host.uploads_left(), 0);
    host.send(&format!("GET {COMPONENTS}"), &host.acme, Value::Null).await.check("200");
}

#[tokio::test]
async fn quotas_hold() {
    let host = Host::new().await;
    let settings = json!({ "quota": { "components": 1 } });
    host.send("PUT /v1/tenants/acme", &host.operator, settings).await.check("200");
    host.upload("one").await;
    let refused = host.ask(&format!("POST {COMPONENTS}"), &host.acme, &WASM, "two").await;
    refused.check("429 quota_exceeded: tenant acme has 1 components");
    assert_eq!(refused.json()["error"]["limit"]["name"], "components");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(host.uploads_left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_so_many_uploads_at_once() {
    let host = Host::with(ControlOptions { uploads_per_tenant: 1, ..ControlOptions::default() }).await;
    host.judge.hold(true);
    let slow = host.ask("POST /v1/tenants/acme/components", &host.acme, &WASM, "slow one");
    tokio::pin!(slow);
    let refused = async {
        while host.judge.examined.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let refused = host.ask(&format!("POST {COMPONENTS}"), &host.acme, &WASM, "two").await;
        refused.check("429 quota_exceeded: tenant acme has 1 uploads under way");
        assert_eq!(refused.header("retry-after"), "2");
        host.ask("POST /v1/tenants/other/components", &host.other, &WASM, "two").await.check("201");
    };
    tokio::select! {
        answer = &mut slow => panic!("it was not held back: {}", answer.text()),
        () = refused => {}
    }
    host.judge.hold(false);
    slow.await.check("201");
    host.ask(&format!("POST {COMPONENTS}"), &host.acme, &WASM, "two").await.check("201");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_so_many_requests_at_once() {
    let host = Host::with(ControlOptions { requests_per_tenant: 1, ..ControlOptions::default() }).await;
    host.judge.hold(true);
    let slow = host.ask("POST /v1/tenants/acme/components", &host.acme, &WASM, "slow one");
    tokio::pin!(slow);
    let list = format!("GET {COMPONENTS}");
    let refused = async {
        while host.judge.examined.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let refused = host.send(&list, &host.acme, Value::Null).await;
        refused.check("429 quota_exceeded: tenant acme has 1 requests to the control API in progress");
        assert_eq!(refused.header("retry-after"), "1");
        host.send("GET /v1/tenants/other/components", &host.other, Value::Null).await.check("200");
        host.send(&list, &host.operator, Value::Null).await.check("200");
    };
    tokio::select! {
        answer = &mut slow => panic!("it was not held back: {}", answer.text()),
        () = refused => {}
    }
    host.judge.hold(false);
    slow.await.check("201");
    host.send(&list, &host.acme, Value::Null).await.check("200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_equal_uploads_cost_one_examination() {
    let host = Host::new().await;
    host.judge.hold(true);
    let post = format!("POST {COMPONENTS}");
    let uploads = (0..100).map(|_| host.ask(&post, &host.acme, &WASM, "slow one"));
    let all_begun = async {
        while host.control.0.uploads.count() < 100 {
            tokio::task::yield_now().await;
        }
        host.judge.hold(false);
    };
    let (answers, ()) = futures_util::future::join(futures_util::future::join_all(uploads), all_begun).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!((statuses[98], statuses[99]), (200, 201), "{statuses:?}");
    assert_eq!(host.judge.examined.load(Ordering::SeqCst), 1);
    assert_eq!(host.uploads_left(), 0);
}

#[tokio::test]
async fn signatures_are_verified_before_anything_else_counts() {
    let host = Host::new().await;
    let key = PrivateSigningKey::generate().unwrap();
    let name = || "release".parse().unwrap();
    let pem = key.public().to_pem().unwrap();
    let keys = "/v1/tenants/acme/signing-keys";
    host.ask(&format!("PUT {keys}/release"), &host.acme, &[], &pem).await.check("200");
    let shown = host.send(&format!("GET {keys}/release"), &host.acme, Value::Null).await.json();
    assert_eq!(shown["pem"], pem.as_str());
    let required = json!({ "require_signature": true });
    host.send("PUT /v1/tenants/acme", &host.operator, required).await.check("200");
    let post = format!("POST {COMPONENTS}");
    host.ask(&post, &host.acme, &WASM, "one").await.check("403 permission_denied: ");
    let signature = key.sign(name(), digest_of("one").parse().unwrap()).to_string();
    host.ask(&post, &host.acme, &[("lockgate-signature", &signature)], "two")
        .await
        .check("403 permission_denied: ");
    assert_eq!(host.judge.examined.load(Ordering::SeqCst), 0);
    let signed = host.ask(&post, &host.acme, &[("lockgate-signature", &signature)], "one").await;
    signed.check("201");
    assert_eq!(signed.json()["signed_by"], "release");
    host.send(&format!("DELETE {keys}/release"), &host.acme, Value::Null).await.check("204");
    host.send(&format!("GET {keys}/release"), &host.acme, Value::Null).await.check("404");
    let listed = host.send(&format!("GET {keys}"), &host.acme, Value::Null).await.json();
    assert_eq!(listed["items"], json!([]));
}
