//! The benchmarks: `cargo xtask bench`. Prints a table of ratios and writes `target/bench.json`.
//!
//! What is compared is measured in turns in one run, because the machine is shared; see README.md beside this file for
//! how to read the table. Nothing here is a test: a missed target is printed, not failed.
#![expect(clippy::expect_used, reason = "a benchmark stops at the first surprise")]

mod drive;
mod fairness;
mod flows;
mod grpc;
mod hops;
mod hosting;
mod http;
mod measure;
mod native;
mod start;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use lockgate_runtime::{Runtime, RuntimeOptions};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wants = |section: &str| wanted.is_empty() || wanted.iter().any(|name| name == section);
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let wasm = guest(scratch.path().join("bench.wasm"));
    let bytes = std::fs::read(&wasm).expect("the guest that was built");
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut rows = Vec::new();
    {
        let options =
            RuntimeOptions { cache_dir: Some(scratch.path().join("cache")), ..RuntimeOptions::default() };
        let runtime = Runtime::new(options).expect("an engine");
        let component = runtime.load(&bytes).expect("the guest loads");
        if wants("hops") {
            rows.extend(hops::rows(&tokio, &runtime, &component));
        }
        if wants("flows") {
            rows.extend(flows::rows(&tokio, &runtime, &component));
        }
    }
    if wants("http") {
        rows.extend(http::rows(&tokio, &wasm));
    }
    if wants("grpc") {
        rows.extend(grpc::rows(&tokio, &wasm));
    }
    if wants("start") {
        rows.extend(start::rows(&tokio, &bytes, scratch.path()));
    }
    rows.extend(hosting::rows(&tokio, &wasm, &wants));
    if wants("fairness") {
        let picture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/fairness.svg");
        rows.extend(fairness::rows(&fairness::threads(), &bytes, &picture));
    }
    report(&rows)
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's output is its purpose")]
fn report(rows: &[measure::Row]) -> ExitCode {
    println!("{}", measure::table(rows));
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("target/bench.json");
    let json = json!({ "rows": rows.iter().map(measure::Row::json).collect::<Vec<_>>() });
    match std::fs::write(&path, format!("{json:#}\n")) {
        Ok(()) => {
            println!("written to target/bench.json");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: cannot write {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// Builds the benchmarks' guest with the real command.
fn guest(to: PathBuf) -> PathBuf {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/executors/bench");
    let done =
        Command::new(env!("CARGO_BIN_EXE_lockgate")).arg("build").arg(source).arg("-o").arg(&to).status();
    assert!(done.is_ok_and(|status| status.success()), "the guest does not build");
    to
}
