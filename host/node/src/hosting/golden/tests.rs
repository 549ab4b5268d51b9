//! Expected against given, and what an example gives whatever the executor does.

use lockgate_domain::{ErrorCode, GrpcCode};
use lockgate_flow::scripted::{ScriptedExecutor, Step};
use serde_json::json;

use super::*;

#[test]
fn the_first_difference_is_told_by_its_path() {
    let check = |expect: Value, answer: Value, tolerance: f64, expected: Option<&str>| {
        let list = |value: &Value| value.as_array().unwrap().clone();
        let found = difference(&list(&expect), &list(&answer), tolerance);
        assert_eq!(found.as_deref(), expected, "{expect} {answer}");
    };
    check(json!([]), json!([]), 0.0, None);
    check(json!([{"text": "A"}]), json!([{"id": "1", "text": "A"}]), 0.0, None);
    check(
        json!([{"text": "A"}, {"text": "X"}]),
        json!([{"text": "A"}, {"text": "Y"}]),
        0.0,
        Some(r#"data[1].text: expected "X", got "Y""#),
    );
    check(json!([{"text": "A"}]), json!([{}]), 0.0, Some(r#"data[0].text: expected "A", got nothing"#));
    check(json!([{"text": null}]), json!([{}]), 0.0, None);
    check(json!([{}]), json!([]), 0.0, Some("data: expected 1 elements, got 0"));
    check(json!([{"embedding": [1, 2.0]}]), json!([{"embedding": [1.0005, 2]}]), 1e-3, None);
    check(
        json!([{"embedding": [1, 2]}]),
        json!([{"embedding": [1, 2.1]}]),
        1e-3,
        Some("data[0].embedding[1]: expected 2, got 2.1"),
    );
    check(
        json!([{"embedding": [1]}]),
        json!([{"embedding": [1, 2]}]),
        0.0,
        Some("data[0].embedding: expected 1 elements, got 2"),
    );
    check(json!([{"tags": {"a": {"b": 1}}}]), json!([{"tags": {"a": {"b": 1, "c": 2}}}]), 0.0, None);
    check(
        json!([{"tags": {"a": {"b": 1}}}]),
        json!([{"tags": {"a": 1}}]),
        -1.0,
        Some(r#"data[0].tags.a: expected {"b":1}, got 1"#),
    );
    let long = "x".repeat(1000);
    let found = difference(&[json!({ long.as_str(): long })], &[json!({})], 0.0).unwrap();
    assert!(found.len() < 300, "{found}");
}

fn example(value: Value) -> GoldenExample {
    serde_json::from_value(value).unwrap()
}

async fn outcomes(
    executor: ScriptedExecutor,
    examples: &[GoldenExample],
) -> Result<Vec<ExampleOutcome>, Problem> {
    run(&executor, &TenantName::local(), &Limits::default(), examples).await
}

#[tokio::test]
async fn examples_give_outcomes_whatever_the_executor_does() {
    let problem = Problem::new(ErrorCode::GuestError, "no such index").with_grpc(GrpcCode::NotFound);
    let steps = vec![Step::pass(), Step::pass(), Step::Fail(problem)];
    let executor = ScriptedExecutor::new(&["/echo"], steps).with_fuel(7);
    let same = json!({"endpoint": "echo", "data": [{"text": "a"}], "expect": [{"text": "a"}]});
    let other = json!({"endpoint": "/echo", "data": [{"text": "a"}], "expect": [{"text": "b"}]});
    let broken = json!({"endpoint": "/echo", "data": [3], "expect": []});
    let examples = [example(same.clone()), example(other), example(same), example(broken)];
    let outcomes = outcomes(executor, &examples).await.unwrap();
    let told: Vec<(u64, Option<&str>)> =
        outcomes.iter().map(|outcome| (outcome.fuel, outcome.difference.as_deref())).collect();
    assert_eq!(told[0], (7, None));
    assert_eq!(told[1], (7, Some(r#"data[0].text: expected "b", got "a""#)));
    assert_eq!(told[2], (0, Some("the call failed: guest_error: no such index")));
    assert!(told[3].1.unwrap().starts_with("the example cannot be read: "), "{told:?}");
}

#[tokio::test]
async fn the_hosts_own_failure_is_an_error() {
    let problem = Problem::new(ErrorCode::Overloaded, "all instances are in use");
    let executor = ScriptedExecutor::new(&["/"], vec![Step::Fail(problem)]);
    let any = example(json!({"endpoint": "/", "data": [], "expect": []}));
    assert_eq!(outcomes(executor, &[any]).await.unwrap_err().code(), ErrorCode::Overloaded);
}
