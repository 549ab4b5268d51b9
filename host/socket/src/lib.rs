//! The sockets under every listener and client of the host.
//!
//! An [`Acceptor`] takes connections from one or more [`Listener`]s, each plain or with a [`Certificate`], and runs one
//! task per connection; what a stranger may do to a socket is bounded here: how many connections there are, how long a
//! peer may be silent, slow or deaf, how long a TLS handshake takes. Which protocol is spoken on a [`Socket`] is not
//! known here. [`ClientTls`] is the other end.

mod acceptor;
mod patient;
mod peers;
mod tls;

pub use crate::acceptor::{Acceptor, Arrival, Listener, SocketLimits};
pub use crate::patient::PatientSocket;
pub use crate::tls::{Certificate, ClientSocket, ClientTls, SecureSocket, Socket, TlsError, client_hint};

/// HTTP/2, as ALPN calls it.
pub const ALPN_HTTP2: &[u8] = b"h2";
/// HTTP/1.1, as ALPN calls it.
pub const ALPN_HTTP1: &[u8] = b"http/1.1";
