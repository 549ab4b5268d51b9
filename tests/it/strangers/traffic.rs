//! Many changes under traffic, and many executors on one host: small versions of what `tests/load` measures.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt};
use lockgate_testkit::guest::{self, Manner};
use lockgate_testkit::wait_for;
use serde_json::{Value, json};

use super::{Caller, memory_returns, plenty, serve};

const SWAPS: i64 = 300;
const EXECUTORS: i64 = 200;
/// Components that the executors share.
const COMPONENTS: i64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_swaps_lose_no_call() {
    let host = serve(&[]).await;
    let operator = Caller::operator(&host);
    let acme = operator.tenant("acme", plenty()).await;
    for number in [1, 2] {
        acme.publish("shout", guest::component(number, Manner::Plain), json!({})).await;
        assert_eq!(acme.number("shout").await, number);
    }
    let before = host.resident_bytes();
    let is_over = AtomicBool::new(false);
    let callers = (0..4).map(|_| async {
        let mut seen = BTreeSet::new();
        while !is_over.load(Ordering::Relaxed) {
            seen.insert(acme.number("shout").await);
        }
        seen
    });
    let swaps = async {
        for swap in 0..SWAPS {
            let revision = swap % 2 + 1;
            acme.must("PUT T/executors/shout/tags/latest", json!({ "revision": revision })).await;
            assert_eq!(acme.number("shout").await, revision, "swap {swap} is seen by the next call");
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let (seen, ()) = tokio::join!(futures_util::future::join_all(callers), swaps);
    assert_eq!(seen.into_iter().flatten().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2]));
    // Nothing of what was swapped out stays: one pool of one revision.
    wait_for("old pools to go", async || {
        let status = acme.must("GET T/executors/shout/status", Value::Null).await;
        let revisions = status["revisions"].as_array().unwrap();
        (revisions.len() == 1 && revisions[0]["revision"] == 2).then_some(())
    })
    .await;
    assert_eq!(operator.metric("lockgate_resident").await, Some(1.0));
    memory_returns(&host, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_executors_leave_memory_and_come_back() {
    let host = serve(&["--evict-after", "1s", "--max-resident", "50"]).await;
    let operator = Caller::operator(&host);
    let acme = operator.tenant("acme", plenty()).await;
    let mut digests = Vec::new();
    for number in 0..COMPONENTS {
        let uploaded = acme.upload(guest::component(number, Manner::Plain)).await;
        digests.push(uploaded.json()["digest"].clone());
    }
    let (acme, digests) = (&acme, &digests);
    let before = host.resident_bytes();
    // A few at a time: each is tried out before it is there.
    let made = (0..EXECUTORS).map(|executor| async move {
        let revision = json!({ "component": digests[(executor % COMPONENTS) as usize] });
        acme.must(&format!("POST T/executors/e{executor}/revisions"), revision).await;
    });
    stream::iter(made).buffer_unordered(4).collect::<Vec<()>>().await;
    assert_eq!(operator.must("GET /v1/status", Value::Null).await["executors"], EXECUTORS);
    for round in 1..=2 {
        let calls = (0..EXECUTORS).map(|executor| async move {
            assert_eq!(acme.number(&format!("e{executor}")).await, executor % COMPONENTS, "round {round}");
        });
        stream::iter(calls).buffer_unordered(8).collect::<Vec<()>>().await;
        operator.until("lockgate_resident", 0.0).await;
        let calls = (0..EXECUTORS).map(|executor| async move {
            let status = acme.must(&format!("GET T/executors/e{executor}/status"), Value::Null).await;
            let [revision] = status["revisions"].as_array().unwrap().as_slice() else { panic!("{status}") };
            assert_eq!(
                (&revision["resident"], &revision["instances"]),
                (&json!(false), &json!(0)),
                "{status}"
            );
            assert_eq!(revision["calls"], round, "calls before code left memory count as well: {status}");
        });
        stream::iter(calls).buffer_unordered(8).collect::<Vec<()>>().await;
    }
    let opened = operator.metric("lockgate_opened_total").await.unwrap();
    assert!(opened >= f64::from(2 * EXECUTORS as i32), "{opened}");
    assert_eq!(operator.metric("lockgate_evicted_total").await, Some(opened));
    memory_returns(&host, before).await;
}
