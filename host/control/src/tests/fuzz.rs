//! Every operation with thousands of mixtures of good and hostile parts: whatever comes back is described in the OpenAPI
//! document, is never the host's fault, and leaves nothing half-done.

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Answer, Host, digest_of};
use crate::operation::{Needs, OPERATIONS, Operation};

const ROUNDS: usize = 1000;
/// Another seed finds other things; this one finds the same every time.
const SEED: u64 = 0x10c6_a7e5;

/// Text that somebody may put anywhere.
const HOSTILE: &[&str] = &[
    "",
    "..",
    "../../etc/passwd",
    "\0",
    "\n",
    "\u{202e}",
    "%",
    "%zz",
    "a b",
    "\u{430}cme",
    "{",
    "[]",
    "null",
    "-1",
    "18446744073709551616",
    "1e999",
    "NaN",
    "true",
    "'\"<script>",
    "\u{1b}[31m",
    "x,y",
    "*",
    "\"",
    "W/\"1\"",
];

fn pick<'a>(rng: &mut Rng, list: &[&'a str]) -> &'a str {
    list[rng.usize(..list.len())]
}

/// Escaped so that it can stand in a path or a query.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn path(rng: &mut Rng, operation: &Operation) -> String {
    let (known, unknown) = (digest_of("one"), digest_of("two"));
    let segment = |rng: &mut Rng, part: &str| {
        if rng.u8(..16) == 0 {
            let hostile =
                if rng.bool() { "y".repeat(rng.usize(..300)) } else { pick(rng, HOSTILE).to_owned() };
            return escape(&hostile);
        }
        let usual: &[&str] = match part {
            "{tenant}" => &["acme", "acme", "acme", "acme", "acme", "acme", "other", "nobody"],
            "{executor}" => &["shout", "shout", "nothing"],
            "{number}" => &["1", "2", "9"],
            "{tag}" => &["latest", "stable"],
            "{flow}" => &["search", "nothing"],
            "{digest}" => &[known.as_str(), unknown.as_str()],
            _ => &["release", "c1", "nothing"],
        };
        pick(rng, usual).to_owned()
    };
    let parts = operation.path.split('/').map(|part| match part.starts_with('{') {
        true => segment(rng, part),
        false => part.to_owned(),
    });
    let mut path = parts.collect::<Vec<_>>().join("/");
    if rng.u8(..4) == 0 {
        let name = pick(rng, &["limit", "cursor", "force", "from", "to", "executor", "colour"]);
        let value = if rng.bool() {
            pick(rng, &["1", "true", "2026-11-26T16:00:00Z", "shout"])
        } else {
            pick(rng, HOSTILE)
        };
        path.push_str(&format!("?{name}={}", escape(value)));
    }
    path
}

/// A body that one of the operations takes, with a part of it exchanged now and then.
fn body(rng: &mut Rng, operation: &Operation) -> String {
    let bodies = [
        json!({ "name": "third", "settings": { "weight": 7, "quota": { "flows": 2 } } }),
        json!({ "label": "ci", "scopes": ["read"], "expires_in_s": 60 }),
        json!({ "component": digest_of("one"), "note": "n", "configuration": { "a": 1 }, "tag": "stable" }),
        json!({ "component": digest_of("one"), "dry_run": true, "limits": { "fuel": 5 } }),
        json!({ "revision": 1 }),
        json!({ "primary": "@1", "canary": { "target": "latest", "percent": 5.0 }, "scale": { "max": 3 } }),
        json!({ "value": "secret" }),
        json!({ "reason": "no" }),
        json!({ "oci": "example.org/a:1" }),
        json!({ "weight": 100 }),
        json!({}),
    ];
    let own = match operation.action {
        Some("tenant.create") => Some(0),
        Some("key.create") => Some(1),
        Some("revision.create") => Some(rng.usize(2..4)),
        Some("tag.move") => Some(4),
        Some("deployment.put") => Some(5),
        Some("secret.put") => Some(6),
        _ => None,
    };
    let index = own.filter(|_| rng.u8(..4) > 0).unwrap_or_else(|| rng.usize(..bodies.len()));
    let mut body = bodies[index].clone();
    if let (0, Some(object)) = (rng.u8(..4), body.as_object_mut()) {
        let wrong = [json!(null), json!(-1), json!([]), json!({}), json!(1e300), json!(pick(rng, HOSTILE))];
        let keys: Vec<String> = object.keys().cloned().chain(["colour".to_owned()]).collect();
        object.insert(keys[rng.usize(..keys.len())].clone(), wrong[rng.usize(..wrong.len())].clone());
    }
    let text = body.to_string();
    match rng.u8(..16) {
        0 => String::new(),
        1 => pick(rng, HOSTILE).to_owned(),
        2 => text.get(..rng.usize(..text.len())).unwrap_or_default().to_owned(),
        3 => "shout".to_owned(),
        4 => "one".to_owned(),
        _ => text,
    }
}

async fn ask(host: &Host, rng: &mut Rng, operation: &Operation) -> (String, Answer) {
    let mut headers = Vec::new();
    if rng.u8(..8) > 0 {
        let kinds = [
            "application/json",
            "application/json",
            "application/json",
            "application/yaml",
            "application/wasm",
        ];
        headers.push(("content-type", pick(rng, &kinds)));
    }
    for name in ["if-match", "if-none-match", "lockgate-signature", "content-encoding", "x-request-id"] {
        if rng.u8(..24) == 0 {
            let value = if rng.bool() {
                pick(rng, &["*", "\"1\"", "\"2\"", "release:AAAA"])
            } else {
                pick(rng, HOSTILE)
            };
            if http::HeaderValue::from_str(value).is_ok() {
                headers.push((name, value));
            }
        }
    }
    let keys =
        [host.acme.as_str(), host.acme.as_str(), host.operator.as_str(), host.other.as_str(), "", "lg_x"];
    let key = pick(rng, &keys);
    let (path, body) = (path(rng, operation), body(rng, operation));
    let what = format!("{} {path}", operation.method);
    let answer = host.ask(&what, key, &headers, &body).await;
    (format!("{what} {headers:?} {body}"), answer)
}

/// What every answer holds to.
fn check(api: &Value, operation: &Operation, what: &str, answer: &Answer) {
    let status = answer.status.as_u16();
    let told = || format!("{what}\n{}", answer.text());
    assert!(status < 500, "the host's fault: {}", told());
    let described = &api["paths"][operation.path][operation.method.as_str().to_ascii_lowercase()];
    let is_described = described["responses"].get(status.to_string()).is_some();
    let is_page = operation.path.starts_with("/docs");
    // A segment that is empty or has a slash in it leads to another path.
    let elsewhere = matches!(status, 404 | 405) && !answer.text().contains("there is no");
    assert!(is_described || is_page || elsewhere, "not described: {}", told());
    if answer.status.is_success() {
        return;
    }
    let error = &answer.json()["error"];
    assert!(error["code"].is_string() && error["message"].is_string(), "{}", told());
    assert_eq!(answer.header("content-type"), "application/json", "{}", told());
    assert!(answer.body.len() < 2000, "{}", told());
    if matches!(status, 429 | 503) {
        assert!(!answer.header("retry-after").is_empty(), "{}", told());
    }
}

#[tokio::test]
async fn whatever_comes_is_answered_as_described() {
    let host = Host::new().await;
    let api: Value = serde_json::from_str(&crate::openapi()).unwrap();
    let mut rng = Rng::with_seed(SEED);
    let mut good = 0_usize;
    for round in 0..ROUNDS {
        if round % 100 == 0 {
            // Something to work on, whatever was deleted meanwhile.
            host.publish("shout", "one").await;
        }
        let operation = &OPERATIONS[rng.usize(..OPERATIONS.len())];
        // The tenant and its keys stay, else the rest of the rounds would say nothing.
        let ends_it = matches!(operation.action, Some("tenant.delete" | "tenant.update"));
        if ends_it || operation.needs == Needs::Nothing {
            continue;
        }
        let (what, answer) = ask(&host, &mut rng, operation).await;
        check(&api, operation, &what, &answer);
        good += usize::from(answer.status.is_success());
    }
    assert!(good > ROUNDS / 10, "only {good} of {ROUNDS} requests did anything");
    assert_eq!(host.uploads_left(), 0);
    host.send("GET /v1/whoami", &host.acme, Value::Null).await.check("200");
}
