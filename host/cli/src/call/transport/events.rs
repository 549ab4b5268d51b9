//! Server-sent events: documents one by one, then `end`, or `error`.
//!
//! Events are read as they come, in pieces of any size; one that is longer than an answer may be ends the reading.
//! Without `end` some documents are missing, which is an error.

use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::http::{decode, explain, lost};
use super::{MAX_ANSWER_BYTES, Take};
use crate::call::target::Target;
use crate::failure::{Failure, Report};

pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// A body of events.
pub(super) struct Events<'a> {
    target: &'a Target,
    body: Incoming,
    /// What came and is not yet an event, of which so much has been searched for an end.
    pending: Vec<u8>,
    searched: usize,
}

/// One event, of what it says.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Update(String),
    Error(String),
    End,
    /// A comment, or something that is not known yet.
    Other,
}

impl<'a> Events<'a> {
    pub(super) fn new(target: &'a Target, body: Incoming) -> Self {
        Self { target, body, pending: Vec::new(), searched: 0 }
    }

    /// Hands over each document as it comes, until the end.
    pub(super) async fn hand_over(mut self, take: &mut Take<'_>) -> Result<(), Failure> {
        loop {
            match parse(&self.next().await?) {
                Event::Update(document) => take(&decode(format!("{{\"data\":[{document}]}}").as_bytes())?)?,
                Event::Error(problem) => {
                    return Err(explain(StatusCode::INTERNAL_SERVER_ERROR, problem.as_bytes()).into());
                }
                Event::End => return Ok(()),
                Event::Other => {}
            }
        }
    }

    /// The lines of the next event.
    async fn next(&mut self) -> Result<Vec<u8>, Report> {
        loop {
            if let Some((end, length)) = blank_line(&self.pending, self.searched) {
                let rest = self.pending.split_off(end + length);
                let mut event = std::mem::replace(&mut self.pending, rest);
                event.truncate(end);
                self.searched = 0;
                return Ok(event);
            }
            self.searched = self.pending.len().saturating_sub(3);
            let frame = match self.body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(lost(self.target, &error)),
                None => {
                    return Err(Report::new(format!(
                        "the stream of {} broke off before its end",
                        self.target
                    )));
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            if self.pending.len() + data.len() > MAX_ANSWER_BYTES {
                return Err(Report::new(format!("{} sends an event without an end", self.target)));
            }
            self.pending.extend_from_slice(&data);
        }
    }
}

/// Where the event ends, and how long the sign is that says so.
fn blank_line(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let signs: [&[u8]; 2] = [b"\r\n\r\n", b"\n\n"];
    let rest = bytes.get(from..)?;
    let found = signs.iter().filter_map(|sign| {
        let place = rest.windows(sign.len()).position(|window| window == *sign)?;
        Some((from + place, sign.len()))
    });
    found.min()
}

fn parse(event: &[u8]) -> Event {
    let text = String::from_utf8_lossy(event);
    let (mut kind, mut data) = (String::new(), Vec::new());
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => kind = value.to_owned(),
            "data" => data.push(value),
            _ => {}
        }
    }
    match kind.as_str() {
        "update" => Event::Update(data.join("\n")),
        "error" => Event::Error(data.join("\n")),
        "end" => Event::End,
        _ => Event::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let check = |bytes: &str, from: usize, expected: Option<(usize, usize)>| {
            assert_eq!(blank_line(bytes.as_bytes(), from), expected, "{bytes:?}");
        };
        check("event: end\r\n\r\nx", 0, Some((10, 4)));
        check("event: end\n\nx\r\n\r\n", 0, Some((10, 2)));
        check("event: end\r\n\r\n", 8, Some((10, 4)));
        check("event: end\r\n\r", 0, None);
        check("", 0, None);
    }

    #[test]
    fn events_are_read() {
        let check = |text: &str, expected: Event| assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        check("event: update\r\ndata: {\"a\": 1}", Event::Update("{\"a\": 1}".into()));
        check("data:1\ndata:2\nevent:update", Event::Update("1\n2".into()));
        check("event: error\ndata: {}", Event::Error("{}".into()));
        check("event: end", Event::End);
        check(": alive", Event::Other);
        check("", Event::Other);
    }
}
