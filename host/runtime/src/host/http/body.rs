//! Bodies of outbound HTTP on their way: counted, bounded, and given up when nothing comes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::egress::EgressAllowance;

/// Where bytes of one executor are written down.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) allowance: EgressAllowance,
    pub(super) spent: Arc<AtomicU64>,
}

impl Tally {
    /// Writes down bytes that moved; an error when the allowance is used up.
    pub(super) fn add(&self, bytes: u64) -> Result<(), Error> {
        self.spent.fetch_add(bytes, Ordering::Relaxed);
        if self.allowance.take(bytes) { Ok(()) } else { Err(used_up()) }
    }

    /// Whether anything may be sent at all.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.allowance.left() > 0 { Ok(()) } else { Err(used_up()) }
    }
}

fn used_up() -> Error {
    Error::InternalError(Some("the allowance of egress bytes is used up".into()))
}

/// A request's body: every byte is written down, and there is a last one.
pub(super) struct Outgoing {
    body: WasiBody,
    left: u64,
    tally: Tally,
}

impl Outgoing {
    pub(super) fn new(body: WasiBody, most: u64, tally: Tally) -> Self {
        Self { body, left: most, tally }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| {
            let frame = match frame? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(error)),
            };
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(left) = self.left.checked_sub(bytes) else {
                return Some(Err(Error::HttpRequestBodySize(None)));
            };
            self.left = left;
            Some(self.tally.add(bytes).map(|()| frame))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body: bounded in bytes, in time between two of them, and by the call that asked.
pub(super) struct Answer {
    body: Incoming,
    most: u64,
    left: u64,
    between: Duration,
    until: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    tally: Tally,
    /// Held while the connection is open.
    _place: OwnedSemaphorePermit,
}

/// How long an answer may be and may take.
pub(super) struct Patience {
    pub(super) most: u64,
    pub(super) between: Duration,
    pub(super) until: Instant,
}

impl Answer {
    pub(super) fn new(body: Incoming, patience: Patience, tally: Tally, place: OwnedSemaphorePermit) -> Self {
        let Patience { most, between, until } = patience;
        Self { body, most, left: most, between, until, timer: None, tally, _place: place }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.tally.add(bytes)?;
        self.left = self.left.checked_sub(bytes).ok_or(Error::HttpResponseBodySize(Some(self.most)))?;
        Ok(frame)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                self.timer = None;
                Poll::Ready(Some(self.take(frame)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(Error::HttpResponseIncomplete))),
            Poll::Pending => {
                let at = Instant::now().checked_add(self.between).map_or(self.until, |at| at.min(self.until));
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into())));
                timer.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
