//! What HTTP/2 was given to send and has not sent: a peer that opens no window for it is given up on.
//!
//! The socket sees a peer that takes nothing at all. A peer that takes everything but the replies it asked for, stream
//! by stream, only shows in how long their bytes stay: each piece has the time of a silent write, and one millisecond
//! more for each of its bytes. A piece notes itself when it is handed over and forgets itself when it is dropped, which
//! HTTP/2 does when it was written or its stream is gone. There are about as many pieces as streams.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep};

/// The pieces of one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Departures {
    pieces: Arc<Mutex<Pieces>>,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Pieces {
    next: u64,
    /// Until when each of them has to leave.
    until: BTreeMap<u64, Instant>,
}

/// Bytes that forget themselves when they are dropped.
struct Piece {
    bytes: Bytes,
    number: u64,
    departures: Departures,
}

/// A body whose pieces are noted.
struct Noted {
    body: Body,
    departures: Departures,
}

impl Departures {
    /// Nothing is on its way. `patience` is how long a peer may take nothing.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { pieces: Arc::default(), patience }
    }

    /// Notes every piece of this body.
    pub(crate) fn note_all(&self, body: Body) -> Body {
        Body::new(Noted { body, departures: self.clone() })
    }

    /// Returns when a piece has stayed for too long; never for an honest peer.
    pub(crate) async fn overdue(&self) {
        loop {
            sleep(self.patience).await;
            if self.has_overdue(Instant::now()) {
                return;
            }
        }
    }

    fn has_overdue(&self, now: Instant) -> bool {
        self.pieces().until.values().any(|until| *until <= now)
    }

    fn note(&self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        let size = Duration::from_millis(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let mut pieces = self.pieces();
        let number = pieces.next;
        pieces.next += 1;
        pieces.until.insert(number, Instant::now() + self.patience + size);
        drop(pieces);
        Bytes::from_owner(Piece { bytes, number, departures: self.clone() })
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.departures.pieces().until.remove(&self.number);
    }
}

impl hyper::body::Body for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|bytes| self.departures.note(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_piece_that_stays_is_overdue() {
        let departures = Departures::new(Duration::from_millis(1));
        let (before, far) = (Instant::now(), Duration::from_secs(1000));
        let piece = departures.note(Bytes::from_static(b"abc"));
        let after = Instant::now();
        assert_eq!(piece, "abc");
        assert!(!departures.has_overdue(before + Duration::from_millis(3)));
        assert!(departures.has_overdue(after + Duration::from_millis(4)));
        departures.overdue().await;
        drop(piece);
        assert!(!departures.has_overdue(after + far));
        assert!(departures.note(Bytes::new()).is_empty() && !departures.has_overdue(after + far));
    }
}
