//! What tests share: guests built once, the real host as a process, clients, and waiting for conditions.
//!
//! Nothing here ships. Everything is made lazily, by the first test that asks, and kept for the next run: guests and
//! the Python environment live in the target folder behind a file lock, so that test processes can share them. What
//! cannot be made ends the test with one line that says what is missing.
#![expect(clippy::panic, reason = "here a panic is how a test fails, and every message says what to do")]

pub mod certificate;
pub mod faults;
pub mod fixtures;
pub mod guest;
pub mod host;
pub mod http;
pub mod oci_registry;
pub mod process;
pub mod python;
pub mod serve;
mod shared;
pub mod wait;
pub mod websocket;

pub use certificate::TestCertificate;
pub use host::RunningHost;
pub use serve::{RunningServe, ServeOptions};
pub use shared::{repository, target_folder};
pub use wait::wait_for;

#[cfg(test)]
mod tests;
