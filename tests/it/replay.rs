//! Replay capsules: what was recorded comes out again, with the same fuel, on a fresh host that reaches nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockgate_domain::document::DocumentListBuilder;
use lockgate_domain::spec::{InstanceMode, PoolSpec};
use lockgate_domain::{EndpointName, FuelBudget, Limits, Parameters, RequestContext, RequestId, TenantName};
use lockgate_node::{Capsule, CapsuleSetting, Node, NodeOptions, seal};
use lockgate_runtime::{InstancePool, Invocation, MemoryStore, PoolSetup, Runtime, RuntimeOptions};
use lockgate_testkit::fixtures;
use lockgate_testkit::host::{HostOptions, lockgate};
use serde_json::{Map, Value, json};

use crate::capabilities::Server;
use crate::support::{BINARY, flow, post};

/// The capsules in a folder.
fn capsules(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".capsule.json"))
        .collect()
}

/// Runs `lockgate replay` where nothing was compiled before; its exit code and its words.
async fn replay(capsule: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let cache = tempfile::tempdir().unwrap();
    let mut command = lockgate(Path::new(BINARY));
    command.env("LOCKGATE_CACHE_DIR", cache.path()).arg("replay").arg(capsule).args(more);
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_requests_come_out_the_same_on_a_fresh_host() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let text = flow(&format!(
        "\n  - name: reaching\n    uses: {{capabilities}}\n    limits: {{ fuel: 60M, wall_time_ms: 6000, memory_bytes: 64MiB }}\n    \
         capabilities: {{ key_value: {{ bytes: 1MiB }}, http: {{ hosts: [\"{}\"], private_networks: true }} }}\n",
        server.host()
    ));
    let folder_word = folder.path().display().to_string();
    let host = HostOptions::flow_text(BINARY, &text).word("--capsules").word(&folder_word).start().await;
    let good = post(&host, "/everything", &["a"], json!({ "url": server.url("/count") })).await;
    assert_eq!(good.problem(), None, "{}", good.text());
    assert_eq!(capsules(folder.path()), Vec::<PathBuf>::new(), "what goes well is not kept");
    let mut seen = Vec::new();
    for (endpoint, url, end, words) in [
        ("/everything", "/count", "error", "guest_error"),
        ("/everything", "/count", "trap", "guest_trap"),
        ("/everything", "/count", "fuel", "burned all 60000000"),
        ("/everything", "/count", "memory", "bytes of memory"),
        ("/fetch", "/endless", "", "longer than"),
        ("/fetch", "/silent", "", "longer than 6000 ms"),
    ] {
        let parameters = json!({ "url": server.url(url), "end": end });
        let answer = post(&host, endpoint, &["a", "b"], parameters).await;
        let problem = answer.problem().unwrap_or_else(|| panic!("{end}: {}", answer.text()));
        let new: Vec<PathBuf> =
            capsules(folder.path()).into_iter().filter(|path| !seen.contains(path)).collect();
        let [capsule] = new.as_slice() else { panic!("{end}: {new:?}: {problem}") };
        seen.push(capsule.clone());
        let before = server.requests();
        let (code, stdout, stderr) = replay(capsule, &["--json"]).await;
        assert_eq!(code, Some(0), "{end}: {stdout}{stderr}");
        let verdict: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(verdict["is_same"], true, "{verdict}");
        assert_eq!(verdict["divergence"], Value::Null, "{verdict}");
        assert!(verdict["recorded"]["outcome"].as_str().unwrap().contains(words), "{verdict}");
        assert_eq!(verdict["is_stopped"], url == "/silent", "{verdict}");
        if url != "/silent" {
            assert_eq!(verdict["recorded"], verdict["replayed"], "{verdict}");
        }
        assert_eq!(server.requests(), before, "a replay reaches nothing");
    }
    let (code, stdout, _) = replay(&seen[0], &[]).await;
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("same outcome and fuel"), "{stdout}");
    changed_capsules_differ(&seen[0]).await;
}

/// Another request, other answers, fewer answers, another component: each shows.
async fn changed_capsules_differ(capsule: &Path) {
    let original: Value = serde_json::from_slice(&std::fs::read(capsule).unwrap()).unwrap();
    let check = async |change: &dyn Fn(&mut Value), words: &str| {
        let mut changed = original.clone();
        change(&mut changed);
        let path = capsule.with_file_name("changed.json");
        std::fs::write(&path, changed.to_string()).unwrap();
        let (code, stdout, stderr) = replay(&path, &[]).await;
        assert_eq!(code, Some(1), "{words}: {stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains(words), "{words}: {stdout}{stderr}");
    };
    check(&|file| file["request"]["parameters"]["end"] = json!("trap"), "guest_trap").await;
    check(&|file| file["request"]["parameters"]["url"] = json!("nonsense"), "diverged").await;
    check(&|file| drop(file["journal"].as_array_mut().unwrap().pop()), "diverged").await;
    check(&|file| file["journal"].as_array_mut().unwrap().reverse(), "diverged").await;
    check(&|file| file["fuel"]["call"] = json!(1), "differs").await;
    check(&|file| file["limits"]["fuel"] = json!(1000), "limit_exceeded").await;
    check(&|file| file["request"]["documents"]["len"] = json!(4_000_000_000_u32), "request is none").await;
    check(&|file| file["capsule"] = json!(9), "version 9").await;
    check(&|file| file["digest"] = json!(format!("sha256:{}", "0".repeat(64))), "--component").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_requests_come_out_the_same_too() {
    let server = Server::start();
    let runtime = Runtime::new(RuntimeOptions { max_instances: 4, ..RuntimeOptions::default() }).unwrap();
    let bytes = std::fs::read(fixtures::component("capabilities")).unwrap();
    let component = runtime.load(&bytes).unwrap();
    let granted = json!({
        "http": { "hosts": [server.host()], "private_networks": true }, "key_value": { "bytes": 10_000 },
    });
    let configuration: Map<String, Value> = Map::new();
    let options = PoolSpec { mode: Some(InstanceMode::Reused), ..PoolSpec::default() }.resolve(false, 1);
    let setup = PoolSetup {
        capabilities: serde_json::from_value(granted).unwrap(),
        key_value: Some(Arc::new(MemoryStore::default())),
        ..PoolSetup::new("reaching".parse().unwrap(), component.clone(), options)
    };
    let (capabilities, limits) = (setup.capabilities.clone(), setup.limits);
    let pool = InstancePool::new(&runtime, setup);
    pool.prewarm().await.unwrap();
    let executor = "reaching".parse().unwrap();
    let setting = CapsuleSetting {
        executor: &executor,
        digest: component.digest(),
        limits: &limits,
        capabilities: &capabilities,
        configuration: &configuration,
        engine: runtime.engine_id(),
    };
    let node = Node::new(NodeOptions::default()).unwrap();
    let mut answers = Vec::new();
    for endpoint in ["/everything", "/everything", "/send", "/look", "/remember", "/forget"] {
        let url = server.url(if endpoint == "/send" { "/length" } else { "/count" });
        let (outcome, recording) = pool.invoke_recorded(invocation(endpoint, &url)).await;
        let recording = recording.unwrap_or_else(|| panic!("{endpoint}: {outcome:?}"));
        let capsule = seal(&setting, &recording, &outcome).unwrap();
        answers.push(outcome.unwrap_or_else(|problem| panic!("{endpoint}: {problem}")));
        let capsule = Capsule::read(&capsule).unwrap();
        let verdict = node.replay(&capsule, bytes.clone(), &Map::new()).await.unwrap();
        assert!(verdict.is_same, "{endpoint}: {verdict:?}");
        let gives = endpoint == "/everything";
        assert_eq!(
            verdict.recorded.outcome.contains(", and beside them {"),
            gives,
            "{endpoint}: {verdict:?}"
        );
        assert_eq!(verdict.recorded, verdict.replayed, "{endpoint}");
        assert!(verdict.recorded.call_fuel.unwrap() > 1000, "{endpoint}: {verdict:?}");
    }
    assert!(answers[0].results.is_some() && answers[0].results != answers[1].results);
    assert_ne!(answers[0].documents, answers[1].documents, "what differs from run to run is in there");
}

fn invocation(endpoint: &str, url: &str) -> Invocation {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for text in ["a", "b"] {
        let row = builder.push_root().unwrap();
        builder.set_text("text", row, text).unwrap();
    }
    let parameters = json!({ "url": url, "times": 1000 });
    Invocation {
        endpoint: EndpointName::parse(endpoint).unwrap(),
        documents: builder.finish().unwrap(),
        parameters: Parameters::new(parameters.as_object().unwrap().clone()),
        inputs: Arc::default(),
        context: RequestContext::new(
            RequestId::accept("r1"),
            TenantName::local(),
            FuelBudget::new(100_000_000_000),
        ),
        emit: None,
    }
}
