//! `cargo xtask bench`: the benchmarks of tests/load, in the release profile.

use std::path::Path;
use std::process::Command;

/// Builds and runs them; `sections` picks some.
///
/// # Errors
/// When cargo cannot be started, or a benchmark stops.
pub(crate) fn run(root: &Path, sections: impl Iterator<Item = String>) -> Result<(), String> {
    let done = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["bench", "--package", "lockgate-cli", "--bench", "load", "--"])
        .args(sections)
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if done.success() { Ok(()) } else { Err("the benchmarks did not finish".into()) }
}
