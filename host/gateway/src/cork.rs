//! A socket on which what a connection writes in one go leaves in one go.
//!
//! HTTP/2 flushes once for every larger frame, which is a system call (and with TLS a record) for each of many short
//! replies. While the cork is in, small writes are gathered and flushes are only promised; whoever drives the
//! connection takes it out and has it flush once more before waiting for anything.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is gathered at most.
const FULL: usize = 64 << 10;

/// Writes of this size and more are not copied.
const LARGE: usize = 16 << 10;

/// The cork of one socket, for whoever drives the connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cork(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_in: AtomicBool,
    is_holding: AtomicBool,
}

impl Cork {
    /// Puts the cork in, or takes it out.
    pub(crate) fn set(&self, is_in: bool) {
        self.0.is_in.store(is_in, Ordering::Relaxed);
    }

    /// Whether something was written and has not left.
    pub(crate) fn is_holding(&self) -> bool {
        self.0.is_holding.load(Ordering::Relaxed)
    }

    fn is_in(&self) -> bool {
        self.0.is_in.load(Ordering::Relaxed)
    }
}

/// A socket with a cork.
#[derive(Debug)]
pub(crate) struct Corked<S> {
    socket: S,
    gathered: BytesMut,
    cork: Cork,
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    /// A socket that `cork` belongs to.
    pub(crate) fn new(socket: S, cork: Cork) -> Self {
        Self { socket, gathered: BytesMut::new(), cork }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.gathered.is_empty() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.gathered))?;
            if sent == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(sent);
        }
        self.cork.0.is_holding.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    /// Takes what is small while the cork is in; none if the socket has to take it.
    fn gather(&mut self, pieces: &[IoSlice<'_>]) -> Option<usize> {
        let size = pieces.iter().map(|piece| piece.len()).sum();
        if !self.cork.is_in() || size >= LARGE || self.gathered.len() + size > FULL {
            return None;
        }
        pieces.iter().for_each(|piece| self.gathered.extend_from_slice(piece));
        self.cork.0.is_holding.store(!self.gathered.is_empty(), Ordering::Relaxed);
        Some(size)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        if let Some(size) = self.gather(pieces) {
            return Poll::Ready(Ok(size));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.cork.is_in() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What was written with the cork in, after which a flush or another write; what the other end has by then.
    #[tokio::test]
    async fn small_writes_leave_together_and_in_order() {
        let small = vec![b'a'; LARGE - 1];
        let large = vec![b'b'; LARGE];
        let check = async |writes: &[&[u8]], leaves: usize| {
            let (socket, mut peer) = duplex(1 << 20);
            let cork = Cork::default();
            let mut corked = Corked::new(socket, cork.clone());
            cork.set(true);
            for bytes in writes {
                corked.write_all(bytes).await.unwrap();
                corked.flush().await.unwrap();
            }
            let all = writes.concat();
            let mut found = vec![0; leaves];
            peer.read_exact(&mut found).await.unwrap();
            assert_eq!(cork.is_holding(), leaves < all.len());
            cork.set(false);
            corked.flush().await.unwrap();
            assert!(!cork.is_holding());
            drop(corked);
            peer.read_to_end(&mut found).await.unwrap();
            assert_eq!(found, all);
        };
        check(&[], 0).await;
        check(&[b"one", b"two"], 0).await;
        check(&[b"one", &large], 3 + LARGE).await;
        check(&[&large, b"one"], LARGE).await;
        check(&[&small, &small, &small, &small, &small], 5 * small.len()).await;
    }

    #[tokio::test]
    async fn nothing_is_held_without_the_cork_or_at_the_end() {
        let (socket, mut peer) = duplex(1 << 10);
        let cork = Cork::default();
        let mut corked = Corked::new(socket, cork.clone());
        corked.write_all(b"at once").await.unwrap();
        assert!(!cork.is_holding());
        cork.set(true);
        corked.write_all(b", and the rest").await.unwrap();
        corked.shutdown().await.unwrap();
        let mut found = String::new();
        peer.read_to_string(&mut found).await.unwrap();
        assert_eq!(found, "at once, and the rest");
    }
}
