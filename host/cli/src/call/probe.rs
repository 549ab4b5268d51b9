//! Whether something answers: Jina's dry run and the health of a service, over each protocol.
//!
//! What a stranger answers is read with bounds and never shown in full. Each probe has a connection of its own, as a
//! probe is about the way there, too.

use std::path::Path;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use lockgate_socket::ClientTls;
use lockgate_wire::proto;
use lockgate_wire::proto::jina_gateway_dry_run_rpc_client::JinaGatewayDryRunRpcClient;
use prost::Message as _;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::call::target::{Protocol, Target};
use crate::call::transport::{channel, security, unreachable};
use crate::failure::Report;
use crate::measures;
use crate::tls;

/// Largest answer to a probe in bytes.
const MAX_BYTES: usize = 1 << 20;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether a request would come through all executors.
    DryRun,
    /// Whether the service itself serves.
    Health,
}

/// Asks once. The caller sets the time it may take. Behind TLS those are trusted that the file `ca` names, else the
/// system's authorities.
pub(crate) async fn probe(target: &Target, question: Question, ca: Option<&Path>) -> Result<(), Report> {
    let secure = security(target, ca)?;
    let secure = secure.as_ref();
    match (target.protocol, question) {
        (Protocol::Grpc, Question::DryRun) => grpc_dry_run(target, channel(target, secure).await?).await,
        (Protocol::Grpc, Question::Health) => grpc_health(target, channel(target, secure).await?).await,
        (Protocol::WebSocket, Question::DryRun) => websocket_dry_run(target, secure).await,
        (Protocol::Http, Question::DryRun) => {
            let (status, body) = get(target, secure, "/dry_run").await?;
            read_status(target, status, &body)
        }
        // Jina's gateways answer on `/` over HTTP whatever else they speak.
        (Protocol::Http | Protocol::WebSocket, Question::Health) => match get(target, secure, "/").await? {
            (StatusCode::OK, _) => Ok(()),
            (status, _) => Err(Report::new(format!("{target} answered {status}"))),
        },
    }
}

async fn grpc_dry_run(target: &Target, channel: Channel) -> Result<(), Report> {
    let mut client = JinaGatewayDryRunRpcClient::new(channel).max_decoding_message_size(MAX_BYTES);
    let status = client.dry_run(()).await.map_err(|status| refused(target, &status))?.into_inner();
    judge(target, i64::from(status.code), &status.description)
}

async fn grpc_health(target: &Target, channel: Channel) -> Result<(), Report> {
    let mut client = HealthClient::new(channel).max_decoding_message_size(MAX_BYTES);
    let answer = client.check(HealthCheckRequest::default()).await;
    match answer.map_err(|status| refused(target, &status))?.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(Report::new(format!("{target} says that it is {}", other.as_str_name()))),
    }
}

fn refused(target: &Target, status: &tonic::Status) -> Report {
    let words = measures::shorten(&measures::one_line(status.message()), 200);
    Report::new(format!("{target} answered {:?}", status.code())).cause(words)
}

/// Jina's code: 0 is success.
fn judge(target: &Target, code: i64, description: &str) -> Result<(), Report> {
    if code == 0 {
        return Ok(());
    }
    let report = Report::new(format!("{target} says that its flow is not ready"));
    Err(match description {
        "" => report,
        words => report.cause(measures::shorten(&measures::one_line(words), 200)),
    })
}

async fn get(target: &Target, secure: Option<&ClientTls>, path: &str) -> Result<(StatusCode, Bytes), Report> {
    let lost = |error: &dyn std::error::Error| unreachable(target, None).because(error);
    let stream = tls::connect(&target.authority, secure).await;
    let stream = stream.map_err(|error| unreachable(target, Some(&error)))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // A broken connection shows in the request that is under way.
        drop(connection.await);
    });
    let request = Request::get(path).header(HOST, &target.authority).body(Empty::<Bytes>::new());
    let response = sender.send_request(request.map_err(|error| lost(&error))?).await;
    let response = response.map_err(|error| lost(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
    Ok((status, body.map_err(|error| lost(error.as_ref()))?.to_bytes()))
}

/// A dry run over HTTP is 200 with Jina's code in it, whatever the code says.
fn read_status(target: &Target, status: StatusCode, body: &[u8]) -> Result<(), Report> {
    let told: Option<Value> = serde_json::from_slice(body).ok();
    let code = told.as_ref().and_then(|told| match told.get("code")? {
        Value::Number(code) => code.as_i64(),
        Value::String(code) => Some(i64::from(code != "SUCCESS")),
        _ => None,
    });
    match (status, code) {
        (StatusCode::OK, Some(code)) => {
            let description = told.as_ref().and_then(|told| told.get("description")).and_then(Value::as_str);
            judge(target, code, description.unwrap_or_default())
        }
        (StatusCode::OK, None) => {
            Err(Report::new(format!("{target} answers /dry_run, but not in Jina's words")))
        }
        (status, _) => Err(Report::new(format!("{target} answered {status}"))),
    }
}

async fn websocket_dry_run(target: &Target, secure: Option<&ClientTls>) -> Result<(), Report> {
    // Without a subprotocol the answer is JSON; Jina takes one and does not say so, which the protocol forbids.
    let request = format!("{target}/dry_run")
        .into_client_request()
        .map_err(|error| unreachable(target, Some(&error)))?;
    let config = WebSocketConfig::default().max_message_size(Some(MAX_BYTES)).max_frame_size(Some(MAX_BYTES));
    let socket = tls::connect(&target.authority, secure).await;
    let socket = socket.map_err(|error| unreachable(target, Some(&error)))?;
    let shaken = client_async_with_config(request, socket, Some(config)).await;
    let (mut stream, _) = shaken.map_err(|error| unreachable(target, Some(&error)))?;
    // Jina's client sends an empty frame; a gateway may answer before it has read it.
    drop(stream.send(Message::Binary(Bytes::new())).await);
    loop {
        match stream.next().await {
            Some(Ok(Message::Binary(frame))) => {
                let status = proto::StatusProto::decode(frame)
                    .map_err(|error| Report::new(format!("{target} cannot be understood")).because(&error))?;
                return judge(target, i64::from(status.code), &status.description);
            }
            Some(Ok(Message::Text(frame))) if frame.trim() == "{}" => return Ok(()),
            Some(Ok(Message::Text(frame))) => return read_status(target, StatusCode::OK, frame.as_bytes()),
            Some(Ok(Message::Close(Some(CloseFrame { reason, .. })))) if !reason.is_empty() => {
                return judge(target, 1, &reason);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_))) | None => {
                return Err(Report::new(format!("{target} closed the connection before it answered")));
            }
            Some(Err(error)) => return Err(unreachable(target, Some(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        let target: Target = "http://h:1".parse().unwrap();
        let check = |status: StatusCode, body: &str, expected: Option<&str>| {
            let told = read_status(&target, status, body.as_bytes()).err().map(|report| report.sentence());
            assert_eq!(told.as_deref(), expected, "{body}");
        };
        check(StatusCode::OK, r#"{"code":0,"description":"","exception":null}"#, None);
        check(StatusCode::OK, r#"{"code":"SUCCESS"}"#, None);
        check(
            StatusCode::OK,
            r#"{"code":1,"description":"executor\u001b[2J gone"}"#,
            Some("http://h:1 says that its flow is not ready: executor[2J gone"),
        );
        check(StatusCode::OK, "{}", Some("http://h:1 answers /dry_run, but not in Jina's words"));
        check(StatusCode::NOT_FOUND, "", Some("http://h:1 answered 404 Not Found"));
    }
}
