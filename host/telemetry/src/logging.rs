//! One subscriber for the process: readable lines for people, JSON for collectors.
//!
//! A log that cannot be written (standard error closed) is dropped in silence: a host does not end because nobody
//! reads its log.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// one readable line, in colour on a terminal
    #[default]
    Pretty,
    /// one JSON object per line
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// How lines look.
    pub format: LogFormat,
    /// `trace`, `debug`, `info`, `warn`, `error`, `off`, or directives such as `info,lockgate::guest=off`.
    pub filter: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".into() }
    }
}

/// Why there is no log.
#[derive(Debug)]
pub enum LogError {
    /// The filter does not parse.
    BadFilter {
        /// the filter as written
        filter: String,
        /// the parser's words
        reason: String,
    },
    /// Another subscriber is installed already.
    AlreadyInstalled(TryInitError),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::BadFilter { filter, reason } => {
                write!(f, "{filter:?} is not a log filter: {reason}")
            }
            LogError::AlreadyInstalled(_) => f.write_str("this process has a log already"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LogError::BadFilter { .. } => None,
            LogError::AlreadyInstalled(error) => Some(error),
        }
    }
}

/// Installs the subscriber. Lines go to standard error.
pub fn init(options: &LogOptions) -> Result<(), LogError> {
    let filter = parse_filter(&options.filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_span_events(FmtSpan::NONE)
        .log_internal_errors(false);
    match options.format {
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
        LogFormat::Pretty => {
            lines.with_ansi(io::stderr().is_terminal()).with_target(false).compact().finish().try_init()
        }
    }
    .map_err(LogError::AlreadyInstalled)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LogError> {
    // A single word that is no level would be taken as a target and silence everything else: a typo must be told.
    let is_word = !filter.is_empty() && filter.chars().all(|c| c.is_ascii_alphanumeric());
    if is_word && filter.parse::<tracing_subscriber::filter::LevelFilter>().is_err() {
        let reason = "expected trace, debug, info, warn, error or off, or target=level directives".into();
        return Err(LogError::BadFilter { filter: filter.into(), reason });
    }
    EnvFilter::try_new(filter)
        .map_err(|error| LogError::BadFilter { filter: filter.into(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        let check = |filter: &str, fits: bool| assert_eq!(parse_filter(filter).is_ok(), fits, "{filter:?}");
        check("info", true);
        check("WARN", true);
        check("off", true);
        check("", true);
        check("info,lockgate::guest=off", true);
        check("lockgate_runtime=trace", true);
        check("loud", false);
        check("info,lockgate=loud", false);
    }
}
