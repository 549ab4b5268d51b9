//! What the frames of the two subprotocols mean.

use bytes::Bytes;
use lockgate_domain::Problem;
use lockgate_wire::{grpc, json};
use prost::Message as _;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::Subprotocol;
use crate::circumstances::Circumstances;
use crate::gate::Gate;
use crate::serve::serve_request;

/// Whether a frame says that no more will come: one zero byte, or an empty JSON object.
pub(super) fn is_end_of_input(subprotocol: Subprotocol, frame: &[u8]) -> bool {
    match subprotocol {
        Subprotocol::Bytes => frame == [0],
        Subprotocol::Json => {
            // Anything longer has content or is not worth the guess.
            frame.len() <= 64 && frame.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}")
        }
    }
}

/// Decodes, serves, encodes.
pub(super) async fn answer(
    gate: &Gate,
    subprotocol: Subprotocol,
    frame: Bytes,
    circumstances: Circumstances,
) -> Result<Message, Problem> {
    let flow = gate.routes.resolve()?;
    let request = match subprotocol {
        Subprotocol::Json => json::decode_request(&frame, &gate.options.limits)?,
        Subprotocol::Bytes => crate::grpc::decode(gate, frame)?,
    };
    let answer = serve_request(flow, request, circumstances).await.map_err(|refusal| refusal.problem)?;
    match subprotocol {
        Subprotocol::Json => text(json::encode_reply(&answer.reply(), json::Case::Snake)),
        Subprotocol::Bytes => Ok(Message::Binary(grpc::encode_reply(&answer.reply()).encode_to_vec().into())),
    }
}

/// Whether the flow is ready, in Jina's words.
pub(super) fn readiness(subprotocol: Subprotocol, problem: Option<&Problem>) -> Message {
    match subprotocol {
        Subprotocol::Bytes => {
            let status = problem.map(grpc::status_proto).unwrap_or_default();
            Message::Binary(status.encode_to_vec().into())
        }
        Subprotocol::Json => match problem {
            None => Message::Text(Utf8Bytes::from_static("{}")),
            Some(problem) => {
                let status = serde_json::json!({ "code": "ERROR", "description": problem.message() });
                Message::Text(status.to_string().into())
            }
        },
    }
}

fn text(json: Vec<u8>) -> Result<Message, Problem> {
    Utf8Bytes::try_from(Bytes::from(json)).map(Message::Text).map_err(|error| {
        Problem::new(lockgate_domain::ErrorCode::HostFault, format!("the reply is not UTF-8: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_input_are_recognised() {
        let check = |subprotocol, frame: &[u8], expected| {
            assert_eq!(is_end_of_input(subprotocol, frame), expected, "{frame:?}");
        };
        check(Subprotocol::Bytes, &[0], true);
        check(Subprotocol::Bytes, &[], false);
        check(Subprotocol::Bytes, &[0, 0], false);
        check(Subprotocol::Json, b"{}", true);
        check(Subprotocol::Json, b" { }\n", true);
        check(Subprotocol::Json, b"{\"data\":[]}", false);
        check(Subprotocol::Json, b"", false);
    }
}
