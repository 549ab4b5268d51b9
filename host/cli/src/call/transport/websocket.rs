//! Binary frames over one WebSocket: each a request or an answer as gRPC has them.
//!
//! A stream is another subprotocol: documents come as answers without routes, the last answer has routes.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue};
use lockgate_socket::ClientTls;
use lockgate_wire::envelope::{Answer, Request};
use lockgate_wire::{grpc, proto};
use prost::Message as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::handshake::{self, Socket};
use super::{Take, limits, refused, unreadable};
use crate::call::target::Target;
use crate::failure::{Failure, Report};

/// Jina's sign for the end of input.
const END: &[u8] = &[0];
/// Whole answers, and answers with documents before them.
const ANSWERS: &str = "bytes";
const STREAM: &str = "bytes.stream";
const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

pub(super) struct WebSocketConnection {
    target: Target,
    socket: Socket,
}

impl WebSocketConnection {
    /// Connects, for whole answers or for streams.
    pub(super) async fn open(
        target: &Target,
        secure: Option<&ClientTls>,
        timeout: Option<Duration>,
        mut headers: HeaderMap,
        streams: bool,
    ) -> Result<Self, Report> {
        if let Some(timeout) = timeout.and_then(|t| HeaderValue::from_str(&t.as_millis().to_string()).ok()) {
            headers.insert(TIMEOUT, timeout);
        }
        let subprotocol = if streams { STREAM } else { ANSWERS };
        let (socket, chosen) = handshake::open(target, secure, headers, subprotocol).await?;
        // Whoever does not say that it streams would answer in some other format: Jina takes it for JSON.
        if streams && chosen.as_deref() != Some(STREAM) {
            return Err(Report::new(format!("{target} does not stream over WebSocket"))
                .hint("leave --stream out for whole answers; Jina streams from 3.20 on, over grpc://"));
        }
        Ok(Self { target: target.clone(), socket })
    }

    pub(super) async fn call(&mut self, request: &Request) -> Result<Answer, Report> {
        self.send(request).await?;
        self.next().await
    }

    /// Hands over each answer as it comes, the last one too.
    pub(super) async fn stream(&mut self, request: &Request, take: &mut Take<'_>) -> Result<(), Failure> {
        self.send(request).await?;
        loop {
            let answer = self.next().await?;
            let is_last = !answer.routes.is_empty() || answer.failure.is_some();
            take(&answer)?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn send(&mut self, request: &Request) -> Result<(), Report> {
        let message = grpc::encode_request(request).map_err(|problem| refused(&problem))?;
        let frame = Message::Binary(message.encode_to_vec().into());
        self.socket.send(frame).await.map_err(|error| self.lost(&error))
    }

    async fn next(&mut self) -> Result<Answer, Report> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(frame))) => {
                    let message = proto::DataRequestProto::decode(frame).map_err(|error| {
                        Report::new("the gateway's answer cannot be read").because(&error)
                    })?;
                    return grpc::decode_reply(message, &limits()).map_err(|problem| unreadable(&problem));
                }
                // The gateway says in its closing frame what was wrong with the request.
                Some(Ok(Message::Close(Some(CloseFrame { reason, .. })))) if !reason.is_empty() => {
                    return Err(Report::new(reason.to_string()));
                }
                Some(Ok(Message::Close(_))) | None => {
                    return Err(Report::new(format!(
                        "{} closed the connection before it answered",
                        self.target
                    )));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(self.lost(&error)),
            }
        }
    }

    /// All answers are there: whether the goodbye arrives changes nothing.
    pub(super) async fn close(mut self) {
        drop(self.socket.send(Message::Binary(END.into())).await);
        drop(self.socket.close(None).await);
    }

    fn lost(&self, error: &Error) -> Report {
        Report::new(format!("the connection to {} broke off", self.target)).because(error)
    }
}
