//! The reply around the documents, and the bodies of errors.

use std::time::SystemTime;

use lockgate_domain::{ErrorCode, Parameters, Problem};
use serde_json::Value;
use time::OffsetDateTime;

use super::element::Encoder;
use super::{Case, text};
use crate::envelope::{Reply, Route};
use crate::grpc::status_proto;

pub(super) fn reply(reply: &Reply<'_>, case: Case) -> Vec<u8> {
    let documents = Encoder::new(reply.documents, reply.dialect);
    let mut out = Vec::with_capacity(documents.estimate() + 256 + reply.routes.len() * 128);
    out.extend_from_slice(b"{\"header\":{");
    out.extend_from_slice(case.pick(b"\"requestId\":", b"\"request_id\":"));
    text::write_text(&mut out, reply.request_id);
    write_status(&mut out, reply.failure, case);
    out.extend_from_slice(case.pick(b",\"execEndpoint\":", b",\"exec_endpoint\":"));
    text::write_text(&mut out, reply.endpoint);
    out.extend_from_slice(case.pick(b",\"targetExecutor\":\"\"}", b",\"target_executor\":\"\"}"));
    out.extend_from_slice(b",\"parameters\":");
    write_parameters(&mut out, reply.parameters);
    out.extend_from_slice(b",\"routes\":");
    text::write_list(&mut out, reply.routes, |out, route| write_route(out, route, case));
    out.extend_from_slice(b",\"data\":");
    documents.list(&mut out);
    out.push(b'}');
    out
}

pub(super) fn problem(request_id: Option<&str>, problem: &Problem) -> Vec<u8> {
    let status = status_proto(problem);
    // FastAPI's words, which clients may compare.
    let detail = if problem.code() == ErrorCode::NotFound { "Not Found" } else { problem.message() };
    let body = serde_json::json!({
        "header": {
            "requestId": request_id.unwrap_or_default(),
            "status": {
                "code": status.code,
                "description": status.description,
                "exception": {
                    "name": problem.code().as_str(),
                    "args": [],
                    "stacks": [],
                    "executor": problem.executor().map(ToString::to_string).unwrap_or_default(),
                },
            },
            "execEndpoint": "",
            "targetExecutor": "",
        },
        "parameters": null,
        "routes": null,
        "data": null,
        "detail": detail,
        "error": problem,
    });
    body.to_string().into_bytes()
}

pub(super) fn unprocessable(problem: &Problem) -> Vec<u8> {
    let (place, message) = place(problem.message());
    let body = serde_json::json!({
        "detail": [{ "loc": place, "msg": message, "type": "value_error" }],
        "error": problem,
    });
    body.to_string().into_bytes()
}

/// The path at the beginning of a fault's message (`data[3].text: no`), step by step, and the rest of it.
fn place(message: &str) -> (Vec<Value>, &str) {
    let mut steps = vec![Value::from("body")];
    let Some((path, rest)) = message.split_once(": ") else { return (steps, message) };
    if !path.starts_with("data") && !path.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        return (steps, message);
    }
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        match step.strip_suffix(']').and_then(|index| index.parse::<u64>().ok()) {
            Some(index) => steps.push(index.into()),
            None => steps.push(step.into()),
        }
    }
    (steps, rest)
}

impl Case {
    fn pick(self, camel: &'static [u8], snake: &'static [u8]) -> &'static [u8] {
        match self {
            Case::Camel => camel,
            Case::Snake => snake,
        }
    }
}

fn write_parameters(out: &mut Vec<u8>, parameters: &Parameters) {
    let start = out.len();
    // Writing a map of JSON values into memory cannot fail; if it did, half of it must not stay.
    if parameters.is_empty() || serde_json::to_writer(&mut *out, parameters.map()).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"{}");
    }
}

/// Jina's clients accept no other keys than these.
fn write_route(out: &mut Vec<u8>, route: &Route, case: Case) {
    out.extend_from_slice(b"{\"executor\":");
    text::write_text(out, &route.executor);
    for (time, camel, snake) in [
        (route.start, &b",\"startTime\":"[..], &b",\"start_time\":"[..]),
        (route.end, b",\"endTime\":", b",\"end_time\":"),
    ] {
        match (time, case) {
            (Some(time), _) => {
                out.extend_from_slice(case.pick(camel, snake));
                write_time(out, time);
            }
            (None, Case::Camel) => {
                out.extend_from_slice(camel);
                out.extend_from_slice(b"null");
            }
            (None, Case::Snake) => {}
        }
    }
    write_status(out, route.failure.as_ref(), case);
    out.push(b'}');
}

fn write_status(out: &mut Vec<u8>, failure: Option<&Problem>, case: Case) {
    let Some(problem) = failure else {
        return out.extend_from_slice(case.pick(b",\"status\":null", b""));
    };
    let status = status_proto(problem);
    let exception = status.exception.unwrap_or_default();
    out.extend_from_slice(b",\"status\":{\"code\":");
    text::write_integer(out, i64::from(status.code));
    out.extend_from_slice(b",\"description\":");
    text::write_text(out, &status.description);
    out.extend_from_slice(b",\"exception\":{\"name\":");
    text::write_text(out, &exception.name);
    out.extend_from_slice(b",\"args\":");
    text::write_list(out, &exception.args, |out, argument| text::write_text(out, argument));
    out.extend_from_slice(b",\"stacks\":");
    text::write_list(out, &exception.stacks, |out, frame| text::write_text(out, frame));
    out.extend_from_slice(b",\"executor\":");
    text::write_text(out, &exception.executor);
    out.extend_from_slice(b"}}");
}

/// RFC 3339 in UTC, to the microsecond.
fn write_time(out: &mut Vec<u8>, time: SystemTime) {
    let time = OffsetDateTime::from(time);
    let year = u32::try_from(time.year()).unwrap_or(0);
    let digits = |out: &mut Vec<u8>, value: u32, width: u32| {
        (0..width).rev().for_each(|place| out.push(b'0' + (value / 10u32.pow(place) % 10) as u8));
    };
    out.push(b'"');
    digits(out, year, 4);
    out.push(b'-');
    digits(out, u32::from(u8::from(time.month())), 2);
    out.push(b'-');
    digits(out, u32::from(time.day()), 2);
    out.push(b'T');
    digits(out, u32::from(time.hour()), 2);
    out.push(b':');
    digits(out, u32::from(time.minute()), 2);
    out.push(b':');
    digits(out, u32::from(time.second()), 2);
    out.push(b'.');
    digits(out, time.microsecond(), 6);
    out.extend_from_slice(b"Z\"");
}
