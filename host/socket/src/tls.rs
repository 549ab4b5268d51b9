//! TLS 1.2 and 1.3 for both ends, with ring underneath and PEM files beside it.
//!
//! A [`Certificate`] is read once at the start, where every mistake in the files is an error that names the file, and
//! again whenever the files change: connections that are open keep what they were opened with.

mod certificate;
mod client;
mod error;
mod server;

use rustls::crypto::CryptoProvider;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::PatientSocket;

pub use certificate::Certificate;
pub use client::{ClientSocket, ClientTls, client_hint};
pub use error::TlsError;
pub(crate) use server::shake_hands;

/// Largest PEM file that is read: the system's own list of authorities has a quarter of that.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// A connection that a listener took, plain or after its TLS handshake.
pub type Socket = Either<PatientSocket, Box<SecureSocket>>;

/// Patient on both sides of TLS: what comes before the handshake, and what comes after it.
pub type SecureSocket = PatientSocket<TlsStream<PatientSocket<TcpStream>>>;

fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}
