//! Accepts connections, drives them, and drains them.
//!
//! HTTP/1.1 only: clients of this API send few requests, and what HTTP/2 brings to them (streams to reset, tables to
//! fill, windows to hold open) would only have to be bounded. One task per connection, all in one set; connections beyond
//! the limit wait in the system's queue.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lockgate_socket::PatientSocket;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::Control;

/// Pause after the system refused to accept: out of file descriptors, say. Trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections and changes that were cut off because they took longer than they may.
    pub cut_off: usize,
}

/// Serves until `shutdown` is cancelled, then drains.
pub(crate) async fn serve(control: Control, listener: TcpListener, shutdown: CancellationToken) -> Drained {
    let router = control.router();
    let drain = CancellationToken::new();
    let mut connections = JoinSet::new();
    loop {
        let has_room = connections.len() < control.0.options.max_connections;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(control.clone(), router.clone(), stream, drain.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted for now");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    control.stop_being_ready();
    drop(listener);
    drain.cancel();
    let end = Instant::now() + control.0.options.drain_timeout;
    let connections = finish(connections, end).await;
    let changes = control.0.changes.finish(end.saturating_duration_since(Instant::now())).await;
    let cut_off = connections + changes;
    if cut_off > 0 {
        tracing::warn!(connections, changes, "the control API did not finish in time: the rest is cut off");
    }
    Drained { cut_off }
}

async fn finish(mut connections: JoinSet<()>, end: Instant) -> usize {
    while let Ok(Some(ended)) = timeout_at(end, connections.join_next()).await {
        report(ended);
    }
    let left = connections.len();
    connections.shutdown().await;
    left
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended in a panic");
    }
}

async fn connection(control: Control, router: Router, stream: TcpStream, drain: CancellationToken) {
    let options = &control.0.options;
    // Answers are small and complete: waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let socket = PatientSocket::new(stream, options.header_timeout, options.write_timeout);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(options.max_headers)
        .max_buf_size(options.max_header_bytes.max(8 << 10))
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
