//! Binary frames over one WebSocket: each a request or an answer as gRPC has them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue, Response};
use lockgate_socket::{ClientSocket, ClientTls};
use lockgate_wire::envelope::{Answer, Request};
use lockgate_wire::{grpc, proto};
use prost::Message as _;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::http::explain;
use super::{MAX_ANSWER_BYTES, limits, refused, unreachable, unreadable};
use crate::call::target::Target;
use crate::failure::Report;
use crate::tls;

/// Jina's sign for the end of input.
const END: &[u8] = &[0];

pub(super) struct WebSocketConnection {
    target: Target,
    stream: WebSocketStream<ClientSocket>,
}

impl WebSocketConnection {
    pub(super) async fn open(
        target: &Target,
        secure: Option<&ClientTls>,
        timeout: Option<Duration>,
        marks: HeaderMap,
    ) -> Result<Self, Report> {
        let mut request =
            format!("{target}/").into_client_request().map_err(|error| unreachable(target, Some(&error)))?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("bytes"));
        request.headers_mut().extend(marks);
        if let Some(timeout) = timeout.and_then(|t| HeaderValue::from_str(&t.as_millis().to_string()).ok()) {
            request.headers_mut().insert("x-request-timeout-ms", timeout);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_ANSWER_BYTES))
            .max_frame_size(Some(MAX_ANSWER_BYTES));
        let socket = tls::connect(&target.authority, secure).await;
        let socket = socket.map_err(|error| unreachable(target, Some(&error)))?;
        let shaken = client_async_with_config(request, socket, Some(config)).await;
        let (stream, _) = shaken.map_err(|error| match &error {
            Error::Http(response) => refusal(target, response),
            _ => unreachable(target, Some(&error)),
        })?;
        Ok(Self { target: target.clone(), stream })
    }

    pub(super) async fn call(&mut self, request: &Request) -> Result<Answer, Report> {
        let message = grpc::encode_request(request).map_err(|problem| refused(&problem))?;
        let frame = Message::Binary(message.encode_to_vec().into());
        self.stream.send(frame).await.map_err(|error| self.lost(&error))?;
        loop {
            match self.stream.next().await {
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
        drop(self.stream.send(Message::Binary(END.into())).await);
        drop(self.stream.close(None).await);
    }

    fn lost(&self, error: &Error) -> Report {
        Report::new(format!("the connection to {} broke off", self.target)).because(error)
    }
}

/// A handshake that was refused: in the gateway's own words where it has some.
fn refusal(target: &Target, response: &Response<Option<Vec<u8>>>) -> Report {
    match response.body().as_deref().filter(|body| body.starts_with(b"{")) {
        Some(body) => explain(response.status(), body),
        None => {
            Report::new(format!("{target} does not speak WebSocket: it answered HTTP {}", response.status()))
        }
    }
}
