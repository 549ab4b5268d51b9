//! A problem on its way out: the one place where it becomes an HTTP answer of this API.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use lockgate_domain::{ErrorCode, Problem};
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
        let usual = StatusCode::from_u16(problem.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let status = status.unwrap_or(usual);
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

/// A request that means nothing, in words.
pub(crate) fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, message)
}

/// A stranger's text, cut to what a message can show; control characters are shown as escapes by `{:?}`.
pub(crate) fn cut(text: &str) -> &str {
    const SHOWN_BYTES: usize = 80;
    text.get(..text.floor_char_boundary(SHOWN_BYTES)).unwrap_or(text)
}
