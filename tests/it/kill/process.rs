//! The whole host, with guests that are compiled and called: killed at points spread over a script of control actions, and
//! left without room in each of them.
//!
//! `LOCKGATE_KILL_POINTS` says how many points are tried: a number, or `all`.

use futures_util::StreamExt;
use http::Method;
use lockgate_registry::signature::PrivateSigningKey;
use lockgate_testkit::faults::{self, Faults};
use lockgate_testkit::fixtures;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::host::{End, Host, difference, text};
use super::{component_files, leftovers};

/// Points of a run if nobody says how many.
const USUAL_POINTS: u64 = 48;
/// How many hosts run at once.
const AT_ONCE: usize = 2;
/// From this action on there is a key, and from that one an executor that can be called.
const MAKES_KEY: usize = 2;
const PUBLISHES: usize = 6;

/// One action over the control API.
#[derive(Clone)]
struct Action {
    what: &'static str,
    method: Method,
    path: String,
    kind: &'static str,
    body: Vec<u8>,
}

/// The same component with another digest: a custom section at its end, which changes nothing else.
fn component(number: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(fixtures::component("neighbour")).unwrap();
    bytes.extend_from_slice(&[0, 9, 7]);
    bytes.extend_from_slice(b"variant");
    bytes.push(number);
    bytes
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Every kind of control action, at least once.
fn script() -> Vec<Action> {
    let json = |what, method, path: &str, body: Value| Action {
        what,
        method,
        path: path.replace("T/", "/v1/tenants/acme/"),
        kind: "application/json",
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
    };
    let upload = |what, tenant: &str, number| Action {
        what,
        method: Method::POST,
        path: format!("/v1/tenants/{tenant}/components"),
        kind: "application/wasm",
        body: component(number),
    };
    let flow = |what, words: &str| Action {
        what,
        method: Method::PUT,
        path: "/v1/tenants/acme/flows/search".into(),
        kind: "application/yaml",
        body: format!("jtype: Flow\n# {words}\nexecutors:\n  - name: shout\n    uses: shout\n").into_bytes(),
    };
    let publish = |what, number, configuration| {
        let body = json!({ "component": digest(&component(number)), "configuration": configuration });
        json(what, Method::POST, "T/executors/shout/revisions", body)
    };
    let key = PrivateSigningKey::generate().and_then(|key| key.public().to_pem()).unwrap();
    let (put, post, delete) = (Method::PUT, Method::POST, Method::DELETE);
    vec![
        json("create tenant", post.clone(), "/v1/tenants", json!({ "name": "acme" })),
        json("create another tenant", post.clone(), "/v1/tenants", json!({ "name": "rival" })),
        json("make a key", post.clone(), "T/keys", json!({ "label": "caller", "scopes": ["call"] })),
        json("make another key", post.clone(), "T/keys", json!({ "label": "gone", "scopes": ["read"] })),
        upload("upload", "acme", 1),
        upload("upload what another tenant has", "rival", 1),
        publish("publish", 1, json!({ "number": 1 })),
        upload("upload the next", "acme", 2),
        publish("publish the next revision", 2, json!({ "number": 2 })),
        json("set a tag", put.clone(), "T/executors/shout/tags/stable", json!({ "revision": 1 })),
        json("move a tag", put.clone(), "T/executors/shout/tags/stable", json!({ "revision": 2 })),
        json("roll back", post, "T/executors/shout/rollback", json!({ "tag": "latest" })),
        json("keep a secret", put.clone(), "T/secrets/openai", json!({ "value": "sk-1" })),
        flow("put a flow", "first"),
        flow("replace a flow", "second"),
        Action {
            kind: "application/x-pem-file",
            body: key.into_bytes(),
            ..json("register a signing key", put.clone(), "T/signing-keys/release", Value::Null)
        },
        json(
            "change the deployment",
            put,
            "T/executors/shout/deployment",
            json!({ "primary": "stable", "scale": { "min": 1 } }),
        ),
        upload("upload a third", "acme", 3),
        json(
            "delete a component",
            delete.clone(),
            &format!("T/components/{}", digest(&component(3))),
            Value::Null,
        ),
        json("revoke a key", delete.clone(), "T/keys/{gone}", Value::Null),
        json("delete a flow", delete.clone(), "T/flows/search", Value::Null),
        json("delete a tenant", delete, "/v1/tenants/rival?force=true", Value::Null),
    ]
}

/// Does one action; gives the answer, or why there is none or not the one that was hoped for.
async fn act(host: &Host, action: &Action) -> Result<Value, String> {
    let mut path = action.path.clone();
    if path.contains("{gone}") {
        let keys = host.ask(Method::GET, "/v1/tenants/acme/keys", action.kind, Vec::new()).await?.json();
        let keys = keys["items"].as_array().cloned().unwrap_or_default();
        let id = keys.iter().find(|key| key["label"] == "gone").map(|key| text(&key["id"]));
        path = path.replace("{gone}", &id.unwrap_or_default());
    }
    let answer = host.ask(action.method.clone(), &path, action.kind, action.body.clone()).await?;
    if !answer.status.is_success() {
        return Err(format!("{} {}", answer.status, answer.text()));
    }
    Ok(if answer.body.is_empty() { Value::Null } else { answer.json() })
}

/// What a host that nobody killed has before the first action and after each, and its audit.
struct Reference {
    script: Vec<Action>,
    states: Vec<(Value, Vec<String>)>,
    points: u64,
}

async fn reference() -> Reference {
    let script = script();
    let folder = faults::folder();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let faults = Faults::new(folder.path().join("control"));
    let host = Host::start(&data, Some(&faults)).await.map_err(|end| format!("{end:?}")).unwrap();
    let mut states = vec![(host.state().await, host.audit().await)];
    for action in &script {
        act(&host, action).await.unwrap_or_else(|why| panic!("{}: {why}", action.what));
        states.push((host.state().await, host.audit().await));
    }
    for (pair, action) in states.windows(2).zip(&script) {
        assert_ne!(pair[0].0, pair[1].0, "{} changes nothing that can be seen", action.what);
        assert_eq!(pair[0].1.len() + 1, pair[1].1.len(), "{} is not in the audit", action.what);
    }
    Reference { script, states, points: faults.points() }
}

/// Runs the script until the host is killed; gives how many actions were acknowledged, and the key that calls.
async fn run_to_death(data: &std::path::Path, faults: &Faults, script: &[Action]) -> (usize, Option<String>) {
    let mut key = None;
    let Ok(mut host) = Host::start(data, Some(faults)).await else { return (0, key) };
    for (at, action) in script.iter().enumerate() {
        match act(&host, action).await {
            Ok(answer) if at == MAKES_KEY => key = Some(text(&answer["secret"])),
            Ok(_) => {}
            Err(_) => {
                let end = host.end().await;
                assert_eq!(end, End::Killed, "{} failed and nobody killed the host", action.what);
                return (at, key);
            }
        }
    }
    host.kill().await;
    (script.len(), key)
}

/// Kills at one point, looks at what is left, and lets the script go on from there; gives what is wrong.
async fn kill_once(point: u64, reference: &Reference) -> Vec<String> {
    let folder = faults::folder();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let faults = Faults::new(folder.path().join("control"));
    faults.kill_at(point, point % 2 == 1);
    let (acknowledged, key) = run_to_death(&data, &faults, &reference.script).await;
    let host = match Host::start(&data, None).await {
        Ok(host) => host,
        Err(end) => return vec![format!("it does not start again: {end:?}")],
    };
    let mut wrong = faults_on_disk(&data, &host).await;
    let (state, audit) = (host.state().await, host.audit().await);
    let candidates = acknowledged..=acknowledged + 1;
    let Some(at) =
        candidates.into_iter().find(|at| reference.states.get(*at).is_some_and(|(known, _)| *known == state))
    else {
        let known = reference.states.get(acknowledged).map(|(known, _)| difference(&state, known));
        wrong.push(format!("{acknowledged} actions were acknowledged, and neither that state is there nor the next: {known:?}"));
        return wrong;
    };
    let known = |at: usize| reference.states.get(at).is_some_and(|(_, known)| *known == audit);
    if !known(acknowledged) && !known(acknowledged + 1) {
        wrong.push(format!("{acknowledged} actions were acknowledged, the audit has {audit:?}"));
    }
    wrong.extend(call(&host, key.as_deref(), at).await);
    for action in reference.script.iter().skip(at) {
        if let Err(why) = act(&host, action).await {
            wrong.push(format!("{} does not work afterwards: {why}", action.what));
            return wrong;
        }
    }
    let (found, last) = (host.state().await, reference.states.last().map(|(state, _)| state));
    let difference = last.map(|last| difference(&found, last)).filter(|difference| !difference.is_empty());
    wrong.extend(difference.map(|difference| format!("the script ends otherwise afterwards: {difference}")));
    wrong
}

/// Whether the tenant is served, if it was told a key and has an executor.
async fn call(host: &Host, key: Option<&str>, at: usize) -> Option<String> {
    let key = key.filter(|_| at > PUBLISHES)?;
    match host.call("shout", key).await {
        Ok(texts) if texts == ["QUIET"] => None,
        other => Some(format!("the tenant is not served: {other:?}")),
    }
}

/// What is wrong on the disk, beside the state itself.
async fn faults_on_disk(data: &std::path::Path, host: &Host) -> Vec<String> {
    let mut wrong: Vec<String> = leftovers(data).iter().map(|file| format!("{file} was left")).collect();
    let mut named = Vec::new();
    for tenant in ["acme", "rival"] {
        for component in host.components(tenant).await {
            let path = format!("/v1/tenants/{tenant}/components/{component}/content");
            let content = host.ask(Method::GET, &path, "", Vec::new()).await;
            let found = content.map(|answer| digest(&answer.body));
            if found.as_ref() != Ok(&component) {
                wrong.push(format!("component {component} of {tenant} reads as {found:?}"));
            }
            named.push(component.trim_start_matches("sha256:").to_owned());
        }
    }
    named.sort();
    named.dedup();
    if component_files(data) != named {
        wrong.push(format!("component files {:?}, named are {named:?}", component_files(data)));
    }
    wrong
}

/// Which points are tried: spread evenly, the first and the last among them.
fn chosen(points: u64) -> Vec<u64> {
    let wanted = match std::env::var("LOCKGATE_KILL_POINTS").as_deref() {
        Ok("all") => points,
        Ok(number) => number.parse().unwrap(),
        Err(_) => USUAL_POINTS,
    };
    let wanted = wanted.clamp(2, points);
    (0..wanted).map(|at| 1 + at * (points - 1) / (wanted - 1)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_killed_at_any_point_has_the_old_state_or_the_new() {
    let reference = reference().await;
    let points = chosen(reference.points);
    let tried = points.len();
    let attempts = futures_util::stream::iter(points).map(|point| {
        let reference = &reference;
        async move {
            let wrong = kill_once(point, reference).await;
            wrong.into_iter().map(|wrong| format!("point {point}: {wrong}")).collect::<Vec<_>>()
        }
    });
    let violations: Vec<String> = attempts.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.concat();
    println!("kill -9, host: {tried} of {} points, {} violations", reference.points, violations.len());
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_room_says_so_and_goes_on() {
    let folder = faults::folder();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let faults = Faults::new(folder.path().join("control"));
    let mut host = Host::start(&data, Some(&faults)).await.map_err(|end| format!("{end:?}")).unwrap();
    let (mut key, mut refusals, mut violations) = (None, 0, Vec::new());
    for (at, action) in script().iter().enumerate() {
        let before = host.state().await;
        for changes in 0.. {
            faults.fill_after(changes);
            let answer = act(&host, action).await;
            // Calls need no room.
            let served = call(&host, key.as_deref(), at).await;
            faults.make_room();
            let what = action.what;
            violations.extend(served.map(|why| format!("{what}, after {changes} changes: {why}")));
            match answer {
                Ok(answer) => {
                    key = key.or_else(|| (at == MAKES_KEY).then(|| text(&answer["secret"])));
                    break;
                }
                Err(why) => {
                    refusals += 1;
                    let mut wrong = faults_on_disk(&data, &host).await;
                    if !why.contains("overloaded") || !why.contains("disk is") {
                        wrong.push(format!("no clear answer: {why}"));
                    }
                    if host.state().await != before {
                        wrong.push("something changed".to_owned());
                    }
                    violations.extend(
                        wrong.iter().map(|wrong| format!("{what}, after {changes} changes: {wrong}")),
                    );
                }
            }
            assert!(
                host.lives() && changes < 1000 && violations.len() < 100,
                "{what}: {}",
                violations.join("\n")
            );
        }
    }
    println!("full disk, host: {refusals} refusals, {} violations", violations.len());
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    assert_ne!(refusals, 0, "the disk was never full");
}
