//! Streaming endpoints over HTTP: documents as server-sent events, as they are emitted.
//!
//! `event: update` carries one document on one line, `event: end` says that nothing is missing. Until the first part is
//! there nothing is answered, so that a request that fails by then gets an ordinary answer with its status. A later
//! failure is `event: error`, without an end after it. Jina's client reads updates only, and by place: lines end in
//! CRLF, and an event is one piece of the body. So that it cannot take a part for the whole, a body of HTTP/1.1 breaks
//! off after an error.
//!
//! The guest waits while the caller reads nothing, and is stopped when it leaves.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use ::http::{HeaderName, HeaderValue, Response, Version};
use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use lockgate_domain::Problem;
use lockgate_wire::envelope::Reply;
use lockgate_wire::json;

use crate::admission::{BytesPermit, Permit};
use crate::circumstances::REQUEST_ID;
use crate::parts::{Part, Parts};
use crate::serve::{Prepared, Refusal};

/// The media type of event streams.
pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// Proxies that collect what they pass on would undo the streaming.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
const END: &[u8] = b"event: end\r\n\r\n";

/// Runs a request and answers with what it emits.
pub(super) async fn answer(
    prepared: Prepared,
    permit: Permit,
    version: Version,
) -> Result<Response<Body>, Refusal> {
    let mut parts = Parts::of(prepared);
    let id = parts.label.id.clone();
    let first = match parts.next().await {
        Some(Part::Ended(Err(refusal))) => return Err(refusal),
        Some(Part::Ended(Ok(answer))) => {
            if let Some(failure) = answer.reply().failure {
                return Err(Refusal { id: Some(id), problem: failure.clone() });
            }
            Some(Part::Ended(Ok(answer)))
        }
        first => first,
    };
    let breaks_off = version < Version::HTTP_2;
    let events = Events { first, parts, permit: Some(permit), bytes: None, breaks_off, state: State::Open };
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, id);
    }
    Ok(response)
}

/// The body. Dropping it stops the guests.
struct Events {
    first: Option<Part>,
    parts: Parts,
    /// Held while guests run.
    permit: Option<Permit>,
    /// Held until the last event has left.
    bytes: Option<BytesPermit>,
    breaks_off: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The error has been handed over, and may first leave.
    Failed,
    BreakingOff,
    Over,
}

/// Why a body ends without an end.
#[derive(Debug)]
struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream failed, as its last event says")
    }
}

impl std::error::Error for BrokenOff {}

impl Events {
    fn end(&mut self, part: Result<crate::serve::Answer, Refusal>) -> Bytes {
        self.state = State::Over;
        let permit = self.permit.take();
        let mut answer = match part {
            Ok(answer) => answer,
            Err(refusal) => return self.fail(&refusal.problem),
        };
        self.bytes = permit.map(|permit| permit.into_bytes(answer.guard.take()));
        let reply = answer.reply();
        match reply.failure {
            Some(failure) => self.fail(failure),
            None => {
                let mut events = updates(&reply);
                events.extend_from_slice(END);
                events.into()
            }
        }
    }

    fn fail(&mut self, problem: &Problem) -> Bytes {
        self.state = if self.breaks_off { State::Failed } else { State::Over };
        let error = json::encode_problem(Some(self.parts.label.id.as_str()), problem);
        [b"event: error\r\ndata: ", error.as_slice(), b"\r\n\r\n"].concat().into()
    }
}

impl Stream for Events {
    type Item = Result<Bytes, BrokenOff>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.state {
            State::Open => {}
            State::Failed => {
                self.state = State::BreakingOff;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::BreakingOff => {
                self.state = State::Over;
                return Poll::Ready(Some(Err(BrokenOff)));
            }
            State::Over => return Poll::Ready(None),
        }
        loop {
            let part = match self.first.take() {
                Some(part) => Some(part),
                None => ready!(Pin::new(&mut self.parts).poll_next(cx)),
            };
            match part {
                Some(Part::Emitted(documents)) if documents.is_empty() => {}
                Some(Part::Emitted(documents)) => {
                    return Poll::Ready(Some(Ok(updates(&self.parts.label.part(&documents)).into())));
                }
                Some(Part::Ended(ended)) => return Poll::Ready(Some(Ok(self.end(ended)))),
                None => return Poll::Ready(None),
            }
        }
    }
}

fn updates(reply: &Reply<'_>) -> Vec<u8> {
    json::encode_each(reply.documents, reply.dialect, "event: update\r\ndata: ", "\r\n\r\n")
}
