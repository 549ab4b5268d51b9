//! TLS from end to end: the real host shows a certificate, the real command looks at it.

use std::path::Path;
use std::process::Output;

use lockgate_testkit::host::{HostOptions, lockgate};
use lockgate_testkit::{RunningHost, ServeOptions, TestCertificate};

use crate::support::{BINARY, flow};

const EXECUTORS: &str = "\n  - name: neighbour\n    uses: {neighbour}\n";

/// A host whose flow file names the certificate, relative to itself.
async fn host(certificate: &TestCertificate) -> RunningHost {
    let path = certificate.folder().join("flow.yml");
    let text =
        flow(EXECUTORS).replace("with:\n", "with:\n  ssl_certfile: cert.pem\n  ssl_keyfile: ./key.pem\n");
    std::fs::write(&path, text).unwrap();
    HostOptions::flow_file(BINARY, path).start().await
}

async fn run(folder: &Path, words: &[&str]) -> Output {
    let mut command = lockgate(Path::new(BINARY));
    command.args(words).current_dir(folder).env("XDG_CONFIG_HOME", folder.join("config"));
    command.output().await.unwrap()
}

fn printed(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_is_spoken_behind_tls() {
    let certificate = TestCertificate::new();
    let host = host(&certificate).await;
    let port = host.address().port();
    let check = async |scheme: &str, name: &str, ca: bool, expected: &str| {
        let url = format!("{scheme}://{name}:{port}");
        let mut words = vec!["call", &url, "--endpoint", "/upper", "--text", "hello", "--json"];
        if ca {
            words.extend(["--ca", "ca.pem"]);
        }
        let output = run(certificate.folder(), &words).await;
        assert!(printed(&output).contains(expected), "{url}: {}", printed(&output));
        assert_eq!(output.status.success(), expected == "HELLO", "{url}");
    };
    for scheme in ["grpcs", "https", "wss"] {
        check(scheme, "localhost", true, "HELLO").await;
        check(scheme, "127.0.0.1", true, "HELLO").await;
        check(scheme, "localhost", false, "nobody that is trusted here signed its certificate").await;
    }
    check("http", "localhost", true, "this port speaks TLS").await;
    check("grpc", "localhost", true, "this port speaks TLS").await;
    let ready = host.ready().to_string();
    assert!(ready.contains("grpcs://127.0.0.1") && ready.contains("wss://127.0.0.1"), "{ready}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_protocol_has_a_port_of_its_own() {
    let own = "with:\n  protocol: [grpc, http, websocket]\n  port: [0, 0, 0]\n  cors: true\n";
    let options = HostOptions::flow_text(BINARY, &flow(EXECUTORS).replace("with:\n", own));
    let host = options.with_own_ports().start().await;
    let urls =
        ["grpc", "http", "websocket"].map(|name| host.ready()["urls"][name].as_str().unwrap().to_owned());
    for (url, place) in urls.iter().zip(0..) {
        for (scheme, index) in ["grpc", "http", "ws"].iter().zip(0..) {
            let (_, rest) = url.split_once("://").unwrap();
            let url = format!("{scheme}://{rest}");
            let words = ["call", &url, "--endpoint", "/upper", "--text", "hello", "--json"];
            let output = run(host.folder(), &words).await;
            let expected = if place == index { "HELLO" } else { "this port serves" };
            assert!(printed(&output).contains(expected), "{url}: {}", printed(&output));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_tenants_speaks_tls_on_both_sockets() {
    let certificate = TestCertificate::new();
    let words = [certificate.chain(), certificate.key()].map(|path| path.display().to_string());
    let options =
        ServeOptions::new(BINARY).word("--tls-cert").word(&words[0]).word("--tls-key").word(&words[1]);
    let host = options.start().await;
    let folder = certificate.folder();
    let (control, data) = (
        format!("https://localhost:{}", host.control_address().port()),
        format!("https://localhost:{}", host.data_address().port()),
    );
    let key = host.operator_key();
    let login = ["login", "--url", &control, "--key", &key, "--ca", "ca.pem"];
    let output = run(folder, &login).await;
    assert!(output.status.success(), "{}", printed(&output));
    // The login keeps where the authority's certificate is.
    let output = run(folder, &["whoami"]).await;
    assert!(output.status.success() && printed(&output).contains(&control), "{}", printed(&output));
    let output = run(folder, &["whoami", "--url", &control.replace("localhost", "127.0.0.1")]).await;
    assert!(printed(&output).contains("nobody that is trusted here"), "{}", printed(&output));
    let output = run(folder, &["whoami", "--url", &control.replace("https", "http")]).await;
    assert!(printed(&output).contains("this port speaks TLS"), "{}", printed(&output));
    // Handshake and key are good; the operator has no flow.
    let output = run(folder, &["call", &data, "--text", "hello"]).await;
    let told = printed(&output);
    assert!(!output.status.success() && !told.contains("cannot reach") && !told.contains("TLS"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_in_the_files_is_told_at_the_start() {
    let (certificate, other) = (TestCertificate::new(), TestCertificate::new());
    let check = async |cert: &Path, key: &Path, expected: &str| {
        let words = [cert, key].map(|path| path.display().to_string());
        let options = HostOptions::flow_text(BINARY, &flow(EXECUTORS));
        let options = options.word("--tls-cert").word(&words[0]).word("--tls-key").word(&words[1]);
        let told = options.try_start().await.err().unwrap_or_default();
        assert!(told.contains(expected) && told.contains("hint: "), "{told}");
    };
    check(Path::new("nowhere.pem"), &certificate.key(), "cannot read nowhere.pem").await;
    check(&certificate.chain(), &other.key(), "does not belong to the certificate in").await;
    check(&certificate.key(), &certificate.chain(), "are certificate and key exchanged?").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_used_without_a_restart() {
    let (certificate, renewed) = (TestCertificate::new(), TestCertificate::new());
    let host = host(&certificate).await;
    for (from, to) in [(renewed.chain(), certificate.chain()), (renewed.key(), certificate.key())] {
        std::fs::copy(from, to).unwrap();
    }
    host.wait_for_log("the certificate has changed and is in use").await;
    let url = format!("grpcs://localhost:{}", host.address().port());
    let words = ["call", &url, "--endpoint", "/upper", "--text", "hello", "--ca", "ca.pem"];
    let output = run(renewed.folder(), &words).await;
    assert!(printed(&output).contains("HELLO"), "{}", printed(&output));
}

/// Files of the same length and time as before look unchanged, so only who is told reads them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_makes_the_host_read_its_certificate() {
    const LENGTH: usize = 8192;
    let (certificate, renewed) = (TestCertificate::new(), TestCertificate::new());
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let place = |from: &Path, to: &Path| {
        let mut text = std::fs::read(from).unwrap();
        text.resize(LENGTH, b'\n');
        // In place: another file would be seen.
        std::fs::write(to, text).unwrap();
        std::fs::OpenOptions::new().write(true).open(to).unwrap().set_modified(time).unwrap();
    };
    place(&certificate.chain(), &certificate.chain());
    place(&certificate.key(), &certificate.key());
    let host = host(&certificate).await;
    host.hang_up();
    host.wait_for_log("SIGHUP: the certificate has been read and is the same").await;
    place(&renewed.chain(), &certificate.chain());
    place(&renewed.key(), &certificate.key());
    host.hang_up();
    host.wait_for_log("the certificate has changed and is in use").await;
    let url = format!("grpcs://localhost:{}", host.address().port());
    let words = ["call", &url, "--endpoint", "/upper", "--text", "hello", "--ca", "ca.pem"];
    let output = run(renewed.folder(), &words).await;
    assert!(printed(&output).contains("HELLO"), "{}", printed(&output));
    // What cannot be used is told, and changes nothing.
    std::fs::write(certificate.key(), "no key").unwrap();
    host.hang_up();
    host.wait_for_log("cannot be used: the one before stays").await;
    let output = run(renewed.folder(), &words).await;
    assert!(printed(&output).contains("HELLO"), "{}", printed(&output));
}
