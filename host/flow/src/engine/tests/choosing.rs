//! Stages with conditions.

use lockgate_domain::Condition;
use lockgate_domain::condition::Written;
use serde_json::{Value, json};

use super::*;

/// `{field: {operator: value}}`.
fn when(field: &str, operator: &str, value: Value) -> Option<Condition> {
    let test = Written::Map(vec![(operator.to_owned(), Written::Plain(value))]);
    Some(Condition::parse(&Written::Map(vec![(field.to_owned(), test)])).unwrap())
}

/// Puts its name behind each text.
fn sign(name: &'static str) -> ScriptedExecutor {
    let step = Step::answer(move |call| {
        let signed: Vec<(String, String)> = rows(&call.documents)
            .iter()
            .map(|(id, text)| (id.to_string(), format!("{text}{name}")))
            .collect();
        let rows: Vec<(&str, &str)> = signed.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
        list(&rows)
    });
    ScriptedExecutor::new(&["/default"], vec![step])
}

fn sent(bench: &Bench, name: &str) -> String {
    let calls = bench.executor(name).calls();
    let of = |call: &crate::client::ExecutorCall| {
        rows(&call.documents).iter().map(|(id, _)| *id).collect::<Vec<_>>().join("+")
    };
    calls.iter().map(of).collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn each_branch_gets_what_it_asks_for() {
    let check = async |left: Option<Condition>,
                       right: Option<Condition>,
                       sent_to: (&str, &str),
                       answer: &[(&str, &str)]| {
        let bench = Bench::new(vec![
            ("left", &[], sign("L")),
            ("right", &["gateway"], sign("R")),
            ("join", &["left", "right"], pass()),
        ])
        .with(0, |stage| stage.condition = left)
        .with(1, |stage| stage.condition = right);
        let reply = bench.run(request("/x", list(&[("3", "c"), ("1", "a"), ("2", "b")]))).await;
        assert_eq!(story(&reply), "left ran, join ran, right ran");
        assert_eq!((sent(&bench, "left").as_str(), sent(&bench, "right").as_str()), sent_to);
        assert_eq!(rows(&reply.documents), answer);
    };
    let text = |operator, value| when("text", operator, value);
    // The answer has the order of the request.
    let both = [("3", "cR"), ("1", "aL"), ("2", "bR")];
    check(text("$eq", json!("a")), text("$neq", json!("a")), ("1", "3+2"), &both).await;
    // What satisfies nothing is gone.
    check(text("$eq", json!("a")), text("$eq", json!("b")), ("1", "2"), &[("1", "aL"), ("2", "bR")]).await;
    // An executor is called with nothing, too.
    check(text("$eq", json!("z")), text("$eq", json!("b")), ("", "2"), &[("2", "bR")]).await;
    check(None, text("$eq", json!("b")), ("3+1+2", "2"), &[("3", "cL"), ("1", "aL"), ("2", "bL")]).await;
}

#[tokio::test(start_paused = true)]
async fn parts_are_chosen_from_before_they_are_joined() {
    let bench = Bench::new(vec![
        ("left", &[], sign("L")),
        ("right", &["gateway"], sign("R")),
        ("join", &["left", "right"], pass()),
    ])
    .with(2, |stage| stage.condition = when("text", "$regex", json!("R$")));
    let reply = bench.run(request("/x", list(&[("1", "a")]))).await;
    assert_eq!(rows(&reply.documents), [("1", "aR")]);
    let calls = bench.executor("join").calls();
    let inputs: Vec<String> =
        calls[0].inputs.iter().map(|input| format!("{} {}", input.executor, input.count)).collect();
    assert_eq!(inputs, ["left 0", "right 1"]);
}

#[tokio::test(start_paused = true)]
async fn documents_are_chosen_where_nobody_is_called_unless_nobody_is_meant() {
    let check = async |endpoint: &str, target: Option<&str>, expected: &str, left: &[(&str, &str)]| {
        let index = ScriptedExecutor::new(&["/index"], vec![Step::pass()]);
        let bench = Bench::new(vec![("a", &[], index), ("b", &["a"], pass())])
            .with(0, |stage| stage.condition = when("text", "$eq", json!("x")));
        let mut request = request(endpoint, list(&[("1", "x"), ("2", "y")]));
        request.target_executor = target.map(|target| TargetPattern::parse(target).unwrap());
        let reply = bench.run(request).await;
        assert_eq!((story(&reply).as_str(), rows(&reply.documents).as_slice()), (expected, left));
    };
    check("/index", None, "a ran, b ran", &[("1", "x")]).await;
    check("/other", None, "a skipped, b ran", &[("1", "x")]).await;
    check("/index", Some("b"), "a skipped, b ran", &[("1", "x"), ("2", "y")]).await;
}

#[tokio::test(start_paused = true)]
async fn new_documents_come_last_and_failures_keep_the_order() {
    let more = Step::answer(|_| list(&[("new", ""), ("2", "y"), ("1", "x")]));
    let bench = Bench::new(vec![("a", &[], ScriptedExecutor::new(&["/default"], vec![more]))])
        .with(0, |stage| stage.condition = Some(Condition::All(Vec::new())));
    let reply = bench.run(request("/x", list(&[("1", "x"), ("2", "y")]))).await;
    assert_eq!(rows(&reply.documents), [("1", "x"), ("2", "y"), ("new", "")]);
    let boom = failing(Problem::new(ErrorCode::GuestError, "boom"));
    let bench =
        Bench::new(vec![("a", &[], boom)]).with(0, |stage| stage.condition = when("text", "$eq", json!("y")));
    let reply = bench.run(request("/x", list(&[("1", "x"), ("2", "y")]))).await;
    assert_eq!(story(&reply), "a failed with guest_error");
    assert_eq!(rows(&reply.documents), [("2", "y")]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decided_fails_and_names_the_executor() {
    let bench = Bench::new(vec![("a", &[], pass())])
        .with(0, |stage| stage.condition = when("text", "$regex", json!("y")));
    let long = "x".repeat(Condition::MAX_MATCHED_BYTES + 1);
    let reply = bench.run(request("/x", list(&[("1", &long)]))).await;
    let problem = reply.failure.unwrap();
    assert_eq!((problem.code(), problem.executor().unwrap().as_str()), (ErrorCode::InvalidRequest, "a"));
    assert_eq!(
        problem.message(),
        "`when` cannot be decided: `text` of a document has 65537 bytes, `$regex` looks at no more than 65536"
    );
    assert!(bench.executor("a").calls().is_empty());
}

#[tokio::test]
async fn choosing_lets_others_have_a_turn_and_keeps_the_deadline() {
    let text = "x".repeat(Condition::MAX_MATCHED_BYTES);
    let many: Vec<(String, &str)> = (0..8).map(|n| (n.to_string(), text.as_str())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(id, text)| (id.as_str(), *text)).collect();
    let condition = when("text", "$regex", json!("[a-w]+y")).unwrap();
    let documents = list(&many);
    let late = Some(now());
    let mut choosing = std::pin::pin!(crate::filter::satisfying(&condition, &documents, late));
    let first = futures_util::FutureExt::now_or_never(choosing.as_mut());
    assert!(first.is_none(), "one document's text is more than a slice");
    let problem = choosing.await.unwrap_err();
    assert_eq!(problem.code(), ErrorCode::DeadlineExceeded);
}
