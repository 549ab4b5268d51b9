//! What users of Jina type: the same words serve, ask, and are explained where they mean nothing here.

use std::path::Path;

use lockgate_testkit::host::{HostOptions, lockgate};
use lockgate_testkit::{RunningHost, TestCertificate, fixtures};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{BINARY, assert_texts, flow, post, serve};

/// Runs a command to its end: its exit code, and both streams.
async fn run(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let output = lockgate(Path::new(BINARY)).args(words).current_dir(folder).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&folder.display().to_string(), "FOLDER");
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    std::fs::copy(fixtures::component("neighbour"), folder.path().join("neighbour.wasm")).unwrap();
    folder
}

/// Serves with these words and sends one document.
async fn served(words: &[&str]) -> RunningHost {
    let host = HostOptions::command(BINARY, words).start().await;
    let answer = post(&host, "/upper", &["hello"], json!({})).await;
    assert_texts(&answer, &["HELLO"]);
    host
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jinas_commands_serve() {
    let folder = folder_with(&[
        (
            "flow.yml",
            "jtype: Flow\nwith: {name: '${{ ENV.NAME }}'}\nexecutors: [{name: a, uses: executor1/config.yml}]\n",
        ),
        ("deployment.yml", "jtype: Deployment\nwith: {name: b, uses: neighbour.wasm, replicas: 2}\n"),
        ("executor1/config.yml", "jtype: Neighbour\nuses: ../neighbour.wasm\npy_modules: [executor.py]\n"),
    ]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (flow, deployment) = (path("flow.yml"), path("deployment.yml"));
    let (executor, component) = (path("executor1/config.yml"), path("neighbour.wasm"));
    for (words, flow, stage) in [
        (&["flow", "--uses", &flow, "--env", "NAME=mine"][..], "mine", "a"),
        (&["up", &flow, "--env", "NAME:theirs"], "theirs", "a"),
        (&["up", &deployment], "b", "b"),
        (&["deployment", "--uses", &deployment], "b", "b"),
        (&["deployment", "--uses", &component, "--name", "c", "--replicas", "2"], "c", "c"),
        (&["executor", "--uses", &executor, "--timeout-send", "5000"], "executor", "executor"),
    ] {
        let host = served(words).await;
        let ready = host.ready();
        assert_eq!((&ready["flow"], &ready["stages"][0]["name"]), (&json!(flow), &json!(stage)), "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_that_mean_nothing_here_are_explained() {
    let folder = folder_with(&[("deployment.yml", "jtype: Deployment\nwith: {uses: neighbour.wasm}\n")]);
    let check = async |words: &[&str], code: i32, told: &[&str]| {
        let (status, out, err) = run(folder.path(), words).await;
        assert_eq!(status, code, "{words:?}: {out}{err}");
        for text in told {
            assert!(err.contains(text) || out.contains(text), "{words:?} does not say {text:?}: {out}{err}");
        }
    };
    check(&["deployment", "--uses", "MyExecutor"], 1, &["looks like a Python class", "build the executor"])
        .await;
    check(&["executor", "--uses", "docker://x"], 1, &["which is a container"]).await;
    check(
        &["deployment", "--uses", "deployment.yml", "--replicas", "2"],
        2,
        &["--replicas and the file deployment.yml cannot be given together"],
    )
    .await;
    check(&["deployment"], 2, &["--uses"]).await;
    check(&["flow", "--uses", "nowhere.yml"], 1, &["cannot read the flow file nowhere.yml"]).await;
    check(&["flow", "--uses", "flow.yml", "list"], 2, &["cannot serve here and ask a host at once"]).await;
    check(&["flow", "--port", "1"], 2, &["flow is not told what to serve", "lockgate flow --uses flow.yml"])
        .await;
    check(&["gateway", "--title", "T"], 2, &["a gateway needs executors to call"]).await;
    check(&["flow", "--uses", "flow.yml", "--workspace", "w"], 2, &["executors have no file system"]).await;
    check(&["hub", "push", "."], 2, &["lockgate publish"]).await;
    check(&["-v"], 0, &[env!("CARGO_PKG_VERSION")]).await;
    check(&["-vf"], 0, &["contract lockgate:executor"]).await;
    check(&["help", "timeout-send"], 0, &["timeout_send: a key under an entry of `executors:`"]).await;
    check(&["help", "up"], 0, &["Serve a flow"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_asks_over_every_protocol() {
    let host = serve(&flow("\n  - name: neighbour\n    uses: {neighbour}\n")).await;
    let folder = TempDir::new().unwrap();
    for protocol in ["", "grpc://", "http://", "ws://"] {
        let address = format!("{protocol}{}", host.address());
        for what in ["flow", "gateway", "executor"] {
            let (code, out, err) = run(folder.path(), &["ping", what, &address, "--timeout", "20000"]).await;
            assert_eq!(code, 0, "{what} {address}: {err}");
            assert!(out.starts_with(&format!("✓ {what} at ")) && out.contains("is ready in"), "{out}");
        }
    }
    let address = host.address().to_string();
    let words = ["ping", "flow", &address, "--attempts", "2", "--min-successful-attempts", "3", "--json"];
    let (code, out, err) = run(folder.path(), &words).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["successful"], &told["ready"]), (1, &json!(2), &json!(false)), "{out}{err}");
    assert!(err.contains("2 of 2 attempts succeeded, 3 were asked for"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_speaks_tls() {
    let certificate = TestCertificate::new();
    let path = certificate.folder().join("flow.yml");
    let text = flow("\n  - name: neighbour\n    uses: {neighbour}\n")
        .replace("with:\n", "with:\n  ssl_certfile: cert.pem\n  ssl_keyfile: key.pem\n");
    std::fs::write(&path, text).unwrap();
    let host = HostOptions::flow_file(BINARY, path).start().await;
    for scheme in ["grpcs", "https", "wss"] {
        let address = format!("{scheme}://localhost:{}", host.address().port());
        for what in ["flow", "gateway"] {
            let words = ["ping", what, &address, "--ca", "ca.pem", "--timeout", "20000"];
            let (code, out, err) = run(certificate.folder(), &words).await;
            assert!(code == 0 && out.contains(&format!("✓ {what} at {address} is ready")), "{out}{err}");
        }
        let (code, _, err) = run(certificate.folder(), &["ping", "flow", &address]).await;
        assert!(code == 1 && err.contains("nobody that is trusted here signed its certificate"), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_says_why_not() {
    let folder = TempDir::new().unwrap();
    // A port that was free a moment ago, and one that takes connections and says nothing.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for protocol in ["grpc", "http", "ws"] {
        let address = format!("{protocol}://{free}");
        let (code, out, err) = run(folder.path(), &["ping", "flow", &address]).await;
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("is not ready") && err.contains("cannot reach"), "{err}");
        let address = format!("{protocol}://{}", silent.local_addr().unwrap());
        let (code, _, err) = run(folder.path(), &["ping", "gateway", &address, "--timeout", "50"]).await;
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("did not answer in 50 ms"), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_reports_and_writes() {
    let old = "jtype: Flow\nexecutors:\n  - name: a\n    uses: MyExecutor\n    volumes: [x]\n";
    let folder = folder_with(&[("flow.yml", old)]);
    let (code, out, err) = run(folder.path(), &["migrate", "flow.yml", "--write", "new.yml"]).await;
    assert_eq!(code, 0, "{err}");
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("migrate", out);
    });
    // With a component of that name the new file is served as it is.
    std::fs::copy(fixtures::component("neighbour"), folder.path().join("a.wasm")).unwrap();
    let new = folder.path().join("new.yml").display().to_string();
    served(&["up", &new]).await;
    let (code, _, err) = run(folder.path(), &["migrate", "flow.yml", "--write", "new.yml"]).await;
    assert!(code == 1 && err.contains("names a file that is not there yet"), "{err}");
    let (code, out, err) = run(folder.path(), &["migrate", "flow.yml", "--json"]).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["kind"]), (0, &json!("flow")), "{err}");
    assert_eq!(told["findings"][3]["verdict"], "todo", "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_serves_executors_of_other_processes() {
    let folder = folder_with(&[]);
    let component = folder.path().join("neighbour.wasm").display().to_string();
    let first = served(&["executor", "--uses", &component, "--name", "first"]).await;
    let second = served(&["executor", "--uses", &component, "--name", "second"]).await;
    let addresses = json!({
        "first": [format!("grpc://{}", first.address())],
        "second": [second.address().to_string(), first.address().to_string()],
    });
    let graph =
        json!({ "start-gateway": ["first", "second"], "first": ["end-gateway"], "second": ["end-gateway"] });
    let words = [
        "gateway",
        "--deployments-addresses",
        &addresses.to_string(),
        "--graph-description",
        &graph.to_string(),
    ];
    let gateway = served(&words).await;
    let answer = post(&gateway, "/upper", &["a", "b"], json!({})).await;
    assert_texts(&answer, &["A", "B"]);
    let routes = answer.json()["routes"].to_string();
    assert!(routes.contains("first") && routes.contains("second"), "{routes}");
}
