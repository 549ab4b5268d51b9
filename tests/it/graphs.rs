//! What a flow file says about a graph, with the real host: joins, conditions, other names, floating executors.

use lockgate_testkit::http::{Answer, HttpClient};
use lockgate_testkit::{RunningHost, wait_for};
use serde_json::{Value, json};

use crate::support::{assert_texts, flow, post, serve};

/// Posts documents to an endpoint.
async fn ask(host: &RunningHost, endpoint: &str, documents: Value, parameters: Value) -> Answer {
    let body = json!({ "data": documents, "execEndpoint": endpoint, "parameters": parameters });
    HttpClient::http1().post(&host.url("/post"), &body).await
}

/// The executors of the answer in their order; one without an end has a question mark, a failed one an exclamation mark.
fn routes(answer: &Answer) -> String {
    let told = answer.json();
    let routes = told["routes"].as_array().cloned().unwrap_or_default();
    let told = routes.iter().map(|route| {
        let failed = if route["status"]["code"].as_i64().unwrap_or(0) != 0 { "!" } else { "" };
        let ended = if route["endTime"].is_null() { "?" } else { "" };
        format!("{}{failed}{ended}", route["executor"].as_str().unwrap_or("nobody"))
    });
    told.collect::<Vec<_>>().join(" ")
}

async fn number(host: &RunningHost, metric: &str) -> f64 {
    let page = HttpClient::http1().get(&host.url("/metrics")).await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {metric} in {page}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_choose_and_a_join_unites() {
    let host = serve(&flow(
        "
  - { name: loud, uses: '{neighbour}', needs: gateway, when: { tags__voice: { $eq: loud } } }
  - { name: quiet, needs: gateway, when: { tags__voice: { $in: [quiet, mute] } } }
  - { name: all, method: needs_all }
",
    ))
    .await;
    let document = |text: &str, voice: &str| json!({ "text": text, "tags": { "voice": voice } });
    let documents = json!([
        document("a", "quiet"),
        document("b", "loud"),
        document("c", "unknown"),
        document("d", "mute")
    ]);
    let answer = ask(&host, "/upper", documents, json!({})).await;
    assert_texts(&answer, &["a", "B", "d"]);
    assert_eq!(routes(&answer), "gateway loud all quiet");
    // Nobody is left for `loud`, and it is called all the same.
    let answer = ask(&host, "/upper", json!([document("a", "quiet")]), json!({})).await;
    assert_texts(&answer, &["a"]);
    assert_eq!(routes(&answer), "gateway loud all quiet");
    assert_eq!(number(&host, "lockgate_calls_total{executor=\"loud\"}").await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_answer_to_the_flows_names() {
    let host = serve(&flow(
        "
  - name: neighbour
    uses: '{neighbour}'
    uses_requests: { /shout: upper, /default: /count }
    uses_metas: { description: 'Shouts.' }
",
    ))
    .await;
    assert_texts(&post(&host, "/shout", &["a"], json!({})).await, &["A"]);
    assert_texts(&post(&host, "/upper", &["a"], json!({})).await, &["1"]);
    let description = HttpClient::http1().get(&host.url("/openapi.json")).await.json();
    assert!(!description["paths"]["/shout"].is_null(), "{description}");
    assert!(description["paths"]["/upper"].is_null(), "{description}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floating_executor_is_not_waited_for_and_drains_at_the_end() {
    let text = flow(
        "
  - { name: first, uses: '{neighbour}' }
  - name: floats
    uses: '{neighbour}'
    floating: true
    uses_requests: { /upper: /hold }
    limits: { fuel: 1000000000000000, wall_time_ms: 3600000 }
  - { name: last, uses: '{neighbour}' }
",
    );
    let mut host = serve(&text.replace("jtype: Flow", "jtype: Flow\nfuel: 1000000000000000")).await;
    // Far longer than the test may take, were it waited for.
    let answer = post(&host, "/upper", &["a"], json!({ "milliseconds": 50_000 })).await;
    assert_texts(&answer, &["A"]);
    assert_eq!(routes(&answer), "gateway first floats? last");
    host.wait_for_log("holding").await;
    assert_eq!(number(&host, "lockgate_floating").await, 1.0);
    let answer = post(&host, "/upper", &["b"], json!({ "milliseconds": 1 })).await;
    assert_texts(&answer, &["B"]);
    wait_for("the short one to end", async || {
        (number(&host, "lockgate_floating").await == 1.0).then_some(())
    })
    .await;
    host.terminate();
    host.wait_for_log("draining").await;
    host.terminate();
    let status = host.ended().await;
    assert!(!status.success(), "what floats was cut off: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floating_executor_may_fail_and_ends_with_the_host() {
    let text = flow(
        "
  - { name: fails, uses: '{neighbour}', floating: true, uses_requests: { /upper: /fail } }
  - { name: holds, uses: '{neighbour}', floating: true, needs: gateway, uses_requests: { /upper: /hold } }
  - { name: last, uses: '{neighbour}', needs: gateway }
",
    );
    let mut host = serve(&text).await;
    let answer = post(&host, "/upper", &["a"], json!({ "milliseconds": 300 })).await;
    assert_texts(&answer, &["A"]);
    assert!(routes(&answer).starts_with("gateway fails"), "{}", routes(&answer));
    host.terminate();
    let status = host.ended().await;
    assert!(status.success(), "{status}: {}", host.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_keep_what_is_theirs_and_are_asked_together() {
    let host = serve(&flow(
        "
  - name: index
    uses: '{neighbour}'
    uses_requests: { /search: /echo, /add: /count }
    shards: 2
    replicas: 1
    polling: { /upper: all, '*': any }
    no_reduce: true
  - name: last
    uses: '{neighbour}'
    uses_requests: { /nothing: /upper }
    when: {}
",
    ))
    .await;
    let texts = async |endpoint: &str| post(&host, endpoint, &["a"], json!({})).await.texts();
    // Each shard counts its own calls; one is asked after the other.
    assert_eq!([texts("/add").await, texts("/add").await, texts("/add").await], [["1"], ["1"], ["2"]]);
    assert_eq!(texts("/upper").await, ["A", "A"]);
    let answer = post(&host, "/search", &["a"], json!({})).await;
    assert_eq!(routes(&answer), "gateway index last?");
    let told = answer.json();
    let shards: Vec<&Value> =
        told["data"].as_array().unwrap().iter().map(|document| &document["tags"]["configuration"]).collect();
    assert_eq!(shards, [&json!({"shard_id": 0, "shards": 2}), &json!({"shard_id": 1, "shards": 2})]);
    let stages = &host.ready()["stages"];
    assert_eq!((&stages[0]["shards"], &stages[1]["shards"]), (&json!(2), &Value::Null), "{stages}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_around_the_shards_has_its_turn() {
    let host = serve(&flow(
        "
  - name: index
    uses: '{neighbour}'
    shards: 2
    polling: all
    uses_before: '{neighbour}'
    uses_after: '{neighbour}'
",
    ))
    .await;
    let answer = post(&host, "/echo", &["a"], json!({})).await;
    assert_eq!(routes(&answer), "gateway index");
    let told = answer.json();
    let inputs: Vec<&Value> =
        told["data"].as_array().unwrap().iter().map(|document| &document["tags"]["inputs"]).collect();
    let expected = json!([["index-0", 0, 1], ["index-1", 1, 1]]);
    assert_eq!(inputs, [&expected, &expected], "{told}");
    assert_eq!(number(&host, "lockgate_calls_total{executor=\"index\"}").await, 4.0);
    let failed = post(&host, "/fail", &["a"], json!({})).await;
    assert!(failed.problem().is_some(), "{}", failed.text());
    assert_eq!(routes(&failed), "gateway index!");
    let roles: Vec<Value> =
        host.ready()["stages"].as_array().unwrap().iter().map(|stage| stage["role"].clone()).collect();
    assert_eq!(roles, [Value::Null, json!("uses_before"), json!("uses_after")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_no_component_has_is_told_at_the_start() {
    for shards in [1, 2] {
        let text = flow(&format!(
            "\n  - {{ name: a, uses: '{{neighbour}}', shards: {shards}, uses_requests: {{ /x: /y }} }}\n"
        ));
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("flow.yml");
        std::fs::write(&path, text).unwrap();
        let mut command = lockgate_testkit::host::lockgate(crate::support::BINARY.as_ref());
        let output = command.args(["check", "--build"]).arg(&path).output().await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{told}");
        assert!(
            told.contains("`uses_requests` of executor `a` names `/y`, its component has /upper"),
            "{told}"
        );
    }
}
