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

macro_rules! levels {
    ($dollar:tt $($name:ident $level:ident $what:literal,)*) => {
        $(
            #[doc = $what]
            #[macro_export]
            macro_rules! $name {
                ($dollar($dollar message:tt)+) => {
                    $crate::log($crate::Level::$level, ::core::format_args!($dollar($dollar message)+))
                };
            }
        )*
    };
}

levels! {$
    trace Trace "Logs a step that only a debugging author wants to see.",
    debug Debug "Logs what helps to understand a call.",
    info Info "Logs what an operator wants to know.",
    warn Warn "Logs what may need attention.",
    error Error "Logs what needs attention.",
}
