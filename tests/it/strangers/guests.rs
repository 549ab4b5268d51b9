//! What guests of one tenant do to another tenant: nothing. Their quotas hold, and what they used is known exactly.

use lockgate_testkit::guest::{self, Manner};
use lockgate_testkit::{fixtures, wait_for};
use serde_json::{Value, json};

use super::{Caller, beside, fixture, memory_returns, plenty, serve, told};
use crate::isolation::{cases, judge};
use crate::support::assert_texts;

/// The ceilings of `support::SMALL_LIMITS`, which the expected endings name.
fn small_limits() -> Value {
    json!({
        "fuel": 300_000_000, "wall_time_ms": 12000, "memory_bytes": 64 << 20, "host_call_bytes": 1 << 20,
        "written_bytes": 8 << 20, "documents": 20_000, "columns": 64, "log_lines": 20, "log_line_bytes": 512,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hostile_call_ends_as_one_error_while_a_neighbour_is_served() {
    let mut host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let (mallory, alice) =
        (operator.tenant("mallory", plenty()).await, operator.tenant("alice", plenty()).await);
    alice.publish("shout", fixture("neighbour"), json!({})).await;
    mallory.publish("hostile", fixture("hostile"), json!({ "limits": small_limits() })).await;
    assert_texts(&mallory.call("hostile", "/calm", &["calm"], json!({})).await, &["CALM"]);
    let before = host.resident_bytes();
    let (mut wrong, mut failures) = (Vec::new(), 0);
    let all = cases();
    for (endpoint, parameters, expected) in &all {
        let what = format!("{endpoint} {parameters}");
        let hostile = mallory.call("hostile", endpoint, &["hello"], parameters.clone());
        let answer = beside(&alice, hostile).await;
        assert!(host.is_alive(), "{what} ended the host; it said:\n{}", host.logs());
        let problem = answer.problem();
        failures += u64::from(problem.is_some());
        if let Err(why) = judge(&answer, problem.as_ref(), expected) {
            wrong.push(format!("{what}: {why}: {problem:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // All of it is on the one tenant's bill, and none of it on the other's.
    let sum = mallory.must("GET T/usage", Value::Null).await["sum"].clone();
    assert_eq!((&sum["requests"], &sum["failures"]), (&json!(all.len() + 1), &json!(failures)), "{sum}");
    let sum = alice.must("GET T/usage", Value::Null).await["sum"].clone();
    assert_eq!(sum["failures"], 0, "{sum}");
    let traps = operator.metric(r#"lockgate_tenant_traps_total{tenant="mallory",executor="hostile"}"#).await;
    assert!(traps.is_some_and(|traps| traps >= 10.0), "{traps:?}");
    let traps = operator.metric(r#"lockgate_tenant_traps_total{tenant="alice",executor="shout"}"#).await;
    assert_eq!(traps, Some(0.0));
    memory_returns(&host, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_do_not_come_up_hold_nobody_back() {
    let mut host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let (mallory, alice) =
        (operator.tenant("mallory", plenty()).await, operator.tenant("alice", plenty()).await);
    alice.publish("shout", fixture("neighbour"), json!({})).await;
    let before = host.resident_bytes();
    for (word, code, words) in [
        ("spin", "limit_exceeded", "describe"),
        ("trap", "guest_trap", "trapped"),
        ("huge", "", "bytes"),
        ("garbage", "invalid_component", "manifest"),
        ("crowded", "invalid_component", "endpoints"),
        ("deep", "invalid_component", "manifest"),
        ("documents", "contract_violation", "only while `call` runs"),
        ("controls", "invalid_component", "endpoint"),
    ] {
        let bytes = std::fs::read(fixtures::manifest_component(word)).unwrap();
        let answer = beside(&alice, mallory.upload(bytes)).await;
        assert!(answer.status.is_client_error() && told(&answer).contains(code), "{word}: {}", told(&answer));
        assert!(answer.text().contains(words), "{word}: {}", answer.text());
        assert!(answer.json()["error"]["digest"].is_string(), "{word}: {}", answer.text());
        assert!(answer.body.len() < 4096 && !answer.text().contains('\u{1b}'), "{word}: {}", answer.text());
    }
    assert_eq!(mallory.must("GET T/components", Value::Null).await["items"], json!([]));
    let component = mallory.upload(fixture("manifests")).await.json()["digest"].clone();
    for (word, code, words) in [
        ("spin", "limit_exceeded", "fuel"),
        ("trap", "guest_trap", "trapped"),
        ("documents", "contract_violation", "only while `call` runs"),
        ("error", "guest_error", "the model file is missing"),
    ] {
        let revision =
            json!({ "component": component, "configuration": { "init": word }, "limits": small_limits() });
        let making = mallory.ask("POST T/executors/suspect/revisions", revision);
        let answer = beside(&alice, making).await;
        assert!(answer.status.is_client_error() && told(&answer).contains(code), "{word}: {}", told(&answer));
        let error = &answer.json()["error"];
        assert!(error.to_string().contains(words), "{word}: {error}");
        assert_eq!(
            (&error["executor"], &error["digest"]),
            (&json!("suspect"), &component),
            "{word}: {error}"
        );
    }
    assert_eq!(mallory.must("GET T/executors", Value::Null).await["items"], json!([]));
    assert!(host.is_alive());
    memory_returns(&host, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_tenant_stays_for_the_next_one() {
    let host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let (acme, other) = (operator.tenant("acme", plenty()).await, operator.tenant("other", plenty()).await);
    for caller in [&acme, &other] {
        caller.publish("fresh", fixture("hostile"), json!({})).await;
        caller.publish("warm", fixture("hostile"), json!({})).await;
        let reused = json!({ "scale": { "mode": "reused", "max": 1 } });
        caller.must("PUT T/executors/warm/deployment", reused).await;
    }
    let write = async |caller: &Caller, executor: &str| {
        let answer = caller.call(executor, "/leak-write", &["a secret"], json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (200, None), "{}", answer.text());
    };
    let read = async |caller: &Caller, executor: &str| {
        caller.call(executor, "/leak-read", &["x"], json!({})).await.texts().remove(0)
    };
    for executor in ["fresh", "warm"] {
        write(&acme, executor).await;
        for turn in 0..5 {
            assert_eq!(read(&other, executor).await, "", "{executor} {turn}");
        }
    }
    assert_eq!(read(&acme, "warm").await, "a secret", "its own instance, and only that");
    assert_eq!(read(&acme, "fresh").await, "");
}

/// A quota, what uses it up, what it is called and how large it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_answer_with_their_name_value_and_a_time() {
    let host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let alice = operator.tenant("alice", plenty()).await;
    alice.publish("shout", fixture("neighbour"), json!({})).await;
    let mut tenants = 0;
    let mut check = async |name: &str, value: u64, endpoint: &str, next: &str| {
        tenants += 1;
        let mut quota = plenty();
        quota[name] = json!(value);
        let caller = operator.tenant(&format!("t{tenants}"), quota).await;
        caller.publish("hostile", fixture("hostile"), json!({ "limits": small_limits() })).await;
        let refused = beside(&alice, async {
            if !endpoint.is_empty() {
                caller.call("hostile", endpoint, &["x"], json!({})).await;
            }
            wait_for(name, async || {
                let answer = caller.call("hostile", next, &["x"], json!({})).await;
                (answer.status != 200).then_some(answer)
            })
            .await
        })
        .await;
        assert!(told(&refused).starts_with("429 quota_exceeded: "), "{name}: {}", told(&refused));
        let error = &refused.json()["error"];
        assert_eq!(error["limit"], json!({ "name": name, "value": value }), "{error}");
        assert!(told(&refused).contains(&caller.tenant), "it names the tenant: {error}");
        let wait = error["retry_after_ms"].as_u64().unwrap_or_else(|| panic!("{name}: no time in {error}"));
        let header = refused.headers["retry-after"].to_str().unwrap();
        assert_eq!(header, wait.div_ceil(1000).to_string(), "{name}");
        if name != "instance_memory_bytes" {
            let series = format!(r#"lockgate_tenant_refused_total{{tenant="{}"}}"#, caller.tenant);
            assert!(operator.metric(&series).await.is_some_and(|refused| refused > 0.0), "{name}");
        }
        caller
    };
    check("requests_per_second", 1, "", "/calm").await;
    check("fuel_per_second", 1_000_000, "/spin", "/calm").await;
    check("fuel_per_month", 1_000_000, "/spin", "/calm").await;
    let tight = check("instance_memory_bytes", 32 << 20, "", "/memory-creep").await;
    // What was refused memory gave back what it had.
    assert_texts(&tight.call("hostile", "/calm", &["calm"], json!({})).await, &["CALM"]);
    let series = format!(r#"lockgate_tenant_memory_bytes{{tenant="{}"}}"#, tight.tenant);
    let held = operator.metric(&series).await;
    assert!(held.is_some_and(|held| held < f64::from(16 << 20)), "{held:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_what_was_called_and_burned() {
    let host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let (acme, other) = (operator.tenant("acme", plenty()).await, operator.tenant("other", plenty()).await);
    acme.publish("shout", fixture("neighbour"), json!({})).await;
    acme.publish("broken", guest::component(1, Manner::Trapping), json!({})).await;
    let usage = async |executor: &str| {
        let path = format!("GET T/usage?executor={executor}");
        let sum = acme.must(&path, Value::Null).await["sum"].clone();
        ["requests", "failures", "documents", "fuel"].map(|field| sum[field].as_u64().unwrap())
    };
    // Only the `init` of the instance in which the revision was tried out.
    let [requests, failures, documents, init] = usage("shout").await;
    assert_eq!((requests, failures, documents), (0, 0, 0));
    // In a fresh instance equal work burns equal fuel, so the sum is known to the unit.
    let upper =
        async || assert_texts(&acme.call("shout", "/upper", &["a", "b"], json!({})).await, &["A", "B"]);
    upper().await;
    let once = usage("shout").await[3] - init;
    assert!(once > init, "{once}");
    let calls = (0..24).map(|_| upper());
    futures_util::future::join_all(calls).await;
    assert_eq!(usage("shout").await, [25, 0, 50, init + 25 * once]);
    let fuel = operator.metric(r#"lockgate_tenant_fuel_total{tenant="acme",executor="shout"}"#).await;
    assert_eq!(fuel, Some((25 * (once - init)) as f64), "the page says the same, without `init`");
    // Failed calls count as calls and as failures, with what they burned.
    for _ in 0..5 {
        assert!(acme.call("shout", "/fail", &["a", "b", "c"], json!({})).await.problem().is_some());
    }
    let [requests, failures, documents, fuel] = usage("shout").await;
    assert_eq!((requests, failures, documents), (30, 5, 65));
    let failed = fuel - init - 25 * once;
    assert!(failed > 0 && failed % 5 == 0, "{fuel} after {once} for each");
    let broken = usage("broken").await[3];
    for _ in 0..3 {
        assert_eq!(
            acme.call("broken", "/run", &["a"], json!({})).await.problem().unwrap()["code"],
            "guest_trap"
        );
    }
    let [requests, failures, documents, burned] = usage("broken").await;
    let burned = burned - broken;
    assert_eq!((requests, failures, documents), (3, 3, 3));
    assert!(burned > 0 && burned % 3 == 0, "{burned}");
    // What reached no guest is on nobody's bill.
    for (executor, status) in [("nobody", 404), ("shout@9", 404)] {
        assert_eq!(acme.call(executor, "/upper", &["a"], json!({})).await.status, status);
        assert_eq!(other.call("shout", "/upper", &["a"], json!({})).await.status, 404);
    }
    assert_eq!(usage("shout").await, [30, 5, 65, fuel]);
    assert_eq!(other.must("GET T/usage", Value::Null).await["sum"]["requests"], 0);
}
