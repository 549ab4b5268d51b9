//! The client against a host that follows a script: what is asked, and what becomes of each answer.

use std::sync::{Arc, Mutex};

use lockgate_domain::ErrorCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::console::Console;
use crate::progress::Progress;

/// An answer to come: status line, further headers, body, and whether the connection ends with it.
struct Turn {
    status: &'static str,
    headers: &'static str,
    body: String,
    hangs_up: bool,
}

/// A request that came, as lines: `PUT /path`, headers in lower case, and the body last.
#[derive(Debug, Clone)]
struct Came {
    line: String,
    headers: Vec<String>,
    body: Vec<u8>,
    connection: usize,
}

impl Came {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| header.strip_prefix(name)?.strip_prefix(": "))
    }
}

fn turn(status: &'static str, body: &Value) -> Turn {
    Turn { status, headers: "", body: body.to_string(), hangs_up: false }
}

fn refusal(status: &'static str, code: &str) -> Turn {
    turn(status, &json!({ "error": { "code": code, "message": format!("it is {code}"), "hint": "do this" } }))
}

/// Serves the script, one turn for each request, and keeps what came.
struct Script {
    url: HostUrl,
    came: Arc<Mutex<Vec<Came>>>,
    _server: JoinSet<()>,
}

impl Script {
    async fn play(turns: Vec<Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string().parse().unwrap();
        let came = Arc::new(Mutex::new(Vec::new()));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, turns, Arc::clone(&came)));
        Self { url, came, _server: server }
    }

    fn client(&self) -> Client {
        Client::new(self.url.clone(), Some("lg_id_secret".into()), Some("acme".parse().unwrap()))
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.came().into_iter().map(|came| came.line).collect()
    }
}

async fn serve(listener: TcpListener, turns: Vec<Turn>, came: Arc<Mutex<Vec<Came>>>) {
    let mut turns = turns.into_iter();
    for connection in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream, connection).await {
            came.lock().unwrap().push(request);
            let Some(turn) = turns.next() else { return };
            let head = format!(
                "HTTP/1.1 {}\r\n{}content-length: {}\r\n\r\n",
                turn.status,
                turn.headers,
                turn.body.len()
            );
            stream.write_all(format!("{head}{}", turn.body).as_bytes()).await.unwrap();
            if turn.hangs_up {
                break;
            }
        }
    }
}

async fn read(stream: &mut BufReader<tokio::net::TcpStream>, connection: usize) -> Option<Came> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let line = lines.remove(0).trim_end_matches(" HTTP/1.1").to_owned();
    let mut came = Came { line, headers: lines, body: Vec::new(), connection };
    let length = came.header("content-length").map_or(0, |length| length.parse().unwrap());
    came.body = vec![0; length];
    stream.read_exact(&mut came.body).await.ok()?;
    Some(came)
}

fn told(error: ControlError) -> String {
    anstream::adapter::strip_str(&error.report.render()).to_string()
}

#[tokio::test]
async fn one_connection_carries_the_key_and_many_requests() {
    let script =
        Script::play(vec![turn("200 OK", &json!({"a": 1})), turn("204 No Content", &Value::Null)]).await;
    let mut client = script.client();
    let path = client.path("/executors/shout").await.unwrap();
    let reply = client.send(Ask::get(&path)).await.unwrap();
    assert_eq!(reply.value().unwrap(), json!({"a": 1}));
    client.send(Ask::put(&path).json(&json!({"b": 2})).unchanged_since(Some("\"3\""))).await.unwrap();
    let came = script.came();
    assert_eq!(
        script.lines(),
        ["GET /v1/tenants/acme/executors/shout", "PUT /v1/tenants/acme/executors/shout"]
    );
    assert_eq!(came[0].header("authorization"), Some("Bearer lg_id_secret"));
    assert_eq!((came[1].header("if-match"), came[1].body.as_slice()), (Some("\"3\""), &b"{\"b\":2}"[..]));
    assert_eq!((came[0].connection, came[1].connection), (0, 0));
}

#[tokio::test]
async fn what_only_reads_is_asked_again_on_a_new_connection() {
    let last = || Turn { hangs_up: true, ..turn("200 OK", &json!(1)) };
    let script = Script::play(vec![last(), last(), last()]).await;
    let mut client = script.client();
    for _ in 0..3 {
        assert_eq!(client.send(Ask::get("/v1/whoami")).await.unwrap().value().unwrap(), json!(1));
    }
    let connections: Vec<usize> = script.came().iter().map(|came| came.connection).collect();
    assert_eq!(connections, [0, 1, 2]);
}

#[tokio::test]
async fn refusals_keep_the_hosts_words() {
    let quota = json!({ "error": {
        "code": "quota_exceeded", "message": "tenant acme has 3 components", "hint": "delete one",
        "limit": { "name": "components", "value": 3 }, "retry_after_ms": 1500,
    } });
    let examples = json!({ "error": {
        "code": "conflict", "message": "an example differs", "details": { "examples": [{ "endpoint": "/x", "difference": "text is \u{1b}b, not a" }] },
    } });
    let html = Turn { body: "<html>".into(), ..turn("502 Bad Gateway", &Value::Null) };
    let turns = vec![
        turn("429 Too Many Requests", &quota),
        turn("409 Conflict", &examples),
        refusal("404 Not Found", "not_found"),
        refusal("401 Unauthorized", "unauthenticated"),
        html,
    ];
    let script = Script::play(turns).await;
    let mut client = Client::new(script.url.clone(), None, None);
    let mut ask = async || client.send(Ask::get("/v1/x")).await.unwrap_err();
    let expected = "error: tenant acme has 3 components\n  caused by: limit components = 3\nhint: delete one\nhint: it may go well in 1.5 s";
    assert_eq!(told(ask().await), expected);
    assert_eq!(told(ask().await), "error: an example differs\n  caused by: /x: text is b, not a");
    assert!(ask().await.is(ErrorCode::NotFound));
    let without_key = told(ask().await);
    assert!(without_key.contains("no key was sent"), "{without_key}");
    let unknown = told(ask().await);
    assert!(unknown.contains("answered HTTP 502") && unknown.contains("hint:"), "{unknown}");
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let page = |items: Value, next: Value| turn("200 OK", &json!({ "items": items, "next": next }));
    let check = async |turns: Vec<Turn>, most: usize, items: Option<usize>, lines: &[&str]| {
        let script = Script::play(turns).await;
        let listing = script.client().list(|| Ask::get("/v1/x"), most).await;
        assert_eq!(listing.ok().map(|listing| listing.items.len()), items);
        assert_eq!(script.lines(), lines);
    };
    check(
        vec![page(json!([1, 2]), json!("a b")), page(json!([3]), Value::Null)],
        1000,
        Some(3),
        &["GET /v1/x?limit=500", "GET /v1/x?limit=500&cursor=a%20b"],
    )
    .await;
    check(vec![page(json!([1, 2, 3]), json!("c"))], 3, Some(3), &["GET /v1/x?limit=3"]).await;
    // A host that goes round in circles is not followed for ever.
    let circle = (0..2).map(|_| page(json!([1]), json!("c"))).collect();
    check(circle, 1000, None, &["GET /v1/x?limit=500", "GET /v1/x?limit=500&cursor=c"]).await;
}

#[tokio::test]
async fn the_tenant_is_the_keys_own_unless_one_is_named() {
    let check = async |whoami: Value, expected: Option<&str>| {
        let script = Script::play(vec![turn("200 OK", &whoami)]).await;
        let mut client = Client::new(script.url.clone(), None, None);
        let path = client.path("/executors").await.ok();
        assert_eq!(path.as_deref(), expected, "{whoami}");
    };
    check(json!({"principal": "key:a", "tenant": "acme"}), Some("/v1/tenants/acme/executors")).await;
    check(json!({"principal": "local", "tenant": null}), Some("/v1/tenants/local/executors")).await;
    check(json!({"principal": "key:a", "tenant": null}), None).await;
    check(json!({"principal": "key:a", "tenant": "../x"}), None).await;
}

#[tokio::test]
async fn a_component_goes_with_its_digest_and_its_signature() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wasm");
    let bytes: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    std::fs::write(&path, &bytes).unwrap();
    let progress = Progress::new(&Console::new(crate::args::Color::Never, crate::args::LogLines::Pretty));
    let file = ComponentFile::read(&path).await.unwrap();
    let place = format!("/v1/tenants/acme/components/{}", file.digest);

    let known = Script::play(vec![turn("200 OK", &json!({"digest": 1}))]).await;
    assert_eq!(upload(&mut known.client(), &file, &progress).await.unwrap(), json!({"digest": 1}));
    assert_eq!(known.lines(), [format!("GET {place}")]);

    let unknown =
        Script::play(vec![refusal("404 Not Found", "not_found"), turn("201 Created", &json!({}))]).await;
    upload(&mut unknown.client(), &file, &progress).await.unwrap();
    let came = unknown.came();
    assert_eq!(unknown.lines(), [format!("GET {place}"), format!("PUT {place}")]);
    assert_eq!((came[1].header("lockgate-signature"), &came[1].body), (None, &bytes));

    std::fs::write(folder.path().join("a.wasm.sig"), "release:AAAA\n").unwrap();
    let file = ComponentFile::read(&path).await.unwrap();
    let signed = Script::play(vec![turn("200 OK", &json!({}))]).await;
    upload(&mut signed.client(), &file, &progress).await.unwrap();
    assert_eq!(signed.came()[0].header("lockgate-signature"), Some("release:AAAA"));

    std::fs::write(folder.path().join("a.wasm.sig"), "no signature").unwrap();
    assert!(ComponentFile::read(&path).await.is_err());
    assert!(ComponentFile::read(folder.path()).await.is_err());
}

#[tokio::test]
async fn components_are_found_by_their_first_digits() {
    let digest = |digit: &str| json!({ "digest": format!("sha256:{}", digit.repeat(64)) });
    let items =
        json!({ "items": [digest("a"), digest("b"), { "digest": format!("sha256:{}c", "a".repeat(63)) }] });
    let check = async |text: &str, expected: Option<&str>| {
        let script = Script::play(vec![turn("200 OK", &items)]).await;
        let found = find_component(&mut script.client(), text).await.ok();
        assert_eq!(found.map(|digest| digest.hex()), expected.map(|digit| digit.repeat(64)), "{text}");
    };
    check("bbbb", Some("b")).await;
    check("sha256:BBBBBB", Some("b")).await;
    check("aaaa", None).await;
    check("cccc", None).await;
    check("aaa", None).await;
    check("../../x", None).await;
    check(&"d".repeat(64), Some("d")).await;
}
