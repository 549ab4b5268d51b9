//! Components that never come to serve: what `up` says about each, in how many words, and that it ends.

use std::path::PathBuf;

use lockgate_testkit::fixtures;
use lockgate_testkit::host::HostOptions;

use crate::support::{BINARY, flow, serve};

/// Ceilings of `describe` and `init`.
const LIMITS: &str =
    "{ fuel: 200000000, wall_time_ms: 12000, memory_bytes: 67108864, host_call_bytes: 1048576 }";

async fn refusal(component: PathBuf, init: &str) -> String {
    let text = flow(&format!(
        "
  - name: suspect
    uses: {}
    uses_with: {{ init: {init} }}
    limits: {LIMITS}
",
        component.display()
    ));
    match HostOptions::flow_text(BINARY, &text).try_start().await {
        Ok(host) => panic!("{} serves: {}", component.display(), host.ready()),
        Err(words) => words,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_refused_with_its_reason() {
    let mut wrong = Vec::new();
    let mut check = async |component: PathBuf, init: &str, expected: &[&str]| {
        let words = refusal(component.clone(), init).await;
        let what = format!("{} with init {init}", component.display());
        let is_told = words.contains("error:") && words.contains("suspect");
        let is_tame = words.len() < 8192 && !words.contains('\u{1b}') && !words.contains("panicked");
        if !is_told || !is_tame || !expected.iter().all(|part| words.contains(part)) {
            wrong.push(format!("{what}: expected {expected:?}\n{words}\n"));
        }
    };
    let described = fixtures::manifest_component;
    check(described("spin"), "fine", &["describe"]).await;
    check(described("trap"), "fine", &["trapped"]).await;
    check(described("huge"), "fine", &["bytes"]).await;
    check(described("garbage"), "fine", &["manifest"]).await;
    check(described("list"), "fine", &["manifest"]).await;
    check(described("nameless"), "fine", &["manifest", "name"]).await;
    check(described("crowded"), "fine", &["endpoints"]).await;
    check(described("deep"), "fine", &["manifest"]).await;
    check(described("documents"), "fine", &["describe"]).await;
    check(described("controls"), "fine", &["endpoint"]).await;
    let honest = || fixtures::component("manifests");
    check(honest(), "spin", &["does not start", "fuel"]).await;
    check(honest(), "trap", &["does not start", "trapped"]).await;
    check(honest(), "documents", &["does not start"]).await;
    check(honest(), "error", &["does not start", "the model file is missing"]).await;
    check(fixtures::component_without_exports(), "fine", &["lockgate:executor/executor"]).await;
    check(fixtures::component_with_foreign_import(), "fine", &["wasi:sockets/tcp"]).await;
    check(fixtures::core_module(), "fine", &["core module"]).await;
    check(fixtures::truncated_component(), "fine", &[]).await;
    check(fixtures::no_component(), "fine", &[]).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_one_serves() {
    let host = serve(&flow("\n  - name: honest\n    uses: {manifests}\n")).await;
    assert_eq!(host.ready()["stages"][0]["endpoints"][0], "/echo");
}
