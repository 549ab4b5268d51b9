//! What every module needs: flows around the fixtures, a host that serves them, and requests.

use lockgate_testkit::host::HostOptions;
use lockgate_testkit::http::{Answer, HttpClient};
use lockgate_testkit::{RunningHost, fixtures};
use serde_json::{Value, json};

/// The command under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_lockgate");

/// Small ceilings: every way to pass one is short. The wall time lets the fuel of endless host calls end first even in
/// an unoptimised host on a busy machine.
pub(crate) const SMALL_LIMITS: &str = "{ fuel: 300000000, wall_time_ms: 12000, memory_bytes: 67108864, \
     host_call_bytes: 1048576, written_bytes: 8388608, documents: 20000, columns: 64, log_lines: 20, \
     log_line_bytes: 512 }";

/// A flow of the hostile guest and its neighbour.
pub(crate) fn hostile_flow() -> String {
    flow(&format!(
        "
  - name: hostile
    uses: {{hostile}}
    limits: {SMALL_LIMITS}
  - name: neighbour
    uses: {{neighbour}}
"
    ))
}

/// A flow from its list of executors; `{name}` becomes the component of that fixture.
pub(crate) fn flow(executors: &str) -> String {
    let mut text = format!("jtype: Flow\nwith:\n  name: test\nexecutors:{executors}");
    for name in ["hostile", "neighbour", "manifests", "capabilities"] {
        let token = format!("{{{name}}}");
        if text.contains(&token) {
            text = text.replace(&token, &fixtures::component(name).display().to_string());
        }
    }
    text
}

/// Serves a flow.
pub(crate) async fn serve(flow: &str) -> RunningHost {
    HostOptions::flow_text(BINARY, flow).start().await
}

/// Posts texts to an endpoint over HTTP.
pub(crate) async fn post(host: &RunningHost, endpoint: &str, texts: &[&str], parameters: Value) -> Answer {
    HttpClient::http1().post(&host.url("/post"), &request(endpoint, texts, parameters)).await
}

/// The body of a request.
pub(crate) fn request(endpoint: &str, texts: &[&str], parameters: Value) -> Value {
    let data: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
    json!({ "data": data, "execEndpoint": endpoint, "parameters": parameters })
}

/// The answer must be good, with these texts.
#[track_caller]
pub(crate) fn assert_texts(answer: &Answer, expected: &[&str]) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.problem(), None, "{}", answer.text());
    assert_eq!(answer.texts(), expected, "{}", answer.text());
}

/// The texts of a string in quotes, cut for messages.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(2000).collect()
}
