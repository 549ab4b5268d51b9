//! The benchmarks: `cargo xtask bench`. Prints a table of ratios and writes `target/bench.json`.
//!
//! What is compared is measured in turns in one run, because the machine is shared; see README.md beside this file for
//! how to read the table. Nothing here is a test: a missed target is printed, not failed.
#![expect(clippy::expect_used, reason = "a benchmark stops at the first surprise")]

mod batching;
mod drive;
mod fairness;
mod flows;
mod grpc;
mod hops;
mod hosting;
mod http;
mod http2;
mod jina;
mod measure;
mod native;
mod start;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use lockgate_runtime::{Runtime, RuntimeOptions};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (flags, wanted): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let wants = |section: &str| wanted.is_empty() || wanted.iter().any(|name| name == section);
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let wasm = guest(scratch.path().join("bench.wasm"));
    if has("--jina") {
        // The other side needs Python and a minute for each flow, so it is asked for by name.
        return match jina::rows(&wasm, &wanted) {
            Ok(rows) => report(&rows, "bench-jina.json", has("--json")),
            Err(why) => fail(&why),
        };
    }
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
    if wants("batching") {
        rows.extend(batching::rows(&tokio, &wasm));
    }
    if wants("start") {
        rows.extend(start::rows(&tokio, &bytes, scratch.path()));
    }
    rows.extend(hosting::rows(&tokio, &wasm, &wants));
    if wants("fairness") {
        let picture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/fairness.svg");
        rows.extend(fairness::rows(&fairness::threads(), &bytes, &picture));
    }
    report(&rows, "bench.json", has("--json"))
}

/// The table on standard output, or the same as JSON; everything else goes beside it.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's output is its purpose")]
fn report(rows: &[measure::Row], file: &str, as_json: bool) -> ExitCode {
    let json = json!({ "rows": rows.iter().map(measure::Row::json).collect::<Vec<_>>() });
    let json = format!("{json:#}\n");
    if as_json {
        print!("{json}");
    } else {
        println!("{}", measure::table(rows));
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target").join(file);
    match std::fs::write(&path, json) {
        Ok(()) => {
            eprintln!("written to target/{file}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&format!("cannot write {}: {error}", path.display())),
    }
}

#[expect(clippy::print_stderr, reason = "a benchmark's output is its purpose")]
fn fail(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}

/// Builds the benchmarks' guest with the real command.
fn guest(to: PathBuf) -> PathBuf {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/executors/bench");
    let mut build = Command::new(env!("CARGO_BIN_EXE_lockgate"));
    // It prints the path: standard output is the table's.
    let done = build.arg("build").arg(source).arg("-o").arg(&to).stdout(Stdio::null()).status();
    assert!(done.is_ok_and(|status| status.success()), "the guest does not build");
    to
}
