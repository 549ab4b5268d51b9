//! One request on one connection: look the name up, judge its addresses, connect to one of exactly those, and let go.
//!
//! The name is looked up once. A second look-up could give another address than the one that was judged, which is how
//! a hostile name server reaches into private networks.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use http::header::HeaderMap;
use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{Error, WasiBody};

use super::body::{Answer, Outgoing, Patience, Tally};
use super::{Background, HEAD_BYTES, address};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;
/// Fields of a response's head.
const MAX_FIELDS: usize = 128;

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// a name in lower case, or an address as it stands in a URL
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

/// What was decided about one request.
pub(super) struct Permit {
    pub(super) private_networks: bool,
    pub(super) response_bytes: u64,
    pub(super) request_bytes: u64,
    pub(super) lookups: Arc<Semaphore>,
    pub(super) connect: Duration,
    pub(super) first_byte: Duration,
    pub(super) between_bytes: Duration,
    pub(super) until: Instant,
    pub(super) tally: Tally,
    pub(super) place: OwnedSemaphorePermit,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Sends the request; the second part of the answer keeps the connection going and must be polled.
pub(super) async fn send(
    request: Request<WasiBody>,
    destination: Destination,
    permit: Permit,
) -> Result<(Response<WasiBody>, Background), Error> {
    let stream =
        in_time(permit.connect, permit.until, Error::ConnectionTimeout, connect(&destination, &permit));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES).max_headers(MAX_FIELDS);
    let (mut sender, mut connection) = builder.handshake(TokioIo::new(stream.await?)).await?;
    let Permit { response_bytes, request_bytes, first_byte, between_bytes, until, tally, place, .. } = permit;
    let request = prepare(request, request_bytes, &tally)?;
    let mut has_ended = false;
    let answer = async {
        let sending = sender.send_request(request);
        tokio::pin!(sending);
        tokio::select! {
            biased;
            answer = &mut sending => answer,
            // The connection ends on its own only when it failed or the answer is there.
            ended = &mut connection => {
                has_ended = true;
                match ended {
                    Ok(()) => sending.await,
                    Err(error) => Err(error),
                }
            }
        }
        .map_err(of_hyper)
    };
    let response = in_time(first_byte, until, Error::ConnectionReadTimeout, answer).await?;
    let (head, body) = response.into_parts();
    tally.add(head_bytes(&head.headers))?;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::HttpProtocolError);
    }
    let patience = Patience { most: response_bytes, between: between_bytes, until };
    let body = Answer::new(body, patience, tally, place).boxed_unsync();
    let background: Background = Box::new(async move {
        // The sender lives as long as the connection: hyper ends the connection with it.
        let ended = if has_ended { Ok(()) } else { connection.await };
        drop(sender);
        ended.map_err(Error::from)
    });
    Ok((Response::from_parts(head, body), background))
}

/// The request as it stands on the connection: its path, our version, and a body that is counted.
fn prepare(request: Request<WasiBody>, most: u64, tally: &Tally) -> Result<Request<Outgoing>, Error> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let bytes = head_bytes(&head.headers) + path.len() as u64 + 32;
    if bytes > HEAD_BYTES as u64 {
        return Err(Error::HttpRequestHeaderSectionSize(u32::try_from(bytes).ok()));
    }
    tally.add(bytes)?;
    head.uri = Uri::builder().path_and_query(path).build().map_err(|_| Error::HttpRequestUriInvalid)?;
    head.version = Version::HTTP_11;
    Ok(Request::from_parts(head, Outgoing::new(body, most, tally.clone())))
}

fn head_bytes(fields: &HeaderMap) -> u64 {
    fields.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}

async fn in_time<T>(
    most: Duration,
    until: Instant,
    late: Error,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let now = Instant::now();
    let end = now.checked_add(most).map_or(until, |end| end.min(until));
    tokio::time::timeout_at(end.into(), work).await.unwrap_or(Err(late))
}

fn of_hyper(error: hyper::Error) -> Error {
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(Some(HEAD_BYTES as u32));
    }
    // An error of the request's body comes back in hyper's own.
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        match cause.downcast_ref::<Error>() {
            Some(Error::HttpRequestBodySize(size)) => return Error::HttpRequestBodySize(*size),
            Some(Error::InternalError(words)) => return Error::InternalError(words.clone()),
            _ => source = cause.source(),
        }
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Error::ConnectionTerminated;
    }
    Error::HttpProtocolError
}

// === connecting ===

async fn connect(destination: &Destination, permit: &Permit) -> Result<Box<dyn Stream>, Error> {
    let addresses = look_up(destination, &permit.lookups).await?;
    let allowed = addresses.iter().filter(|at| permit.private_networks || address::is_public(at.ip()));
    let mut refusal = Error::DestinationIpProhibited;
    for at in allowed.take(MAX_ADDRESSES) {
        match TcpStream::connect(at).await {
            Ok(stream) => {
                // A request is written in one piece; waiting for more only delays it.
                stream.set_nodelay(true).ok();
                return if destination.tls {
                    encrypt(destination, stream).await
                } else {
                    Ok(Box::new(stream))
                };
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                refusal = Error::ConnectionRefused;
            }
            Err(_) => refusal = Error::DestinationUnavailable,
        }
    }
    Err(refusal)
}

/// All addresses of the host. A literal address is itself.
async fn look_up(destination: &Destination, lookups: &Arc<Semaphore>) -> Result<Vec<SocketAddr>, Error> {
    let Destination { host, port, .. } = destination;
    if let Some(literal) = literal(host) {
        return Ok(vec![SocketAddr::new(literal, *port)]);
    }
    let place = lookups.clone().acquire_owned().await.map_err(|_| Error::DnsTimeout)?;
    let (host, port) = (host.clone(), *port);
    let found = tokio::task::spawn_blocking(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        drop(place);
        found
    });
    let failed = |words: &str| Error::DnsError { rcode: Some(words.into()), info_code: None };
    match found.await {
        Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(failed("the name has no address")),
        Err(_) => Err(failed("the look-up failed")),
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

async fn encrypt(destination: &Destination, stream: TcpStream) -> Result<Box<dyn Stream>, Error> {
    let name = match literal(&destination.host) {
        Some(address) => ServerName::from(address),
        None => ServerName::try_from(destination.host.clone()).map_err(|_| Error::HttpRequestUriInvalid)?,
    };
    let connector = connector()?;
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(of_tls(&error)),
    }
}

fn of_tls(error: &std::io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}

/// TLS 1.2 and 1.3 against the roots that browsers trust.
fn connector() -> Result<TlsConnector, Error> {
    static CONFIG: LazyLock<Option<Arc<rustls::ClientConfig>>> = LazyLock::new(|| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().ok()?;
        Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    });
    CONFIG.clone().map(TlsConnector::from).ok_or(Error::ConfigurationError)
}
