//! What went wrong with a call of an external executor, in the words of this host.
//!
//! A failure inside an answer is the executor's. What came instead of an answer is told with the address, and sorted by
//! one question: may the other side have seen the call? Only where it has not is another address asked. A refusal of our
//! own credentials is the host's failure, never the caller's.

use lockgate_domain::error::ErrorSource;
use lockgate_domain::{ErrorCode, ExecutorName, GrpcCode, LimitKind, Problem, ResultsError};
use tonic::{Code, Status};

/// Longest text of the other side that is shown.
const SHOWN: usize = 300;
/// How tonic says that an answer is too large; nothing else of its own says so.
const TOO_LARGE: &str = "Error, decoded message length too large";
/// How tonic says that a connection was gone before the request was written; it keeps no source of it.
const NOT_READY: &str = "Service was not ready";
/// Where a host like this one puts the time after which to come back.
const RETRY_AFTER: &str = "grpc-retry-pushback-ms";

/// What became of a call that was not answered with documents.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It cannot be sent anywhere.
    Unsendable(Problem),
    /// The other side has not seen it.
    NotSent(String),
    /// It may have been seen, and no answer came.
    Lost(Problem),
    /// The other side said what is wrong.
    Answered(Problem),
}

/// Sorts what came instead of an answer.
pub(super) fn sort_out(name: &ExecutorName, url: &str, status: &Status) -> Outcome {
    let Some(source) = std::error::Error::source(status) else {
        if status.code() == Code::Unknown && status.message().starts_with(NOT_READY) {
            return Outcome::NotSent(shown(status.message()));
        }
        return Outcome::Answered(of_status(name, url, status));
    };
    // Refused streams come as unavailable: by HTTP/2's rules the other side has done nothing with them.
    if status.code() == Code::Unavailable || was_canceled(source) {
        return Outcome::NotSent(shown(status.message()));
    }
    let what = format!("broke off the call: {}", shown(status.message()));
    Outcome::Lost(problem(ErrorCode::HostFault, name, url, &what).with_grpc(GrpcCode::Unavailable))
}

/// Sorts what ended a stream. Whatever came before it has been passed on, so such a call is never tried again.
pub(super) fn sort_out_stream(name: &ExecutorName, url: &str, status: &Status, is_begun: bool) -> Outcome {
    // What a generator of Jina's raises ends the stream in this way.
    let is_raised = status.code() == Code::Unknown && std::error::Error::source(status).is_none();
    if is_raised && !status.message().starts_with(NOT_READY) {
        let what = format!("answers Unknown: {}", shown(status.message()));
        return Outcome::Answered(problem(ErrorCode::GuestError, name, url, &what));
    }
    match sort_out(name, url, status) {
        Outcome::NotSent(why) if is_begun => {
            let what = format!("broke off the stream: {why}");
            Outcome::Lost(problem(ErrorCode::HostFault, name, url, &what).with_grpc(GrpcCode::Unavailable))
        }
        Outcome::Answered(told) if is_begun && told.code().retryable() => {
            Outcome::Answered(Problem::new(ErrorCode::HostFault, told.message()).with_executor(name))
        }
        outcome => outcome,
    }
}

/// A failure that the other side put into its answer. Whatever it calls it, to this host it is the executor's.
pub(super) fn in_answer(name: &ExecutorName, failure: Problem) -> Problem {
    if failure.source() == ErrorSource::Guest {
        return failure.with_executor(name);
    }
    let mut own = Problem::new(ErrorCode::GuestError, failure.message());
    if let Some(hint) = failure.hint() {
        own = own.with_hint(hint);
    }
    if let Some(executor) = failure.executor() {
        own = own.with_executor(executor);
    }
    own.with_backtrace(failure.backtrace().to_vec()).with_executor(name)
}

/// An answer that cannot be read, or passes a limit of the stage.
pub(super) fn unreadable(name: &ExecutorName, url: &str, why: &Problem) -> Problem {
    let what = format!("gave an answer that cannot be taken: {}", shown(why.message()));
    match why.limit_passed() {
        Some((kind, value)) => {
            let message = format!("external executor `{name}` at {url} {what}");
            Problem::limit(kind, value, message).with_executor(name)
        }
        None => problem(ErrorCode::ContractViolation, name, url, &what),
    }
}

/// Results beside the documents that this host does not hand on.
pub(super) fn unfit(name: &ExecutorName, url: &str, why: ResultsError) -> Problem {
    let message = format!("external executor `{name}` at {url} gave results that cannot be taken: {why}");
    match why {
        ResultsError::TooLarge { limit } => Problem::limit(LimitKind::WrittenBytes, limit, message)
            .with_hint("raise `written_bytes` under `limits` of the executor"),
        ResultsError::NoObject | ResultsError::TooDeep => Problem::new(ErrorCode::ContractViolation, message),
    }
    .with_executor(name)
}

fn of_status(name: &ExecutorName, url: &str, status: &Status) -> Problem {
    let text = shown(status.message());
    if status.code() == Code::OutOfRange && text.starts_with(TOO_LARGE) {
        let limit = text.rsplit(' ').find_map(|word| word.parse().ok()).unwrap_or(0);
        let message = format!("external executor `{name}` at {url} gave an answer that is too large: {text}");
        return Problem::limit(LimitKind::WrittenBytes, limit, message)
            .with_hint("raise `written_bytes` under `limits` of the executor")
            .with_executor(name);
    }
    let code = match status.code() {
        Code::Unavailable => ErrorCode::Unavailable,
        Code::ResourceExhausted => ErrorCode::Overloaded,
        Code::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        _ => ErrorCode::HostFault,
    };
    let told = problem(code, name, url, &format!("answers {:?}: {text}", status.code()));
    let told = match status.metadata().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()) {
        Some(milliseconds) if code == ErrorCode::Overloaded || code == ErrorCode::Unavailable => {
            told.with_retry_after_ms(milliseconds)
        }
        _ => told,
    };
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            told.with_hint("`grpc_metadata` of the executor carries what the other side asks for")
        }
        Code::Unimplemented => told.with_hint("is it a gateway or an executor of Jina's or ours?"),
        _ => told,
    }
}

fn problem(code: ErrorCode, name: &ExecutorName, url: &str, what: &str) -> Problem {
    Problem::new(code, format!("external executor `{name}` at {url} {what}")).with_executor(name)
}

/// Whether hyper gave the request up before it was written.
fn was_canceled(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        next = error.source();
    }
    false
}

/// A stranger's text as a message can show it.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_problems_that_name_the_address() {
        let name: ExecutorName = "enc".parse().unwrap();
        let check = |status: Status, code: ErrorCode, message: &str| {
            let Outcome::Answered(problem) = sort_out(&name, "grpc://a:1", &status) else {
                panic!("{status:?}")
            };
            assert_eq!((problem.code(), problem.message()), (code, message));
            assert_eq!(problem.executor(), Some(&name));
        };
        check(
            Status::unavailable("node is\nnot the leader"),
            ErrorCode::Unavailable,
            "external executor `enc` at grpc://a:1 answers Unavailable: node is not the leader",
        );
        check(
            Status::deadline_exceeded("over"),
            ErrorCode::DeadlineExceeded,
            "external executor `enc` at grpc://a:1 answers DeadlineExceeded: over",
        );
        // Our credentials are not the caller's.
        check(
            Status::unauthenticated("who?"),
            ErrorCode::HostFault,
            "external executor `enc` at grpc://a:1 answers Unauthenticated: who?",
        );
        check(
            Status::out_of_range(format!("{TOO_LARGE}: found 9 bytes, the limit is: 7 bytes")),
            ErrorCode::LimitExceeded,
            "external executor `enc` at grpc://a:1 gave an answer that is too large: Error, decoded message length too large: found 9 bytes, the limit is: 7 bytes",
        );
        let mut busy = Status::resource_exhausted("full");
        busy.metadata_mut().insert(RETRY_AFTER, "250".parse().unwrap());
        let Outcome::Answered(problem) = sort_out(&name, "grpc://a:1", &busy) else { panic!() };
        assert_eq!((problem.code(), problem.retry_after_ms()), (ErrorCode::Overloaded, Some(250)));
    }

    #[test]
    fn what_has_begun_is_not_tried_again() {
        let name: ExecutorName = "enc".parse().unwrap();
        let check = |status: Status, is_begun: bool, expected: ErrorCode| match sort_out_stream(
            &name,
            "grpc://a:1",
            &status,
            is_begun,
        ) {
            Outcome::Answered(problem) | Outcome::Lost(problem) => {
                assert_eq!(problem.code(), expected, "{problem:?}");
                assert!(problem.message().contains(status.message()), "{problem:?}");
            }
            outcome => panic!("{outcome:?}"),
        };
        check(Status::unavailable("not the leader"), false, ErrorCode::Unavailable);
        check(Status::unavailable("not the leader"), true, ErrorCode::HostFault);
        check(Status::resource_exhausted("full"), true, ErrorCode::HostFault);
        check(Status::unknown("Unexpected <class 'ValueError'>: x"), true, ErrorCode::GuestError);
        check(Status::deadline_exceeded("over"), true, ErrorCode::DeadlineExceeded);
        let lost = sort_out_stream(&name, "grpc://a:1", &Status::unknown(NOT_READY), true);
        assert!(matches!(lost, Outcome::Lost(_)), "{lost:?}");
    }

    #[test]
    fn a_failure_in_an_answer_is_the_executors() {
        let name: ExecutorName = "enc".parse().unwrap();
        let check = |code: ErrorCode, expected: ErrorCode| {
            let inner: ExecutorName = "Inner".parse().unwrap();
            let failure = Problem::new(code, "boom").with_hint("mend it").with_executor(&inner);
            let told = in_answer(&name, failure.with_backtrace(vec!["frame".to_owned()]));
            assert_eq!((told.code(), told.message(), told.hint()), (expected, "boom", Some("mend it")));
            assert_eq!((told.executor(), told.backtrace().len()), (Some(&inner), 1));
        };
        check(ErrorCode::GuestError, ErrorCode::GuestError);
        check(ErrorCode::GuestTrap, ErrorCode::GuestTrap);
        check(ErrorCode::HostFault, ErrorCode::GuestError);
        check(ErrorCode::Unauthenticated, ErrorCode::GuestError);
    }
}
