//! Project chores, one word each: `cargo xtask layers | tidy | ci | bench`.
//!
//! Owns what keeps the house in order and nothing that ships. Every chore reads the repository and prints what is
//! wrong with a path and a remedy; none of them edits a file. What it may take is bounded by the size of the tree.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool that speaks to its caller"
)]

mod bench;
mod ci;
mod layers;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHORE
  layers   crates depend downwards only, and only the runtime sees wasmtime
  tidy     what no compiler checks: file headers, sizes, words, attributes
  ci       everything, in order: format, layers, tidy, clippy, tests
  bench    benchmarks as a table of ratios; names of sections pick some:
           hops flows http grpc batching start fairness uploads swaps density neighbours;
           --jina measures against the real Jina instead (grpc, http), --json prints JSON";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let chore = words.next().unwrap_or_default();
    let outcome = match chore.as_str() {
        "layers" => report("layers", layers::check(&root())),
        "tidy" => report("tidy", tidy::check(&root())),
        "ci" => ci::run(&root()),
        "bench" => bench::run(&root(), words),
        "" | "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => Err(format!("there is no chore {other:?}\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What a check found; each finding is one line.
type Findings = Result<Vec<String>, String>;

/// Prints the findings of one check; none is success.
fn report(name: &str, findings: Findings) -> Result<(), String> {
    let findings = findings?;
    for finding in &findings {
        eprintln!("{name}: {finding}");
    }
    match findings.len() {
        0 => {
            println!("{name}: ok");
            Ok(())
        }
        count => Err(format!("{name} found {count} problem(s)")),
    }
}

/// The root of the repository, wherever the command is started.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_path_buf()
}
