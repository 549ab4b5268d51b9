//! A WebSocket client for tests: frames in, frames out.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
pub use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::wait::PATIENCE;

/// An open connection.
#[derive(Debug)]
pub struct WebSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl WebSocket {
    /// Connects to `/` and asks for the subprotocol `json` or `bytes`.
    pub async fn open(address: SocketAddr, subprotocol: Option<&'static str>) -> Self {
        let request = format!("ws://{address}/").into_client_request();
        let mut request = request.unwrap_or_else(|error| panic!("no WebSocket request: {error}"));
        if let Some(subprotocol) = subprotocol {
            request
                .headers_mut()
                .insert("sec-websocket-protocol", http::HeaderValue::from_static(subprotocol));
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((stream, _)) => Self(stream),
            Err(error) => panic!("cannot open a WebSocket to {address}: {error}"),
        }
    }

    /// Connects to a URL with these headers; the error is the status and the body of the refusal.
    pub async fn try_open(url: &str, headers: &[(&str, &str)]) -> Result<Self, (u16, String)> {
        let mut request =
            url.into_client_request().unwrap_or_else(|error| panic!("no WebSocket request: {error}"));
        for (name, value) in headers {
            let parts = (http::HeaderName::try_from(*name), http::HeaderValue::try_from(*value));
            let (Ok(name), Ok(value)) = parts else { panic!("{name}: {value} is no header") };
            request.headers_mut().append(name, value);
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((stream, _)) => Ok(Self(stream)),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            }
            Err(error) => panic!("cannot open a WebSocket at {url}: {error}"),
        }
    }

    /// Sends one message; false when the other side has closed.
    pub async fn send(&mut self, message: Message) -> bool {
        self.0.send(message).await.is_ok()
    }

    /// The next message, pings left out; none at the end.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
            match next.unwrap_or_else(|_| panic!("the WebSocket said nothing in time"))? {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(message) => return Some(message),
                Err(_) => return None,
            }
        }
    }
}
