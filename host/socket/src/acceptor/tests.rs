//! Real sockets and real handshakes, and peers that do not want either.

use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{ALPN_HTTP1, ALPN_HTTP2, ClientTls, client_hint};

/// Far beyond what any condition takes.
const PATIENCE: Duration = Duration::from_secs(60);

const LIMITS: SocketLimits = SocketLimits {
    max_connections: 64,
    max_connections_per_peer: 64,
    greeting: Duration::from_secs(60),
    write_timeout: Duration::from_secs(60),
};

/// A server that says where a caller arrived and sends back what it says, until it says nothing more.
struct Echo {
    plain: SocketAddr,
    secure: SocketAddr,
    files: TempDir,
    certificate: Certificate,
    served: Arc<AtomicUsize>,
    shutdown: CancellationToken,
    running: JoinSet<usize>,
}

impl Echo {
    async fn start(limits: SocketLimits) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let files = tempfile::tempdir().unwrap();
        let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let certificate = Certificate::load(&cert, &key).unwrap();
        let bind = || TcpListener::bind(("127.0.0.1", 0));
        let (plain, secure) = (bind().await.unwrap(), bind().await.unwrap());
        let (plain, secure) = (Listener::from(plain), Listener::new(secure, Some(certificate.clone())));
        let addresses = (plain.address().unwrap(), secure.address().unwrap());
        let (served, shutdown) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let drain = CancellationToken::new();
        let (count, ending) = (served.clone(), drain.clone());
        let serve = move |socket, arrival: Arrival| {
            count.fetch_add(1, Ordering::Relaxed);
            echo(socket, arrival.listener, ending.clone())
        };
        let alpn = &[ALPN_HTTP2, ALPN_HTTP1];
        let mut acceptor = Acceptor::new(vec![plain, secure], alpn, limits, drain, serve);
        let mut running = JoinSet::new();
        let end = shutdown.clone();
        running.spawn(async move {
            acceptor.accept_until(end.cancelled()).await;
            acceptor.drain(Instant::now() + PATIENCE).await
        });
        let (plain, secure) = addresses;
        Self { plain, secure, files, certificate, served, shutdown, running }
    }

    async fn connect(&self, address: SocketAddr) -> TcpStream {
        within(TcpStream::connect(address)).await.unwrap()
    }

    fn client(&self) -> ClientTls {
        ClientTls::new(Some(&self.files.path().join("cert.pem")), &[ALPN_HTTP2]).unwrap()
    }

    async fn drained(mut self) -> usize {
        self.shutdown.cancel();
        within(self.running.join_next()).await.unwrap().unwrap()
    }
}

async fn echo(mut socket: Socket, listener: usize, drain: CancellationToken) {
    let mut said = [0; 64];
    let work = async {
        socket.write_all(format!("{listener}:").as_bytes()).await.unwrap();
        while let Ok(count @ 1..) = socket.read(&mut said).await {
            socket.write_all(&said[..count]).await.unwrap();
        }
    };
    tokio::select! {
        () = work => {}
        () = drain.cancelled() => {}
    }
    drop(socket.shutdown().await);
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("the condition never came")
}

/// Says something, and nothing more; gives all that came back.
async fn say(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    words: &[u8],
) -> Vec<u8> {
    within(async {
        let mut answer = Vec::new();
        stream.write_all(words).await.unwrap();
        stream.shutdown().await.unwrap();
        // A server that hangs up on data it has not read resets the connection.
        drop(stream.read_to_end(&mut answer).await);
        answer
    })
    .await
}

#[tokio::test]
async fn each_port_speaks_its_own() {
    let server = Echo::start(LIMITS).await;
    for _ in 0..3 {
        let mut plain = server.connect(server.plain).await;
        assert_eq!(say(&mut plain, b"hello").await, b"0:hello");
        let stream = server.connect(server.secure).await;
        let mut secure = within(server.client().connect("localhost", stream)).await.unwrap();
        assert_eq!(say(&mut secure, b"hello").await, b"1:hello");
    }
    assert_eq!(server.drained().await, 0);
}

#[tokio::test]
async fn peers_without_tls_are_told_in_their_own_protocol() {
    let server = Echo::start(LIMITS).await;
    let check = async |words: &[u8], expected: &str| {
        let mut stream = server.connect(server.secure).await;
        let answer = String::from_utf8_lossy(&say(&mut stream, words).await).into_owned();
        assert!(answer.contains(expected) && answer.is_empty() == expected.is_empty(), "{answer:?}");
    };
    check(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "\"message\":\"this port speaks TLS\"").await;
    check(b"POST /post HTTP/1.1\r\n", "HTTP/1.1 400 ").await;
    check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "this port speaks TLS").await;
    check(b"\x00\x01\x02garbage", "").await;
    check(b"", "").await;
    // A broken handshake gets TLS's own alert, and nobody is served.
    let mut stream = server.connect(server.secure).await;
    let answer = say(&mut stream, b"\x16\x03\x01\x00\x04\x63\x00\x00\x00").await;
    assert_eq!(answer.first(), Some(&0x15), "{answer:?}");
    assert_eq!(server.served.load(Ordering::Relaxed), 0);
    assert_eq!(server.drained().await, 0);
}

#[tokio::test]
async fn clients_are_told_what_is_wrong() {
    let server = Echo::start(LIMITS).await;
    let check = async |client: ClientTls, host: &str, address: SocketAddr, expected: &str| {
        let stream = server.connect(address).await;
        let error = within(client.connect(host, stream)).await.unwrap_err();
        let hint = client_hint(&error).unwrap_or_default();
        assert!(hint.contains(expected) && hint.is_empty() == expected.is_empty(), "{error:?}: {hint}");
    };
    check(server.client(), "other.example", server.secure, "is for other names").await;
    check(server.client(), "localhost", server.plain, "speaks no TLS").await;
    check(server.client(), "not a name", server.secure, "").await;
    let stranger = ClientTls::new(None, &[ALPN_HTTP2]).unwrap();
    check(stranger, "localhost", server.secure, "nobody that is trusted here signed").await;
    let other = server.files.path().join("cert.pem");
    let other = ClientTls::new(Some(&other), &[b"smtp"]).unwrap();
    check(other, "localhost", server.secure, "agree on no TLS").await;
}

#[tokio::test]
async fn silence_in_a_handshake_ends_with_the_drain() {
    let server = Echo::start(LIMITS).await;
    let mut silent = server.connect(server.secure).await;
    let mut halfway = server.connect(server.secure).await;
    halfway.write_all(b"\x16\x03").await.unwrap();
    let mut idle =
        within(server.client().connect("localhost", server.connect(server.secure).await)).await.unwrap();
    let mut greeting = [0; 2];
    within(idle.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(server.drained().await, 0);
    for stream in [&mut silent, &mut halfway] {
        let ended = within(stream.read(&mut greeting)).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    assert_eq!(within(idle.read(&mut greeting)).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_its_time() {
    // The clock is stopped: it jumps ahead when nothing but the handshake's own limit is left to wait for.
    let limits = SocketLimits { greeting: Duration::from_secs(3600), ..LIMITS };
    let server = Echo::start(limits).await;
    let mut halfway = TcpStream::connect(server.secure).await.unwrap();
    halfway.write_all(b"\x16\x03\x01").await.unwrap();
    let mut rest = Vec::new();
    drop(halfway.read_to_end(&mut rest).await);
    assert_eq!(server.served.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn one_peer_takes_no_more_than_its_places() {
    let server = Echo::start(SocketLimits { max_connections_per_peer: 2, ..LIMITS }).await;
    let mut greeting = [0; 2];
    let mut first = server.connect(server.plain).await;
    within(first.read_exact(&mut greeting)).await.unwrap();
    let _handshaking = server.connect(server.secure).await;
    let mut third = server.connect(server.plain).await;
    let answer = within(third.read(&mut greeting)).await;
    assert!(matches!(answer, Ok(0) | Err(_)), "{answer:?}");
}

#[tokio::test]
async fn the_next_handshake_shows_the_new_certificate() {
    let server = Echo::start(LIMITS).await;
    let old = server.client();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(server.files.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(server.files.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    assert!(server.certificate.refresh().unwrap());
    let shaken = within(old.connect("localhost", server.connect(server.secure).await)).await;
    assert!(shaken.is_err());
    let shaken = within(server.client().connect("localhost", server.connect(server.secure).await)).await;
    assert!(shaken.is_ok());
}
