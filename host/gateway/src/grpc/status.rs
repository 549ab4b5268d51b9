//! The one place where a problem becomes a gRPC status.
//!
//! The whole problem travels as JSON in the trailer `lockgate-error`, escaped to ASCII and cut to what clients take:
//! many refuse more than 8 KiB of metadata in all.

use lockgate_domain::Problem;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::serve::Refusal;

const REQUEST_ID: &str = "x-request-id";
const ERROR: &str = "lockgate-error";
const RETRY_AFTER: &str = "grpc-retry-pushback-ms";
/// Longest JSON in metadata, and longest message of a status, in bytes.
const MAX_JSON_BYTES: usize = 4 << 10;
const MAX_MESSAGE_BYTES: usize = 1 << 10;

/// A refused request, with the id under which the log knows it.
pub(super) fn status_of_refusal(refusal: &Refusal) -> Status {
    let mut status = status_of(&refusal.problem);
    if let Some(id) = refusal.id.as_ref().and_then(|id| MetadataValue::try_from(id.as_str()).ok()) {
        status.metadata_mut().insert(REQUEST_ID, id);
    }
    status
}

/// A problem in gRPC's words.
pub(super) fn status_of(problem: &Problem) -> Status {
    let mut metadata = MetadataMap::new();
    let json = serde_json::to_string(problem).map(|json| to_ascii(&json)).unwrap_or_default();
    if !json.is_empty()
        && json.len() <= MAX_JSON_BYTES
        && let Ok(json) = MetadataValue::try_from(json)
    {
        metadata.insert(ERROR, json);
    }
    if let Some(milliseconds) = problem.retry_after_ms() {
        metadata.insert(RETRY_AFTER, MetadataValue::from(milliseconds));
    }
    Status::with_metadata(Code::from(problem.grpc() as i32), message(problem), metadata)
}

/// What went wrong and what to do, in one text: most clients show nothing else.
fn message(problem: &Problem) -> String {
    let mut message = problem.message().to_owned();
    if let Some(hint) = problem.hint() {
        message.push_str("; hint: ");
        message.push_str(hint);
    }
    let mut end = message.len().min(MAX_MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    message
}

fn to_ascii(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut ascii, character| {
        if matches!(character, ' '..='~') {
            ascii.push(character);
        } else {
            ascii.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
        ascii
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_domain::{ErrorCode, GrpcCode};

    #[test]
    fn problems_become_statuses() {
        let check = |problem: Problem, code: Code, message: &str| {
            let status = status_of(&problem);
            assert_eq!((status.code(), status.message()), (code, message));
            let json = status.metadata().get(ERROR).unwrap().to_str().unwrap();
            let read: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(read["message"], problem.message());
        };
        check(
            Problem::new(ErrorCode::Overloaded, "full").with_hint("wait").with_retry_after_ms(5),
            Code::ResourceExhausted,
            "full; hint: wait",
        );
        check(Problem::new(ErrorCode::HostFault, "käse 🧀"), Code::Internal, "käse 🧀");
        check(
            Problem::new(ErrorCode::GuestError, "taken").with_grpc(GrpcCode::AlreadyExists),
            Code::AlreadyExists,
            "taken",
        );
    }

    #[test]
    fn metadata_stays_small() {
        let problem = Problem::new(ErrorCode::HostFault, "x".repeat(10_000));
        let status = status_of(&problem);
        assert!(status.metadata().get(ERROR).is_none());
        assert_eq!(status.message().len(), MAX_MESSAGE_BYTES);
    }
}
