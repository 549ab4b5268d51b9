//! Accepts connections, runs them, and drains them.
//!
//! One task per connection, all in one set: whatever a connection started ends with its task, and dropping the set ends
//! everything. Connections beyond the limit wait in the system's queue; those that one peer has too many of are closed.
//! A TLS handshake happens in the connection's own task and has [`HANDSHAKE_TIME`], so a peer that stops in the middle
//! of one holds up nobody but itself.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use crate::PatientSocket;
use crate::peers::Peers;
use crate::tls::{Certificate, Socket, shake_hands};

/// Pause after the system refused to accept: out of file descriptors, say. Trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    certificate: Option<Certificate>,
}

/// What strangers may do to sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// Open connections of all listeners together; the next one waits in the system's queue.
    pub max_connections: usize,
    /// Open connections of one peer; the next one is closed at once.
    pub max_connections_per_peer: usize,
    /// Time to the first bytes.
    pub greeting: Duration,
    /// Longest time a peer may refuse to take any byte.
    pub write_timeout: Duration,
}

/// Where a connection came from and where it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The peer.
    pub peer: IpAddr,
    /// The listener's place in the list.
    pub listener: usize,
}

/// Takes connections, and has `serve` run each of them.
#[derive(Debug)]
pub struct Acceptor<S> {
    ports: Vec<Port>,
    limits: SocketLimits,
    drain: CancellationToken,
    serve: S,
    peers: Peers,
    connections: JoinSet<()>,
    /// The port that is asked first, so that a busy one does not keep the others out.
    turn: usize,
}

#[derive(Debug)]
struct Port {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

// === impl Listener ===

impl Listener {
    /// A port that speaks TLS if there is a certificate.
    pub fn new(tcp: TcpListener, certificate: Option<Certificate>) -> Self {
        Self { tcp, certificate }
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// What it shows to callers, if it speaks TLS.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self::new(tcp, None)
    }
}

// === impl Acceptor ===

impl<S, F> Acceptor<S>
where
    S: Fn(Socket, Arrival) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    /// Nothing is accepted yet. `alpn` names what is spoken behind TLS, best first; connections that `serve` runs are
    /// to finish once `drain` is cancelled.
    pub fn new(
        listeners: Vec<Listener>,
        alpn: &[&[u8]],
        limits: SocketLimits,
        drain: CancellationToken,
        serve: S,
    ) -> Self {
        let port = |listener: Listener| Port {
            listener: listener.tcp,
            tls: listener.certificate.map(|certificate| certificate.server(alpn)),
        };
        Self {
            ports: listeners.into_iter().map(port).collect(),
            limits,
            drain,
            serve,
            peers: Peers::new(limits.max_connections_per_peer),
            connections: JoinSet::new(),
            turn: 0,
        }
    }

    /// Accepts until `end`.
    pub async fn accept_until(&mut self, end: impl Future<Output = ()>) {
        tokio::pin!(end);
        loop {
            let has_room = self.connections.len() < self.limits.max_connections;
            tokio::select! {
                biased;
                () = &mut end => return,
                Some(ended) = self.connections.join_next() => report(ended),
                accepted = accept(&self.ports, self.turn), if has_room => match accepted {
                    Ok((place, stream, address)) => {
                        self.turn = place + 1;
                        self.begin(place, stream, address.ip());
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no connection can be accepted for now");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    /// Stops accepting, asks every connection to finish and waits until `end`; what is left is cut off and counted.
    pub async fn drain(self, end: Instant) -> usize {
        let Self { ports, drain, mut connections, .. } = self;
        drop(ports);
        drain.cancel();
        while let Ok(Some(ended)) = timeout_at(end, connections.join_next()).await {
            report(ended);
        }
        let left = connections.len();
        connections.shutdown().await;
        left
    }

    fn begin(&mut self, place: usize, stream: TcpStream, peer: IpAddr) {
        let Some(seat) = self.peers.admit(peer) else {
            tracing::debug!(%peer, "a connection is closed: its peer has as many as it may");
            return;
        };
        let tls = self.ports.get(place).and_then(|port| port.tls.clone());
        let (limits, drain, serve) = (self.limits, self.drain.clone(), self.serve.clone());
        self.connections.spawn(async move {
            let _seat = seat;
            if let Some(socket) = open(stream, tls, limits, &drain).await {
                serve(socket, Arrival { peer, listener: place }).await;
            }
        });
    }
}

/// The next connection of any port.
async fn accept(ports: &[Port], turn: usize) -> io::Result<(usize, TcpStream, SocketAddr)> {
    let count = ports.len().max(1);
    poll_fn(|context| {
        for step in 0..count {
            let place = (turn + step) % count;
            let Some(port) = ports.get(place) else { continue };
            if let Poll::Ready(accepted) = port.listener.poll_accept(context) {
                return Poll::Ready(accepted.map(|(stream, address)| (place, stream, address)));
            }
        }
        Poll::Pending
    })
    .await
}

/// A connection task returns nothing and is aborted only by us: what is left is a fault of the host.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended in a panic");
    }
}

/// The socket of a connection, after its TLS handshake if it has one; none if nothing came of it.
async fn open(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    limits: SocketLimits,
    drain: &CancellationToken,
) -> Option<Socket> {
    // Replies are small and complete: waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return None;
    }
    let Some(tls) = tls else {
        return Some(Either::Left(PatientSocket::new(stream, limits.greeting, limits.write_timeout)));
    };
    let patience = HANDSHAKE_TIME.min(limits.greeting);
    // Boxed: a connection without TLS does not carry the room for a handshake.
    let handshake = Box::pin(timeout(patience, shake_hands(stream, tls, limits)));
    let ended = tokio::select! {
        biased;
        () = drain.cancelled() => return None,
        ended = handshake => ended,
    };
    match ended {
        Ok(Ok(socket)) => Some(Either::Right(Box::new(socket))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection ended in its TLS handshake");
            None
        }
        Err(_) => {
            tracing::debug!("a connection is cut off: its TLS handshake takes too long");
            None
        }
    }
}

#[cfg(test)]
mod tests;
