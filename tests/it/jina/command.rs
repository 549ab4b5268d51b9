//! The command `lockgate call` in front of a gateway of the real Jina.

use std::path::Path;

use lockgate_testkit::host::lockgate;

use super::RELEASES;
use super::cases::flow_of_jina;
use super::driver::Jina;
use crate::support::BINARY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_calls_a_gateway_of_jinas() {
    let mut jina = Jina::start(&RELEASES[0]).await;
    let ports = jina.serve("one", &flow_of_jina("one")).await;
    let check = async |scheme: &str, more: &[&str], expected: &[&str], is_good: bool| {
        let protocol = if scheme == "ws" { "websocket" } else { scheme };
        let url = format!("{scheme}://127.0.0.1:{}", ports[protocol]);
        let mut command = lockgate(Path::new(BINARY));
        command.args(["call", &url, "--json"]).args(more);
        let output = command.output().await.unwrap();
        let told = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        assert!(expected.iter().all(|part| told.contains(part)), "{url} {more:?}: {told}");
        assert_eq!(output.status.success(), is_good, "{url} {more:?}: {told}");
    };
    for scheme in ["grpc", "http", "ws"] {
        let reverse = ["--endpoint", "/reverse", "--text", "abc", "--text", "xyz", "--batch", "1"];
        check(scheme, &reverse, &["cba", "zyx"], true).await;
        check(scheme, &["--endpoint", "/raise", "--text", "abc"], &["boom: first", "failed"], false).await;
        // This release knows no streams.
        let stream = ["--stream", "--endpoint", "/reverse", "--text", "abc"];
        check(scheme, &stream, &["does not stream", "leave --stream out"], false).await;
    }
    jina.stop("one").await;
}
