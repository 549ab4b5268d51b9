//! The handshake of a listener, and what a peer is told that begins without one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::SecureSocket;
use crate::PatientSocket;
use crate::acceptor::SocketLimits;

/// The first byte of a TLS connection: a record of the handshake.
const HANDSHAKE_RECORD: u8 = 0x16;
/// How HTTP/2 begins without TLS.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// What is read of a peer that was refused, and for how long: a socket that is closed on unread bytes is reset, and the
/// peer may never see why.
const MOST_READ: u64 = 64 << 10;
const LONGEST_READ: Duration = Duration::from_secs(1);

/// What HTTP/1.1 is told, in the words of every error body.
const HTTP1_ANSWER: &str = concat!(
    "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 193\r\nconnection: close\r\n\r\n",
    r#"{"error":{"code":"invalid_request","status":"INVALID_ARGUMENT","source":"client","message":"this port speaks TLS","retryable":false,"hint":"use https://, or grpcs:// and wss:// with lockgate"}}"#,
);

/// What HTTP/2 is told: GOAWAY with INADEQUATE_SECURITY and a word for the log. No SETTINGS come before it: with them
/// clients of gRPC take the connection for a good one that ended, and connect again at once, thousands of times a second;
/// without them it has failed, and so has the call.
const HTTP2_ANSWER: &[u8] =
    b"\x00\x00\x1c\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0cthis port speaks TLS";

/// Shakes hands. Whoever begins without TLS is told so in its own protocol, as far as that is known.
pub(crate) async fn shake_hands(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    limits: SocketLimits,
) -> io::Result<SecureSocket> {
    let mut first = [0; HTTP2_PREFACE.len()];
    let count = stream.peek(&mut first).await?;
    let first = first.get(..count).unwrap_or_default();
    let socket = PatientSocket::new(stream, limits.greeting, limits.write_timeout);
    if !first.is_empty() && first.first() != Some(&HANDSHAKE_RECORD) {
        refuse(first, socket).await;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer speaks no TLS"));
    }
    let stream = TlsAcceptor::from(config).accept(socket).await?;
    Ok(PatientSocket::inside(stream, limits.greeting, limits.write_timeout))
}

async fn refuse(first: &[u8], mut socket: PatientSocket) {
    let answer = if first == HTTP2_PREFACE {
        HTTP2_ANSWER
    } else if first.first().is_some_and(u8::is_ascii_uppercase) {
        HTTP1_ANSWER.as_bytes()
    } else {
        return;
    };
    // Whether the peer takes it changes nothing.
    drop(socket.write_all(answer).await);
    drop(socket.shutdown().await);
    let (mut rest, mut nowhere) = (socket.take(MOST_READ), tokio::io::sink());
    drop(tokio::time::timeout(LONGEST_READ, tokio::io::copy(&mut rest, &mut nowhere)).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_long_as_they_say() {
        let (head, body) = HTTP1_ANSWER.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        assert_eq!(usize::from(HTTP2_ANSWER[2]), HTTP2_ANSWER.len() - 9);
    }
}
