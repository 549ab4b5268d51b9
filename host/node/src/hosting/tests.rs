//! The serving side as a whole, over real sockets, a real registry and real components, in one process.

mod process;
mod stand;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockgate_control::{Change, Serving};
use lockgate_domain::hosting::{RevisionState, ShadowVerdict, Target};
use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{ExecutorName, Quota, TenantName};
use lockgate_registry::{Precondition, UsageFilter};
use lockgate_testkit::guest::Manner::{Busy, Counting, Plain, Trapping};
use lockgate_testkit::{guest, wait_for};
use serde_json::json;

use self::stand::{Stand, access, number, refusal, spec};

const RUN: &str = "/executors/shout/run";

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

#[tokio::test]
async fn tenants_are_walled_off_from_each_other() {
    let stand = Stand::start(&["acme", "beta"], |_| {}).await;
    stand.publish("acme", "shout", 1, Plain).await;
    assert_eq!(number(&stand.call("acme", RUN).await), Some(1));
    assert_eq!(number(&stand.call("acme", "/run").await), Some(1), "the only executor needs no name");
    for path in [RUN, "/executors/shout@1/run", "/executors/nobody/run"] {
        assert_eq!(refusal(&stand.call("beta", path).await), (404, "not_found".into()), "{path}");
    }
    let words = |text: String| text.replace("shout", "NAME").replace("nobody", "NAME");
    let hidden = words(stand.call("beta", RUN).await.text());
    assert_eq!(hidden, words(stand.call("beta", "/executors/nobody/run").await.text()));
    for path in ["/flows/../run", "/executors/a%2Fb/run", "/executors/shout:no%20tag/run"] {
        assert!(matches!(refusal(&stand.call("acme", path).await).0, 400 | 404), "{path}");
    }
    let content = ("content-type", "application/json");
    assert_eq!(refusal(&stand.send(RUN, &[content]).await), (401, "unauthenticated".into()));
    let wrong = [content, ("x-api-key", "lg_12345678_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    assert_eq!(refusal(&stand.send(RUN, &wrong).await), (401, "unauthenticated".into()));
}

#[tokio::test]
async fn swaps_under_load_lose_nothing() {
    let mut stand = Stand::start(&[], |_| {}).await;
    let quota = Quota { requests_per_second: 1_000_000, fuel_per_second: 1 << 50, ..Quota::default() };
    stand.add_tenant("acme", TenantSettings { quota, ..TenantSettings::default() }).await;
    let first = stand.publish("acme", "shout", 1, Plain).await;
    let second = stand.publish("acme", "shout", 2, Plain).await;
    let executor: ExecutorName = name("shout");
    let is_over = AtomicBool::new(false);
    let callers = (0..4).map(|_| async {
        let mut answers = BTreeSet::new();
        while !is_over.load(Ordering::Relaxed) {
            let answer = stand.call("acme", RUN).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            answers.insert(number(&answer));
        }
        answers
    });
    let swaps = async {
        for round in 0..200 {
            let to = if round % 2 == 0 { first } else { second };
            let latest = name("latest");
            stand.registry.put_tag(&access("acme"), &executor, &latest, to, Precondition::Any).unwrap();
            stand.apply("acme", Change::Executor(executor.clone())).await.unwrap();
            let expected = if round % 2 == 0 { 1 } else { 2 };
            assert_eq!(number(&stand.call("acme", RUN).await), Some(expected), "seen by the next call");
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let (answers, ()) = futures_util::join!(futures_util::future::join_all(callers), swaps);
    let seen: BTreeSet<_> = answers.into_iter().flatten().collect();
    assert_eq!(seen, BTreeSet::from([Some(1), Some(2)]));
    let lanes = stand.platform.ground.residents.alive().len();
    assert!(lanes <= 2, "{lanes} revisions are in memory");
}

#[tokio::test]
async fn rolling_back_and_naming_revisions() {
    let stand = Stand::start(&["acme"], |_| {}).await;
    stand.publish("acme", "shout", 1, Plain).await;
    stand.publish("acme", "shout", 2, Plain).await;
    assert_eq!(number(&stand.call("acme", RUN).await), Some(2));
    for (path, expected) in [("@1", 1), ("@2", 2), (":latest", 2)] {
        let answer = stand.call("acme", &format!("/executors/shout{path}/run")).await;
        assert_eq!(number(&answer), Some(expected), "{path}");
    }
    let executor: ExecutorName = name("shout");
    stand.registry.roll_back(&access("acme"), &executor, &name("latest"), Precondition::Any).unwrap();
    stand.apply("acme", Change::Executor(executor)).await.unwrap();
    assert_eq!(number(&stand.call("acme", RUN).await), Some(1));
    assert_eq!(number(&stand.call("acme", "/executors/shout:latest/run").await), Some(1));
    assert_eq!(number(&stand.call("acme", "/executors/shout@2/run").await), Some(2));
    assert_eq!(refusal(&stand.call("acme", "/executors/shout@9/run").await), (404, "not_found".into()));
}

#[tokio::test]
async fn a_canary_gets_its_part_and_keeps_its_callers() {
    let stand = Stand::start(&["acme"], |_| {}).await;
    stand.publish("acme", "shout", 1, Plain).await;
    let digest = stand.upload("acme", guest::component(2, Plain)).await;
    stand.revise("acme", "shout", spec(digest), None).await;
    stand.deploy("acme", "shout", json!({"canary": {"target": "@2", "percent": 50}})).await;
    let mut counts = [0; 2];
    for caller in 0..60 {
        let sticky = caller.to_string();
        let headers = [("lockgate-sticky", sticky.as_str())];
        let first = number(&stand.call_with("acme", RUN, &headers).await).unwrap();
        assert_eq!(number(&stand.call_with("acme", RUN, &headers).await), Some(first));
        counts[usize::try_from(first - 1).unwrap()] += 1;
    }
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    assert_eq!(number(&stand.call("acme", "/executors/shout@1/run").await), Some(1));
    stand.deploy("acme", "shout", json!({"canary": {"target": "@2", "percent": 100}})).await;
    assert_eq!(number(&stand.call("acme", RUN).await), Some(2));
    let status = stand.platform.status(&name("acme"), &name("shout"));
    assert_eq!(status.iter().map(|status| status.revision).collect::<Vec<_>>(), [1, 2]);
    assert!(status.iter().all(|status| status.resident && status.calls > 0), "{status:?}");
}

#[tokio::test]
async fn a_shadow_that_answers_alike_is_promoted() {
    let stand = Stand::start(&["acme"], |_| {}).await;
    stand.publish("acme", "shout", 1, Plain).await;
    let digest = stand.upload("acme", guest::component(1, Busy(1))).await;
    stand.revise("acme", "shout", spec(digest), None).await;
    let accept = json!({"fuel_ratio": 1e9, "latency_ratio": 1e9});
    let shadow = json!({"target": "@2", "percent": 100, "decide_after": 3, "decision": "promote_or_refuse", "accept": accept});
    stand.deploy("acme", "shout", json!({ "shadow": shadow })).await;
    let moved = wait_for("the promotion", async || {
        assert_eq!(number(&stand.call("acme", RUN).await), Some(1));
        let tag = stand.registry.tag(&access("acme"), &name("shout"), &name("latest")).unwrap();
        (tag.revision.get() == 2).then_some(tag)
    })
    .await;
    assert_eq!(moved.before.first().map(|before| before.get()), Some(1));
    let report = stand.platform.shadow_report(&name("acme"), &name("shout")).unwrap();
    assert_eq!((report.verdict, report.differing_requests), (ShadowVerdict::Within, 0));
    let deployment = stand.registry.deployment(&access("acme"), &name("shout")).unwrap();
    assert_eq!((deployment.spec.shadow, deployment.spec.primary), (None, Target::default()));
    let entry = wait_for("the entry of the audit", async || {
        let audit = stand.registry.audit_of_tenant(&access("acme"), &Default::default()).unwrap();
        audit.items.into_iter().next()
    })
    .await;
    assert_eq!((entry.principal.as_str(), entry.action.as_str()), ("host:shadow", "shadow.promote"));
    assert_eq!((entry.object.as_str(), entry.error.as_deref()), ("shout@2", None));
}

#[tokio::test]
async fn a_shadow_that_differs_or_fails_is_refused_and_no_caller_notices() {
    for manner in [Plain, Trapping] {
        let stand = Stand::start(&["acme"], |_| {}).await;
        stand.publish("acme", "shout", 1, Plain).await;
        let digest = stand.upload("acme", guest::component(2, manner)).await;
        let shadow_revision = stand.revise("acme", "shout", spec(digest), None).await;
        let shadow =
            json!({"target": "@2", "percent": 100, "decide_after": 2, "decision": "promote_or_refuse"});
        stand.deploy("acme", "shout", json!({ "shadow": shadow })).await;
        let state = wait_for("the refusal", async || {
            assert_eq!(number(&stand.call("acme", RUN).await), Some(1));
            let revision = stand.registry.revision(&access("acme"), &name("shout"), shadow_revision).unwrap();
            matches!(revision.state, RevisionState::Refused { .. }).then_some(revision.state)
        })
        .await;
        let RevisionState::Refused { reason } = state else { panic!("refused") };
        assert!(reason.starts_with("as a shadow it was outside of the bounds: "), "{reason}");
        let report = stand.platform.shadow_report(&name("acme"), &name("shout")).unwrap();
        assert!(report.differing_requests >= 2 && !report.samples.is_empty(), "{report:?}");
        assert_eq!(report.failed_requests > 0, manner == Trapping);
        assert_eq!(number(&stand.call("acme", RUN).await), Some(1));
    }
}

#[tokio::test]
async fn what_nobody_calls_leaves_memory_and_comes_back() {
    let stand = Stand::start(&["acme"], |options| options.evict_after = Duration::ZERO).await;
    stand.publish("acme", "shout", 1, Plain).await;
    stand.publish("acme", "keeper", 10, Counting).await;
    assert_eq!(number(&stand.call("acme", RUN).await), Some(1));
    assert_eq!(number(&stand.call("acme", "/executors/keeper/run").await), Some(11));
    let residents = &stand.platform.ground.residents;
    residents.sweep(stand.platform.ground.clock.now());
    let resident = |executor: &str| stand.platform.status(&name("acme"), &name(executor))[0].resident;
    assert!(!resident("shout") && resident("keeper"), "the stateful one stays");
    assert_eq!(number(&stand.call("acme", RUN).await), Some(1));
    assert!(resident("shout"));
    assert_eq!(number(&stand.call("acme", "/executors/keeper/run").await), Some(12), "with its memory");
    let status = stand.platform.status(&name("acme"), &name("shout"));
    assert_eq!(status[0].calls, 2, "calls before the eviction count as well");
}

#[tokio::test]
async fn more_executors_than_may_be_resident_are_all_served() {
    let stand = Stand::start(&["acme"], |options| options.max_resident = 3).await;
    for executor in 0..8 {
        stand.publish("acme", &format!("e{executor}"), executor, Plain).await;
    }
    for round in 0..2 {
        for executor in 0..8 {
            let answer = stand.call("acme", &format!("/executors/e{executor}/run")).await;
            assert_eq!(number(&answer), Some(executor), "round {round}");
            let lanes = stand.platform.ground.residents.alive().len();
            assert!(lanes <= 3, "{lanes} are resident");
        }
    }
}

#[tokio::test]
async fn quotas_and_suspension_are_said_at_the_door() {
    let mut stand = Stand::start(&[], |_| {}).await;
    let mut settings = TenantSettings::default();
    settings.quota.requests_per_second = 2;
    stand.add_tenant("acme", settings.clone()).await;
    stand.add_tenant("beta", TenantSettings::default()).await;
    stand.publish("acme", "shout", 1, Plain).await;
    stand.publish("beta", "shout", 1, Plain).await;
    let refused = wait_for("the rate limit", async || {
        let answer = stand.call("acme", RUN).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(refusal(&refused), (429, "quota_exceeded".into()));
    let problem = refused.problem().unwrap();
    assert_eq!(problem["limit"], json!({"name": "requests_per_second", "value": 2}));
    let wait = problem["retry_after_ms"].as_u64().unwrap();
    assert!((1..=1000).contains(&wait), "{problem}");
    assert_eq!(number(&stand.call("beta", RUN).await), Some(1), "the neighbour goes on");
    settings.quota.requests_per_second = 1000;
    let operator = lockgate_registry::access::HostAccess::of_host("test");
    stand.registry.put_tenant(&operator, &name("acme"), settings.clone(), Precondition::Any).unwrap();
    stand.apply("acme", Change::Tenant).await.unwrap();
    assert_eq!(number(&stand.call("acme", RUN).await), Some(1), "the next request sees the change");
    settings.suspended = true;
    stand.registry.put_tenant(&operator, &name("acme"), settings, Precondition::Any).unwrap();
    stand.apply("acme", Change::Tenant).await.unwrap();
    assert_eq!(refusal(&stand.call("acme", RUN).await), (403, "permission_denied".into()));
}

#[tokio::test]
async fn usage_reads_back_exactly_and_survives_a_start() {
    let stand = Stand::start(&["acme", "beta"], |_| {}).await;
    stand.publish("acme", "shout", 1, Plain).await;
    stand.publish("acme", "broken", 2, Trapping).await;
    for _ in 0..5 {
        stand.call("acme", RUN).await;
    }
    for _ in 0..2 {
        stand.call("acme", "/executors/broken/run").await;
    }
    let sum = |stand: &Stand, executor: Option<&str>| {
        let filter = UsageFilter { executor: executor.map(name), ..UsageFilter::default() };
        stand.registry.usage_sum(&access("acme"), &filter).unwrap()
    };
    stand.platform.settle_usage().unwrap();
    let shout = sum(&stand, Some("shout"));
    assert_eq!((shout.requests, shout.failures, shout.documents), (5, 0, 5));
    assert!(shout.fuel > 0 && shout.bytes_in > 0 && shout.bytes_out > shout.bytes_in, "{shout:?}");
    let broken = sum(&stand, Some("broken"));
    assert_eq!((broken.requests, broken.failures), (2, 2));
    let before = sum(&stand, None);
    let stand = stand.restart().await;
    assert_eq!(sum(&stand, None), before);
    assert_eq!(number(&stand.call("acme", RUN).await), Some(1), "deployed as before, cold");
    stand.platform.settle_usage().unwrap();
    assert_eq!(sum(&stand, Some("shout")).requests, 6);
}

#[tokio::test]
async fn flows_chain_executors_and_follow_their_swaps() {
    let stand = Stand::start(&["acme"], |_| {}).await;
    stand.publish("acme", "shout", 1, Plain).await;
    stand.publish("acme", "other", 2, Plain).await;
    let yaml = "jtype: Flow\nexecutors:\n- {name: a, uses: other}\n- {name: b, uses: shout}\n";
    let tenant: TenantName = name("acme");
    let uses = stand.platform.check_flow(&tenant, &name("search"), yaml).unwrap();
    assert_eq!(uses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["other", "shout"]);
    stand.registry.put_flow(&access("acme"), &name("search"), yaml.into(), &uses, Precondition::Any).unwrap();
    stand.apply("acme", Change::Flow(name("search"))).await.unwrap();
    for path in ["/flows/search/run", "/run"] {
        assert_eq!(number(&stand.call("acme", path).await), Some(1), "{path}");
    }
    stand.publish("acme", "shout", 3, Plain).await;
    assert_eq!(number(&stand.call("acme", "/flows/search/run").await), Some(3));
    stand.registry.delete_flow(&access("acme"), &name("search"), Precondition::Any).unwrap();
    stand.apply("acme", Change::Flow(name("search"))).await.unwrap();
    assert_eq!(refusal(&stand.call("acme", "/flows/search/run").await), (404, "not_found".into()));
    let unclear = stand.call("acme", "/run").await;
    assert_eq!(refusal(&unclear), (404, "not_found".into()));
    assert!(unclear.text().contains("executor other, executor shout"), "{}", unclear.text());
}

#[tokio::test]
async fn what_floats_beside_a_request_fails_alone_and_is_metered() {
    let stand = Stand::start(&["acme"], |_| {}).await;
    stand.publish("acme", "shout", 1, Plain).await;
    stand.publish("acme", "log", 2, Trapping).await;
    let yaml =
        "jtype: Flow\nexecutors:\n- {name: a, uses: shout}\n- {name: log, uses: log, floating: true}\n";
    let uses = stand.platform.check_flow(&name("acme"), &name("search"), yaml).unwrap();
    stand.registry.put_flow(&access("acme"), &name("search"), yaml.into(), &uses, Precondition::Any).unwrap();
    stand.apply("acme", Change::Flow(name("search"))).await.unwrap();
    let answer = stand.call("acme", "/flows/search/run").await;
    assert_eq!((number(&answer), answer.problem()), (Some(1), None), "{}", answer.text());
    let filter = UsageFilter { executor: Some(name("log")), ..UsageFilter::default() };
    wait_for("the floating call to be metered", async || {
        stand.platform.settle_usage().unwrap();
        let log = stand.registry.usage_sum(&access("acme"), &filter).unwrap();
        ((log.requests, log.failures) == (1, 1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_change_that_fails_leaves_traffic_as_it_was() {
    let stand = Stand::start(&["acme"], |_| {}).await;
    stand.publish("acme", "shout", 1, Plain).await;
    assert_eq!(number(&stand.call("acme", RUN).await), Some(1));
    let digest = stand.upload("acme", guest::component(2, Plain)).await;
    let mut broken = spec(digest);
    // Too little memory for one page: no instance comes up.
    broken.limits.memory_bytes = 1;
    let revision = stand.revise("acme", "shout", broken, None).await;
    let executor: ExecutorName = name("shout");
    let deployment =
        serde_json::from_value(json!({"primary": format!("@{revision}"), "scale": {"min": 1}})).unwrap();
    stand.registry.put_deployment(&access("acme"), &executor, deployment, Precondition::Any).unwrap();
    let problem = stand.apply("acme", Change::Executor(executor)).await.unwrap_err();
    assert_eq!(problem.limit_passed().map(|(kind, _)| kind.as_str()), Some("memory_bytes"), "{problem:?}");
    assert_eq!(number(&stand.call("acme", RUN).await), Some(1));
}

#[tokio::test]
async fn a_revision_is_tried_out_before_anybody_sees_it() {
    let stand = Stand::start(&["acme"], |_| {}).await;
    let digest = stand.upload("acme", guest::component(7, Plain)).await;
    let example = |answer: i64| {
        serde_json::from_value(
            json!({"endpoint": "/run", "data": [{"text": "a"}], "expect": [{"answer": answer}]}),
        )
        .unwrap()
    };
    let tried =
        lockgate_domain::hosting::RevisionSpec { examples: vec![example(7), example(8)], ..spec(digest) };
    let outcomes = stand.platform.try_out(&name("acme"), &name("shout"), &tried).await.unwrap();
    let differences: Vec<Option<&str>> =
        outcomes.iter().map(|outcome| outcome.difference.as_deref()).collect();
    assert_eq!(differences, [None, Some("data[0].answer: expected 8, got 7")]);
    assert!(outcomes.iter().all(|outcome| outcome.fuel > 0), "{outcomes:?}");
    assert_eq!(stand.platform.status(&name("acme"), &name("shout")), []);
    let missing = spec(lockgate_domain::ComponentDigest::from_sha256([1; 32]));
    let problem = stand.platform.try_out(&name("acme"), &name("shout"), &missing).await.unwrap_err();
    assert_eq!(problem.code().as_str(), "not_found");
}

#[tokio::test]
async fn another_engine_examines_everything_again() {
    let stand = Stand::start(&["acme"], |_| {}).await;
    let digest = stand.upload("acme", guest::component(7, Plain)).await;
    let example = json!({"endpoint": "/run", "data": [{"text": "a"}], "expect": [{"answer": 8}]});
    let examples = vec![serde_json::from_value(example).unwrap()];
    let revision = lockgate_domain::hosting::RevisionSpec { examples, ..spec(digest) };
    let number = stand.revise("acme", "shout", revision, None).await;
    let report = stand.registry.component(&access("acme"), digest).unwrap().report;
    let outdated = lockgate_domain::hosting::ComponentReport { engine: "older".into(), ..report };
    stand.registry.put_report(digest, &outdated).unwrap();
    super::reexamine::run(stand.platform.clone(), tokio_util::sync::CancellationToken::new()).await;
    let engine = stand.platform.ground.runtime.engine_id();
    assert_eq!(stand.registry.component(&access("acme"), digest).unwrap().report.engine, engine);
    let revision = stand.registry.revision(&access("acme"), &name("shout"), number).unwrap();
    assert_eq!(revision.examined_with, engine);
    let differences: Vec<_> = revision.examples.iter().map(|outcome| outcome.difference.as_deref()).collect();
    assert_eq!(differences, [Some("data[0].answer: expected 8, got 7")]);
    let audit = stand.registry.audit_of_tenant(&access("acme"), &Default::default()).unwrap();
    let entry = audit.items.first().unwrap();
    assert_eq!((entry.principal.as_str(), entry.action.as_str()), ("host:engine", "revision.examine"));
    assert_eq!((entry.object.as_str(), entry.error.as_deref()), ("shout@1", Some("conflict")));
}

#[tokio::test]
async fn a_tenant_that_is_gone_is_gone_at_once_and_its_name_begins_anew() {
    let mut stand = Stand::start(&["acme"], |_| {}).await;
    stand.publish("acme", "shout", 1, Plain).await;
    assert_eq!(number(&stand.call("acme", RUN).await), Some(1));
    let operator = lockgate_registry::access::HostAccess::of_host("test");
    stand.registry.delete_tenant(&operator, &name("acme"), Precondition::Any, true).unwrap();
    assert_eq!(
        refusal(&stand.call("acme", RUN).await),
        (401, "unauthenticated".into()),
        "its key went with it"
    );
    // Created again before anybody told the serving side that it was gone.
    stand.add_tenant("acme", TenantSettings::default()).await;
    assert_eq!(refusal(&stand.call("acme", RUN).await), (404, "not_found".into()));
}

#[tokio::test]
async fn a_changed_secret_makes_another_pool_and_nothing_else_does() {
    let stand = Stand::start(&["acme"], |_| {}).await;
    stand.registry.put_secret(&access("acme"), &name("token"), "one").unwrap();
    let component = stand.upload("acme", guest::component(1, Counting)).await;
    let revision = serde_json::from_value(json!({
        "component": component,
        "configuration": {"key": {"$secret": "token"}},
        "capabilities": {"secrets": ["token"]},
    }));
    stand.revise("acme", "shout", revision.unwrap(), Some("latest")).await;
    let follow = async || stand.apply("acme", Change::Executor(name("shout"))).await;
    follow().await.unwrap();
    assert_eq!(number(&stand.call("acme", RUN).await), Some(2));
    follow().await.unwrap();
    stand.deploy("acme", "shout", json!({"canary": {"target": "@1", "percent": 0}})).await;
    assert_eq!(number(&stand.call("acme", RUN).await), Some(3), "the instance and what it keeps stayed");
    stand.registry.put_secret(&access("acme"), &name("token"), "two").unwrap();
    follow().await.unwrap();
    assert_eq!(number(&stand.call("acme", RUN).await), Some(2), "a new instance");
    stand.registry.delete_secret(&access("acme"), &name("token")).unwrap();
    let problem = follow().await.unwrap_err();
    assert!(problem.message().contains("token"), "{problem:?}");
    assert_eq!(number(&stand.call("acme", RUN).await), Some(3), "what serves goes on");
}

#[tokio::test]
async fn requests_are_kept_for_replay_as_the_deployment_says() {
    let stand = Stand::start(&["acme", "other"], |_| {}).await;
    stand.publish("acme", "sound", 1, Plain).await;
    stand.publish("acme", "broken", 2, Trapping).await;
    let kept = || stand.platform.capsules(&name("acme")).unwrap();
    let check = async |executor: &str, policy: serde_json::Value, expected: &[(&str, Option<&str>)]| {
        stand.deploy("acme", executor, json!({ "capsules": policy })).await;
        stand.call("acme", &format!("/executors/{executor}/run")).await;
        let entries = kept();
        let shown: Vec<_> =
            entries.iter().map(|entry| (entry.executor.as_str(), entry.error.as_deref())).collect();
        assert_eq!(shown, expected, "{executor} {policy}");
    };
    let (failed, sampled) = (("broken", Some("guest_trap")), ("sound", None));
    check("sound", json!({ "failures": true }), &[]).await;
    check("broken", json!({ "sample_percent": 100 }), &[]).await;
    check("broken", json!({ "failures": true }), &[failed]).await;
    check("sound", json!({ "sample_percent": 100 }), &[sampled, failed]).await;
    for entry in kept() {
        let bytes = stand.platform.capsule(&name("acme"), &entry.id).unwrap().unwrap();
        assert_eq!(crate::Capsule::read(&bytes).unwrap().executor(), &entry.executor);
        assert_eq!(stand.platform.capsule(&name("other"), &entry.id).unwrap(), None);
    }
}
