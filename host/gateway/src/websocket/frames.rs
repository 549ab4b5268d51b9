//! What the frames of the two subprotocols mean.

use bytes::Bytes;
use lockgate_domain::Problem;
use lockgate_wire::{envelope, grpc, json};
use prost::Message as _;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::Subprotocol;
use crate::admission::Guard;
use crate::circumstances::Circumstances;
use crate::door::{Visit, Visitor};
use crate::gate::Gate;
use crate::serve::{Answer, is_about_one_message, serve_request};

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

/// What one frame is answered with.
#[derive(Default)]
pub(super) struct Reply {
    /// The answer, if there is one.
    pub(super) message: Option<Message>,
    /// Why the session ends, if it does.
    pub(super) ends_with: Option<Problem>,
    /// Held until the message has left.
    pub(super) guard: Option<Guard>,
}

/// Decodes, serves, encodes.
pub(super) async fn answer(
    gate: &Gate,
    visitor: &dyn Visitor,
    subprotocol: Subprotocol,
    frame: Bytes,
    circumstances: Circumstances,
) -> Reply {
    let visit = match visitor.enter() {
        Ok(visit) => visit,
        Err(problem) => return refuse(subprotocol, &frame, problem),
    };
    let served = serve(gate, visit, subprotocol, frame, circumstances).await;
    served.unwrap_or_else(|problem| Reply { ends_with: Some(problem), ..Reply::default() })
}

async fn serve(
    gate: &Gate,
    visit: Visit,
    subprotocol: Subprotocol,
    frame: Bytes,
    circumstances: Circumstances,
) -> Result<Reply, Problem> {
    let request = match subprotocol {
        Subprotocol::Json => json::decode_request(&frame, &gate.options.limits)?,
        Subprotocol::Bytes => crate::grpc::decode(gate, frame)?,
    };
    let mut answer = serve_request(visit, request, circumstances).await.map_err(|refusal| refusal.problem)?;
    let message = encode(subprotocol, &answer.reply())?;
    Ok(Reply { message: Some(message), ends_with: None, guard: answer.guard.take() })
}

/// A message that the door refused is answered; the session goes on if the refusal is about this message alone.
fn refuse(subprotocol: Subprotocol, frame: &[u8], problem: Problem) -> Reply {
    let head = match subprotocol {
        Subprotocol::Json => json::decode_head(frame),
        Subprotocol::Bytes => grpc::decode_head(frame),
    };
    let message = encode(subprotocol, &Answer::refusing(head, &problem).reply()).ok();
    let ends_with = Some(problem).filter(|problem| !is_about_one_message(problem));
    Reply { message, ends_with, guard: None }
}

fn encode(subprotocol: Subprotocol, reply: &envelope::Reply<'_>) -> Result<Message, Problem> {
    match subprotocol {
        Subprotocol::Json => text(json::encode_reply(reply, json::Case::Snake)),
        Subprotocol::Bytes => Ok(Message::Binary(grpc::encode_reply(reply).encode_to_vec().into())),
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
