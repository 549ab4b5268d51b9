//! The WebSocket handshake of a client that forgives what Jina does: it takes a subprotocol and does not say so.
//!
//! What a gateway answers in place of a WebSocket is read up to [`MAX_REFUSAL_BYTES`], and frames up to the size of an
//! answer.

use http::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use lockgate_socket::ClientTls;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::http::explain;
use super::{MAX_ANSWER_BYTES, unreachable};
use crate::call::target::Target;
use crate::failure::Report;
use crate::tls;

/// Longest refusal that is read.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Connects and shakes hands; gives the subprotocol that the other side says it takes.
pub(super) async fn open(
    target: &Target,
    secure: Option<&ClientTls>,
    headers: HeaderMap,
    subprotocol: &'static str,
) -> Result<(Socket, Option<String>), Report> {
    let socket = tls::connect(&target.authority, secure).await;
    let socket = socket.map_err(|error| unreachable(target, Some(&error)))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(|error| unreachable(target, Some(&error)))?;
    // Ends when the socket has been handed over, or with the handshake.
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.with_upgrades().await) });
    let key = generate_key();
    let request = request(target, headers, &key, subprotocol)
        .map_err(|error| Report::new(format!("cannot call {target}")).because(&error))?;
    let response = sender.send_request(request).await.map_err(|error| unreachable(target, Some(&error)))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(target, response).await);
    }
    let chosen = judge(target, response.headers(), &key, subprotocol)?;
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| unreachable(target, Some(&error)))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_ANSWER_BYTES))
        .max_frame_size(Some(MAX_ANSWER_BYTES));
    let upgraded = TokioIo::new(upgraded);
    Ok((WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await, chosen))
}

fn request(
    target: &Target,
    headers: HeaderMap,
    key: &str,
    subprotocol: &'static str,
) -> Result<Request<Empty<bytes::Bytes>>, http::Error> {
    let mut request = Request::get("/")
        .header(HOST, &target.authority)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key)
        .header(SEC_WEBSOCKET_PROTOCOL, subprotocol)
        .body(Empty::new())?;
    request.headers_mut().extend(headers);
    Ok(request)
}

/// Whether that is a WebSocket with that subprotocol; gives what the other side says of it, which may be nothing.
fn judge(
    target: &Target,
    headers: &HeaderMap,
    key: &str,
    subprotocol: &str,
) -> Result<Option<String>, Report> {
    let text = |name: HeaderName| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_websocket = text(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
        && text(SEC_WEBSOCKET_ACCEPT) == Some(derive_accept_key(key.as_bytes()).as_str());
    if !is_websocket {
        return Err(Report::new(format!("{target} does not speak WebSocket"))
            .cause("its handshake is not the protocol's"));
    }
    match text(SEC_WEBSOCKET_PROTOCOL) {
        Some(chosen) if chosen != subprotocol => Err(Report::new(format!(
            "{target} answers with the subprotocol {chosen:?}, asked for was {subprotocol:?}"
        ))),
        chosen => Ok(chosen.map(str::to_owned)),
    }
}

/// A handshake that was refused: in the gateway's own words where it has some.
async fn refusal(target: &Target, response: Response<Incoming>) -> Report {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_REFUSAL_BYTES).collect().await;
    match body.map(http_body_util::Collected::to_bytes) {
        Ok(body) if body.starts_with(b"{") => explain(status, &body),
        _ => Report::new(format!("{target} does not speak WebSocket: it answered HTTP {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_judged() {
        let target: Target = "ws://h:1".parse().unwrap();
        let accept = derive_accept_key(b"key");
        let check = |pairs: &[(&str, &str)], expected: Result<Option<&str>, &str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            let judged = judge(&target, &headers, "key", "bytes").map_err(|report| report.sentence());
            assert_eq!(judged.as_ref().map(Option::as_deref).map_err(String::as_str), expected);
        };
        let good = [("upgrade", "WebSocket"), ("sec-websocket-accept", accept.as_str())];
        let with = |name: &'static str, value: &'static str| [good[0], good[1], (name, value)];
        check(&good, Ok(None));
        check(&with("sec-websocket-protocol", "bytes"), Ok(Some("bytes")));
        check(
            &with("sec-websocket-protocol", "json"),
            Err(r#"ws://h:1 answers with the subprotocol "json", asked for was "bytes""#),
        );
        let not = Err("ws://h:1 does not speak WebSocket: its handshake is not the protocol's");
        check(&good[..1], not);
        check(&[good[0], ("sec-websocket-accept", "x")], not);
    }
}
