//! What guests say: `host.log`, standard output and standard error, all as lines with the same bounds.
//!
//! A line is one event for [`tracing`] under the target `lockgate::guest`. Control characters are escaped, so that a
//! guest can neither start a line of its own, nor move the cursor of whoever reads the log. A call has a number of
//! lines; what comes after is dropped, counted, and told in one closing line.

use std::sync::Arc;

use lockgate_domain::{ExecutorName, Limits, RequestId};
use parking_lot::Mutex;

/// Longest last words that are kept for the error of a trap.
const LAST_WORDS_BYTES: usize = 400;

/// How much a line matters, as in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Which of the two standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// The log of one instance; shared with its standard streams.
#[derive(Debug, Clone)]
pub(crate) struct GuestLog(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    executor: Option<ExecutorName>,
    request: Option<RequestId>,
    line_bytes: usize,
    lines: u32,
    lines_left: u32,
    dropped: u64,
    out: Vec<u8>,
    err: Vec<u8>,
    last_words: String,
}

impl GuestLog {
    pub(crate) fn new(executor: Option<ExecutorName>, limits: &Limits) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            executor,
            request: None,
            line_bytes: limits.log_line_bytes as usize,
            lines: limits.log_lines,
            lines_left: limits.log_lines,
            dropped: 0,
            out: Vec::new(),
            err: Vec::new(),
            last_words: String::new(),
        })))
    }

    /// Names the request whose call begins.
    pub(crate) fn begin(&self, request: Option<RequestId>) {
        let mut lines = self.0.lock();
        lines.request = request;
        lines.last_words.clear();
    }

    /// Writes what is left of unfinished lines, tells how many were dropped, and makes room for the next call.
    pub(crate) fn finish(&self) {
        let mut lines = self.0.lock();
        lines.flush(Stream::Out);
        lines.flush(Stream::Err);
        let dropped = std::mem::take(&mut lines.dropped);
        if dropped > 0 {
            lines.emit(Level::Warn, &format!("{dropped} more lines dropped"));
        }
        lines.lines_left = lines.lines;
    }

    /// One line of `host.log`.
    pub(crate) fn line(&self, level: Level, text: &str) {
        let mut lines = self.0.lock();
        if level == Level::Error {
            lines.keep_last_words(text);
        }
        lines.line(level, text.as_bytes());
    }

    /// Bytes of a standard stream: lines end at line feeds, and where they grow too long.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut lines = self.0.lock();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ends) = match piece.split_last() {
                Some((b'\n', rest)) => (rest, true),
                _ => (piece, false),
            };
            lines.append(stream, piece);
            if ends {
                lines.flush(stream);
            }
        }
    }

    /// The last line on standard error or at level error in this call: usually a panic's message.
    pub(crate) fn last_words(&self) -> Option<String> {
        let mut lines = self.0.lock();
        lines.flush(Stream::Err);
        if lines.last_words.is_empty() { None } else { Some(lines.last_words.clone()) }
    }
}

impl Lines {
    fn buffer(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    /// Keeps one byte more than a line may have, so that the cut shows.
    fn append(&mut self, stream: Stream, piece: &[u8]) {
        let limit = self.line_bytes + 1;
        let buffer = self.buffer(stream);
        let room = limit.saturating_sub(buffer.len()).min(piece.len());
        buffer.extend_from_slice(piece.get(..room).unwrap_or(&[]));
    }

    fn flush(&mut self, stream: Stream) {
        let mut bytes = std::mem::take(self.buffer(stream));
        if !bytes.is_empty() {
            let level = match stream {
                Stream::Out => Level::Info,
                Stream::Err => Level::Warn,
            };
            if stream == Stream::Err {
                // A note such as "run with RUST_BACKTRACE=1" follows the message that matters.
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if !text.starts_with("note:") {
                    self.keep_last_words(&text);
                }
            }
            self.line(level, &bytes);
        }
        bytes.clear();
        *self.buffer(stream) = bytes;
    }

    fn keep_last_words(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.last_words = escape(text, LAST_WORDS_BYTES);
        }
    }

    fn line(&mut self, level: Level, bytes: &[u8]) {
        match self.lines_left.checked_sub(1) {
            Some(left) => self.lines_left = left,
            None => {
                self.dropped += 1;
                return;
            }
        }
        // Cut before decoding: what follows the limit is never looked at.
        let head = bytes.get(..self.line_bytes + 1).unwrap_or(bytes);
        let line = escape(&String::from_utf8_lossy(head), self.line_bytes);
        self.emit(level, &line);
    }

    fn emit(&self, level: Level, line: &str) {
        let executor = self.executor.as_ref().map_or("", ExecutorName::as_str);
        let request = self.request.as_ref().map_or("", RequestId::as_str);
        match level {
            Level::Trace => tracing::trace!(target: "lockgate::guest", executor, request, "{line}"),
            Level::Debug => tracing::debug!(target: "lockgate::guest", executor, request, "{line}"),
            Level::Info => tracing::info!(target: "lockgate::guest", executor, request, "{line}"),
            Level::Warn => tracing::warn!(target: "lockgate::guest", executor, request, "{line}"),
            Level::Error => tracing::error!(target: "lockgate::guest", executor, request, "{line}"),
        }
    }
}

/// The text with everything escaped that a terminal or a log reader would obey, cut after `limit` bytes.
pub(crate) fn escape(text: &str, limit: usize) -> String {
    let mut escaped = String::with_capacity(text.len().min(limit) + 8);
    for character in text.chars() {
        if escaped.len() + character.len_utf8() > limit {
            escaped.push_str(" [cut]");
            return escaped;
        }
        if is_active(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Control characters, line separators, and marks that turn the direction of the text around.
fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
