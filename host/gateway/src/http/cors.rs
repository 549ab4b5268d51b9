//! Requests of pages of other origins (CORS), where the flow's author lets them in.
//!
//! Any origin may call then, but never with what the browser itself would add: no answer allows credentials, so a page
//! can send only keys that it knows. What a page may do is told in advance (a preflight), and the answer is read by it
//! whatever its status.

use ::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use axum::body::Body;

const ANY: HeaderValue = HeaderValue::from_static("*");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
/// Seconds that a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// Longest list of headers that is said back.
const MAX_LIST: usize = 1 << 10;

/// The answer to a browser that asks what a page may do; none for any other request.
pub(crate) fn preflight<B>(request: &Request<B>) -> Option<Response<Body>> {
    let headers = request.headers();
    let is_preflight = *request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    is_preflight.then(|| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        // A star would not stand for `authorization`, so the page's own list is said back.
        if let Some(list) = wanted_headers(headers) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, list.clone());
        }
        answer.insert(VARY, HeaderValue::from_static("access-control-request-headers"));
        open(&mut response);
        response
    })
}

/// Lets pages of any origin read an answer.
pub(crate) fn open(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANY);
}

fn wanted_headers(headers: &HeaderMap) -> Option<&HeaderValue> {
    let list = headers.get(ACCESS_CONTROL_REQUEST_HEADERS)?;
    let is_list = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_, ".contains(byte);
    Some(list).filter(|list| list.len() <= MAX_LIST && list.as_bytes().iter().all(is_list))
}
