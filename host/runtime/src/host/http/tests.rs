//! What outbound HTTP does and refuses, against a server of this machine that behaves and misbehaves by path.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::atomic::AtomicU32;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use lockgate_domain::HostPattern;

use super::*;

/// A server; it ends with the process.
struct Server {
    port: u16,
    requests: Arc<AtomicU32>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicU32::new(0));
        let counted = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                std::thread::spawn(move || answer(stream, &counted));
            }
        });
        Self { port, requests }
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Answers one request; failures to write are the client's doing.
fn answer(mut stream: TcpStream, counted: &AtomicU32) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    counted.fetch_add(1, Ordering::SeqCst);
    let lines = reader.by_ref().lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    reader.read_exact(&mut vec![0; length.unwrap_or(0)]).ok();
    let path = first.split(' ').nth(1).unwrap_or("").to_owned();
    // Silent until the client hangs up.
    let mut forever = || {
        reader.read_exact(&mut [0]).ok();
        None
    };
    match path.as_str() {
        "/hello" => write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-y: z\r\n\r\nhello").ok(),
        "/head" => {
            let text = format!("{first}{}", head.join("\n"));
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).ok()
        }
        "/redirect" => {
            write!(stream, "HTTP/1.1 302 Found\r\nlocation: /hello\r\ncontent-length: 0\r\n\r\n").ok()
        }
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok();
            while write!(stream, "1000\r\n{}\r\n", "x".repeat(4096)).is_ok() {}
            None
        }
        "/wide" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").ok();
            while write!(stream, "x-{}: y\r\n", "x".repeat(1000)).is_ok() {}
            None
        }
        "/silent" => forever(),
        "/stalls" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello").ok();
            forever()
        }
        "/breaks" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello").ok(),
        "/upgrade" => stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
            .ok(),
        _ => stream.write_all(b"this is no HTTP\r\n\r\n").ok(),
    };
}

fn hooks(hosts: &[&str], change: impl FnOnce(&mut HttpGrant), allowance: EgressAllowance) -> Outbound {
    let hosts = hosts.iter().map(|host| host.parse::<HostPattern>().unwrap()).collect();
    let mut grant = HttpGrant::to(hosts);
    change(&mut grant);
    let access = Arc::new(HttpAccess::new(grant, allowance));
    Outbound::new(Some(access), Instant::now() + Duration::from_secs(30))
}

/// May call this server, as a host with private networks would allow.
fn local(server: &Server, change: impl FnOnce(&mut HttpGrant)) -> Outbound {
    let host = format!("127.0.0.1:{}", server.port);
    let change = |grant: &mut HttpGrant| {
        grant.private_networks = true;
        change(grant);
    };
    hooks(&[&host], change, EgressAllowance::default())
}

fn get(url: &str) -> Request<WasiBody> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    Request::builder().uri(url).body(body).unwrap()
}

/// Sends and reads the whole answer, polling the connection as wasmtime-wasi-http does.
async fn exchange(
    outbound: &mut Outbound,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<(u16, String), Error> {
    let sent = outbound.hooks.send_request(request, Some(options), Box::new(async { Ok(()) }));
    let (response, background) = Pin::from(sent).await?;
    let status = response.status().as_u16();
    let mut background = Pin::from(background);
    let read = response.into_body().collect();
    tokio::pin!(read);
    let whole = tokio::select! {
        whole = &mut read => whole,
        _ = &mut background => read.await,
    };
    Ok((status, String::from_utf8(whole?.to_bytes().to_vec()).unwrap()))
}

async fn fetch(outbound: &mut Outbound, url: &str) -> Result<(u16, String), Error> {
    exchange(outbound, get(url), RequestOptions::default()).await
}

async fn fails(outbound: &mut Outbound, url: &str, expected: &str) {
    let failed = fetch(outbound, url).await.unwrap_err();
    assert!(format!("{failed:?}").starts_with(expected), "{url}: {failed:?}, not {expected}");
}

#[tokio::test]
async fn a_granted_host_is_reached_and_every_byte_is_written_down() {
    let server = Server::start();
    let mut outbound = local(&server, |_| {});
    let url = format!("http://127.0.0.1:{}/hello", server.port);
    assert_eq!(fetch(&mut outbound, &url).await.unwrap(), (200, "hello".to_owned()));
    let spent = outbound.take_spent();
    assert!((40..200).contains(&spent), "{spent}");
    assert_eq!(outbound.take_spent(), 0);
    let mut request = get(&format!("http://127.0.0.1:{}/head", server.port));
    let body = Full::new(Bytes::from(vec![b'x'; 1000]));
    *request.body_mut() = body.map_err(|never| match never {}).boxed_unsync();
    *request.method_mut() = Method::POST;
    let (_, head) = exchange(&mut outbound, request, RequestOptions::default()).await.unwrap();
    assert!(head.starts_with("POST /head HTTP/1.1") && head.contains("content-length: 1000"), "{head}");
    let spent = outbound.take_spent();
    assert!((1050..1500).contains(&spent), "{spent}");
}

#[tokio::test]
async fn what_is_not_granted_is_not_reached() {
    let server = Server::start();
    let url = |host: &str| format!("http://{host}:{}/hello", server.port);
    let until = Instant::now() + Duration::from_secs(30);
    fails(&mut Outbound::new(None, until), &url("127.0.0.1"), "HttpRequestDenied").await;
    let mut other = hooks(&["api.example.org"], |grant| grant.private_networks = true, Default::default());
    fails(&mut other, &url("127.0.0.1"), "HttpRequestDenied").await;
    fails(&mut other, "http://api.example.org:81/", "HttpRequestDenied").await;
    fails(&mut other, "http://api.example.org@127.0.0.1/", "HttpRequestUriInvalid").await;
    fails(&mut other, "ftp://api.example.org/", "HttpProtocolError").await;
    for method in [Method::CONNECT, Method::TRACE] {
        let mut request = get("http://api.example.org/");
        *request.method_mut() = method;
        let failed = exchange(&mut other, request, RequestOptions::default()).await.unwrap_err();
        assert!(matches!(failed, Error::HttpRequestMethodInvalid), "{failed:?}");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn no_spelling_of_this_machine_is_public() {
    let server = Server::start();
    let spellings =
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001"];
    for spelling in spellings {
        let granted = format!("{spelling}:{}", server.port);
        let mut outbound = hooks(&[&granted], |_| {}, EgressAllowance::default());
        let failed = fetch(&mut outbound, &format!("http://{granted}/hello")).await.unwrap_err();
        let is_refused = matches!(failed, Error::DestinationIpProhibited | Error::DnsError { .. });
        assert!(is_refused, "{spelling}: {failed:?}");
    }
    let mut outbound = hooks(&["169.254.169.254"], |_| {}, EgressAllowance::default());
    fails(&mut outbound, "http://169.254.169.254/latest/meta-data", "DestinationIpProhibited").await;
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn redirects_are_answers() {
    let server = Server::start();
    let url = format!("http://127.0.0.1:{}/redirect", server.port);
    assert_eq!(fetch(&mut local(&server, |_| {}), &url).await.unwrap(), (302, String::new()));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn answers_end() {
    let server = Server::start();
    let url = |path: &str| format!("http://127.0.0.1:{}/{path}", server.port);
    let mut outbound = local(&server, |grant| grant.response_bytes = 100_000);
    fails(&mut outbound, &url("endless"), "HttpResponseBodySize(Some(100000))").await;
    assert!(outbound.take_spent() < 1_000_000, "it is left alone soon after");
    fails(&mut outbound, &url("wide"), "HttpResponseHeaderSectionSize").await;
    fails(&mut outbound, &url("breaks"), "HttpResponseIncomplete").await;
    fails(&mut outbound, &url("upgrade"), "HttpProtocolError").await;
    fails(&mut outbound, &url("garbage"), "HttpProtocolError").await;
    let short = Some(Duration::from_millis(30));
    let options =
        RequestOptions { first_byte_timeout: short, between_bytes_timeout: short, ..Default::default() };
    for path in ["silent", "stalls"] {
        let failed = exchange(&mut outbound, get(&url(path)), options).await.unwrap_err();
        assert!(matches!(failed, Error::ConnectionReadTimeout), "{path}: {failed:?}");
        // Without a time of its own, the call's end is the end.
        outbound.hooks.deadline = Instant::now() + Duration::from_millis(30);
        fails(&mut outbound, &url(path), "ConnectionReadTimeout").await;
        outbound.hooks.deadline = Instant::now() + Duration::from_secs(30);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_trusted() {
    let server = Server::start();
    let mut outbound = local(&server, |_| {});
    let url = format!("https://127.0.0.1:{}/hello", server.port);
    let failed = fetch(&mut outbound, &url).await.unwrap_err();
    assert!(matches!(failed, Error::TlsProtocolError | Error::ConnectionTerminated), "{failed:?}");
}

#[tokio::test]
async fn a_call_has_a_number_of_requests_and_an_account_of_bytes() {
    let server = Server::start();
    let url = format!("http://127.0.0.1:{}/hello", server.port);
    let mut outbound = local(&server, |grant| grant.requests_per_call = 2);
    for _ in 0..2 {
        fetch(&mut outbound, &url).await.unwrap();
        fetch(&mut outbound, &url).await.unwrap();
        fails(&mut outbound, &url, "ConnectionLimitReached").await;
        outbound.begin();
    }
    let allowance = EgressAllowance::new(300);
    let host = format!("127.0.0.1:{}", server.port);
    let mut outbound = hooks(&[&host], |grant| grant.private_networks = true, allowance.clone());
    fetch(&mut outbound, &url).await.unwrap();
    while allowance.left() > 0 {
        fetch(&mut outbound, &url).await.ok();
    }
    let seen = server.requests();
    fails(&mut outbound, &url, "InternalError(Some(\"the allowance of egress bytes is used up\"))").await;
    assert_eq!(server.requests(), seen, "nothing is sent any more");
}

#[test]
fn headers_of_the_connection_are_ours() {
    for name in [
        "host",
        "connection",
        "transfer-encoding",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "proxy-authorization",
    ] {
        assert!(is_forbidden(&HeaderName::from_static(name)), "{name}");
    }
    for name in ["authorization", "content-type", "content-length", "x-anything"] {
        assert!(!is_forbidden(&HeaderName::from_static(name)), "{name}");
    }
}
