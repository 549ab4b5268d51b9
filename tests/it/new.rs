//! What `lockgate new` makes builds, passes its test and reads well, in an empty folder outside the repository.

use std::path::Path;
use std::process::Stdio;

use lockgate_testkit::host::lockgate;
use lockgate_testkit::{repository, target_folder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::BINARY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_executor_builds_and_passes_its_test() {
    let folder = TempDir::new().unwrap();
    let run = async |words: &[&str]| {
        let output =
            lockgate(Path::new(BINARY)).args(words).current_dir(folder.path()).output().await.unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let made = run(&["new", "word-count"]).await;
    assert!(made.contains("lockgate publish word-count --executor word-count"), "{made}");
    // The versions that the repository uses: the test asks no index for newer ones.
    std::fs::copy(repository().join("Cargo.lock"), folder.path().join("word-count/Cargo.lock")).unwrap();

    let built: Value = serde_json::from_str(&run(&["build", "word-count", "--json"]).await).unwrap();
    let component = built["component"].as_str().unwrap();
    let inspected: Value = serde_json::from_str(&run(&["inspect", component, "--json"]).await).unwrap();
    assert_eq!(inspected["manifest"]["endpoints"][0]["name"], "/word-count", "{inspected}");
    let checked: Value =
        serde_json::from_str(&run(&["check", "word-count/flow.yml", "--json"]).await).unwrap();
    assert_eq!(checked["flow"], "word-count");

    let tested = Command::new("cargo")
        .args(["test", "--manifest-path", "word-count/Cargo.toml"])
        .current_dir(folder.path())
        .env("CARGO_TARGET_DIR", target_folder())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let words = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{words}{}", String::from_utf8_lossy(&tested.stderr));
    assert!(words.contains("texts_become_louder ... ok"), "{words}");
}

#[tokio::test]
async fn what_is_there_is_left_alone() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("shout")).unwrap();
    std::fs::write(folder.path().join("shout/notes.txt"), "mine").unwrap();
    let check = async |words: &[&str], code: i32, told: &str| {
        let output =
            lockgate(Path::new(BINARY)).args(words).current_dir(folder.path()).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(told), "{text}");
    };
    check(&["new", "shout"], 1, "shout is there already").await;
    check(&["new", "2fast"], 2, "a Rust package cannot be called \"2fast\"").await;
    check(&["new", "serde"], 2, "a Rust package cannot be called \"serde\"").await;
    check(&["new", "a/b"], 2, "a/b").await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
