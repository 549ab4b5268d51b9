//! The examples, run as their READMEs say: the flow file as it stands, executors built from source, `lockgate call`.

use std::path::{Path, PathBuf};

use lockgate_testkit::host::{HostOptions, lockgate};
use lockgate_testkit::http::HttpClient;
use lockgate_testkit::{RunningHost, fixtures, repository};
use serde_json::{Value, json};

use crate::support::{BINARY, assert_texts, post};

async fn up(flow: &str) -> RunningHost {
    // The guests are built by the kit with the same settings, so that the host finds them built.
    tokio::task::spawn_blocking(|| fixtures::component("chunker")).await.unwrap();
    HostOptions::flow_file(BINARY, repository().join(flow)).start().await
}

/// Runs `lockgate call` against the host; gives its standard output.
async fn call(host: &RunningHost, words: &[&str]) -> String {
    let output = lockgate(Path::new(BINARY))
        .arg("call")
        .arg(format!("grpc://{}", host.address()))
        .args(words)
        .current_dir(repository())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "lockgate call {words:?}: {told}\n{}", host.logs());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quickstart() {
    let host = up("examples/quickstart/flow.yml").await;
    let stages = host.ready()["stages"].as_array().map_or(0, Vec::len);
    assert_eq!(stages, 3, "{}", host.ready());
    let answer = post(&host, "/", &["  Hello   World "], json!({})).await;
    assert_eq!(answer.problem(), None, "{}", answer.text());
    let text = answer.texts().remove(0);
    let by_call = call(&host, &["--endpoint", "/", "--text", "  Hello   World ", "--json"]).await;
    let document: Value = serde_json::from_str(by_call.lines().next().unwrap_or_default()).unwrap();
    assert_eq!(document["text"], text);
    assert_eq!(text, "dlroW olleH!");
}

/// What a search gives: the file of the best match for each question.
async fn best_matches(host: &RunningHost, questions: &[&str]) -> Vec<String> {
    let body = json!({
        "data": questions.iter().map(|text| json!({ "text": text })).collect::<Vec<_>>(),
        "parameters": { "limit": 3 },
    });
    let answer = HttpClient::http1().post(&host.url("/search"), &body).await;
    assert_eq!(answer.problem(), None, "{}", answer.text());
    let answer = answer.json();
    let documents = answer["data"].as_array().cloned().unwrap_or_default();
    documents.iter().map(best_match).collect()
}

fn best_match(document: &Value) -> String {
    let matches = document["matches"].as_array().cloned().unwrap_or_default();
    let scores: Vec<f64> = matches.iter().map(first_score).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "not best first: {scores:?}");
    let uri = matches.first().and_then(|found| found["uri"].as_str()).unwrap_or("nothing");
    PathBuf::from(uri).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A ranking's own score stands under its name; the first is the one that ranks when there is only one.
fn first_score(found: &Value) -> f64 {
    let scores = found["scores"].as_object().cloned().unwrap_or_default();
    let score = scores.get("rrf").or_else(|| scores.values().next());
    score.and_then(|score| score["value"].as_f64()).unwrap_or(f64::NAN)
}

const QUESTIONS: &[&str] =
    &["how do bees find nectar", "undo the last commit", "why is there high tide twice a day"];
const FILES: &[&str] = &["bees.md", "git-undo.md", "tides.md"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_by_vectors() {
    let host = up("examples/search/flow.yml").await;
    let indexed = call(&host, &["--endpoint", "/index", "--dir", "examples/search/corpus", "--json"]).await;
    assert!(indexed.lines().count() >= 12, "{indexed}");
    assert_eq!(best_matches(&host, QUESTIONS).await, FILES);
    let answer = call(&host, &["--endpoint", "/search", "--text", QUESTIONS[0]]).await;
    assert!(answer.contains("bees.md"), "{answer}");
    // The Markdown of the repository beside it, as the README says.
    call(&host, &["--endpoint", "/index", "--dir", ".", "--glob", "host/**/*.md", "--json"]).await;
    let found = best_matches(&host, &["documents stay with the host, guests read and write columns"]).await;
    assert_eq!(found, ["0001-documents-stay-with-the-host.md"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_by_vectors_and_keywords() {
    let host = up("examples/search/hybrid.yml").await;
    call(&host, &["--endpoint", "/index", "--dir", "examples/search/corpus", "--json"]).await;
    assert_eq!(best_matches(&host, QUESTIONS).await, FILES);
    let answer = post(&host, "/search", &["undo the last commit"], json!({ "limit": 1 })).await.json();
    let routes: Vec<&str> =
        answer["routes"].as_array().unwrap().iter().filter_map(|route| route["executor"].as_str()).collect();
    assert_eq!(routes.first(), Some(&"gateway"));
    assert_eq!(routes.len(), 6, "{routes:?}");
    assert_texts(&post(&host, "/nobody", &["passes"], json!({})).await, &["passes"]);
}
