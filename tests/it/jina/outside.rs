//! The real Jina with Lockgate as one of its executors: a flow that says `external: true` and our port.

use lockgate_testkit::host::HostOptions;
use serde_json::{Value, json};

use super::cases::{flow_of_jina, flow_of_lockgate};
use super::driver::{Jina, Script};
use super::{RELEASES, Release};
use crate::support::BINARY;

/// Our whole flow as one stage, behind one of Jina's own. With typed documents it has none: Jina compares the types of
/// neighbours, and a guest knows none.
fn flow(port: u16, is_typed: bool) -> String {
    let near = "\n  - name: near\n    uses: Parity\n    uses_with: { mark: near }";
    let near = if is_typed { "" } else { near };
    format!(
        "jtype: Flow\nexecutors:{near}\n  - name: far\n    external: true\n    host: 127.0.0.1\n    port: {port}\n"
    )
}

async fn check(release: &Release) {
    let host = HostOptions::flow_text(BINARY, &flow_of_lockgate(&flow_of_jina("chain"))).start().await;
    let mut jina = Jina::start(release).await;
    let is_typed = release.generation != "1";
    let ports = jina.serve("outside", &flow(host.address().port(), is_typed)).await;
    let mut driver = Script::start(release, "drive.py", &[]).await;
    let mut ask = async |endpoint: &str| {
        let documents = json!([{ "id": "a", "text": "x" }, { "id": "b", "text": "y" }]);
        let ask = json!({ "endpoint": endpoint, "documents": documents });
        let mut answer = driver.order(&json!({ "ports": ports, "ask": ask })).await;
        assert_eq!(answer.get("raised"), None, "{}: {answer}\n{}", release.name, host.logs());
        answer["responses"][0].take()
    };
    let texts = |answer: &Value| {
        let documents = answer["documents"].as_array().unwrap().iter();
        let text = |document: &Value| {
            let field = &document["text"];
            let text = if is_typed { &field["text"] } else { field };
            text.as_str().unwrap_or_else(|| panic!("{}: {answer}", release.name)).to_owned()
        };
        documents.map(text).collect::<Vec<_>>()
    };
    let passed = if is_typed { ">first>second" } else { ">near>first>second" };
    assert_eq!(texts(&ask("/trace").await), [format!("x{passed}"), format!("y{passed}")]);
    let answer = ask("/results").await;
    assert_eq!(texts(&answer), ["x", "y"]);
    let given = json!({ "count": 2.0 });
    let mut expected = json!({ "first/rep-0": given, "second/rep-0": given });
    if !is_typed {
        expected["near/rep-0"] = given;
    }
    assert_eq!(answer["parameters"]["__results__"], expected, "{}", release.name);
    jina.stop("outside").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_of_jina_calls_us_and_gets_what_its_own_executors_would_give() {
    for release in &RELEASES {
        check(release).await;
    }
}
