//! What happens on the wire: callers that are slow, gone, deaf or too many, and the end of the process.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Host, digest_of};
use crate::{ControlOptions, Drained};

/// Far beyond what any condition takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Served {
    host: Host,
    address: SocketAddr,
    shutdown: CancellationToken,
    running: JoinSet<Drained>,
}

async fn serve(options: ControlOptions) -> Served {
    let host = Host::with(options).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (control, shutdown) = (host.control.clone(), CancellationToken::new());
    let mut running = JoinSet::new();
    let end = shutdown.clone();
    running.spawn(async move { control.serve(listener.into(), end).await });
    Served { host, address, shutdown, running }
}

impl Served {
    async fn connect(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    fn upload(&self, headers: &str) -> String {
        let key = &self.host.acme;
        format!("POST /v1/tenants/acme/components HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n{headers}\r\n")
    }

    async fn until(&self, what: &str, mut is_true: impl FnMut(&Host) -> bool) {
        let waiting = async {
            while !is_true(&self.host) {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
    }
}

/// All that comes until the connection ends.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.unwrap();
    assert!(read.is_ok(), "{read:?} after {:?}", String::from_utf8_lossy(&text));
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_caller_that_leaves_in_an_upload_leaves_nothing() {
    let served = serve(ControlOptions::default()).await;
    for headers in ["content-length: 5000000\r\n", "transfer-encoding: chunked\r\n"] {
        let mut stream = served.connect(&served.upload(headers)).await;
        let chunk = if headers.starts_with("transfer") { "3\r\nabc\r\n" } else { "abc" };
        stream.write_all(chunk.as_bytes()).await.unwrap();
        served.until("it begins", |host| host.uploads_left() == 1).await;
        drop(stream);
        served.until("it is gone", |host| host.uploads_left() == 0).await;
        served.until("its place is free", |host| host.control.0.uploads.count() == 0).await;
    }
    // The entry is written when all else is over.
    let entry = async {
        loop {
            let audit = "GET /v1/tenants/acme/audit";
            let audit = served.host.send(audit, &served.host.acme, serde_json::Value::Null).await.json();
            match audit["items"][0]["error"].as_str() {
                Some(error) => return error.to_owned(),
                None => tokio::task::yield_now().await,
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, entry).await.as_deref(), Ok("invalid_request"));
}

#[tokio::test]
async fn a_slow_body_is_given_up_on() {
    let options = ControlOptions { body_timeout: Duration::from_millis(50), ..ControlOptions::default() };
    let served = serve(options).await;
    let mut stream = served.connect(&served.upload("content-length: 5000000\r\n")).await;
    stream.write_all(b"abc").await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("came too slowly"), "{answer}");
    served.until("nothing is left", |host| host.uploads_left() == 0).await;
}

#[tokio::test]
async fn silent_and_endless_heads_are_given_up_on() {
    let options = ControlOptions { header_timeout: Duration::from_millis(50), ..ControlOptions::default() };
    let served = serve(options).await;
    assert_eq!(rest(served.connect("").await).await, "");
    rest(served.connect("GET /healthz HTTP/1.1\r\nhost:").await).await;
    let many = "a: b\r\n".repeat(200);
    let answer = rest(served.connect(&format!("GET /healthz HTTP/1.1\r\n{many}\r\n")).await).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_known_component_is_not_even_sent() {
    let served = serve(ControlOptions::default()).await;
    served.host.upload("one").await;
    let key = &served.host.acme;
    let put = |length: usize, more: &str| {
        let digest = digest_of("one");
        format!(
            "PUT /v1/tenants/acme/components/{digest} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\
             content-length: {length}\r\n{more}\r\n"
        )
    };
    // Whoever asks first need not send it at all.
    let answer = rest(served.connect(&put(100_000_000, "expect: 100-continue\r\n")).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    // A small rest is read, and the connection goes on.
    let both = format!("{}oneGET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", put(3, ""));
    let answer = rest(served.connect(&both).await).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{answer}");
}

#[tokio::test]
async fn a_declared_length_beyond_the_limit_is_refused_before_it_is_sent() {
    let served = serve(ControlOptions::default()).await;
    let mut stream = served.connect(&served.upload("content-length: 1000000000000\r\n")).await;
    stream.write_all(&[0; 100_000]).await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("request_too_large"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_on_when_its_caller_leaves_and_draining_waits_for_it() {
    let mut served = serve(ControlOptions::default()).await;
    served.host.judge.hold(true);
    let mut stream = served.connect(&served.upload("content-length: 8\r\n")).await;
    stream.write_all(b"slow one").await.unwrap();
    let examined = |host: &Host| host.judge.examined.load(std::sync::atomic::Ordering::SeqCst) == 1;
    served.until("it is examined", examined).await;
    drop(stream);
    served.shutdown.cancel();
    served.until("the API drains", |host| host.control.readiness().is_err()).await;
    served.host.judge.hold(false);
    let drained = tokio::time::timeout(PATIENCE, served.running.join_next()).await.unwrap();
    assert_eq!(drained.unwrap().unwrap(), Drained { cut_off: 0 });
    let path = format!("GET /v1/tenants/acme/components/{}", digest_of("slow one"));
    served.host.send(&path, &served.host.acme, serde_json::Value::Null).await.check("200");
    let audit =
        served.host.send("GET /v1/tenants/acme/audit", &served.host.acme, serde_json::Value::Null).await;
    assert_eq!(audit.json()["items"][0]["action"], "component.upload");
}

#[tokio::test]
async fn draining_ends_even_with_callers_that_do_not() {
    let options = ControlOptions { drain_timeout: Duration::from_millis(50), ..ControlOptions::default() };
    let mut served = serve(options).await;
    let mut stream = served.connect(&served.upload("content-length: 5000000\r\n")).await;
    stream.write_all(b"abc").await.unwrap();
    served.until("it begins", |host| host.uploads_left() == 1).await;
    served.shutdown.cancel();
    let drained = tokio::time::timeout(PATIENCE, served.running.join_next()).await.unwrap();
    assert!(drained.unwrap().unwrap().cut_off > 0);
    served.until("nothing is left", |host| host.uploads_left() == 0).await;
}
