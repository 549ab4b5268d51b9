//! What is wrong with a flow file, and where.
//!
//! Plain text: colours are the command line's affair. Lines of the file are shown without control characters and cut to
//! a readable width, because the file may be a stranger's.

use std::fmt;

use lockgate_domain::{ErrorCode, Problem};

/// Columns of a source line that are shown.
const SHOWN_COLUMNS: usize = 100;
/// Most errors that are shown; the rest is counted.
const SHOWN_ERRORS: usize = 50;

/// A span of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// Characters.
    pub width: u32,
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowError {
    /// Where; none if it is about the whole file.
    pub place: Option<Place>,
    /// One sentence that names the thing.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl FlowError {
    pub(super) fn new(place: Option<Place>, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(place) = &self.place {
            write!(f, " (line {})", place.line)?;
        }
        match &self.hint {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

/// All errors of one file, in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowErrors {
    errors: Vec<FlowError>,
    /// The lines that errors point at, by error.
    lines: Vec<Option<String>>,
}

impl FlowErrors {
    pub(super) fn new(mut errors: Vec<FlowError>, text: &str) -> Self {
        errors.sort_by_key(|error| error.place.map(|place| (place.line, place.column)));
        let source: Vec<&str> = text.lines().collect();
        let line = |error: &FlowError| {
            let place = error.place?;
            source.get(place.line.checked_sub(1)? as usize).map(|line| shown(line))
        };
        let lines = errors.iter().map(line).collect();
        Self { errors, lines }
    }

    /// The errors.
    pub fn errors(&self) -> &[FlowError] {
        &self.errors
    }

    /// The errors as a person reads them in a terminal: message, place, the line with a caret, hint.
    pub fn render(&self, file: &str) -> String {
        let mut text = String::new();
        for (error, line) in self.errors.iter().zip(&self.lines).take(SHOWN_ERRORS) {
            if !text.is_empty() {
                text.push('\n');
            }
            render_one(&mut text, error, line.as_deref(), file);
        }
        match self.errors.len().checked_sub(SHOWN_ERRORS) {
            Some(more) if more > 0 => text + &format!("\n... and {more} more\n"),
            _ => text,
        }
    }

    /// As one problem, for a reader who is not at the file.
    pub fn problem(&self) -> Problem {
        Problem::new(ErrorCode::InvalidFlow, self.to_string())
    }
}

impl fmt::Display for FlowErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (error, index) in self.errors.iter().take(SHOWN_ERRORS).zip(0..) {
            if index > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for FlowErrors {}

fn render_one(text: &mut String, error: &FlowError, line: Option<&str>, file: &str) {
    text.push_str(&format!("error: {}\n", error.message));
    let gutter = error.place.map_or(1, |place| place.line.to_string().len());
    let pad = " ".repeat(gutter);
    match error.place {
        Some(place) => {
            text.push_str(&format!("{pad}--> {file}:{}:{}\n", place.line, place.column));
            if let Some(line) = line {
                let (line, before) = window(line, place.column.saturating_sub(1) as usize);
                let room = line.chars().count().saturating_sub(before).max(1);
                let carets = "^".repeat((place.width.max(1) as usize).min(room));
                text.push_str(&format!("{pad} |\n{} | {line}\n", place.line));
                text.push_str(&format!("{pad} | {}{carets}\n", " ".repeat(before)));
            }
        }
        None => text.push_str(&format!("{pad}--> {file}\n")),
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("{pad} = hint: {hint}\n"));
    }
}

/// The part of a long line around a column, and where the column stands in it.
fn window(line: &str, column: usize) -> (String, usize) {
    let start = if column + 10 < SHOWN_COLUMNS { 0 } else { column - 40 };
    let part: String = line.chars().skip(start).take(SHOWN_COLUMNS).collect();
    (part.trim_end().to_owned(), column - start)
}

/// One character per character, so that columns stay true.
fn shown(line: &str) -> String {
    line.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
