//! What the command says, sentence by sentence.

use std::path::Path;

use lockgate_testkit::fixtures;
use lockgate_testkit::host::lockgate;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{BINARY, flow};

/// What a run printed, with everything that differs between machines left out.
async fn run(folder: &Path, words: &[&str]) -> String {
    let output = lockgate(Path::new(BINARY)).args(words).current_dir(folder).output().await.unwrap();
    let text = format!(
        "exit code {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    text.replace(&folder.display().to_string(), "FOLDER")
}

fn folder_with(flow: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("flow.yml"), flow).unwrap();
    std::fs::copy(fixtures::component("neighbour"), folder.path().join("neighbour.wasm")).unwrap();
    folder
}

/// Compares with the snapshot of that name, sizes, times and digests left out.
fn assert_told(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    for (pattern, replacement) in [
        (r"\b[0-9a-f]{12,64}\b", "DIGEST"),
        (r"\b\d+(\.\d+)? (B|KiB|MiB|bytes)\b", "SIZE"),
        (r"\b\d+(\.\d+)? ?(ns|µs|ms|s)\b", "TIME"),
        (r"compiled in|mapped from the cache in", "READY IN"),
        (r"[ \t]+\n", "\n"),
    ] {
        settings.add_filter(pattern, replacement);
    }
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_and_version() {
    let folder = TempDir::new().unwrap();
    for words in [
        &["--help"][..],
        &["up", "--help"],
        &["call", "--help"],
        &["check", "--help"],
        &["inspect", "--help"],
    ] {
        let name = words.join("_").replace('-', "");
        assert_told(&name, &run(folder.path(), words).await);
    }
    let version = run(folder.path(), &["version"]).await;
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    assert!(version.contains("lockgate:executor@0.1.2"), "{version}");
    let completions = run(folder.path(), &["completions", "bash"]).await;
    assert!(completions.contains("_lockgate"), "{completions}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_names_what_is_wrong() {
    let good = "jtype: Flow\nexecutors:\n  - name: a\n    uses: neighbour.wasm\n";
    let flows = [
        ("good", good.to_owned()),
        ("typo", good.replace("uses:", "usess:")),
        ("missing_component", good.replace("neighbour.wasm", "nowhere.wasm")),
        ("unknown_need", format!("{good}    needs: b\n")),
        ("cycle", format!("{good}    needs: b\n  - name: b\n    uses: neighbour.wasm\n    needs: a\n")),
        ("no_yaml", "jtype: [Flow".to_owned()),
        ("empty", String::new()),
        ("bad_name", good.replace("name: a", "name: '../a'")),
        ("bad_limit", format!("{good}    limits: {{ fuels: 3 }}\n")),
        ("docker", good.replace("neighbour.wasm", "docker://somebody/thing")),
    ];
    for (name, text) in flows {
        let folder = folder_with(&text);
        assert_told(&format!("check_{name}"), &run(folder.path(), &["check", "flow.yml"]).await);
    }
    let folder = folder_with(&format!("{good}  - name: a\n    uses: neighbour.wasm\n"));
    let words = run(folder.path(), &["check", "flow.yml"]).await;
    assert!(words.starts_with("exit code 1") && words.contains("two executors are named `a`"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inspect_shows_what_a_component_is() {
    let folder = folder_with("");
    assert_told("inspect", &run(folder.path(), &["inspect", "neighbour.wasm"]).await);
    let json = run(folder.path(), &["inspect", "neighbour.wasm", "--json"]).await;
    let line = json.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    let inspected: Value = serde_json::from_str(line).unwrap();
    assert_eq!(inspected["manifest"]["name"], "neighbour", "{inspected}");
    assert_eq!(inspected["manifest"]["endpoints"][0]["name"], "/upper", "{inspected}");
    let imports = inspected["imports"].as_array().cloned().unwrap_or_default();
    assert!(imports.iter().all(|import| import["granted"] == true), "{imports:?}");
    for (name, component) in [
        ("core_module", fixtures::core_module()),
        ("text", fixtures::no_component()),
        ("foreign_import", fixtures::component_with_foreign_import()),
    ] {
        let copy = folder.path().join("suspect.wasm");
        std::fs::copy(component, &copy).unwrap();
        assert_told(&format!("inspect_{name}"), &run(folder.path(), &["inspect", "suspect.wasm"]).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_shows_a_table_and_a_line_to_paste() {
    let folder = folder_with(&flow("\n  - name: neighbour\n    uses: neighbour.wasm\n"));
    let host =
        lockgate_testkit::host::HostOptions::flow_file(BINARY, folder.path().join("flow.yml")).start_pretty();
    let mut host = host.await;
    let told = host.logs().replace(&host.address().to_string(), "ADDRESS");
    let table: Vec<&str> =
        told.lines().filter(|line| line.contains("neighbour") || line.contains("STAGE")).collect();
    assert!(table.iter().any(|line| line.contains("/upper") && line.contains("reused")), "{told}");
    assert!(told.contains("curl -s http://ADDRESS/upper"), "{told}");
    assert!(told.contains("lockgate call grpc://ADDRESS"), "{told}");
    host.terminate();
    assert!(host.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_explains_why_there_is_no_answer() {
    let folder = TempDir::new().unwrap();
    // A port that was free a moment ago, and on which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let words = run(folder.path(), &["call", &format!("http://127.0.0.1:{port}"), "--text", "hello"]).await;
    assert!(
        words.starts_with("exit code 1") && words.contains("error:") && words.contains("hint:"),
        "{words}"
    );
}
