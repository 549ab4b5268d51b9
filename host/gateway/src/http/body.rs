//! Reads a request's body: bounded in bytes, in silence and in slowness.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use lockgate_domain::{ErrorCode, LimitKind, Problem};
use tokio::time::timeout_at;

/// How much memory a declared length alone is worth.
const MAX_TRUST: usize = 1 << 20;

/// Reads all of it. `patience` is the longest silence, and the time that a body has in all beside one millisecond for
/// each of its bytes: a caller slower than that would hold its connection for hours.
pub(crate) async fn collect(mut body: Incoming, limit: usize, patience: Duration) -> Result<Bytes, Problem> {
    check_length(&body, limit)?;
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
    let started = Instant::now();
    // Nearly every body is one chunk, which then is the body without a copy.
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while !body.is_end_stream() {
        let received = first.len().max(whole.len());
        let slowest = started + patience + Duration::from_millis(u64::try_from(received).unwrap_or(u64::MAX));
        let until = slowest.min(Instant::now() + patience);
        let frame = match timeout_at(until.into(), body.frame()).await {
            Ok(Some(frame)) => frame.map_err(|error| broken_off(&error))?,
            Ok(None) => break,
            Err(_) => return Err(too_slow(received)),
        };
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - received.min(limit) {
            return Err(too_large(limit));
        }
        if received == 0 {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(declared.min(MAX_TRUST).max(received + data.len()));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Refuses a body that says itself that it is too long.
pub(crate) fn check_length(body: &Incoming, limit: usize) -> Result<(), Problem> {
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large(limit));
    }
    Ok(())
}

pub(crate) fn too_large(limit: usize) -> Problem {
    Problem::limit(
        LimitKind::RequestBytes,
        u64::try_from(limit).unwrap_or(u64::MAX),
        format!("the request is larger than {limit} bytes"),
    )
    .with_hint("send fewer documents at once; `max_message_bytes` of the flow's gateway sets the limit")
}

fn too_slow(received: usize) -> Problem {
    Problem::new(
        ErrorCode::DeadlineExceeded,
        format!("the request's body came too slowly: {received} bytes so far"),
    )
    .with_hint("send the body at once")
}

fn broken_off(error: &hyper::Error) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, format!("the request's body broke off: {error}"))
}
