//! What the frames of the subprotocols mean.
//!
//! Where documents leave as they are emitted, each list is a frame of its own, written like an answer but without routes;
//! the answer comes last, with those documents that were not emitted. All frames of a request name its id.

use bytes::Bytes;
use futures_util::StreamExt;
use lockgate_domain::Problem;
use lockgate_wire::{envelope, grpc, json};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{Format, Subprotocol};
use crate::admission::Guard;
use crate::circumstances::Circumstances;
use crate::door::{Visit, Visitor};
use crate::gate::Gate;
use crate::parts::{Part, Parts};
use crate::serve::{Answer, Prepared, Refusal, is_about_one_message};

/// Whether a frame says that no more will come: one zero byte, or an empty JSON object.
pub(super) fn is_end_of_input(format: Format, frame: &[u8]) -> bool {
    match format {
        Format::Bytes => frame == [0],
        Format::Json => {
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

/// Where the parts of answers that are not complete go. The session takes one when the one before has left.
pub(super) type PartSender = mpsc::Sender<Message>;

/// Decodes, serves, encodes. Parts have been taken when the answer is given.
pub(super) async fn answer(
    gate: &Gate,
    visitor: &dyn Visitor,
    subprotocol: Subprotocol,
    frame: Bytes,
    circumstances: Circumstances,
    parts: PartSender,
) -> Reply {
    let visit = match visitor.enter() {
        Ok(visit) => visit,
        Err(problem) => return refuse(subprotocol.format, &frame, problem),
    };
    let served = serve(gate, visit, subprotocol, frame, circumstances, parts).await;
    served.unwrap_or_else(|problem| Reply { ends_with: Some(problem), ..Reply::default() })
}

async fn serve(
    gate: &Gate,
    visit: Visit,
    subprotocol: Subprotocol,
    frame: Bytes,
    circumstances: Circumstances,
    parts: PartSender,
) -> Result<Reply, Problem> {
    let Subprotocol { format, streams } = subprotocol;
    let request = match format {
        Format::Json => json::decode_request(&frame, &gate.options.limits)?,
        Format::Bytes => crate::grpc::decode(gate, frame)?,
    };
    let prepared = Prepared::new(visit, request, circumstances).map_err(|refusal| refusal.problem)?;
    let answer = if streams { run(format, prepared, parts).await } else { prepared.run(None).await };
    let mut answer = answer.map_err(|refusal| refusal.problem)?;
    let message = encode(format, &answer.reply())?;
    Ok(Reply { message: Some(message), ends_with: None, guard: answer.guard.take() })
}

async fn run(format: Format, prepared: Prepared, sender: PartSender) -> Result<Answer, Refusal> {
    let mut parts = Parts::of(prepared);
    loop {
        match parts.next().await {
            Some(Part::Emitted(documents)) => {
                let message = encode(format, &parts.label.part(&documents))?;
                // Nobody takes it only when the session is gone, and then this is dropped.
                if sender.send(message).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            Some(Part::Ended(ended)) => {
                // There is room for one, so this waits until the last part was taken: the answer comes after it.
                drop(sender.reserve().await);
                return ended;
            }
            None => std::future::pending::<()>().await,
        }
    }
}

/// A message that the door refused is answered; the session goes on if the refusal is about this message alone.
fn refuse(format: Format, frame: &[u8], problem: Problem) -> Reply {
    let head = match format {
        Format::Json => json::decode_head(frame),
        Format::Bytes => grpc::decode_head(frame),
    };
    let message = encode(format, &Answer::refusing(head, &problem).reply()).ok();
    let ends_with = Some(problem).filter(|problem| !is_about_one_message(problem));
    Reply { message, ends_with, guard: None }
}

fn encode(format: Format, reply: &envelope::Reply<'_>) -> Result<Message, Problem> {
    match format {
        Format::Json => text(json::encode_reply(reply, json::Case::Snake)),
        Format::Bytes => Ok(Message::Binary(grpc::encode_reply(reply).encode_to_vec().into())),
    }
}

/// Whether the flow is ready, in Jina's words.
pub(super) fn readiness(format: Format, problem: Option<&Problem>) -> Message {
    match format {
        Format::Bytes => {
            let status = problem.map(grpc::status_proto).unwrap_or_default();
            Message::Binary(status.encode_to_vec().into())
        }
        Format::Json => match problem {
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
        let check = |format, frame: &[u8], expected| {
            assert_eq!(is_end_of_input(format, frame), expected, "{frame:?}");
        };
        check(Format::Bytes, &[0], true);
        check(Format::Bytes, &[], false);
        check(Format::Bytes, &[0, 0], false);
        check(Format::Json, b"{}", true);
        check(Format::Json, b" { }\n", true);
        check(Format::Json, b"{\"data\":[]}", false);
        check(Format::Json, b"", false);
    }
}
