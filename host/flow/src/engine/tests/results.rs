//! What executors give beside documents: who gets it, from whom, and how much of it.

use lockgate_domain::LimitKind;
use serde_json::{Value, json};

use super::*;

fn told(reply: FlowReply) -> Value {
    Value::Object(reply.results.into_map())
}

/// Documents pass, and the name is given beside them.
fn gives(name: &str) -> ScriptedExecutor {
    pass().giving(&format!(r#"{{"by": "{name}"}}"#))
}

#[tokio::test(start_paused = true)]
async fn the_answer_has_those_of_every_stage() {
    let bench = Bench::new(vec![("a", &[], gives("a")), ("b", &["a"], pass()), ("c", &["b"], gives("c"))]);
    let reply = bench.run(request("/x", list(&[("1", "x")]))).await;
    assert_eq!(told(reply), json!({"a/rep-0": {"by": "a"}, "c/rep-0": {"by": "c"}}));
    assert!(bench.executor("c").calls()[0].parameters.is_empty(), "no executor sees another's");
    let bench = Bench::new(vec![("a", &[], pass())]);
    assert!(bench.run(request("/x", list(&[]))).await.results.is_empty());
}

#[tokio::test(start_paused = true)]
async fn branches_that_are_waited_for_give_theirs() {
    let slow = Step::After(Duration::from_secs(1), Box::new(Step::pass()));
    let bench = Bench::new(vec![
        ("slow", &["gateway"], ScriptedExecutor::new(&["/default"], vec![slow]).giving(r#"{"by": "slow"}"#)),
        ("fast", &["gateway"], gives("fast")),
        ("floats", &["fast"], gives("floats")),
        ("joined", &["slow", "fast"], gives("joined")),
    ]);
    let expected = json!({
        "slow/rep-0": {"by": "slow"}, "fast/rep-0": {"by": "fast"}, "joined/rep-0": {"by": "joined"},
    });
    assert_eq!(told(bench.run(request("/x", list(&[("1", "x")]))).await), expected);
}

#[tokio::test(start_paused = true)]
async fn a_failure_comes_with_those_from_before_it() {
    let boom = || failing(Problem::new(ErrorCode::GuestError, "boom")).giving(r#"{"by": "nobody"}"#);
    let chain = Bench::new(vec![("a", &[], gives("a")), ("b", &["a"], boom()), ("c", &["b"], gives("c"))]);
    let graph = Bench::new(vec![
        ("a", &["gateway"], gives("a")),
        ("other", &["gateway"], pass()),
        ("b", &["a", "other"], boom()),
    ]);
    for bench in [chain, graph] {
        let reply = bench.run(request("/x", list(&[("1", "x")]))).await;
        assert!(reply.failure.is_some());
        assert_eq!(told(reply), json!({"a/rep-0": {"by": "a"}}));
    }
}

#[tokio::test(start_paused = true)]
async fn all_of_one_request_together_are_bounded() {
    let text = format!(r#"{{"text": "{}"}}"#, "x".repeat(1000));
    let check = async |needs: &[&str], written_bytes: u64, expected: Option<&str>| {
        let limits = Limits { written_bytes, ..Limits::default() };
        let bench = Bench::new(vec![("a", &[], pass().giving(&text)), ("b", needs, pass().giving(&text))])
            .with(0, |stage| stage.limits = limits)
            .with(1, |stage| stage.limits = limits);
        let reply = bench.run(request("/x", list(&[("1", "x")]))).await;
        let failure = reply.failure.as_ref();
        assert_eq!(failure.and_then(Problem::executor).map(ToString::to_string).as_deref(), expected);
        if let Some(problem) = failure {
            assert_eq!(problem.limit_passed(), Some((LimitKind::WrittenBytes, written_bytes)));
            assert_eq!(rows(&reply.documents), [("1", "x")]);
        }
    };
    for needs in [&["a"][..], &["a", "gateway"]] {
        check(needs, 1000, Some("a")).await;
        check(needs, 4000, Some("b")).await;
        check(needs, 10_000, None).await;
    }
}
