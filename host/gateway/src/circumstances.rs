//! What a caller says beside the request itself: until when it waits, and metadata for the executors.
//!
//! Credentials never reach an executor. Metadata that executors may read is bounded, because every stage sees it.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName};
use lockgate_domain::request::Headers;
use lockgate_domain::{ErrorCode, Problem};

/// Metadata entries that executors may read.
const MAX_ENTRIES: usize = 64;
/// Bytes of them, names included.
const MAX_BYTES: usize = 16 << 10;
/// The longest wait a caller can ask for; a flow's own limit is far below.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// gRPC's own header: up to eight digits and a unit.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Milliseconds that an HTTP caller waits.
pub(crate) const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-request-timeout-ms");
/// Seconds that an HTTP caller waits.
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("request-timeout");
/// Asks to be told what the host did with the request.
pub(crate) const EXPLAIN: HeaderName = HeaderName::from_static("lockgate-explain");
/// The caller's id of the request, in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Circumstances of one request, or of all requests of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Circumstances {
    /// Metadata for the executors.
    pub(crate) headers: Headers,
    /// When the caller stops waiting, if it said so.
    pub(crate) deadline: Option<Instant>,
    /// When the request came.
    pub(crate) arrival: Arrival,
    /// Whether the caller wants to know how its request was batched.
    pub(crate) explain: bool,
}

/// One moment on both clocks: one to measure with, one to show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) instant: Instant,
    system: SystemTime,
}

impl Circumstances {
    /// Reads the headers of a request.
    pub(crate) fn of(headers: &HeaderMap, arrival: Arrival) -> Result<Self, Problem> {
        let wait = wait_asked_for(headers)?;
        Ok(Self {
            headers: metadata(headers),
            deadline: wait.and_then(|wait| arrival.instant.checked_add(wait)),
            arrival,
            explain: wants_explanation(headers)?,
        })
    }

    /// The same caller, a later request of its stream.
    pub(crate) fn arriving_now(&self) -> Self {
        Self { arrival: Arrival::now(), ..self.clone() }
    }
}

impl Arrival {
    /// This moment.
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), system: SystemTime::now() }
    }

    /// Another moment on the clock that people read, as far from this one as it was measured.
    pub(crate) fn show(self, instant: Instant) -> SystemTime {
        let shown = match instant.checked_duration_since(self.instant) {
            Some(later) => self.system.checked_add(later),
            None => self.system.checked_sub(self.instant.saturating_duration_since(instant)),
        };
        shown.unwrap_or(self.system)
    }
}

fn wants_explanation(headers: &HeaderMap) -> Result<bool, Problem> {
    match headers.get(&EXPLAIN) {
        None => Ok(false),
        Some(value) if value == "batch" => Ok(true),
        Some(_) => Err(Problem::new(ErrorCode::InvalidRequest, format!("header {EXPLAIN} is not `batch`"))
            .with_hint("leave it out, or write `batch` to read how the request was batched")),
    }
}

fn wait_asked_for(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    type Parse = fn(&str) -> Option<Duration>;
    let accepted: [(&HeaderName, Parse, &str); 3] = [
        (&GRPC_TIMEOUT, parse_grpc_timeout, "up to eight digits and one of H M S m u n, such as 500m"),
        (&TIMEOUT_MS, |text| whole(text).map(Duration::from_millis), "whole milliseconds, such as 500"),
        (&TIMEOUT, |text| whole(text).map(Duration::from_secs), "whole seconds, such as 5"),
    ];
    let Some((name, parse, form, value)) = accepted
        .into_iter()
        .find_map(|(name, parse, form)| headers.get(name).map(|value| (name, parse, form, value)))
    else {
        return Ok(None);
    };
    match value.to_str().ok().and_then(parse) {
        Some(wait) => Ok(Some(wait.min(MAX_WAIT))),
        None => Err(Problem::new(ErrorCode::InvalidRequest, format!("header {name} is not a duration"))
            .with_hint(format!("write {form}"))),
    }
}

fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount = if digits.len() <= 8 { whole(digits)? } else { return None };
    match unit {
        "H" => Some(Duration::from_secs(amount.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(amount.saturating_mul(60))),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

fn whole(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn metadata(headers: &HeaderMap) -> Headers {
    let mut pairs = Vec::new();
    let mut bytes = 0_usize;
    for (name, value) in headers {
        if is_private(name.as_str()) {
            continue;
        }
        let Ok(value) = value.to_str() else { continue };
        bytes = bytes.saturating_add(name.as_str().len()).saturating_add(value.len());
        if pairs.len() == MAX_ENTRIES || bytes > MAX_BYTES {
            break;
        }
        pairs.push((name.as_str().to_owned(), value.to_owned()));
    }
    Headers::new(pairs)
}

/// Credentials, and what only concerns the connection.
fn is_private(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "proxy-authorization"
            | "cookie"
            | "x-api-key"
            | "accept"
            | "accept-encoding"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-type"
            | "expect"
            | "host"
            | "keep-alive"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    ) || name.starts_with("grpc-")
        // What says which revision a caller stays with has to reach the executors' side.
        || (name.starts_with("lockgate-") && name != "lockgate-sticky")
        || name.starts_with("sec-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn waits_are_read_and_bounded() {
        let check = |name: &'static str, value: &'static str, expected: Option<Duration>| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(wait_asked_for(&headers).ok().flatten(), expected, "{name}: {value}");
            assert_eq!(wait_asked_for(&headers).is_err(), expected.is_none(), "{name}: {value}");
        };
        check("grpc-timeout", "500m", Some(Duration::from_millis(500)));
        check("grpc-timeout", "0n", Some(Duration::ZERO));
        check("grpc-timeout", "99999999H", Some(MAX_WAIT));
        check("grpc-timeout", "100000000S", None);
        check("grpc-timeout", "5", None);
        check("grpc-timeout", "-1S", None);
        check("grpc-timeout", "", None);
        check("x-request-timeout-ms", "250", Some(Duration::from_millis(250)));
        check("x-request-timeout-ms", "9999999999999999999", Some(MAX_WAIT));
        check("x-request-timeout-ms", "1e3", None);
        check("request-timeout", "2", Some(Duration::from_secs(2)));
        check("request-timeout", "soon", None);
    }

    #[test]
    fn executors_see_bounded_metadata_and_no_credentials() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("authorization", "Bearer x"), ("cookie", "a=b"), ("traceparent", "00-1-2-01")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let seen = metadata(&headers);
        assert_eq!(seen.iter().collect::<Vec<_>>(), [("traceparent", "00-1-2-01")]);
        for number in 0..1000 {
            let name = HeaderName::from_bytes(format!("x-{number}").as_bytes()).unwrap();
            headers.insert(name, HeaderValue::from_static("v"));
        }
        assert_eq!(metadata(&headers).iter().count(), MAX_ENTRIES);
    }

    #[test]
    fn moments_are_shown_relative_to_arrival() {
        let arrival = Arrival::now();
        let later = arrival.instant + Duration::from_millis(5);
        assert_eq!(arrival.show(later), arrival.system + Duration::from_millis(5));
        assert_eq!(arrival.show(arrival.instant), arrival.system);
    }
}
