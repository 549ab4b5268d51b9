//! Plans that run on scripted executors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockgate_domain::document::DocumentListBuilder;
use lockgate_domain::{
    ErrorCode, ErrorSource, FlowSpec, FuelBudget, Limits, Parameters, RequestContext, RequestId, StageSpec,
    TenantName,
};
use proptest::prelude::*;

use super::*;
use crate::client::ExecutorClient;
use crate::scripted::{ScriptedExecutor, Step};

/// A flow under test: stages as (name, needs, executor).
struct Bench {
    spec: FlowSpec,
    executors: BTreeMap<ExecutorName, Arc<ScriptedExecutor>>,
}

impl Bench {
    fn new(stages: Vec<(&str, &[&str], ScriptedExecutor)>) -> Self {
        let mut executors = BTreeMap::new();
        let mut specs = Vec::new();
        for (name, needs, executor) in stages {
            let name: ExecutorName = name.parse().unwrap();
            let needs = needs.iter().map(|need| need.parse().unwrap()).collect();
            specs.push(StageSpec { needs, ..StageSpec::new(name.clone(), "x.wasm") });
            executors.insert(name, Arc::new(executor));
        }
        let spec = FlowSpec {
            name: "flow".parse().unwrap(),
            stages: specs,
            gateway: Default::default(),
            fuel: 1000,
            timeout_ms: 60_000,
        };
        Self { spec, executors }
    }

    fn with(mut self, stage: usize, change: impl FnOnce(&mut StageSpec)) -> Self {
        change(&mut self.spec.stages[stage]);
        self
    }

    fn plan(&self) -> ExecutionPlan {
        let clients = self
            .executors
            .iter()
            .map(|(name, executor)| (name.clone(), executor.clone() as Arc<dyn ExecutorClient>));
        ExecutionPlan::new(&self.spec, clients).unwrap()
    }

    fn executor(&self, name: &str) -> &ScriptedExecutor {
        &self.executors[&name.parse().unwrap()]
    }

    async fn run(&self, request: FlowRequest) -> FlowReply {
        FlowEngine::run(&self.plan(), request).await
    }
}

fn list(rows: &[(&str, &str)]) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for (id, text) in rows {
        let row = builder.push_root().unwrap();
        builder.set_text("id", row, id).unwrap();
        if !text.is_empty() {
            builder.set_text("text", row, text).unwrap();
        }
    }
    builder.finish().unwrap()
}

fn rows(documents: &DocumentList) -> Vec<(&str, &str)> {
    let at = |name, row| documents.text(name, row).unwrap_or("");
    (0..documents.len()).map(|row| (at("id", row), at("text", row))).collect()
}

fn request(endpoint: &str, documents: DocumentList) -> FlowRequest {
    FlowRequest {
        endpoint: EndpointName::parse(endpoint).unwrap(),
        target_executor: None,
        documents,
        parameters: Parameters::default(),
        context: RequestContext::new(RequestId::fresh(), TenantName::local(), FuelBudget::new(1000)),
        emit: None,
    }
}

fn pass() -> ScriptedExecutor {
    ScriptedExecutor::new(&["/default"], vec![Step::pass()])
}

/// Answers with one document: its own name as the id, the ids it got as the text.
fn mark(name: &'static str) -> ScriptedExecutor {
    ScriptedExecutor::new(&["/default"], vec![marking(name)])
}

fn marking(name: &'static str) -> Step {
    Step::answer(move |call| {
        let ids: Vec<&str> = rows(&call.documents).into_iter().map(|(id, _)| id).collect();
        list(&[(name, &ids.join("+"))])
    })
}

fn failing(problem: Problem) -> ScriptedExecutor {
    ScriptedExecutor::new(&["/default"], vec![Step::Fail(problem)])
}

/// The routes in one line: `a ran, b skipped`.
fn story(reply: &FlowReply) -> String {
    let outcome = |route: &StageRoute| match &route.outcome {
        Outcome::Ran => "ran".to_owned(),
        Outcome::Skipped => "skipped".to_owned(),
        Outcome::Failed(problem) => format!("failed with {}", problem.code()),
        Outcome::NotReached if route.started.is_some() => "stopped".to_owned(),
        Outcome::NotReached => "not reached".to_owned(),
        Outcome::Floating => "floats".to_owned(),
    };
    let line: Vec<String> =
        reply.routes.iter().map(|route| format!("{} {}", route.executor, outcome(route))).collect();
    line.join(", ")
}

#[tokio::test(start_paused = true)]
async fn a_chain_passes_documents_on() {
    let bench = Bench::new(vec![
        ("a", &[], mark("a").with_fuel(3)),
        ("b", &["a"], mark("b").with_fuel(4)),
        ("c", &["b"], mark("c")),
    ]);
    let reply = bench.run(request("/x", list(&[("1", ""), ("2", "")]))).await;
    assert_eq!(story(&reply), "a ran, b ran, c ran");
    assert_eq!(rows(&reply.documents), [("c", "b")]);
    assert_eq!((reply.failure, reply.fuel), (None, 7));
    let first = &bench.executor("a").calls()[0];
    assert_eq!(format!("{:?}", first.inputs), r#"[StageInput { executor: "gateway", first: 0, count: 2 }]"#);
    let last = &bench.executor("c").calls()[0];
    assert_eq!(format!("{:?}", last.inputs), r#"[StageInput { executor: "b", first: 0, count: 1 }]"#);
}

#[tokio::test(start_paused = true)]
async fn endpoints_and_targets_choose_who_runs() {
    let bench = || {
        Bench::new(vec![
            ("index", &[], ScriptedExecutor::new(&["/index"], vec![marking("index")])),
            ("encoder", &["index"], mark("encoder")),
            ("search", &["encoder"], ScriptedExecutor::new(&["/search"], vec![marking("search")])),
        ])
    };
    let check = async |endpoint: &str, target: Option<&str>, expected: &str| {
        let mut request = request(endpoint, list(&[("1", "")]));
        request.target_executor = target.map(|target| TargetPattern::parse(target).unwrap());
        let reply = bench().run(request).await;
        assert_eq!(story(&reply), expected, "{endpoint} {target:?}");
        assert!(reply.routes.iter().all(|route| route.started.is_some()));
        assert!(reply.routes.iter().all(|route| (route.outcome == Outcome::Ran) == route.ended.is_some()));
    };
    check("/index", None, "index ran, encoder ran, search skipped").await;
    check("/search", None, "index skipped, encoder ran, search ran").await;
    check("/search", Some("s"), "index skipped, encoder skipped, search ran").await;
    check("/none", None, "index skipped, encoder ran, search skipped").await;
    check("/index", Some("nobody"), "index skipped, encoder skipped, search skipped").await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_gives_back_what_the_executor_was_sent() {
    let boom = Problem::new(ErrorCode::GuestError, "boom");
    let bench =
        Bench::new(vec![("a", &[], mark("a")), ("b", &["a"], failing(boom)), ("c", &["b"], mark("c"))]);
    let reply = bench.run(request("/x", list(&[("1", "")]))).await;
    assert_eq!(story(&reply), "a ran, b failed with guest_error, c not reached");
    assert_eq!(rows(&reply.documents), [("a", "1")]);
    assert_eq!(reply.failure.unwrap().executor().unwrap().as_str(), "b");
    assert!(bench.executor("c").calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn joins_follow_the_order_of_needs_and_not_of_arrival() {
    let late = |name| {
        let step = Step::After(
            Duration::from_secs(1),
            Box::new(Step::answer(move |_| list(&[("1", name), (name, "")]))),
        );
        ScriptedExecutor::new(&["/default"], vec![step])
    };
    let soon = |name| {
        ScriptedExecutor::new(&["/default"], vec![Step::answer(move |_| list(&[("1", name), (name, "")]))])
    };
    let check = async |is_reduced: bool, expected: &[(&str, &str)], inputs: &str| {
        let bench = Bench::new(vec![
            ("left", &[], late("left")),
            ("right", &["gateway"], soon("right")),
            ("join", &["left", "right"], pass()),
        ])
        .with(2, |stage| stage.reduce = is_reduced);
        let reply = bench.run(request("/x", list(&[("1", "")]))).await;
        assert_eq!(rows(&reply.documents), expected);
        let calls = bench.executor("join").calls();
        let ranges: Vec<String> = calls[0]
            .inputs
            .iter()
            .map(|input| format!("{} {}..{}", input.executor, input.first, input.first + input.count))
            .collect();
        assert_eq!(ranges.join(", "), inputs);
    };
    check(true, &[("1", "left"), ("left", ""), ("right", "")], "left 0..2, right 2..3").await;
    let concatenated = [("1", "left"), ("left", ""), ("1", "right"), ("right", "")];
    check(false, &concatenated, "left 0..2, right 2..4").await;
}

#[tokio::test(start_paused = true)]
async fn a_stage_without_a_component_gives_back_what_it_gets() {
    let bench = Bench::new(vec![
        ("a", &[], mark("a")),
        ("b", &["gateway"], mark("b")),
        ("join", &["a", "b"], failing(Problem::new(ErrorCode::GuestError, "nobody calls it"))),
    ])
    .with(2, |stage| stage.uses = StageSpec::PASSING.to_owned());
    let reply = bench.run(request("/x", list(&[("1", "")]))).await;
    assert_eq!(story(&reply), "a ran, join ran, b ran");
    assert_eq!(rows(&reply.documents), [("a", "1"), ("b", "1")]);
}

#[tokio::test(start_paused = true)]
async fn executors_answer_to_the_flows_names_of_their_endpoints() {
    let check = async |endpoint: &str, expected: &str, called: Option<&str>| {
        let searcher = ScriptedExecutor::new(&["/search"], vec![Step::pass()]);
        let name = |name| EndpointName::parse(name).unwrap();
        let bench = Bench::new(vec![("a", &[], searcher)])
            .with(0, |stage| stage.requests = [(name("/find"), name("/search"))].into());
        let reply = bench.run(request(endpoint, list(&[("1", "")]))).await;
        assert_eq!(story(&reply), expected);
        let calls = bench.executor("a").calls();
        assert_eq!(calls.first().map(|call| call.endpoint.as_str()), called);
    };
    check("/find", "a ran", Some("/search")).await;
    check("/search", "a skipped", None).await;
}

#[tokio::test(start_paused = true)]
async fn branches_run_at_once() {
    let wait = || {
        ScriptedExecutor::new(
            &["/default"],
            vec![Step::After(Duration::from_secs(10), Box::new(Step::pass()))],
        )
    };
    let bench = Bench::new(vec![("a", &[], wait()), ("b", &["gateway"], wait()), ("c", &["a", "b"], pass())])
        .with(0, |stage| stage.timeout_ms = Some(11_000));
    let mut request = request("/x", list(&[("1", "")]));
    request.context.deadline = Some(now() + Duration::from_secs(15));
    let reply = bench.run(request).await;
    assert_eq!(story(&reply), "a ran, c ran, b ran");
}

#[tokio::test(start_paused = true)]
async fn a_failing_branch_stops_the_others() {
    let hang = || ScriptedExecutor::new(&["/default"], vec![Step::Hang]);
    let boom = ScriptedExecutor::new(
        &["/default"],
        vec![Step::After(
            Duration::from_millis(5),
            Box::new(Step::Fail(Problem::new(ErrorCode::GuestTrap, "trap"))),
        )],
    );
    let bench = Bench::new(vec![
        ("quick", &[], pass()),
        ("hangs", &["quick"], hang()),
        ("traps", &["quick"], boom),
        ("join", &["hangs", "traps"], pass()),
    ]);
    let reply = bench.run(request("/x", list(&[("1", "")]))).await;
    assert_eq!(story(&reply), "quick ran, hangs stopped, join not reached, traps failed with guest_trap");
    assert_eq!(bench.executor("hangs").dropped(), 1);
    assert_eq!(rows(&reply.documents), [("1", "")]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_request_drops_the_calls() {
    let bench = Bench::new(vec![("a", &[], ScriptedExecutor::new(&["/default"], vec![Step::Hang]))]);
    let plan = bench.plan();
    let given_up =
        tokio::time::timeout(Duration::from_secs(1), FlowEngine::run(&plan, request("/x", list(&[])))).await;
    assert!(given_up.is_err());
    assert_eq!(bench.executor("a").dropped(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_end_in_time() {
    let late = Problem::new(ErrorCode::DeadlineExceeded, "the executor saw a deadline");
    let own_end = Step::After(Duration::from_millis(290), Box::new(Step::Fail(late)));
    let check_step = async |step: Step, own: Option<u64>, asked: Option<u64>, expected: &str| {
        let hang = ScriptedExecutor::new(&["/default"], vec![step]);
        let bench = Bench::new(vec![("a", &[], hang)]).with(0, |stage| stage.timeout_ms = own);
        let mut request = request("/x", list(&[("1", "")]));
        request.context.deadline = asked.map(|ms| now() + Duration::from_millis(ms));
        let reply = bench.run(request).await;
        let problem = reply.failure.unwrap();
        assert_eq!((problem.code(), problem.message()), (ErrorCode::DeadlineExceeded, expected));
        let is_own = expected.contains("did not answer");
        assert_eq!(problem.source(), if is_own { ErrorSource::Guest } else { ErrorSource::Client });
        bench.executor("a").dropped()
    };
    let check = async |own, asked, expected| {
        assert_eq!(check_step(Step::Hang, own, asked, expected).await, 1);
    };
    // An executor that ends in time for its own message does not know whose deadline it was.
    let own = "executor `a` did not answer within 300 ms";
    assert_eq!(check_step(own_end.clone(), Some(300), Some(900), own).await, 0);
    assert_eq!(check_step(own_end, None, Some(300), "the executor saw a deadline").await, 0);
    check(Some(300), None, "executor `a` did not answer within 300 ms").await;
    check(Some(300), Some(900), "executor `a` did not answer within 300 ms").await;
    check(Some(300), Some(200), "the request's deadline passed while executor `a` was working").await;
    check(None, Some(200), "the request's deadline passed while executor `a` was working").await;
    check(None, None, "the request's deadline passed while executor `a` was working").await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_called_after_the_deadline() {
    let slow = ScriptedExecutor::new(
        &["/default"],
        vec![Step::After(Duration::from_secs(2), Box::new(Step::pass()))],
    );
    let bench = Bench::new(vec![("a", &[], slow), ("b", &["a"], pass())]);
    let mut late = request("/x", list(&[("1", "")]));
    late.context.deadline = Some(now());
    let reply = bench.run(late).await;
    assert_eq!(story(&reply), "a failed with deadline_exceeded, b not reached");
    assert!(bench.executor("a").calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_join_that_comes_too_late_gives_back_what_it_would_have_been_sent() {
    let second = Duration::from_secs(1);
    let late = |name| {
        let step = Step::After(second, Box::new(Step::answer(move |_| list(&[(name, "")]))));
        ScriptedExecutor::new(&["/default"], vec![step])
    };
    let stages: Vec<(&str, &[&str], ScriptedExecutor)> = vec![
        ("left", &[], late("left")),
        ("right", &["gateway"], late("right")),
        ("join", &["left", "right"], pass()),
    ];
    let bench = Bench::new(stages);
    let mut request = request("/x", list(&[("1", "")]));
    request.context.deadline = Some(now() + second);
    let reply = bench.run(request).await;
    assert_eq!(story(&reply), "left ran, join failed with deadline_exceeded, right ran");
    assert_eq!(rows(&reply.documents), [("left", ""), ("right", "")]);
}

#[tokio::test(start_paused = true)]
async fn only_safe_failures_are_retried() {
    let check = async |code: ErrorCode, retries: u32, expected_calls: usize, succeeds: bool| {
        let fail = Step::Fail(Problem::new(code, "no"));
        let executor = ScriptedExecutor::new(&["/default"], vec![fail.clone(), fail, Step::pass()]);
        let bench = Bench::new(vec![("a", &[], executor)]).with(0, |stage| stage.retries = retries);
        let reply = bench.run(request("/x", list(&[("1", "")]))).await;
        assert_eq!(bench.executor("a").calls().len(), expected_calls, "{code}");
        assert_eq!(reply.failure.is_none(), succeeds, "{code}");
    };
    check(ErrorCode::Overloaded, 0, 1, false).await;
    check(ErrorCode::Overloaded, 1, 2, false).await;
    check(ErrorCode::Overloaded, 2, 3, true).await;
    check(ErrorCode::Unavailable, 5, 3, true).await;
    check(ErrorCode::GuestError, 5, 1, false).await;
    check(ErrorCode::GuestTrap, 5, 1, false).await;
    check(ErrorCode::HostFault, 5, 1, false).await;
    check(ErrorCode::InvalidRequest, 5, 1, false).await;
    check(ErrorCode::DeadlineExceeded, 5, 1, false).await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_as_asked_and_never_past_the_deadline() {
    let check = async |retry_after: u64, deadline: u64, expected_calls: usize| {
        let busy = Problem::new(ErrorCode::Overloaded, "full").with_retry_after_ms(retry_after);
        let executor = ScriptedExecutor::new(&["/default"], vec![Step::Fail(busy), Step::pass()]);
        let bench = Bench::new(vec![("a", &[], executor)]).with(0, |stage| stage.retries = 3);
        let mut request = request("/x", list(&[("1", "")]));
        let start = now();
        request.context.deadline = Some(start + Duration::from_millis(deadline));
        let reply = bench.run(request).await;
        assert_eq!(bench.executor("a").calls().len(), expected_calls);
        assert!(reply.failure.is_some() || now() - start >= Duration::from_millis(retry_after));
    };
    check(100, 1000, 2).await;
    check(2000, 1000, 1).await;
}

#[tokio::test(start_paused = true)]
async fn one_budget_of_fuel_for_all_stages() {
    let bench = Bench::new(vec![
        ("a", &[], pass().with_fuel(600)),
        ("b", &["a"], pass().with_fuel(600)),
        ("c", &["b"], pass()),
    ]);
    let reply = bench.run(request("/x", list(&[("1", "")]))).await;
    assert_eq!(story(&reply), "a ran, b ran, c failed with limit_exceeded");
    assert_eq!(reply.fuel, 1000);
    let problem = reply.failure.unwrap();
    assert_eq!(problem.message(), "the request's fuel of 1000 was used up before executor `c`");
    assert_eq!(problem.limit_passed().unwrap().0.as_str(), "flow_fuel");
}

#[tokio::test(start_paused = true)]
async fn parameters_are_scoped_to_the_executor() {
    let bench = Bench::new(vec![("a", &[], pass()), ("b", &["a"], pass())]);
    let mut request = request("/x", list(&[("1", "")]));
    let serde_json::Value::Object(map) = serde_json::json!({"k": 1, "b__k": 2}) else { panic!("an object") };
    request.parameters = Parameters::new(map);
    bench.run(request).await;
    let seen = |name: &str| bench.executor(name).calls()[0].parameters.get("k").cloned();
    assert_eq!((seen("a"), seen("b")), (Some(1.into()), Some(2.into())));
}

#[tokio::test(start_paused = true)]
async fn the_last_executor_that_runs_may_emit() {
    let check = async |stages: Vec<(&str, &[&str], ScriptedExecutor)>, expected: &[&str]| {
        let bench = Bench::new(stages);
        let (sender, _receiver) = tokio::sync::mpsc::channel(1);
        let mut request = request("/x", list(&[("1", "")]));
        request.emit = Some(sender);
        bench.run(request).await;
        let emits = |executor: &ScriptedExecutor| executor.calls().iter().any(|call| call.emit.is_some());
        let names: Vec<&str> = bench
            .executors
            .iter()
            .filter(|(_, executor)| emits(executor))
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, expected);
    };
    let other = || ScriptedExecutor::new(&["/other"], vec![Step::pass()]);
    check(vec![("a", &[], pass()), ("b", &["a"], pass())], &["b"]).await;
    check(vec![("a", &[], pass()), ("b", &["a"], other())], &["a"]).await;
    check(
        vec![("a", &[], pass()), ("b", &["a"], pass()), ("c", &["a"], pass()), ("d", &["b", "c"], other())],
        &["b", "c"],
    )
    .await;
    check(vec![("a", &[], pass()), ("floats", &["a"], pass()), ("c", &["a"], other())], &["a"]).await;
    check(vec![("a", &[], pass()), ("b", &["a"], pass()), ("c", &["b"], other())], &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn lists_that_cannot_be_joined_name_the_branches() {
    let typed = |is_text: bool| {
        ScriptedExecutor::new(
            &["/default"],
            vec![Step::answer(move |_| {
                let mut builder = DocumentListBuilder::new(Limits::default());
                let row = builder.push_root().unwrap();
                builder.set_text("id", row, if is_text { "1" } else { "2" }).unwrap();
                if is_text {
                    builder.set_bytes("field", row, vec![1].into()).unwrap();
                } else {
                    builder.set_number("field", row, 1.0).unwrap();
                }
                builder.finish().unwrap()
            })],
        )
    };
    let bench = Bench::new(vec![
        ("a", &[], typed(true)),
        ("b", &["gateway"], typed(false)),
        ("c", &["a", "b"], pass()),
    ]);
    let reply = bench.run(request("/x", list(&[("1", "")]))).await;
    let problem = reply.failure.unwrap();
    assert_eq!(problem.code(), ErrorCode::ContractViolation);
    assert!(
        problem.message().starts_with("the documents of a, b cannot be joined: "),
        "{}",
        problem.message()
    );
    assert_eq!(problem.executor().unwrap().as_str(), "c");
}

proptest! {
    /// Any graph without a cycle: each stage runs once, after all its needs, whatever takes how long.
    #[test]
    fn every_stage_runs_once_after_its_needs(
        edges in prop::collection::vec(prop::collection::vec(any::<bool>(), 8), 1..9),
        delays in prop::collection::vec(0u64..4, 9),
    ) {
        let names: Vec<String> = (0..edges.len()).map(|place| format!("s{place}")).collect();
        let log: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
        let needs: Vec<Vec<&str>> = edges
            .iter()
            .zip(0usize..)
            .map(|(row, place)| (0..place).filter(|before| row[*before]).map(|before| names[before].as_str()).collect())
            .collect();
        let stages = names.iter().zip(&needs).zip(&delays).map(|((name, needs), delay)| {
            let (log, own) = (log.clone(), name.clone());
            let answer = Step::answer(move |call| {
                log.lock().unwrap().push(own.clone());
                call.documents.clone()
            });
            let step = if *delay == 0 { answer } else { Step::After(Duration::from_millis(*delay), Box::new(answer)) };
            (name.as_str(), needs.as_slice(), ScriptedExecutor::new(&["/default"], vec![step]))
        });
        let bench = Bench::new(stages.collect());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let reply = runtime.block_on(bench.run(request("/x", list(&[("1", ""), ("2", "")]))));
        prop_assert_eq!(reply.failure, None);
        prop_assert_eq!(rows(&reply.documents), [("1", ""), ("2", "")]);
        let log = log.lock().unwrap();
        prop_assert_eq!(log.len(), names.len());
        for (name, needs) in names.iter().zip(&needs) {
            let at = |name: &str| log.iter().position(|logged| logged == name);
            prop_assert!(at(name).is_some());
            for need in needs {
                prop_assert!(at(need) < at(name), "{} before {}", need, name);
            }
        }
    }
}

mod choosing;
mod floating;
mod results;
