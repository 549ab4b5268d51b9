//! Serves connections, and drains them.
//!
//! HTTP/1.1 only: clients of this API send few requests, and what HTTP/2 brings to them (streams to reset, tables to
//! fill, windows to hold open) would only have to be bounded.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lockgate_socket::{ALPN_HTTP1, Acceptor, Listener, Socket, SocketLimits};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Control;

/// How draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections and changes that were cut off because they took longer than they may.
    pub cut_off: usize,
}

/// Serves until `shutdown` is cancelled, then drains.
pub(crate) async fn serve(control: Control, listener: Listener, shutdown: CancellationToken) -> Drained {
    let options = &control.0.options;
    let limits = SocketLimits {
        max_connections: options.max_connections,
        max_connections_per_peer: options.max_connections,
        greeting: options.header_timeout,
        write_timeout: options.write_timeout,
    };
    let (router, drain) = (control.router(), CancellationToken::new());
    let (served, ending) = (control.clone(), drain.clone());
    let serve = move |socket, _| connection(served.clone(), router.clone(), socket, ending.clone());
    let mut acceptor = Acceptor::new(vec![listener], &[ALPN_HTTP1], limits, drain, serve);
    acceptor.accept_until(shutdown.cancelled()).await;
    control.stop_being_ready();
    let end = Instant::now() + options.drain_timeout;
    let connections = acceptor.drain(end).await;
    let changes = control.0.changes.finish(end.saturating_duration_since(Instant::now())).await;
    let cut_off = connections + changes;
    if cut_off > 0 {
        tracing::warn!(connections, changes, "the control API did not finish in time: the rest is cut off");
    }
    Drained { cut_off }
}

async fn connection(control: Control, router: Router, socket: Socket, drain: CancellationToken) {
    let options = &control.0.options;
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
