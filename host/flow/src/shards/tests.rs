//! Sharded executors that are made of scripts.

use lockgate_domain::document::DocumentListBuilder;
use lockgate_domain::spec::ShardSpec;
use lockgate_domain::{FuelBudget, Parameters, RequestContext, RequestId, TenantName};

use super::*;
use crate::scripted::{ScriptedExecutor, Step};

fn list(rows: &[(&str, &str)]) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for (id, text) in rows {
        let row = builder.push_root().unwrap();
        builder.set_text("id", row, id).unwrap();
        builder.set_text("text", row, text).unwrap();
    }
    builder.finish().unwrap()
}

fn told(documents: &DocumentList) -> String {
    let at = |name, row| documents.text(name, row).unwrap_or("");
    let rows = (0..documents.len()).map(|row| format!("{}={}", at("id", row), at("text", row)));
    rows.collect::<Vec<_>>().join(" ")
}

/// Puts its name behind each text, and adds a document of its own.
fn sign(endpoints: &[&str], name: &'static str) -> Arc<ScriptedExecutor> {
    let step = Step::answer(move |call| {
        let at = |column, row| call.documents.text(column, row).unwrap_or("").to_owned();
        let mut rows: Vec<(String, String)> = (0..call.documents.len())
            .map(|row| (at("id", row), format!("{}{name}", at("text", row))))
            .collect();
        rows.push((name.to_owned(), String::new()));
        let rows: Vec<(&str, &str)> = rows.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
        list(&rows)
    });
    Arc::new(ScriptedExecutor::new(endpoints, vec![step]).with_fuel(1))
}

struct Bench {
    stage: StageSpec,
    before: Option<Arc<ScriptedExecutor>>,
    shards: Vec<Arc<ScriptedExecutor>>,
    after: Option<Arc<ScriptedExecutor>>,
}

impl Bench {
    fn new(shards: Vec<Arc<ScriptedExecutor>>) -> Self {
        let mut stage = StageSpec::new("s".parse().unwrap(), "x.wasm");
        stage.shards = ShardSpec { count: u32::try_from(shards.len()).unwrap(), ..ShardSpec::default() };
        Self { stage, before: None, shards, after: None }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn executor(&self) -> ShardedExecutor {
        let client = |script: &Arc<ScriptedExecutor>| script.clone() as Arc<dyn ExecutorClient>;
        let parts = ShardParts {
            before: self.before.as_ref().map(client),
            shards: self.shards.iter().map(client).collect(),
            after: self.after.as_ref().map(client),
        };
        ShardedExecutor::new(&self.stage, parts).unwrap()
    }

    fn calls(&self) -> Vec<usize> {
        self.shards.iter().map(|shard| shard.calls().len()).collect()
    }
}

async fn call(executor: &ShardedExecutor, endpoint: &str) -> Result<ExecutorReply, Problem> {
    let documents = list(&[("1", "a")]);
    let wanted = EndpointName::parse(endpoint).unwrap();
    let endpoint = executor.resolve(&wanted).expect("somebody answers to it");
    let call = ExecutorCall {
        endpoint,
        inputs: crate::join::single(&ExecutorName::gateway(), &documents),
        documents,
        parameters: Parameters::default(),
        context: RequestContext {
            id: RequestId::fresh(),
            tenant: TenantName::local(),
            headers: Default::default(),
            deadline: None,
            fuel: FuelBudget::new(1000),
            explanations: Default::default(),
        },
        emit: None,
    };
    executor.call(call).await
}

fn three() -> Vec<Arc<ScriptedExecutor>> {
    ["x", "y", "z"].map(|name| sign(&["/default"], name)).into()
}

#[tokio::test(start_paused = true)]
async fn polling_chooses_the_shards() {
    let check = async |polling: PollingSpec, endpoint: &str, answers: &[&str], calls: &[usize]| {
        let bench = Bench::new(three()).with(|bench| bench.stage.shards.polling = polling);
        let executor = bench.executor();
        for expected in answers {
            assert_eq!(told(&call(&executor, endpoint).await.unwrap().documents), *expected, "{endpoint}");
        }
        assert_eq!(bench.calls(), calls);
    };
    let all = PollingSpec { usual: Polling::All, ..PollingSpec::default() };
    let named = |name: &str, polling| PollingSpec {
        endpoints: [(EndpointName::parse(name).unwrap(), polling)].into(),
        ..PollingSpec::default()
    };
    let turns = ["1=ax x=", "1=ay y=", "1=az z=", "1=ax x="];
    check(PollingSpec::default(), "/foo", &turns, &[2, 1, 1]).await;
    check(PollingSpec::default(), "/index", &turns[..1], &[1, 0, 0]).await;
    check(PollingSpec::default(), "/search", &["1=ax x= y= z="], &[1, 1, 1]).await;
    check(all.clone(), "/foo", &["1=ax x= y= z="], &[1, 1, 1]).await;
    check(all, "/index", &turns[..1], &[1, 0, 0]).await;
    check(named("/foo", Polling::All), "/foo", &["1=ax x= y= z="], &[1, 1, 1]).await;
    check(named("/search", Polling::Any), "/search", &turns[..2], &[1, 1, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn lists_are_united_in_the_order_of_the_shards_or_stand_one_behind_the_other() {
    let late = |name| {
        let answer = Step::answer(move |_| list(&[("1", name)]));
        Arc::new(ScriptedExecutor::new(
            &["/default"],
            vec![Step::After(std::time::Duration::from_secs(1), Box::new(answer))],
        ))
    };
    let bench = Bench::new(vec![late("x"), sign(&["/default"], "y")]);
    assert_eq!(told(&call(&bench.executor(), "/search").await.unwrap().documents), "1=x y=");
    let bench = bench.with(|bench| bench.stage.reduce = false);
    assert_eq!(told(&call(&bench.executor(), "/search").await.unwrap().documents), "1=x 1=ay y=");
}

#[tokio::test(start_paused = true)]
async fn what_stands_before_and_behind_the_shards_has_its_turn() {
    let bench = Bench::new(three()).with(|bench| {
        bench.before = Some(sign(&["/default"], "B"));
        bench.after = Some(sign(&["/search"], "A"));
    });
    let executor = bench.executor();
    let reply = call(&executor, "/search").await.unwrap();
    assert_eq!(told(&reply.documents), "1=aBxA B=xA x=A 1=aByA B=yA y=A 1=aBzA B=zA z=A A=");
    assert_eq!(reply.fuel, 5);
    let after = bench.after.as_ref().unwrap().calls();
    let inputs: Vec<String> = after[0]
        .inputs
        .iter()
        .map(|input| format!("{} {}..{}", input.executor, input.first, input.first + input.count))
        .collect();
    assert_eq!(inputs, ["s-0 0..3", "s-1 3..6", "s-2 6..9"]);
    // A part that has no such endpoint is passed by; then the lists are united as if it were not there.
    assert_eq!(told(&call(&executor, "/foo").await.unwrap().documents), "1=aBx B=x x=");
    assert_eq!(bench.after.as_ref().unwrap().calls().len(), 1);
    let names: Vec<String> =
        executor.manifest().endpoints.iter().map(|endpoint| endpoint.name.to_string()).collect();
    assert_eq!(names, ["/default", "/search"]);
}

#[tokio::test(start_paused = true)]
async fn what_each_part_gives_beside_documents_has_a_name() {
    let gives = |endpoints: &[&str]| {
        Arc::new(ScriptedExecutor::new(endpoints, vec![Step::pass()]).giving(r#"{"n": 1}"#))
    };
    let shards = vec![gives(&["/default"]), sign(&["/default"], "y"), gives(&["/default"])];
    let bench = Bench::new(shards).with(|bench| {
        bench.before = Some(gives(&["/default"]));
        bench.after = Some(gives(&["/search"]));
    });
    let executor = bench.executor();
    let names = async |endpoint: &str| {
        let reply = call(&executor, endpoint).await.unwrap();
        reply
            .results
            .named(|| "own".to_owned())
            .into_map()
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    let all = ["s/shard-0/rep-0", "s/shard-2/rep-0", "s/uses_after-0", "s/uses_before-0"];
    assert_eq!(names("/search").await, all);
    assert_eq!(names("/foo").await, ["s/shard-0/rep-0", "s/uses_before-0"]);
    assert_eq!(names("/foo").await, ["s/uses_before-0"]);
    let plain = Bench::new(three()).executor();
    assert!(call(&plain, "/search").await.unwrap().results.is_empty());
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_the_shards_have_the_flows_names() {
    let shards = || ["x", "y"].map(|name| sign(&["/index"], name)).to_vec();
    let name = |name: &str| EndpointName::parse(name).unwrap();
    let bench = Bench::new(shards()).with(|bench| {
        bench.stage.requests = [(name("/add"), name("/index"))].into();
        bench.before = Some(sign(&["/index"], "B"));
    });
    let executor = bench.executor();
    assert_eq!(told(&call(&executor, "/add").await.unwrap().documents), "1=ax x=");
    // Only what stands before answers to the shards' own name.
    assert_eq!(told(&call(&executor, "/index").await.unwrap().documents), "1=aB B=");
    assert_eq!(bench.shards[0].calls()[0].endpoint, name("/index"));
    let unknown = Bench::new(shards()).with(|bench| bench.stage.requests = [(name("/a"), name("/b"))].into());
    let shards = unknown.shards.iter().map(|shard| shard.clone() as Arc<dyn ExecutorClient>).collect();
    let parts = ShardParts { before: None, shards, after: None };
    let problem = ShardedExecutor::new(&unknown.stage, parts).unwrap_err();
    assert_eq!(problem.message(), "`uses_requests` of executor `s` names `/b`, its component has /index");
}

#[tokio::test(start_paused = true)]
async fn a_failing_shard_fails_the_whole_and_stops_the_others() {
    let boom = Step::Fail(Problem::new(ErrorCode::GuestError, "boom"));
    let boom = Step::After(std::time::Duration::from_millis(1), Box::new(boom));
    let fails = Arc::new(ScriptedExecutor::new(&["/default"], vec![boom]));
    let hangs = Arc::new(ScriptedExecutor::new(&["/default"], vec![Step::Hang]));
    let bench = Bench::new(vec![sign(&["/default"], "x"), hangs.clone(), fails]);
    let problem = call(&bench.executor(), "/search").await.unwrap_err();
    assert_eq!((problem.message(), hangs.dropped()), ("boom", 1));
}

#[tokio::test(start_paused = true)]
async fn only_the_shard_that_refused_is_tried_again() {
    let busy = Step::Fail(Problem::new(ErrorCode::Overloaded, "full"));
    let second = Arc::new(ScriptedExecutor::new(&["/default"], vec![busy, Step::pass()]));
    let bench = Bench::new(vec![sign(&["/default"], "x"), second]).with(|bench| bench.stage.retries = 1);
    assert_eq!(told(&call(&bench.executor(), "/search").await.unwrap().documents), "1=ax x=");
    assert_eq!(bench.calls(), [1, 2]);
}
