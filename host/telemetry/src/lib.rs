//! Logs, the inventory of metrics, and the page that shows them.
//!
//! This crate decides how lines look and where they go (always standard error: standard output belongs to answers),
//! never what is logged. It installs one subscriber per process and refuses a second one. What guests say arrives
//! under [`GUEST_TARGET`], so that an operator can silence or single out tenants' lines with one directive.

pub mod inventory;
mod logging;
pub mod page;

pub use logging::{LogError, LogFormat, LogOptions, init};

/// The `tracing` target of lines that guests wrote. Their text is a stranger's: already escaped and cut by the runtime.
pub const GUEST_TARGET: &str = "lockgate::guest";
