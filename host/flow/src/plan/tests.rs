//! Which flows make a plan, and what is said about the others.

use std::sync::Arc;

use lockgate_domain::{FlowSpec, StageSpec};

use super::*;
use crate::scripted::ScriptedExecutor;

type Stages<'a> = &'a [(&'a str, &'a [&'a str])];

fn spec(stages: Stages<'_>) -> FlowSpec {
    let stage = |(name, needs): &(&str, &[&str])| StageSpec {
        needs: needs.iter().map(|need| need.parse().unwrap()).collect(),
        ..StageSpec::new(name.parse().unwrap(), "x.wasm")
    };
    FlowSpec {
        name: "flow".parse().unwrap(),
        stages: stages.iter().map(stage).collect(),
        gateway: Default::default(),
        fuel: 1,
        timeout_ms: 1,
    }
}

fn plan(spec: &FlowSpec) -> Result<ExecutionPlan, Problem> {
    let client = || Arc::new(ScriptedExecutor::new(&["/default"], Vec::new())) as Arc<dyn ExecutorClient>;
    ExecutionPlan::new(spec, spec.stages.iter().map(|stage| (stage.name.clone(), client())))
}

#[test]
fn order_follows_needs_then_the_file() {
    let check = |stages: Stages<'_>, order: &str, answer: &str, is_chain: bool| {
        let plan = plan(&spec(stages)).unwrap();
        let names: Vec<&str> = plan.stages().iter().map(|stage| stage.name.as_str()).collect();
        let told = plan.source_name(plan.answer()).as_str();
        assert_eq!((names.join(" ").as_str(), told, plan.is_chain()), (order, answer, is_chain));
    };
    check(&[("a", &[])], "a", "a", true);
    check(&[("a", &[]), ("b", &["a"]), ("c", &["b"])], "a b c", "c", true);
    // The last of the file is the answer, whoever needs it.
    check(&[("c", &["b"]), ("b", &["a"]), ("a", &[])], "a b c", "a", false);
    check(&[("a", &["gateway"]), ("b", &["gateway"])], "a b", "b", false);
    check(&[("y", &[]), ("x", &[]), ("j", &["x", "y"])], "y x j", "j", false);
    check(&[("x", &[]), ("late", &["x"]), ("early", &[])], "x late early", "early", false);
    check(&[("a", &[]), ("b", &["gateway", "a"])], "a b", "b", false);
}

#[test]
fn what_the_answer_does_not_depend_on_floats() {
    let check = |stages: Stages<'_>, floating: &[&str], expected: &str| {
        let mut spec = spec(stages);
        for stage in &mut spec.stages {
            stage.floating = floating.contains(&stage.name.as_str());
        }
        let plan = plan(&spec).unwrap();
        let floats = plan.stages().iter().filter(|stage| stage.is_floating);
        let floats: Vec<&str> = floats.map(|stage| stage.name.as_str()).collect();
        let answer = plan.source_name(plan.answer());
        assert_eq!(format!("{answer}: {}", floats.join(" ")), expected, "{stages:?}");
    };
    let chain: Stages<'_> = &[("a", &[]), ("b", &["a"]), ("c", &["b"])];
    check(chain, &[], "c: ");
    check(chain, &["c"], "b: c");
    check(chain, &["b"], "c: ");
    check(chain, &["a", "b", "c"], "gateway: a b c");
    check(&[("a", &[]), ("log", &["a"]), ("b", &["a"])], &["log"], "b: log");
    check(&[("a", &[]), ("b", &["gateway"])], &[], "b: a");
    check(&[("a", &[]), ("b", &["gateway"]), ("j", &["a", "b"])], &[], "j: ");
}

#[test]
fn answers_tell_their_story_along_the_graph() {
    let check = |stages: Stages<'_>, expected: &str| {
        let plan = plan(&spec(stages)).unwrap();
        let names = plan.story().iter().map(|place| plan.stages()[*place].name.as_str());
        assert_eq!(names.collect::<Vec<_>>().join(" "), expected);
    };
    check(&[("a", &[]), ("b", &["a"])], "a b");
    check(&[("a", &[]), ("b", &[]), ("j", &["a", "b"])], "a j b");
    check(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"]), ("e", &["d"])], "a b d e c");
    check(&[("j", &["x", "y"]), ("y", &[]), ("x", &[])], "y j x");
}

#[test]
fn graphs_that_cannot_run_are_refused() {
    let check = |stages: Stages<'_>, expected: &str| {
        let problem = plan(&spec(stages)).unwrap_err();
        assert_eq!((problem.code(), problem.message()), (ErrorCode::InvalidFlow, expected));
    };
    check(&[], "the flow has no executors");
    check(&[("a", &[]), ("a", &[])], "two executors are named `a`");
    check(&[("a", &[]), ("a", &["a"])], "two executors are named `a`");
    check(&[("gateway", &[])], "the name `gateway` stands for the request and cannot name an executor");
    check(&[("a", &["b"])], "executor `a` needs `b`, which does not exist");
    check(&[("a", &["a"])], "executor `a` needs itself");
    check(&[("a", &[]), ("b", &["a", "a"])], "executor `b` needs `a` twice");
    check(
        &[("s", &[]), ("a", &["s", "c"]), ("b", &["a"]), ("c", &["b"]), ("after", &["c"])],
        "executors need each other in a circle: `a` needs `c` needs `b` needs `a`",
    );
    check(
        &[("a", &["x"]), ("a", &["y"])],
        "two executors are named `a`; executor `a` needs `x`, which does not exist; executor `a` needs `y`, which does not exist",
    );
}

#[test]
fn an_unknown_need_suggests_the_nearest() {
    let problem = plan(&spec(&[("encoder", &[]), ("index", &["encodr"])])).unwrap_err();
    assert_eq!(problem.hint(), Some("did you mean `encoder`?"));
}

#[test]
fn limits_of_zero_and_missing_components_are_refused() {
    let mut spec = spec(&[("a", &[])]);
    spec.stages[0].limits.fuel = 0;
    spec.timeout_ms = 0;
    let problem = ExecutionPlan::new(&spec, Vec::new()).unwrap_err();
    assert_eq!(
        problem.message(),
        "the flow's `timeout` is 0, which lets no request through; `fuel` of executor `a` is 0, which lets no request through; executor `a` has no component"
    );
}

#[test]
fn endpoints_that_no_component_has_are_refused() {
    let mut spec = spec(&[("a", &[])]);
    let name = |name| lockgate_domain::EndpointName::parse(name).unwrap();
    spec.stages[0].requests = [(name("/find"), name("/search"))].into();
    let problem = plan(&spec).unwrap_err();
    assert_eq!(
        problem.message(),
        "`uses_requests` of executor `a` names `/search`, its component has /default"
    );
}

#[test]
fn a_stage_without_a_component_is_planned() {
    let mut spec = spec(&[("a", &[])]);
    spec.stages[0].uses = StageSpec::PASSING.to_owned();
    assert!(ExecutionPlan::new(&spec, Vec::new()).is_ok());
}

#[test]
fn a_plan_is_drawn() {
    let mut spec = spec(&[("a", &[]), ("b", &["gateway"]), ("d", &["a"]), ("c", &["a", "b"])]);
    spec.stages[1].condition = Some(lockgate_domain::Condition::All(Vec::new()));
    let plan = plan(&spec).unwrap();
    let expected = "flowchart LR
  request([request])
  s0[\"a\"]
  request --> s0
  s1[\"b\"]
  request -- when --> s1
  s2[\"d\"]
  s0 -.-> s2
  s3[\"c\"]
  s0 --> s3
  s1 --> s3
  answer([answer])
  s3 --> answer
";
    assert_eq!(plan.to_mermaid(), expected);
}
