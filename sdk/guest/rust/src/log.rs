//! Log lines: `info!("indexed {count}")` and its siblings, one host call each.
//!
//! The host escapes, cuts and counts; this side formats only when there is something to format.

use std::fmt;

use crate::host;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say everything")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Sends one line to the host's log.
pub fn log(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(text) => host::log(level, text),
        None => host::log(level, &message.to_string()),
    }
}

/// Logs a step that only a debugging author wants to see.
#[macro_export]
macro_rules! trace {
    ($($message:tt)+) => {
        $crate::log($crate::Level::Trace, ::core::format_args!($($message)+))
    };
}

/// Logs what helps to understand a call.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => {
        $crate::log($crate::Level::Debug, ::core::format_args!($($message)+))
    };
}

/// Logs what an operator wants to know: `info!("indexed {count} documents")`.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => {
        $crate::log($crate::Level::Info, ::core::format_args!($($message)+))
    };
}

/// Logs what may need attention.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => {
        $crate::log($crate::Level::Warn, ::core::format_args!($($message)+))
    };
}

/// Logs what needs attention.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => {
        $crate::log($crate::Level::Error, ::core::format_args!($($message)+))
    };
}
