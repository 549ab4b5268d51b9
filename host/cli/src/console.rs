//! Where words go: answers to standard output, everything about the work to standard error.
//!
//! With `--log-format json` standard error holds JSON lines only: what would be words becomes log lines.
//!
//! Colour is decided once per stream (a terminal, `NO_COLOR`, `--color`); a closed reader of standard output ends the
//! command quietly, a closed standard error is ignored.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use crate::args::{Color, LogLines};
use crate::failure::Failure;

/// Headings of tables.
pub(crate) const HEADING: Style = Style::new().bold();
/// What matters less.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// Names and URLs.
pub(crate) const ACCENT: Style = AnsiColor::Cyan.on_default();
/// What went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What to look at.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// What went wrong.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Width of output that goes to no terminal.
const PLAIN_WIDTH: usize = 100;

/// The two output streams of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    choice: ColorChoice,
    log: LogLines,
    width: Option<usize>,
}

impl Console {
    /// Decides about colour and width.
    pub(crate) fn new(color: Color, log: LogLines) -> Self {
        let choice = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::AlwaysAnsi,
            Color::Never => ColorChoice::Never,
        };
        choice.write_global();
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        Self { choice, log, width }
    }

    /// Prints a line of the answer.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Failure> {
        let mut out = AutoStream::new(io::stdout().lock(), self.choice(&io::stdout()));
        writeln!(out, "{text}").map_err(Failure::output)
    }

    /// Prints a line about the work.
    pub(crate) fn note(&self, text: impl Display) {
        if self.log == LogLines::Json {
            return tracing::info!("{}", plain(text));
        }
        self.write(text);
    }

    /// Prints what went wrong.
    pub(crate) fn error(&self, text: impl Display) {
        if self.log == LogLines::Json {
            return tracing::error!("{}", plain(text));
        }
        self.write(text);
    }

    fn write(&self, text: impl Display) {
        let mut out = AutoStream::new(io::stderr().lock(), self.choice(&io::stderr()));
        // Nobody reads: nobody misses it.
        drop(writeln!(out, "{text}"));
    }

    /// Prints a `warning:` line.
    pub(crate) fn warn(&self, text: impl Display) {
        if self.log == LogLines::Json {
            return tracing::warn!("{}", plain(text));
        }
        self.note(format_args!("{WARNING}warning:{WARNING:#} {text}"));
    }

    /// Prints a `hint:` line.
    pub(crate) fn hint(&self, text: impl Display) {
        self.note(format_args!("{ACCENT}hint:{ACCENT:#} {text}"));
    }

    /// Whether a person watches standard error.
    pub(crate) fn is_watched(&self) -> bool {
        io::stderr().is_terminal() && self.log == LogLines::Pretty
    }

    /// Columns that fit on the terminal.
    pub(crate) fn width(&self) -> usize {
        self.width.unwrap_or(PLAIN_WIDTH).max(40)
    }

    fn choice(&self, stream: &impl anstream::stream::RawStream) -> ColorChoice {
        match self.choice {
            ColorChoice::Auto => AutoStream::choice(stream),
            decided => decided,
        }
    }
}

/// The words without colours: a log line is for machines.
fn plain(text: impl Display) -> String {
    anstream::adapter::strip_str(&text.to_string()).to_string()
}
