//! A problem on its way out: the one place where it becomes an HTTP answer of this API.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use lockgate_domain::{ErrorCode, ErrorSource, Problem};
use serde_json::json;

/// Seconds after which another try makes sense where the problem itself does not say.
const USUAL_PAUSE_S: u64 = 1;

/// What a handler gives instead of its answer.
pub(crate) type Result<T> = std::result::Result<T, Refusal>;

/// A problem, and the status where it is not the code's own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    status: Option<StatusCode>,
}

/// The code of the error that an answer carries, for the audit log. Travels beside the answer, never in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed(pub(crate) ErrorCode);

/// How many requests ended with each code.
#[derive(Debug, Default)]
pub(crate) struct RefusalCounts([AtomicU64; ErrorCode::ALL.len()]);

impl RefusalCounts {
    /// Counts an answer, if it is a refusal.
    pub(crate) fn note(&self, response: &Response) {
        let Some(Failed(code)) = response.extensions().get::<Failed>() else { return };
        let counts = ErrorCode::ALL.iter().zip(&self.0);
        counts.filter(|(known, _)| *known == code).for_each(|(_, count)| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// The codes that came up so far.
    pub(crate) fn read(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        let counts = ErrorCode::ALL.into_iter().zip(&self.0);
        counts.map(|(code, count)| (code, count.load(Ordering::Relaxed))).filter(|(_, count)| *count > 0)
    }
}

impl Refusal {
    /// The same problem with another status.
    pub(crate) fn with_status(problem: Problem, status: StatusCode) -> Self {
        Self { problem, status: Some(status) }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, status: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { problem, status } = self;
        let status = status.unwrap_or_else(|| usual_status(&problem));
        let mut response = Response::new(Body::from(json!({ "error": problem }).to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let seconds =
                problem.retry_after_ms().map_or(USUAL_PAUSE_S, |milliseconds| milliseconds.div_ceil(1000));
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lockgate\""));
        }
        response.extensions_mut().insert(Failed(problem.code()));
        response
    }
}

/// The status of a problem. A guest that fails while it is examined or tried out is what the caller sent, no failure of
/// this API and nothing that passes by itself; only guests take time here.
fn usual_status(problem: &Problem) -> StatusCode {
    let usual = StatusCode::from_u16(problem.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = problem.code();
    let is_of_guest = code.source() == ErrorSource::Guest || code == ErrorCode::DeadlineExceeded;
    let is_misleading = usual.is_server_error() || usual == StatusCode::TOO_MANY_REQUESTS;
    if is_of_guest && is_misleading { StatusCode::UNPROCESSABLE_ENTITY } else { usual }
}

/// A request that means nothing, in words.
pub(crate) fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, message)
}

/// A stranger's text, cut to what a message can show; control characters are shown as escapes by `{:?}`.
pub(crate) fn cut(text: &str) -> &str {
    const SHOWN_BYTES: usize = 80;
    text.get(..text.floor_char_boundary(SHOWN_BYTES)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_domain::LimitKind;

    #[test]
    fn what_a_guest_does_is_no_failure_of_the_api() {
        let check = |problem: Problem, status: u16| assert_eq!(usual_status(&problem), status, "{problem:?}");
        let of = |code: ErrorCode| Problem::new(code, "words");
        check(of(ErrorCode::GuestTrap), 422);
        check(of(ErrorCode::GuestError), 422);
        check(of(ErrorCode::ContractViolation), 422);
        check(Problem::limit(LimitKind::Memory, 1, "words"), 422);
        check(Problem::limit(LimitKind::WallTime, 1, "words"), 422);
        check(of(ErrorCode::InvalidComponent), 400);
        check(of(ErrorCode::CapabilityDenied), 403);
        check(Problem::limit(LimitKind::StoredBytes, 1, "words"), 429);
        check(of(ErrorCode::Overloaded), 503);
        check(of(ErrorCode::Unavailable), 503);
        check(of(ErrorCode::HostFault), 500);
    }
}
