//! Whole batches on a scripted executor and a clock that stands.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join_all, pending};
use lockgate_domain::document::{DocumentListBuilder, names};
use lockgate_domain::request::Headers;
use lockgate_domain::{
    DocumentList, Explanations, FuelBudget, Parameters, RequestContext, RequestId, TenantName,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::client::StageInput;
use crate::scripted::{ScriptedExecutor, Step};

pub(super) const RULE: BatchingSpec = BatchingSpec {
    preferred_documents: 4,
    preferred_bytes: Some(100),
    timeout_ms: 50,
    flush_all: false,
    max_waiting: 5,
    isolate_failures: false,
};

pub(super) fn list(ids: &[&str]) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for id in ids {
        let row = builder.push_root().unwrap();
        if !id.is_empty() {
            builder.set_text(names::ID, row, id).unwrap();
        }
    }
    builder.finish().unwrap()
}

fn ids(list: &DocumentList) -> Vec<&str> {
    (0..list.len()).map(|row| list.text(names::ID, row).unwrap_or("")).collect()
}

/// A batcher over a script.
struct Bench {
    executor: Arc<ScriptedExecutor>,
    batcher: Arc<Batcher>,
}

impl Bench {
    fn new(rule: BatchingSpec, steps: Vec<Step>) -> Self {
        let executor = Arc::new(ScriptedExecutor::new(&["/x", "/other"], steps).with_fuel(10));
        let spec = StageSpec {
            batching: BTreeMap::from([(EndpointName::parse("/x").unwrap(), rule)]),
            ..StageSpec::new("stage".parse().unwrap(), "x.wasm")
        };
        let inner = executor.clone() as Arc<dyn ExecutorClient>;
        Self { executor, batcher: Batcher::new(&spec, &inner).unwrap() }
    }

    async fn run(&self, call: ExecutorCall) -> Result<(Vec<String>, u64), ErrorCode> {
        let reply = self.batcher.call(call).await.map_err(|problem| problem.code())?;
        Ok((ids(&reply.documents).into_iter().map(str::to_owned).collect(), reply.fuel))
    }

    /// The documents of each call so far.
    fn calls(&self) -> Vec<String> {
        self.executor.calls().iter().map(|call| ids(&call.documents).join(" ")).collect()
    }
}

fn call(names: &[&str]) -> ExecutorCall {
    let documents = list(names);
    let gateway: ExecutorName = "gateway".parse().unwrap();
    ExecutorCall {
        endpoint: EndpointName::parse("/x").unwrap(),
        inputs: crate::join::single(&gateway, &documents),
        documents,
        parameters: Parameters::default(),
        context: RequestContext::new(RequestId::fresh(), TenantName::local(), FuelBudget::new(1000)),
        emit: None,
    }
}

fn with(parameters: Value, mut call: ExecutorCall) -> ExecutorCall {
    let Value::Object(map) = parameters else { panic!("an object") };
    call.parameters = Parameters::new(map);
    call
}

fn until(ms: u64, mut call: ExecutorCall) -> ExecutorCall {
    call.context.deadline = Some(now() + Duration::from_millis(ms));
    call
}

/// Ends when the clock, which only waiting moves, is so much further.
async fn passed(ms: u64) {
    tokio::time::timeout(Duration::from_millis(ms), pending::<()>()).await.ok();
}

fn rule() -> BatchingSpec {
    BatchingSpec { preferred_bytes: None, max_waiting: 100, ..RULE }
}

fn done(ids: &[&str], fuel: u64) -> Result<(Vec<String>, u64), ErrorCode> {
    Ok((ids.iter().map(|id| (*id).to_owned()).collect(), fuel))
}

#[tokio::test(start_paused = true)]
async fn requests_share_a_call_and_get_back_their_own() {
    let bench = Bench::new(rule(), vec![Step::pass()]);
    let start = now();
    let replies = join_all([
        bench.run(call(&["a1"])),
        bench.run(call(&["b1", "b2"])),
        bench.run(with(json!({"k": 1}), call(&["c1"]))),
        bench.run(with(json!({"k": 1}), call(&["d1"]))),
        bench.run(call(&["e1"])),
    ])
    .await;
    let expected =
        [done(&["a1"], 3), done(&["b1", "b2"], 5), done(&["c1"], 5), done(&["d1"], 5), done(&["e1"], 2)];
    assert_eq!(replies, expected);
    assert_eq!(bench.calls(), ["a1 b1 b2 e1", "c1 d1"]);
    assert_eq!(now() - start, Duration::from_millis(50));
    let stats = bench.batcher.stats();
    assert_eq!(stats, BatchStats { batches: [1, 0, 1, 0, 0, 0], requests: 5, documents: 6, ..stats });
    assert_eq!((stats.alone, stats.waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn large_batches_become_calls_of_the_preferred_size() {
    let requests = || [call(&["a1", "a2", "a3"]), call(&["b1", "b2", "b3", "b4", "b5", "b6", "b7"])];
    let check = async |flush_all: bool, expected: &[&str]| {
        let bench = Bench::new(BatchingSpec { flush_all, ..rule() }, vec![Step::pass()]);
        let replies = join_all(requests().map(|call| bench.run(call))).await;
        let found: Vec<usize> = replies.iter().map(|reply| reply.as_ref().unwrap().0.len()).collect();
        assert_eq!((found, bench.calls()), (vec![3, 7], expected.iter().map(|s| (*s).into()).collect()));
    };
    check(false, &["a1 a2 a3 b1", "b2 b3 b4 b5", "b6 b7"]).await;
    check(true, &["a1 a2 a3 b1 b2 b3 b4 b5 b6 b7"]).await;
}

#[tokio::test(start_paused = true)]
async fn strangers_and_what_belongs_to_one_request_share_nothing() {
    let bench = Bench::new(rule(), vec![Step::pass()]);
    let mut stranger = call(&["s1"]);
    stranger.context.tenant = "stranger".parse().unwrap();
    let mut sticky = call(&["t1"]);
    sticky.context.headers = Headers::new(vec![(STICKY.into(), "me".into())]);
    let mut elsewhere = call(&["o1"]);
    elsewhere.endpoint = EndpointName::parse("/other").unwrap();
    let mut joined = call(&["j1", "j2"]);
    let input = |name: &str, first| StageInput { executor: name.parse().unwrap(), first, count: 1 };
    joined.inputs = Arc::new([input("l", 0), input("r", 1)]);
    let mut streaming = call(&["e1"]);
    streaming.emit = Some(tokio::sync::mpsc::channel(1).0);
    let calls = [call(&["a1"]), stranger, sticky, elsewhere, joined, streaming, call(&[])];
    join_all(calls.map(|call| bench.run(call))).await;
    let mut calls = bench.calls();
    // What does not wait comes first.
    assert_eq!(calls.drain(..4).collect::<Vec<_>>(), ["o1", "j1 j2", "e1", ""]);
    calls.sort_unstable();
    assert_eq!(calls, ["a1", "s1", "t1"]);
}

#[test]
fn endpoints_go_by_the_names_of_the_flow() {
    let name = |text: &str| EndpointName::parse(text).unwrap();
    let executor = ScriptedExecutor::new(&["/x", "/y"], Vec::new());
    let check = |batched: &str, renamed: &[(&str, &str)], expected: Result<&str, &str>| {
        let spec = StageSpec {
            batching: BTreeMap::from([(name(batched), rule())]),
            requests: renamed.iter().map(|(wanted, own)| (name(wanted), name(own))).collect(),
            ..StageSpec::new("stage".parse().unwrap(), "x.wasm")
        };
        let faults = Batcher::unknown_endpoints(&executor.manifest(), &spec);
        assert!(Batcher::unknown_endpoints(&Manifest::default(), &spec).is_empty());
        let inner = Arc::new(ScriptedExecutor::new(&[], Vec::new())) as Arc<dyn ExecutorClient>;
        let batcher = Batcher::new(&spec, &inner).unwrap();
        match expected {
            Ok(own) => assert!(faults.is_empty() && batcher.rules.contains_key(&name(own)), "{batcher:?}"),
            Err(fault) => assert_eq!(faults, [fault]),
        }
    };
    check("/x", &[], Ok("/x"));
    check("/foo", &[("/foo", "/y")], Ok("/y"));
    let fault = "`uses_dynamic_batching` of executor `stage` names `/z`, its component has /x, /y";
    check("/z", &[("/foo", "/y")], Err(fault));
}

#[tokio::test(start_paused = true)]
async fn executors_see_one_call_and_nobodys_metadata() {
    let bench = Bench::new(rule(), vec![Step::pass()]);
    let from = |name: &str| {
        let mut call = call(&[name]);
        call.context.headers =
            Headers::new(vec![(STICKY.into(), "me".into()), ("x-caller".into(), name.into())]);
        call
    };
    let (a, b) = (until(30_000, from("a1")), until(20_000, from("b1")));
    let (id, deadline) = (a.context.id.clone(), a.context.deadline);
    join_all([a, b].map(|call| bench.run(call))).await;
    let shared = &bench.executor.calls()[0];
    assert_ne!(shared.context.id, id);
    assert_eq!(shared.context.headers.iter().collect::<Vec<_>>(), [(STICKY, "me")]);
    assert_eq!((shared.context.deadline, shared.context.fuel.total()), (deadline, 2000));
    assert_eq!(format!("{:?}", shared.inputs), r#"[StageInput { executor: "gateway", first: 0, count: 2 }]"#);
    // One request alone is called as it came.
    bench.run(from("c1")).await.unwrap();
    let alone = &bench.executor.calls()[1];
    assert_eq!((alone.context.headers.iter().count(), alone.context.fuel.total()), (2, 1000));
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_with_its_last_request_and_not_before() {
    let slow = || vec![Step::After(Duration::from_secs(1), Box::new(Step::pass()))];
    // Whoever goes, and whenever: the other one gets its answer.
    for gone in [0, 1] {
        for after_ms in [10, 500] {
            let bench = Bench::new(rule(), slow());
            let run = |name: usize| {
                let reply = bench.run(call(&[["a1", "b1"][name]]));
                async move {
                    let given_up = passed(after_ms);
                    tokio::select! {
                        reply = reply => Some(reply),
                        () = given_up, if name == gone => None,
                    }
                }
            };
            let replies = tokio::join!(run(0), run(1));
            let (left, stayed) = if gone == 0 { replies } else { (replies.1, replies.0) };
            let name = ["b1", "a1"][gone];
            assert!(left.is_none());
            let fuel = if after_ms == 10 { 10 } else { 5 };
            assert_eq!(stayed, Some(done(&[name], fuel)), "{gone} after {after_ms}");
            // Whoever left while it gathered was not in the call.
            let expected = if after_ms == 10 { name.to_owned() } else { "a1 b1".to_owned() };
            assert_eq!((bench.calls(), bench.executor.dropped()), (vec![expected], 0));
        }
    }
    // All of them: the call is dropped, and while gathering there is none.
    for (after_ms, calls, dropped) in [(10, 0, 0), (500, 1, 1)] {
        let bench = Bench::new(rule(), slow());
        let both = async { tokio::join!(bench.run(call(&["a1"])), bench.run(call(&["b1"]))) };
        assert!(tokio::time::timeout(Duration::from_millis(after_ms), both).await.is_err());
        assert_eq!((bench.calls().len(), bench.executor.dropped()), (calls, dropped));
        assert_eq!(bench.batcher.stats().waiting, 0);
        assert_eq!(Arc::strong_count(&bench.batcher.shared), 1, "a batch outlived its requests");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_requests_all_left_stops_while_others_go_on() {
    // Two calls: the first is `a`'s alone, who goes; the second is `b`'s.
    let steps = vec![Step::Hang, Step::pass()];
    let bench = Bench::new(rule(), steps);
    let a = tokio::time::timeout(Duration::from_secs(1), bench.run(call(&["a1", "a2", "a3"])));
    let b = async {
        tokio::task::yield_now().await;
        bench.run(call(&["b1", "b2"])).await
    };
    let (a, b) = tokio::join!(a, tokio::time::timeout(Duration::from_secs(2), b));
    // The first call has a document of `b`, so it goes on until `b` gives up as well.
    assert!(a.is_err() && b.is_err());
    assert_eq!((bench.calls(), bench.executor.dropped()), (vec!["a1 a2 a3 b1".into()], 1));
    let bench = Bench::new(rule(), vec![Step::Hang, Step::pass()]);
    let a = tokio::time::timeout(Duration::from_secs(1), bench.run(call(&["a1", "a2", "a3", "a4", "a5"])));
    let (a, b) = tokio::join!(a, bench.run(call(&["b1"])));
    assert!(a.is_err());
    assert_eq!(b, done(&["b1"], 10));
    assert_eq!((bench.calls(), bench.executor.dropped()), (vec!["a1 a2 a3 a4".into(), "b1".into()], 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_more_than_half_of_its_time() {
    let bench = Bench::new(BatchingSpec { timeout_ms: 10_000, ..rule() }, vec![Step::pass()]);
    let start = now();
    let late = async {
        passed(100).await;
        bench.run(until(200, call(&["b1"]))).await
    };
    let (a, b) = tokio::join!(bench.run(call(&["a1"])), late);
    assert_eq!((a, b), (done(&["a1"], 5), done(&["b1"], 5)));
    assert_eq!(now() - start, Duration::from_millis(200));
    assert_eq!(bench.batcher.stats().batches, [0, 0, 0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_everybodys_unless_each_may_run_again() {
    let trap = || Step::Fail(Problem::new(ErrorCode::GuestTrap, "trap"));
    let full = || Step::Fail(Problem::new(ErrorCode::Overloaded, "full"));
    let both = async |isolate_failures: bool, first: Step| {
        // Afterwards one of them is poison.
        let alone = Step::answer(|call| call.documents.clone());
        let bench = Bench::new(BatchingSpec { isolate_failures, ..rule() }, vec![first, trap(), alone]);
        let (a, b) = tokio::join!(bench.run(call(&["a1"])), bench.run(call(&["b1"])));
        (a, b, bench.calls().join(", "), bench.batcher.stats().alone)
    };
    let failed = |code| (Err(code), Err(code), "a1 b1".to_owned(), 0);
    assert_eq!(both(false, trap()).await, failed(ErrorCode::GuestTrap));
    assert_eq!(both(false, full()).await, failed(ErrorCode::Overloaded));
    // Nobody has seen them: the stage itself tries again.
    assert_eq!(both(true, full()).await, failed(ErrorCode::Overloaded));
    let (a, b, calls, alone) = both(true, trap()).await;
    assert_eq!((calls.as_str(), alone), ("a1 b1, a1, b1", 2));
    assert_eq!([a, b].iter().filter(|reply| reply.is_ok()).count(), 1);
    // One call of several fails: only those with documents in it.
    let bench = Bench::new(rule(), vec![Step::pass(), trap(), Step::pass()]);
    let replies = join_all([
        bench.run(call(&["a1", "a2", "a3"])),
        bench.run(call(&["b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9"])),
    ])
    .await;
    assert_eq!(replies, [done(&["a1", "a2", "a3"], 8), Err(ErrorCode::GuestTrap)]);
    // What is left of `b` is not worked on.
    assert_eq!(bench.calls(), ["a1 a2 a3 b1", "b2 b3 b4 b5"]);
}

/// Nothing says whose they are, so not even a request that is a batch by itself may have any.
#[tokio::test(start_paused = true)]
async fn results_beside_documents_have_no_place_in_a_batch() {
    for isolate_failures in [false, true] {
        let executor = Arc::new(ScriptedExecutor::new(&["/x", "/other"], vec![Step::pass()]).giving("{}"));
        let spec = StageSpec {
            batching: BTreeMap::from([(
                EndpointName::parse("/x").unwrap(),
                BatchingSpec { isolate_failures, ..rule() },
            )]),
            ..StageSpec::new("stage".parse().unwrap(), "x.wasm")
        };
        let inner = executor as Arc<dyn ExecutorClient>;
        let batcher = Batcher::new(&spec, &inner).unwrap();
        for calls in [vec![call(&["a1"])], vec![call(&["a1"]), call(&["b1"])]] {
            for reply in join_all(calls.into_iter().map(|call| batcher.call(call))).await {
                let problem = reply.unwrap_err();
                assert_eq!(problem.code(), ErrorCode::ContractViolation);
                assert!(problem.message().contains("executor `stage` gave results"), "{problem:?}");
            }
        }
        let other = ExecutorCall { endpoint: EndpointName::parse("/other").unwrap(), ..call(&["a1"]) };
        assert!(!batcher.call(other).await.unwrap().results.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn documents_that_cannot_be_told_apart_fail_the_batch() {
    let check = async |reply: &'static [&'static str], expected: Result<[&[&str]; 2], &str>| {
        let bench = Bench::new(rule(), vec![Step::answer(move |_| list(reply))]);
        let (a, b) =
            tokio::join!(bench.batcher.call(call(&["a1", "a2"])), bench.batcher.call(call(&["b1", "b2"])));
        match expected {
            Ok([first, second]) => {
                assert_eq!(ids(&a.unwrap().documents), first, "{reply:?}");
                assert_eq!(ids(&b.unwrap().documents), second, "{reply:?}");
            }
            Err(words) => {
                let problem = a.unwrap_err();
                assert_eq!(problem.code(), ErrorCode::ContractViolation);
                assert!(problem.message().contains(words), "{problem:?}");
                assert_eq!(b.unwrap_err(), problem);
            }
        }
    };
    check(&["b2", "a1"], Ok([&["a1"], &["b2"]])).await;
    check(&[], Ok([&[], &[]])).await;
    check(&["a1", "new", "b1"], Err("gave 3 documents for a batch of 4")).await;
    check(&["a1", "new", "b1"], Err("no request sent a document with the id \"new\"")).await;
    check(&["a1", ""], Err("one of them has no id")).await;
}

#[tokio::test(start_paused = true)]
async fn too_many_are_refused_and_draining_waits_for_nobody() {
    let rule = BatchingSpec { max_waiting: 2, timeout_ms: 60_000, ..rule() };
    let bench = Bench::new(rule, vec![Step::pass()]);
    let start = now();
    let third = async {
        tokio::task::yield_now().await;
        let problem = bench.batcher.call(call(&["c1"])).await.unwrap_err();
        assert_eq!(problem.limit_passed(), Some((LimitKind::Queue, 2)));
        assert!(problem.code().has_no_side_effects() && problem.retry_after_ms() == Some(1000));
        bench.batcher.drain();
        bench.run(call(&["d1"])).await
    };
    let replies = tokio::join!(bench.run(call(&["a1"])), bench.run(call(&["b1"])), third);
    assert_eq!(replies, (done(&["a1"], 5), done(&["b1"], 5), done(&["d1"], 10)));
    assert_eq!((now() - start, bench.batcher.stats().batches), (Duration::ZERO, [0, 0, 0, 0, 0, 2]));
}

#[tokio::test(start_paused = true)]
async fn who_asks_is_told() {
    let bench = Bench::new(rule(), vec![Step::pass()]);
    let explanations = Explanations::default();
    let mut curious = call(&["a1"]);
    curious.context.explanations = Some(explanations.clone());
    let later = async {
        passed(20).await;
        bench.run(call(&["b1", "b2", "b3", "b4", "b5"])).await
    };
    let (a, b) = tokio::join!(bench.run(curious), later);
    assert!(a.is_ok() && b.is_ok());
    let mut told = explanations.json();
    let batch = told["batches"][0]["batch"].take();
    assert_eq!(batch.as_str().map(str::len), Some(32));
    let expected = json!({"batches": [{
        "executor": "stage", "endpoint": "/x", "batch": null, "requests": 2, "documents": 6, "bytes": 12,
        "calls": 2, "waited_ms": 20.0, "flushed": "size", "alone": false,
    }]});
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn fuel_that_is_used_up_ends_the_batch() {
    let bench = Bench::new(rule(), vec![Step::pass()]);
    let poor = |name: &str, fuel| {
        let mut call = call(&[name]);
        call.context.fuel = FuelBudget::new(fuel);
        call
    };
    let (a, b) = (poor("a1", 2), poor("b1", 100));
    let (budget_a, budget_b) = (a.context.fuel.clone(), b.context.fuel.clone());
    let replies = tokio::join!(bench.run(a), bench.run(b));
    assert_eq!(replies, (done(&["a1"], 2), done(&["b1"], 8)));
    assert_eq!((budget_a.left(), budget_b.left()), (0, 92));
    let (a, b) = tokio::join!(bench.run(poor("a1", 0)), bench.run(poor("b1", 0)));
    assert_eq!((a, b), (Err(ErrorCode::LimitExceeded), Err(ErrorCode::LimitExceeded)));
    assert_eq!(bench.calls().len(), 1);
}

#[derive(Debug, Clone)]
struct Sent {
    after_ms: u64,
    documents: usize,
    parameters: u8,
    gives_up_ms: Option<u64>,
}

fn sent() -> impl Strategy<Value = Sent> {
    (0u64..120, 1usize..9, 0u8..2, prop::option::weighted(0.2, 0u64..150)).prop_map(
        |(after_ms, documents, parameters, gives_up_ms)| Sent {
            after_ms,
            documents,
            parameters,
            gives_up_ms,
        },
    )
}

/// Runs requests against an executor that takes its time and turns the documents of each call around.
async fn storm(requests: &[Sent], flush_all: bool) -> Vec<Option<Vec<String>>> {
    let turned = Step::answer(|call| {
        let mut names = ids(&call.documents);
        names.reverse();
        list(&names)
    });
    let step = Step::After(Duration::from_millis(30), Box::new(turned));
    let bench = Bench::new(BatchingSpec { flush_all, ..rule() }, vec![step]);
    let one = async |number: usize, sent: &Sent| {
        let names: Vec<String> = (0..sent.documents).map(|row| format!("{number}:{row}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        passed(sent.after_ms).await;
        let reply = bench.run(with(json!({"p": sent.parameters}), call(&names)));
        let given_up = async {
            match sent.gives_up_ms {
                Some(wait) => passed(wait).await,
                None => pending().await,
            }
        };
        tokio::select! {
            reply = reply => Some(reply.unwrap().0),
            () = given_up => None,
        }
    };
    let replies = join_all(requests.iter().enumerate().map(|(number, sent)| one(number, sent))).await;
    assert_eq!(Arc::strong_count(&bench.batcher.shared), 1, "a batch outlived its requests");
    assert!(flush_all || bench.executor.calls().iter().all(|call| call.documents.len() <= 4));
    replies
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every document comes back exactly once, to the request that sent it, whatever the others do.
    #[test]
    fn everybody_gets_all_of_its_documents_and_no_others(
        requests in prop::collection::vec(sent(), 1..24),
        flush_all in any::<bool>(),
    ) {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let replies = tokio.block_on(storm(&requests, flush_all));
        for (number, (sent, reply)) in requests.iter().zip(replies).enumerate() {
            prop_assert!(reply.is_some() || sent.gives_up_ms.is_some());
            let Some(mut reply) = reply else { continue };
            reply.sort_unstable();
            let expected: Vec<String> = (0..sent.documents).map(|row| format!("{number}:{row}")).collect();
            prop_assert_eq!(reply, expected);
        }
    }
}
