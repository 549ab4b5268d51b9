//! Accepts connections, drives them, and drains them.
//!
//! One task per connection, all in one set: a WebSocket session goes on in the task of the connection it came from,
//! so dropping the set ends everything that callers started. Connections beyond the limit wait in the system's queue;
//! those that one peer has too many of are closed.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Version;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::departures::Departures;
use crate::front::Front;
use crate::gate::Gate;
use crate::options::GatewayOptions;
use crate::peers::{Peers, Place};
use crate::socket::PatientSocket;
use crate::websocket::PendingSession;

/// Pause after the system refused to accept: out of file descriptors, say. Trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off because they took longer than they may.
    pub cut_off: usize,
}

/// Serves until `shutdown` is cancelled, then drains.
pub(crate) async fn serve(gate: Arc<Gate>, listener: TcpListener, shutdown: CancellationToken) -> Drained {
    let mut acceptor = Acceptor {
        front: Front::new(gate.clone()),
        builder: Arc::new(protocol(&gate.options)),
        listener,
        connections: JoinSet::new(),
        peers: Peers::new(gate.options.max_connections_per_peer),
    };
    acceptor.accept_until(shutdown.cancelled()).await;
    gate.stop_being_ready();
    if !gate.options.drain_notice.is_zero() {
        acceptor.accept_until(sleep(gate.options.drain_notice)).await;
    }
    drop(acceptor.listener);
    gate.drain.cancel();
    gate.door.drain();
    drain(acceptor.connections, gate.options.drain_timeout).await
}

struct Acceptor {
    front: Front,
    builder: Arc<auto::Builder<TokioExecutor>>,
    listener: TcpListener,
    connections: JoinSet<()>,
    peers: Peers,
}

impl Acceptor {
    async fn accept_until(&mut self, end: impl Future<Output = ()>) {
        tokio::pin!(end);
        loop {
            let has_room = self.connections.len() < self.front.gate.options.max_connections;
            tokio::select! {
                biased;
                () = &mut end => return,
                Some(ended) = self.connections.join_next() => report(ended),
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((stream, address)) => self.begin(stream, address.ip()),
                    Err(error) => {
                        tracing::warn!(%error, "no connection can be accepted for now");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, peer: IpAddr) {
        let Some(place) = self.peers.admit(peer) else {
            tracing::debug!(%peer, "a connection is closed: its peer has as many as it may");
            return;
        };
        let connection = serve_connection(self.front.clone(), self.builder.clone(), stream, peer, place);
        self.connections.spawn(connection);
    }
}

async fn drain(mut connections: JoinSet<()>, patience: Duration) -> Drained {
    let end = Instant::now() + patience;
    loop {
        match timeout_at(end, connections.join_next()).await {
            Ok(Some(ended)) => report(ended),
            Ok(None) => return Drained { cut_off: 0 },
            Err(_) => break,
        }
    }
    let cut_off = connections.len();
    tracing::warn!(connections = cut_off, "connections are cut off: they did not finish in time");
    connections.shutdown().await;
    Drained { cut_off }
}

/// A connection task returns nothing and is aborted only by us: what is left is a fault of the host.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended in a panic");
    }
}

async fn serve_connection(
    front: Front,
    builder: Arc<auto::Builder<TokioExecutor>>,
    stream: TcpStream,
    peer: IpAddr,
    _place: Place,
) {
    // Replies are small and complete: waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let (gate, options) = (&front.gate, &front.gate.options);
    let socket = PatientSocket::new(stream, options.header_timeout, options.write_timeout);
    let pending = PendingSession::default();
    let departures = Departures::new(options.write_timeout);
    let service = service_fn(|request| {
        let version = request.version();
        let answer = front.clone().answer(pending.clone(), peer, request);
        // On HTTP/1 the socket itself sees whether a reply is taken.
        let departures = (version == Version::HTTP_2).then(|| departures.clone());
        async move {
            let response = answer.await?;
            Ok::<_, Infallible>(match departures {
                Some(departures) => response.map(|body| departures.note_all(body)),
                None => response,
            })
        }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let overdue = departures.overdue();
    tokio::pin!(overdue);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = gate.drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = overdue => return give_up(),
            }
        }
        () = overdue.as_mut() => return give_up(),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
    if let Some(session) = pending.take() {
        session.run().await;
    }
}

fn give_up() {
    tracing::debug!("a connection is cut off: its peer takes no replies");
}

fn protocol(options: &GatewayOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(options.max_headers)
        .max_buf_size(options.max_header_bytes.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_streams)
        .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(64)
        .max_local_error_reset_streams(64)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_frame_size(64 << 10)
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout);
    builder
}
