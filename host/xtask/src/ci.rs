//! Everything a change must pass, in the order in which a failure is cheapest to find.
//!
//! Runs cargo as a child process, one step after the other, and stops at the first that fails. The tests are the last
//! step and nothing is printed after them, so that the last line of a run is the runner's own summary.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{layers, report, tidy};

/// Runs all steps.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    cargo(root, "format", &["fmt", "--all", "--check"])?;
    step("layers");
    report("layers", layers::check(root))?;
    step("tidy");
    report("tidy", tidy::check(root))?;
    cargo(root, "clippy", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    cargo(root, "tests", &["test", "--workspace", "--locked"])
}

fn cargo(root: &Path, name: &str, words: &[&str]) -> Result<(), String> {
    step(name);
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program)
        .args(words)
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cannot start cargo for the step {name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the step {name} failed: cargo {}", words.join(" "))) }
}

fn step(name: &str) {
    println!("── {name}");
}
