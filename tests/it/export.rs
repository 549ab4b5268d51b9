//! What `lockgate export` writes: judged by Kubernetes' own schemas, and served from the exported files.

use std::path::Path;
use std::process::Stdio;

use lockgate_testkit::host::{HostOptions, lockgate};
use lockgate_testkit::{fixtures, python, repository};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{BINARY, assert_texts, post};

const FLOW: &str = "jtype: Flow
with: {name: demo, port: '${{ ENV.PORT }}', env: {WHO: nobody}}
executors:
  - {name: first, uses: neighbour.wasm, uses_with: {key: '${{ ENV.API_KEY }}', who: '${{ ENV.WHO }}'}}
  - {name: second, uses: second/config.yml, needs: [first, gateway]}
";

async fn run(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let mut command = lockgate(Path::new(BINARY));
    command.args(words).current_dir(folder).env("PORT", "9100").env("API_KEY", "hunter2");
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("second")).unwrap();
    std::fs::write(folder.path().join("flow.yml"), FLOW).unwrap();
    std::fs::write(folder.path().join("second/config.yml"), "jtype: Second\nuses: ../neighbour.wasm\n")
        .unwrap();
    std::fs::copy(fixtures::component("neighbour"), folder.path().join("neighbour.wasm")).unwrap();
    folder
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder but the command itself, whose bytes hold everything.
fn texts(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(texts(&path));
        } else if path.extension().is_some_and(|end| end != "wasm") || path.ends_with("Dockerfile") {
            found.push((path.display().to_string(), read(&path)));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubernetes_takes_the_manifests() {
    let folder = folder();
    let words = ["export", "kubernetes", "flow.yml", "k8s", "--namespace", "demo", "--max-replicas", "5"];
    let (code, out, err) = run(folder.path(), &words).await;
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("kubectl create secret generic demo-env --namespace demo --from-literal=API_KEY="),
        "{out}"
    );
    let k8s = folder.path().join("k8s");
    let requirements = repository().join("tests/kubernetes/requirements.txt");
    let validator =
        tokio::task::spawn_blocking(move || python::tool(&requirements, "kubernetes-validate")).await;
    let validator = validator.unwrap().unwrap_or_else(|why| panic!("{why}"));
    let manifests: Vec<_> =
        texts(&k8s).into_iter().map(|(path, _)| path).filter(|path| path.ends_with(".yml")).collect();
    assert_eq!(manifests.len(), 6, "{manifests:?}");
    for version in ["1.25", "1.37"] {
        let mut command = Command::new(&validator);
        command.args(["--strict", "-k", version]).args(&manifests).stdin(Stdio::null());
        let output = command.output().await.unwrap();
        let words = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&words));
    }
    for (path, text) in texts(&k8s) {
        assert!(!text.contains("hunter2") && !text.contains("9100"), "{path} tells a variable: {text}");
    }
    assert!(k8s.join("image/components/first.wasm").is_file() && k8s.join("image/lockgate").is_file());
    let (code, _, err) = run(folder.path(), &words).await;
    assert!(code == 1 && err.contains("is there already") && err.contains("--force"), "{err}");
    let forced = [&words[..], &["--force"]].concat();
    assert_eq!(run(folder.path(), &forced).await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exported_flow_serves() {
    let folder = folder();
    let (code, out, err) =
        run(folder.path(), &["export", "docker-compose", "flow.yml", "out/compose.yml"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("docker compose -f out/compose.yml up --build"), "{out}");
    let compose = folder.path().join("out/compose.yml");
    let text = read(&compose);
    for expected in ["9100:8080", "${API_KEY:?set API_KEY}", "./image", "cap_drop"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // The flow file of the container, with the components where they are here.
    let exported =
        texts(&folder.path().join("out")).into_iter().find(|(path, _)| path.contains("-flow-")).unwrap();
    let inside = folder.path().join("out/image/components");
    let here = exported.1.replace("/flow/components", &inside.display().to_string());
    let words = here.replace("${{ ENV.API_KEY }}", "key").replace("${{ ENV.PORT }}", "0");
    let host = HostOptions::flow_text(BINARY, &words).start().await;
    assert_texts(&post(&host, "/upper", &["hello"], json!({})).await, &["HELLO"]);
    assert_eq!(host.ready()["stages"][1]["name"], "second", "{}", host.ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_and_the_schema() {
    let folder = folder();
    assert_eq!(run(folder.path(), &["export", "flowchart", "flow.yml", "flow.svg"]).await.0, 0);
    let picture = read(&folder.path().join("flow.svg"));
    assert!(picture.starts_with("<svg") && picture.contains(">second</text>"), "{picture}");
    assert_eq!(run(folder.path(), &["export", "flowchart", "flow.yml", "flow.mmd"]).await.0, 0);
    assert!(read(&folder.path().join("flow.mmd")).starts_with("flowchart LR"));
    let (code, schema, err) = run(folder.path(), &["export", "schema"]).await;
    assert_eq!(code, 0, "{err}");
    std::fs::write(folder.path().join("schema.json"), &schema).unwrap();
    // A real validator, on flows that are right and flows that are not.
    let script = "import json, sys, yaml, jsonschema
schema = json.load(open('schema.json'))
jsonschema.Draft202012Validator.check_schema(schema)
judge = jsonschema.Draft202012Validator(schema)
print(json.dumps([judge.is_valid(yaml.safe_load(text)) for text in json.loads(sys.argv[1])]))
";
    let flows = [
        FLOW,
        "jtype: Deployment\nwith: {uses: a.wasm, replicas: 3, port: 8080, limits: {memory_bytes: 64MiB}}\n",
        "jtype: Flow\nexecutors: [{uses: a.wasm}, deployment.yml]\n",
        "jtype: Flow\nexecutors: [{uses: a.wasm, usess_with: {}}]\n",
        "jtype: Flow\n",
        "jtype: Flow\nexecutors: [{uses: a.wasm, limits: {fuel: lots}}]\n",
        "jtype: Flow\nexecutors: [{uses: a.wasm, volumes: [x]}]\n",
    ];
    let requirements = repository().join("tests/kubernetes/requirements.txt");
    let python = tokio::task::spawn_blocking(move || python::tool(&requirements, "python")).await;
    let mut command = Command::new(python.unwrap().unwrap_or_else(|why| panic!("{why}")));
    command.args(["-c", script, &json!(flows).to_string()]).current_dir(folder.path()).stdin(Stdio::null());
    let output = command.output().await.unwrap();
    let judged: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(judged, json!([true, true, true, false, false, false, false]));
}
