//! Words and files that both understand: each asks the other whether it is ready, and both read the same executor's file.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use lockgate_testkit::host::{HostOptions, lockgate};
use lockgate_testkit::{RunningHost, fixtures, repository};
use tempfile::TempDir;
use tokio::process::Command;

use super::driver::{Jina, interpreter};
use super::{RELEASES, Release};
use crate::support::{BINARY, flow, serve};

async fn python(release: &Release) -> PathBuf {
    interpreter(repository().join("tests/jina").join(release.requirements)).await
}

/// Runs a program of Jina's environment to its end.
async fn run(program: PathBuf, words: &[&str], folder: &Path) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(words).current_dir(folder).env("JINA_OPTOUT_TELEMETRY", "1").env("JINA_HIDE_SURVEY", "1");
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let words = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

async fn ping(what: &str, address: &str) -> (bool, String) {
    let mut command = lockgate(Path::new(BINARY));
    let output = command.args(["ping", what, address, "--timeout", "30000"]).output().await.unwrap();
    let words = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

async fn one_stage() -> RunningHost {
    serve(&flow("\n  - name: neighbour\n    uses: {neighbour}\n")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_ping_understands_the_real_jina() {
    let mut jina = Jina::start(&RELEASES[0]).await;
    let ports = jina.serve("pinged", "jtype: Flow\nexecutors: [{name: a}]\n").await;
    let addresses = [("grpc", "grpc"), ("http", "http"), ("ws", "websocket")]
        .map(|(scheme, protocol)| format!("{scheme}://127.0.0.1:{}", ports[protocol]));
    for address in &addresses {
        for what in ["flow", "gateway"] {
            let (is_ready, words) = ping(what, address).await;
            assert!(is_ready && words.contains("is ready in"), "{what} {address}: {words}");
        }
    }
    jina.stop("pinged").await;
    for address in &addresses {
        let (is_ready, words) = ping("flow", address).await;
        assert!(!is_ready && words.contains("is not ready"), "{address}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ping_of_jina_understands_us() {
    let (host, folder) = (one_stage().await, TempDir::new().unwrap());
    let command = python(&RELEASES[0]).await.with_file_name("jina");
    for (what, scheme) in [("flow", "grpc://"), ("flow", "http://"), ("gateway", "http://"), ("executor", "")]
    {
        let address = format!("{scheme}{}", host.address());
        let (is_ready, words) =
            run(command.clone(), &["ping", what, &address, "--timeout", "30000"], folder.path()).await;
        assert!(is_ready, "{what} {address}: {words}\n{}", host.logs());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_read_the_same_executors_file() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("config.yml", "jtype: Same\nuses: neighbour.wasm\nwith: {size: 3}\npy_modules: [executor.py]\n");
    write(
        "executor.py",
        "from jina import Executor\n\nclass Same(Executor):\n    def __init__(self, size, **rest):\n        super().__init__(**rest)\n        self.size = size\n",
    );
    write("flow.yml", "jtype: Flow\nexecutors: [{name: same, uses: config.yml}]\n");
    std::fs::copy(fixtures::component("neighbour"), folder.path().join("neighbour.wasm")).unwrap();
    let script = "from jina import Executor; print('size', Executor.load_config('config.yml').size)";
    let (_, words) = run(python(&RELEASES[0]).await, &["-c", script], folder.path()).await;
    assert!(words.contains("size 3"), "{words}");
    let host = HostOptions::flow_file(BINARY, folder.path().join("flow.yml")).start().await;
    assert_eq!(host.ready()["stages"][0]["name"], "same", "{}", host.ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_of_a_new_project_is_served() {
    let folder = TempDir::new().unwrap();
    let mut command = lockgate(Path::new(BINARY));
    let made = command.args(["new", "hello", "--type", "flow"]).current_dir(folder.path()).output().await;
    assert!(made.unwrap().status.success());
    let stage = "\n  - name: executor1\n    uses: {neighbour}\n    uses_requests: { /executor1: /upper }\n";
    let host = serve(&flow(stage)).await;
    let client = folder.path().join("hello/client.py");
    let text =
        std::fs::read_to_string(&client).unwrap().replace("127.0.0.1:8080", &host.address().to_string());
    std::fs::write(&client, text).unwrap();
    let (is_done, words) = run(python(&RELEASES[2]).await, &["hello/client.py"], folder.path()).await;
    assert!(is_done && words.contains("['HELLO WORLD']"), "{words}\n{}", host.logs());
}
