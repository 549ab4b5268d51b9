//! What strangers upload: refused in words that say what to do, or run within limits; nothing stays of what was refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures_util::stream::{self, StreamExt};
use lockgate_testkit::guest::{self, Manner, assemble};
use lockgate_testkit::http::Answer;
use lockgate_testkit::{RunningServe, fixtures, wait_for};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Caller, beside, fixture, incoming, made, memory_returns, plenty, serve, told};
use crate::support::{BINARY, assert_texts};

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// A component of one core module in text form.
fn module(items: &str) -> Vec<u8> {
    assemble(&format!("(component (core module {items}))"))
}

/// A component that imports one interface.
fn importing(interface: &str) -> Vec<u8> {
    assemble(&format!(r#"(component (import "{interface}" (instance (export "f" (func)))))"#))
}

/// Bytes without order, behind the first bytes of a component or not.
fn noise(length: usize, start: &[u8]) -> Vec<u8> {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    start.iter().copied().chain((0..length).map(|_| next())).collect()
}

/// What it is, its bytes, and parts of what must be told.
fn cases() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    const INVALID: &str = "400 invalid_component: ";
    const DENIED: &str = "403 capability_denied: ";
    let wasip1 = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#;
    let utf16 = r#"(component
        (core module $m (memory (export "memory") 1) (func (export "f") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func (export "f") (result string)
            (canon lift (core func $i "f") (memory (core memory $i "memory")) string-encoding=utf16)))"#;
    let mut older = guest::component(1, Manner::Plain);
    older[4] = 0x0c;
    // A name that the text format would not take: of the same length as one that it does.
    let look_alike = |name: &str| {
        let place = format!("a:b/{}", "x".repeat(name.len() - 4));
        let mut bytes = importing(&place);
        let at = bytes.windows(place.len()).position(|window| window == place.as_bytes()).unwrap();
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        bytes
    };
    vec![
        ("nothing", Vec::new(), &["400 invalid_request: ", "empty"]),
        ("one byte", vec![0], &[INVALID, "no WebAssembly"]),
        ("seven bytes", b"\0asm\x0d\0\x01".to_vec(), &[INVALID, "cut off after 7 bytes"]),
        ("a header", b"\0asm\x0d\0\x01\0".to_vec(), &[INVALID, "does not export lockgate:executor/executor"]),
        ("noise", noise(100_000, b""), &[INVALID, "no WebAssembly"]),
        ("noise behind a header", noise(100_000, b"\0asm\x0d\0\x01\0"), &[INVALID, "damaged at byte"]),
        ("a source file", b"fn main() {}".to_vec(), &[INVALID, "lockgate build"]),
        ("text", b"(component)".to_vec(), &[INVALID, "wasm-tools parse"]),
        ("a core module", assemble("(module)"), &[INVALID, "core module", "wasm-tools component new"]),
        ("a wasip1 module", assemble(wasip1), &[INVALID, "wasip1", "--adapt", "wasm32-wasip2"]),
        ("an older encoding", older, &[INVALID, "encoding version 12", "rebuild it"]),
        ("a hundred thousand imports", made::many_imports(100_000), &[INVALID, "more than 1000 imports"]),
        (
            "two hundred thousand functions",
            made::many_functions(200_000),
            &[INVALID, "more than 150000 functions"],
        ),
        ("a deep function", made::deep_function(200_000), &[INVALID, "nested blocks in one function"]),
        ("components within components", made::nested_components(2000), &[INVALID, "nested parts"]),
        ("types within types", made::nested_types(1_000_000), &[INVALID, "types within types"]),
        ("data without end", made::endless_data(), &[INVALID]),
        ("all memory", module("(memory 65536)"), &["limit_exceeded: ", "bytes of memory", "declare less"]),
        ("a vast table", module("(table 4000000000 funcref)"), &["limit_exceeded: ", "table elements"]),
        ("a wide memory", module("(memory i64 1)"), &[INVALID, "64-bit memory", "wasm32-wasip2"]),
        ("sockets", importing("wasi:sockets/tcp@0.2.0"), &[DENIED, "wasi:sockets/tcp@0.2.0", "--stub-wasi"]),
        ("a slip", importing("wasi:cli/stdou@0.2.0"), &[DENIED, "stdou", "wasi:cli/stdout@0.2"]),
        ("another contract", importing("lockgate:executor/docs@0.9.0"), &[INVALID, "offers version 0.1"]),
        ("UTF-16", assemble(utf16), &[INVALID, "UTF-16", "choose UTF-8"]),
        ("a path as a name", look_alike("../../../../etc/passwd"), &[INVALID]),
        ("a terminal's sequence", look_alike("a:b/\u{1b}[2J\u{7}"), &[]),
        ("a look-alike", look_alike("lockgate:executor/d\u{43e}cs@0.1.0"), &[]),
        ("a long name", importing(&format!("a:b/{}", "x".repeat(10_000))), &[INVALID, "bytes in the name"]),
        (
            "no exports",
            std::fs::read(fixtures::component_without_exports()).unwrap(),
            &[INVALID, "exports nothing"],
        ),
    ]
}

/// What is wrong with a refusal, if anything.
fn judge(what: &str, bytes: &[u8], answer: &Answer, words: &[&str]) -> Option<String> {
    let told = told(answer);
    let lacks = words.iter().find(|word| !told.contains(**word));
    let error = answer.json()["error"].clone();
    let is_tame = answer.body.len() < 4096 && !told.contains(['\0', '\u{1b}', '\u{7}', '\u{202e}']);
    let is_named = bytes.is_empty() || error["digest"] == digest(bytes).as_str();
    // None of it passes another time, so nobody is told to come back.
    let is_refused = answer.status.is_client_error() && !answer.headers.contains_key("retry-after");
    let wrong = lacks.is_some() || !is_tame || !is_named || !is_refused;
    wrong.then(|| {
        format!("{what}: lacks {lacks:?}, tame {is_tame}, named {is_named}: {told} {}", error["digest"])
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_refused_in_words_and_leaves_nothing() {
    let mut host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let (acme, other) = (operator.tenant("acme", plenty()).await, operator.tenant("other", plenty()).await);
    other.publish("shout", fixture("neighbour"), json!({})).await;
    let before = host.resident_bytes();
    let (mut wrong, mut sent) = (Vec::new(), 0);
    for (what, bytes, words) in cases() {
        let answer = acme.upload(bytes.clone()).await;
        assert!(host.is_alive(), "{what} ended the host; it said:\n{}", host.logs());
        wrong.extend(judge(what, &bytes, &answer, words));
        sent += 1;
    }
    let whole = fixture("neighbour");
    let cuts = made::cuts(&whole);
    assert!(cuts.len() > 10, "{} sections", cuts.len());
    for cut in cuts.into_iter().flat_map(|cut| [cut, cut + 1]) {
        let rest = &whole[..cut];
        let answer = acme.upload(rest.to_vec()).await;
        wrong.extend(judge(&format!("cut at {cut}"), rest, &answer, &["400 invalid_component: "]));
        sent += 1;
    }
    for (headers, words) in [
        (&[("content-encoding", "gzip")][..], "compressed request bodies are not read"),
        (&[("lockgate-signature", "release:AAAA")][..], "signature"),
    ] {
        let answer = acme.send("POST T/components", headers, whole[..4096].to_vec()).await;
        assert!(answer.status.is_client_error() && told(&answer).contains(words), "{}", told(&answer));
        sent += 1;
    }
    let said = digest(b"something else");
    sent += 1;
    let mismatch = acme.send(&format!("PUT T/components/{said}"), &[], whole.clone()).await;
    assert!(told(&mismatch).starts_with("400 invalid_request: the bytes have digest"), "{}", told(&mismatch));
    assert!(
        told(&mismatch).contains(&said) && told(&mismatch).contains(&digest(&whole)),
        "{}",
        told(&mismatch)
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    assert_eq!(acme.must("GET T/components", Value::Null).await["items"], json!([]));
    assert_eq!(incoming(&host), 0);
    assert_eq!(kept(&host).len(), 1, "what the other tenant has, and nothing else");
    let audited = acme.audited("component.upload").await;
    assert_eq!((audited.len(), audited.iter().flatten().count()), (sent, sent), "one entry for each refusal");
    let invalid = audited.iter().filter(|error| error.as_deref() == Some("invalid_component")).count();
    let counted = operator.metric(r#"lockgate_control_refused_total{code="invalid_component"}"#).await;
    assert_eq!(counted, Some(invalid as f64));
    assert_texts(&other.call("shout", "/upper", &["still"], json!({})).await, &["STILL"]);
    memory_returns(&host, before).await;
}

/// The files of components.
fn kept(host: &RunningServe) -> Vec<PathBuf> {
    files(&host.data_folder().join("components")).into_iter().collect()
}

/// All files below a folder.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            path => BTreeSet::from([path]),
        })
        .collect()
}

/// Two thousand bits of a small component, one at a time: what is taken is asked what it is, and some of it called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits() {
    let mut host = serve(&[]).await;
    let acme = Caller::operator(&host).tenant("acme", plenty()).await;
    let bytes = guest::component(1, Manner::Plain);
    assert_eq!(acme.upload(bytes.clone()).await.status, 201);
    let before = host.resident_bytes();
    let (bytes, caller) = (&bytes, &acme);
    let flips = (0..2000).map(|turn| async move {
        let bit = turn * 7919 % (bytes.len() * 8);
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let answer = caller.upload(damaged).await;
        let status = answer.status.as_u16();
        assert!(matches!(status, 200 | 201 | 400..=499), "bit {bit}: {}", told(&answer));
        (status == 201).then(|| answer.json()["digest"].clone())
    });
    let taken: Vec<Value> =
        stream::iter(flips).buffer_unordered(4).filter_map(async |taken| taken).collect().await;
    assert!(host.is_alive(), "{}", host.logs());
    assert!(!taken.is_empty() && taken.len() < 2000, "{} were taken", taken.len());
    for (turn, component) in taken.iter().step_by(taken.len().div_ceil(10)).enumerate() {
        let revision =
            acme.ask(&format!("POST T/executors/e{turn}/revisions"), json!({ "component": component })).await;
        assert!(!revision.status.is_server_error(), "{component}: {}", revision.text());
        if revision.status.is_success() {
            let answer = acme.call(&format!("e{turn}"), "/run", &["x"], json!({})).await;
            let code = answer.problem().map(|problem| problem["code"].clone());
            assert_ne!(code, Some(json!("host_fault")), "{component}: {}", answer.text());
        }
    }
    acme.publish("whole", bytes.clone(), json!({})).await;
    assert_eq!(acme.number("whole").await, 1);
    assert_eq!(incoming(&host), 0);
    memory_returns(&host, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_bytes_a_hundred_times_at_once() {
    let host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let (acme, other) = (operator.tenant("acme", plenty()).await, operator.tenant("other", plenty()).await);
    let bytes = fixture("chunker");
    let uploads = (0..100).map(|turn| if turn % 2 == 0 { &acme } else { &other }).map(|caller| {
        let bytes = bytes.clone();
        async move { (caller.tenant.as_str(), caller.upload(bytes).await) }
    });
    let answers = futures_util::future::join_all(uploads).await;
    for tenant in ["acme", "other"] {
        let mut statuses: Vec<u16> = answers
            .iter()
            .filter(|(by, _)| *by == tenant)
            .map(|(_, answer)| answer.status.as_u16())
            .collect();
        statuses.sort_unstable();
        assert_eq!(statuses[..49], [200; 49], "{tenant}");
        assert_eq!(statuses[49], 201, "{tenant}");
    }
    for caller in [&acme, &other] {
        let listed = caller.must("GET T/components", Value::Null).await;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(listed["items"][0]["digest"], digest(&bytes).as_str());
    }
    let status = operator.must("GET /v1/status", Value::Null).await;
    assert_eq!(
        (&status["components"], &status["stored_bytes"]),
        (&json!(2), &json!(2 * bytes.len())),
        "{status}"
    );
    let compiled = files(&host.data_folder().join("compiled"));
    let machine_code = compiled.iter().filter(|path| path.extension().is_some_and(|end| end == "cwasm"));
    assert_eq!((kept(&host).len(), machine_code.count(), incoming(&host)), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_slow_to_compile_holds_up_its_own_tenant_only() {
    let mut host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let (mallory, alice) =
        (operator.tenant("mallory", plenty()).await, operator.tenant("alice", plenty()).await);
    alice.publish("shout", fixture("neighbour"), json!({})).await;
    let small = guest::component(1, Manner::Plain);
    let slow = [1, 2, 3].map(|salt| made::slow_to_compile(&small, salt));
    let bytes: u64 = slow.iter().map(|slow| slow.len() as u64).sum();
    let uploads = futures_util::future::join_all(slow.map(|slow| mallory.upload(slow)));
    let folder = host.data_folder().join("incoming");
    let honest = beside(&alice, async {
        wait_for("the slow ones to be there", async || {
            let files = std::fs::read_dir(&folder).unwrap().flatten();
            let sizes = files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len());
            (sizes.sum::<u64>() == bytes).then_some(())
        })
        .await;
        for number in 10..14 {
            let executor = format!("e{number}");
            alice.publish(&executor, guest::component(number, Manner::Plain), json!({})).await;
            assert_eq!(alice.number(&executor).await, number);
        }
    });
    tokio::select! {
        biased;
        answers = uploads => panic!("they were not slow: {answers:?}"),
        () = honest => {}
    }
    assert!(host.is_alive());
}

/// A connection on which an upload has begun.
async fn begin(caller: &Caller, host: &RunningServe, headers: &str, body: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(host.control_address()).await.unwrap();
    let head = format!(
        "POST /v1/tenants/{}/components HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n{headers}\r\n\r\n",
        caller.tenant, caller.key
    );
    socket.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    socket
}

async fn until_incoming(host: &RunningServe, count: usize) {
    wait_for(&format!("{count} uploads"), async || (incoming(host) == count).then_some(())).await;
}

/// Uploads that one tenant may have under way; `ControlOptions::uploads_per_tenant`.
const AT_ONCE: usize = 128;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_end_and_callers_that_leave() {
    let mut host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let (acme, other) = (operator.tenant("acme", plenty()).await, operator.tenant("other", plenty()).await);
    for (headers, body) in
        [("content-length: 200000000", b"abc".as_slice()), ("transfer-encoding: chunked", b"3\r\nabc\r\n")]
    {
        let socket = begin(&acme, &host, headers, body).await;
        until_incoming(&host, 1).await;
        drop(socket);
        until_incoming(&host, 0).await;
    }
    // All that one tenant may have at once, each with a byte now and then.
    let mut slow = Vec::new();
    for _ in 0..AT_ONCE {
        slow.push(begin(&acme, &host, "content-length: 200000000", b"\0").await);
    }
    until_incoming(&host, AT_ONCE).await;
    for socket in &mut slow {
        socket.write_all(b"a").await.unwrap();
    }
    let refused = acme.upload(guest::component(1, Manner::Plain)).await;
    assert!(
        told(&refused).starts_with("429 quota_exceeded: tenant acme has 128 uploads"),
        "{}",
        told(&refused)
    );
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(other.upload(guest::component(1, Manner::Plain)).await.status, 201);
    assert!(host.is_alive());
    drop(slow);
    until_incoming(&host, 0).await;
    operator.until("lockgate_uploads_in_flight", 0.0).await;
    assert_eq!(acme.upload(guest::component(1, Manner::Plain)).await.status, 201);
    assert_eq!(kept(&host).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_too_large() {
    let host = serve(&["--max-component", "1MiB"]).await;
    let operator = Caller::operator(&host);
    let acme = operator.tenant("acme", plenty()).await;
    // Said before: nothing of it is taken.
    let mut socket = begin(&acme, &host, "content-length: 1048577", b"").await;
    let mut said = Vec::new();
    socket.read_to_end(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.1 413 ") && said.contains("request_too_large"), "{said}");
    // Chunks without end: the host reads on for a moment, so that the caller gets to read why, and hangs up.
    let mut socket = begin(&acme, &host, "transfer-encoding: chunked", b"").await;
    let chunk = [b"10000\r\n".as_slice(), &vec![0; 1 << 16], b"\r\n"].concat();
    let mut chunks = 0;
    while socket.write_all(&chunk).await.is_ok() {
        chunks += 1;
        assert!(chunks < 1 << 18, "16 GiB were read");
    }
    let errors = wait_for("two refusals", async || {
        let audited = acme.audited("component.upload").await;
        (audited.len() == 2).then_some(audited)
    })
    .await;
    assert_eq!(errors, [Some("request_too_large".to_owned()), Some("request_too_large".to_owned())]);
    // More than what is left of the tenant's room.
    let bytes = fixture("neighbour");
    let poor = operator.tenant("poor", json!({ "stored_bytes": bytes.len() - 1 })).await;
    let refused = poor.upload(bytes).await;
    assert!(told(&refused).starts_with("429 quota_exceeded: "), "{}", told(&refused));
    assert_eq!(refused.json()["error"]["limit"]["name"], "stored_bytes", "{}", refused.text());
    assert_eq!(poor.upload(guest::component(1, Manner::Plain)).await.status, 201);
    assert_eq!((incoming(&host), kept(&host).len()), (0, 1));
}

/// Puts a file in the place of one, with a bit of its middle changed.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Another file under the name: what still runs keeps its own.
    let beside = path.with_extension("damaged");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(beside, path).unwrap();
}

fn machine_code(host: &RunningServe) -> Vec<PathBuf> {
    let compiled = files(&host.data_folder().join("compiled"));
    compiled.into_iter().filter(|path| path.extension().is_some_and(|end| end == "cwasm")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_files_are_never_run() {
    const REFUSED: &str = "compiled code does not match its checksum";
    let mut host = serve(&["--evict-after", "1s"]).await;
    let mut acme = Caller::operator(&host).tenant("acme", plenty()).await;
    acme.publish("shout", fixture("neighbour"), json!({})).await;
    acme.publish("small", guest::component(5, Manner::Plain), json!({})).await;
    assert_texts(&acme.call("shout", "/upper", &["a"], json!({})).await, &["A"]);
    // While the host runs: no longer in memory, then damaged, then called.
    acme.until("lockgate_resident", 0.0).await;
    assert_eq!(machine_code(&host).len(), 2);
    machine_code(&host).iter().for_each(|path| damage(path));
    assert_texts(&acme.call("shout", "/upper", &["b"], json!({})).await, &["B"]);
    assert_eq!(acme.number("small").await, 5);
    assert_eq!(host.logs().matches(REFUSED).count(), 2, "{}", host.logs());
    // While it does not.
    host.terminate();
    assert!(host.ended().await.success(), "{}", host.logs());
    machine_code(&host).iter().for_each(|path| damage(path));
    let again = host.again(BINARY).word("--evict-after").word("1s");
    host = again.start().await;
    (acme.control, acme.data) = (host.control_url(""), host.data_url(""));
    assert_texts(&acme.call("shout", "/upper", &["c"], json!({})).await, &["C"]);
    assert!(host.logs().contains(REFUSED), "{}", host.logs());
    // Neither machine code nor whole bytes: that executor is refused and names its component, the other goes on.
    acme.until("lockgate_resident", 0.0).await;
    let small = digest(&guest::component(5, Manner::Plain));
    let path =
        kept(&host).into_iter().find(|path| small.ends_with(&*path.file_name().unwrap().to_string_lossy()));
    damage(&path.unwrap());
    machine_code(&host).iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let answer = acme.call("small", "/run", &["x"], json!({})).await;
    assert!(told(&answer).contains("host_fault") && told(&answer).contains(&small), "{}", told(&answer));
    assert_texts(&acme.call("shout", "/upper", &["d"], json!({})).await, &["D"]);
    assert!(host.is_alive());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_no_names() {
    let mut host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let acme = operator.tenant("acme", plenty()).await;
    let published = acme.publish("shout", guest::component(1, Manner::Plain), json!({})).await;
    let component = published["revision"]["spec"]["component"].clone();
    let before = files(host.folder());
    let long = "x".repeat(10_000);
    let names = [
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "a%00b",
        "a%0ab",
        "%1b%5b2J",
        "sh%d0%beut",
        "a%e2%80%aeb",
        "%ff",
        "a%20b",
        &long,
    ];
    for name in names {
        let (revision, yaml) =
            (json!({ "component": component }), "jtype: Flow\nexecutors:\n  - uses: shout\n");
        let json = [("content-type", "application/json")];
        for (what, body) in [
            (format!("POST T/executors/{name}/revisions"), revision.to_string()),
            (format!("PUT T/executors/shout/tags/{name}"), json!({ "revision": 1 }).to_string()),
            (format!("PUT T/executors/{name}/deployment"), "{}".to_owned()),
            (format!("PUT T/secrets/{name}"), json!({ "value": "x" }).to_string()),
            (format!("GET T/capsules/{name}"), String::new()),
            (format!("PUT /v1/tenants/{name}"), "{}".to_owned()),
            (format!("PUT T/components/{name}"), "x".to_owned()),
        ] {
            let answer = acme.send(&what, &json, body).await;
            assert_eq!(answer.status, 400, "{what}: {}", answer.text());
            assert!(answer.body.len() < 1024, "{what}: {}", answer.text());
        }
        let flow =
            acme.send(&format!("PUT T/flows/{name}"), &[("content-type", "application/yaml")], yaml).await;
        assert_eq!(flow.status, 400, "{name}: {}", flow.text());
        // At the data plane a text that no name can be is a thing that is not there.
        let key = [("x-api-key", acme.key.as_str())];
        for kind in ["flows", "executors"] {
            let url = format!("{}/{kind}/{name}/post", acme.data);
            let answer = acme.client.send(http::Method::POST, &url, &key, "{}".into()).await;
            assert!(matches!(answer.status.as_u16(), 400 | 404), "{url}: {}", answer.text());
            assert!(
                answer.body.len() < 2048 && !answer.text().contains('\u{202e}'),
                "{url}: {}",
                answer.text()
            );
        }
    }
    for name in ["../../etc", "a\0b", "sh\u{43e}ut", "", &long] {
        let answer = operator.ask("POST /v1/tenants", json!({ "name": name })).await;
        assert_eq!(answer.status, 400, "{name:?}: {}", answer.text());
        let tag = json!({ "component": component, "tag": name });
        let answer = acme.ask("POST T/executors/shout/revisions", tag).await;
        assert_eq!(answer.status, 400, "{name:?}: {}", answer.text());
    }
    assert!(host.is_alive());
    assert_eq!(files(host.folder()), before, "no file has such a name");
    assert_eq!(acme.number("shout").await, 1);
}
