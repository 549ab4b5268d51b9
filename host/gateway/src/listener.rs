//! Serves connections: what is spoken on them, and how they end.
//!
//! A WebSocket session goes on in the task of the connection it came from, so what ends the connection's task ends
//! everything that its caller started.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use http::Version;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use lockgate_domain::spec::Protocol;
use lockgate_socket::{ALPN_HTTP1, ALPN_HTTP2, Acceptor, Arrival, Socket, SocketLimits};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cork::Corked;
use crate::departures::Departures;
use crate::front::Front;
use crate::gate::Gate;
use crate::options::GatewayOptions;
use crate::ports::Port;
use crate::streams::Streams;
use crate::websocket::PendingSession;

/// How draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off because they took longer than they may.
    pub cut_off: usize,
}

/// Serves until `shutdown` is cancelled, then drains.
pub(crate) async fn serve(gate: Arc<Gate>, ports: Vec<Port>, shutdown: CancellationToken) -> Drained {
    let front = Front::new(gate.clone());
    let protocols: Vec<Option<Protocol>> = ports.iter().map(|port| port.protocol).collect();
    let serve = move |socket, arrival: Arrival| {
        let only = protocols.get(arrival.listener).copied().flatten();
        serve_connection(front.clone(), socket, arrival.peer, only)
    };
    let limits = SocketLimits {
        max_connections: gate.options.max_connections,
        max_connections_per_peer: gate.options.max_connections_per_peer,
        greeting: gate.options.header_timeout,
        write_timeout: gate.options.write_timeout,
    };
    let alpn = &[ALPN_HTTP2, ALPN_HTTP1];
    let listeners = ports.into_iter().map(|port| port.listener).collect();
    let mut acceptor = Acceptor::new(listeners, alpn, limits, gate.drain.clone(), serve);
    acceptor.accept_until(shutdown.cancelled()).await;
    gate.stop_being_ready();
    if !gate.options.drain_notice.is_zero() {
        acceptor.accept_until(sleep(gate.options.drain_notice)).await;
    }
    gate.door.drain();
    let cut_off = acceptor.drain(Instant::now() + gate.options.drain_timeout).await;
    if cut_off > 0 {
        tracing::warn!(connections = cut_off, "connections are cut off: they did not finish in time");
    }
    Drained { cut_off }
}

async fn serve_connection(front: Front, socket: Socket, peer: IpAddr, only: Option<Protocol>) {
    let (gate, options) = (&front.gate, &front.gate.options);
    let pending = PendingSession::default();
    let departures = Departures::new(options.write_timeout);
    let service = service_fn(|request| {
        let version = request.version();
        let answer = front.clone().answer(only, pending.clone(), peer, request);
        // On HTTP/1 the socket itself sees whether a reply is taken.
        let departures = (version == Version::HTTP_2).then(|| departures.clone());
        // In a box, which is moved more cheaply on its way through the connection.
        Box::pin(async move {
            let response = answer.await?;
            Ok::<_, Infallible>(match departures {
                Some(departures) => response.map(|body| departures.note_all(body)),
                None => response,
            })
        })
    });
    let streams = Streams::default();
    let builder = protocol(options, streams.clone());
    let socket = Corked::new(socket, streams.cork.clone());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let overdue = departures.overdue();
    tokio::pin!(overdue);
    let ended = tokio::select! {
        ended = streams.drive(connection.as_mut()) => ended,
        () = gate.drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = streams.drive(connection.as_mut()) => ended,
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

fn protocol(options: &GatewayOptions, streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
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
