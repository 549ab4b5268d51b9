//! One WebSocket session: frames in, replies out, and an orderly end.
//!
//! Requests run beside each other up to the stream's prefetch; while that many are in flight, or the house is full,
//! nothing more is read. Replies leave as they are ready, matched by `request_id`. Whatever ends the input (the
//! caller's end frame, a bad frame, a failure of the host, a drain), what is pending is finished first and the
//! close frame says why. A peer that closes or vanishes takes its requests with it.
//!
//! Documents that leave as they are emitted are taken from the requests one list at a time, and only when everything
//! before has left: a peer that does not read makes its guests wait.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use lockgate_domain::{ErrorCode, Problem};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::{Format, Purpose, Subprotocol};
use crate::admission::{BytesPermit, Doorstep, Permit};
use crate::circumstances::Circumstances;
use crate::door::Visitor;
use crate::gate::Gate;
use crate::in_flight::InFlight;
use crate::options::GatewayOptions;
use crate::websocket::frames::{self, Reply};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Parts of answers on their way from the requests to the session; they count on there being one place.
const PARTS: usize = 1;
/// Longest reason that fits a close frame.
const MAX_REASON_BYTES: usize = 123;

/// A session that has not begun.
pub(crate) struct Session {
    pub(super) gate: Arc<Gate>,
    pub(super) visitor: Arc<dyn Visitor>,
    pub(super) upgrade: OnUpgrade,
    pub(super) subprotocol: Subprotocol,
    pub(super) purpose: Purpose,
    pub(super) circumstances: Circumstances,
}

impl Session {
    /// Talks until either side ends it.
    pub(crate) async fn run(self) {
        let Ok(upgraded) = self.upgrade.await else { return };
        let config = config(&self.gate.options);
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let prefetch = self.gate.options.prefetch;
        let (part_sender, parts) = mpsc::channel(PARTS);
        let mut talk = Talk {
            socket,
            part_sender,
            parts,
            subprotocol: self.subprotocol,
            circumstances: self.circumstances,
            doorstep: Doorstep::new(),
            in_flight: InFlight::new(prefetch, false),
            outbox: VecDeque::new(),
            unflushed: false,
            readable: true,
            end: None,
            heard: Instant::now(),
            asked: false,
            gate: self.gate,
            visitor: self.visitor,
        };
        let ended = match self.purpose {
            Purpose::Flow => talk.converse().await,
            Purpose::DryRun => talk.report_readiness().await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a websocket broke off");
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

/// A frame on its way out, and the bytes that its request is accounted for.
type Outgoing = (Message, Option<BytesPermit>);

struct Talk {
    gate: Arc<Gate>,
    visitor: Arc<dyn Visitor>,
    socket: Socket,
    subprotocol: Subprotocol,
    circumstances: Circumstances,
    doorstep: Doorstep<Bytes>,
    in_flight: InFlight<(Reply, BytesPermit)>,
    part_sender: frames::PartSender,
    parts: mpsc::Receiver<Message>,
    outbox: VecDeque<Outgoing>,
    unflushed: bool,
    /// Whether frames can still be told apart; not after a protocol error.
    readable: bool,
    /// Why no more input is taken; the session ends when nothing is pending.
    end: Option<CloseFrame>,
    heard: Instant,
    asked: bool,
}

/// What happened next.
enum Event {
    Frame(Option<Result<Message, Error>>),
    Admitted(Bytes, Permit),
    Part(Message),
    Done(Reply, BytesPermit),
    Panicked,
    Sent(Result<(), Error>),
    Silence,
    Drain,
}

impl Talk {
    async fn converse(&mut self) -> Result<(), Error> {
        let gate = self.gate.clone();
        let drain = gate.drain.cancelled();
        tokio::pin!(drain);
        while self.end.is_none() || !self.is_done() {
            match self.next_event(drain.as_mut()).await {
                Event::Frame(None) => return Ok(()),
                Event::Frame(Some(Ok(Message::Close(_)))) => return self.socket.flush().await,
                Event::Frame(Some(Ok(message))) => self.take(message),
                Event::Frame(Some(Err(error))) => {
                    self.readable = false;
                    self.end_with(close_of_error(error)?);
                }
                Event::Admitted(frame, permit) => self.start(frame, permit),
                Event::Part(message) => self.outbox.push_back((message, None)),
                Event::Done(reply, bytes) => self.finish(reply, bytes),
                Event::Panicked => self.end_with(close(CloseCode::Error, "the host failed")),
                Event::Sent(sent) => sent?,
                Event::Silence if self.asked => return Ok(()),
                Event::Silence => {
                    self.asked = true;
                    self.heard = Instant::now();
                    self.outbox.push_back((Message::Ping(Bytes::new()), None));
                }
                Event::Drain => self.end_with(close(CloseCode::Away, "the gateway is draining")),
            }
        }
        self.close().await
    }

    async fn report_readiness(&mut self) -> Result<(), Error> {
        let readiness = self.gate.readiness().and_then(|()| self.visitor.flow());
        let message = frames::readiness(self.subprotocol.format, readiness.err().as_ref());
        self.socket.send(message).await?;
        self.end_with(close(CloseCode::Normal, ""));
        self.close().await
    }

    async fn next_event(&mut self, drain: Pin<&mut impl Future<Output = ()>>) -> Event {
        let options = &self.gate.options;
        let has_room = self.readable
            && self.doorstep.is_free()
            && self.in_flight.has_room()
            && self.outbox.len() < options.prefetch;
        // While frames are left unread on purpose, silence says nothing about the peer.
        let patience = if self.asked { options.keepalive_timeout } else { options.keepalive_interval };
        let heard = if has_room { self.heard } else { Instant::now() };
        let is_open = self.end.is_none();
        let (sink, outbox, unflushed) = (&mut self.socket, &mut self.outbox, &mut self.unflushed);
        let has_mail = *unflushed || !outbox.is_empty();
        tokio::select! {
            socket = poll_fn(|cx| poll_socket(cx, sink, outbox, unflushed, has_mail, has_room)) => socket,
            Some(part) = self.parts.recv(), if !has_mail => Event::Part(part),
            Some(done) = self.in_flight.next() => match done {
                Ok((reply, bytes)) => Event::Done(reply, bytes),
                Err(_) => Event::Panicked,
            },
            (frame, permit) = self.doorstep.admitted() => Event::Admitted(frame, permit),
            () = sleep_until(heard + patience) => Event::Silence,
            () = drain, if is_open => Event::Drain,
        }
    }

    fn is_done(&self) -> bool {
        self.doorstep.is_free() && self.in_flight.is_empty() && self.outbox.is_empty() && !self.unflushed
    }

    /// Takes one frame. After the end of input, frames only show that the peer lives.
    fn take(&mut self, message: Message) {
        (self.heard, self.asked) = (Instant::now(), false);
        if self.end.is_some() {
            return;
        }
        let frame = match (self.subprotocol.format, message) {
            (_, Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => return,
            (Format::Json, Message::Text(text)) => Bytes::from(text),
            (Format::Bytes, Message::Binary(bytes)) => bytes,
            (Format::Json, Message::Binary(_)) => {
                return self.end_with(close(CloseCode::Unsupported, "subprotocol json takes text frames"));
            }
            (Format::Bytes, Message::Text(_)) => {
                return self.end_with(close(CloseCode::Unsupported, "subprotocol bytes takes binary frames"));
            }
        };
        if frames::is_end_of_input(self.subprotocol.format, &frame) {
            return self.end_with(close(CloseCode::Normal, ""));
        }
        let bytes = frame.len();
        if let Some((frame, permit)) = self.doorstep.admit(&self.gate.admission, frame, bytes) {
            self.start(frame, permit);
        }
    }

    fn start(&mut self, frame: Bytes, permit: Permit) {
        let (gate, visitor) = (self.gate.clone(), self.visitor.clone());
        let (subprotocol, circumstances) = (self.subprotocol, self.circumstances.arriving_now());
        let parts = self.part_sender.clone();
        self.in_flight.start(async move {
            let mut reply = frames::answer(&gate, &*visitor, subprotocol, frame, circumstances, parts).await;
            let guard = reply.guard.take();
            (reply, permit.into_bytes(guard))
        });
    }

    fn finish(&mut self, reply: Reply, bytes: BytesPermit) {
        if let Some(message) = reply.message {
            self.outbox.push_back((message, Some(bytes)));
        }
        if let Some(problem) = reply.ends_with {
            self.end_with(close_of_problem(&problem));
        }
    }

    /// The first reason stays.
    fn end_with(&mut self, frame: CloseFrame) {
        self.end.get_or_insert(frame);
    }

    /// Says goodbye and waits a moment for the peer's, so that nothing on the way to it is lost.
    async fn close(&mut self) -> Result<(), Error> {
        let patience = self.gate.options.keepalive_timeout;
        let goodbye = async {
            self.socket.send(Message::Close(self.end.take())).await?;
            while let Some(Ok(_)) = self.socket.next().await {}
            Ok(self.socket.get_mut().shutdown().await?)
        };
        timeout(patience, goodbye).await.unwrap_or(Ok(()))
    }
}

/// Sends what is to be sent and reads what is to be read, in one place because both use the socket.
fn poll_socket(
    cx: &mut Context<'_>,
    socket: &mut Socket,
    outbox: &mut VecDeque<Outgoing>,
    unflushed: &mut bool,
    has_mail: bool,
    has_room: bool,
) -> Poll<Event> {
    if has_mail && let Poll::Ready(sent) = poll_send(cx, socket, outbox, unflushed) {
        return Poll::Ready(Event::Sent(sent));
    }
    if has_room { socket.poll_next_unpin(cx).map(Event::Frame) } else { Poll::Pending }
}

fn poll_send(
    cx: &mut Context<'_>,
    socket: &mut Socket,
    outbox: &mut VecDeque<Outgoing>,
    unflushed: &mut bool,
) -> Poll<Result<(), Error>> {
    let mut socket = Pin::new(socket);
    while !outbox.is_empty() {
        ready!(socket.as_mut().poll_ready(cx))?;
        if let Some((message, _bytes)) = outbox.pop_front() {
            *unflushed = true;
            socket.as_mut().start_send(message)?;
        }
    }
    ready!(socket.poll_flush(cx))?;
    *unflushed = false;
    Poll::Ready(Ok(()))
}

fn config(options: &GatewayOptions) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(16 << 10)
        .max_message_size(Some(options.max_message_bytes))
        .max_frame_size(Some(options.max_message_bytes))
}

fn close(code: CloseCode, reason: &str) -> CloseFrame {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    CloseFrame { code, reason: Utf8Bytes::from(reason.get(..end).unwrap_or_default()) }
}

fn close_of_problem(problem: &Problem) -> CloseFrame {
    let code = match problem.code() {
        ErrorCode::InvalidRequest => CloseCode::Invalid,
        ErrorCode::RequestTooLarge => CloseCode::Size,
        ErrorCode::NotFound | ErrorCode::Unauthenticated | ErrorCode::PermissionDenied => CloseCode::Policy,
        _ => CloseCode::Error,
    };
    close(code, problem.message())
}

/// What the peer did wrong; an error where it cannot be told any more.
fn close_of_error(error: Error) -> Result<CloseFrame, Error> {
    match error {
        Error::Capacity(_) => Ok(close(CloseCode::Size, "the message is larger than this gateway takes")),
        Error::Utf8(_) => Ok(close(CloseCode::Invalid, "a text frame is not UTF-8")),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Err(error),
        Error::Protocol(violation) => Ok(close(CloseCode::Protocol, &violation.to_string())),
        error => Err(error),
    }
}
