//! Tenants beside each other: memory is counted, and a spinning tenant keeps nobody from computing.

use std::time::{Duration, Instant};

use lockgate_domain::{ErrorCode, LimitKind};

use super::guest::{Guest, OK};
use super::*;
use crate::{SchedulerStats, TenantShare};

const SPIN: &str = "(loop $l (br $l)) (unreachable)";
/// Two pages at the start.
const START: u64 = 2 << 16;
/// Takes nine pages more and keeps them.
const GROW: &str = "(drop (memory.grow (i32.const 9))) (i32.const 16)";
const GROWN: u64 = 11 << 16;

fn tenant(name: &str, memory: u64) -> TenantShare {
    let share = TenantShare::new(name.parse().unwrap());
    share.set_memory_limit(memory);
    share
}

fn pool_of(runtime: &Runtime, share: &TenantShare, call: &'static str, options: PoolOptions) -> InstancePool {
    let component = runtime.load(&Guest::calling(call).bytes()).unwrap();
    let setup = PoolSetup::new("ex".parse().unwrap(), component, options);
    InstancePool::new(runtime, PoolSetup { share: share.clone(), ..setup })
}

#[tokio::test]
async fn memory_of_all_instances_of_a_tenant_is_counted_and_bounded() {
    let share = tenant("acme", GROWN + START);
    let reused = options(InstanceMode::Reused, 4);
    let (small, large) = (pool_of(&RUNTIME, &share, OK, reused), pool_of(&RUNTIME, &share, GROW, reused));
    small.invoke(invocation()).await.unwrap();
    assert_eq!(share.memory_used(), START);
    large.invoke(invocation()).await.unwrap();
    assert_eq!(share.memory_used(), GROWN + START);

    // One more large instance needs the idle ones of the same tenant to go.
    let other = pool_of(&RUNTIME, &share, GROW, reused);
    other.invoke(invocation()).await.unwrap();
    assert_eq!(share.memory_used(), GROWN);
    assert_eq!((small.stats().live, large.stats().live, other.stats().live), (0, 0, 1));

    // What is kept warm does not make way, and the answer says whose limit it is.
    let warm = pool_of(&RUNTIME, &share, OK, PoolOptions { min: 2, ..reused });
    share.set_memory_limit(2 * START);
    warm.prewarm().await.unwrap();
    assert_eq!((share.memory_used(), other.stats().live), (2 * START, 0));
    let problem = fails(&large).await;
    assert_eq!(problem.limit_passed(), Some((LimitKind::TenantMemory, 2 * START)), "{problem:?}");
    assert_eq!(problem.code(), ErrorCode::QuotaExceeded);
    assert!(problem.message().contains("tenant acme") && problem.retry_after_ms().is_some(), "{problem:?}");

    // Other tenants have their own.
    let stranger = tenant("other", START);
    pool_of(&RUNTIME, &stranger, OK, reused).invoke(invocation()).await.unwrap();
    warm.close();
    assert_eq!((share.memory_used(), stranger.memory_used()), (0, 0), "closed or dropped pools hold nothing");
}

#[tokio::test]
async fn growing_in_a_call_makes_idle_instances_of_the_tenant_go() {
    let share = tenant("acme", GROWN + START / 2);
    let reused = options(InstanceMode::Reused, 4);
    let (small, large) = (pool_of(&RUNTIME, &share, OK, reused), pool_of(&RUNTIME, &share, GROW, reused));
    small.invoke(invocation()).await.unwrap();
    // Starts beside the other, which goes in the middle of the call.
    large.invoke(invocation()).await.unwrap();
    assert_eq!((small.stats().live, share.memory_used()), (0, GROWN));
    // The second call of the instance wants nine pages more.
    let problem = fails(&large).await;
    assert_eq!(problem.limit_passed().map(|(kind, _)| kind), Some(LimitKind::TenantMemory), "{problem:?}");
    assert_eq!((share.memory_used(), large.stats().live), (0, 0));
}

#[tokio::test]
async fn memory_of_the_whole_host_is_bounded() {
    let options = RuntimeOptions { max_memory_bytes: Some(3 * START), ..RuntimeOptions::default() };
    let runtime = Runtime::new(RuntimeOptions { max_instances: 8, ..options }).unwrap();
    let (one, two) = (tenant("one", u64::MAX), tenant("two", u64::MAX));
    let reused = super::options(InstanceMode::Reused, 4);
    let warm = pool_of(&runtime, &one, OK, PoolOptions { min: 2, ..reused });
    warm.prewarm().await.unwrap();
    let idle = pool_of(&runtime, &one, OK, reused);
    idle.invoke(invocation()).await.unwrap();
    assert_eq!(runtime.memory_used(), 3 * START);
    let other = pool_of(&runtime, &two, OK, reused);
    other.invoke(invocation()).await.unwrap();
    assert_eq!(idle.stats().live, 0, "any tenant's idle instance makes way");
    let large = pool_of(&runtime, &two, GROW, reused);
    let problem = fails(&large).await;
    assert_eq!(problem.code(), ErrorCode::Overloaded, "{problem:?}");
    assert!(problem.message().contains("this host has") && problem.retry_after_ms().is_some(), "{problem:?}");
    assert_eq!((one.memory_used(), two.memory_used()), (2 * START, 0));
}

#[test]
fn a_tenant_that_spins_on_every_core_keeps_nobody_from_computing() {
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(crate::worker_threads())
        .enable_all()
        .build()
        .unwrap();
    let runtime = Runtime::new(RuntimeOptions { max_instances: 256, ..RuntimeOptions::default() }).unwrap();
    let (loud, quiet) = (tenant("loud", u64::MAX), tenant("quiet", u64::MAX));
    let many = PoolOptions { queue: 200, ..options(InstanceMode::Reused, 200) };
    let spinning = pool_of(&runtime, &loud, SPIN, many);
    let working = pool_of(&runtime, &quiet, OK, options(InstanceMode::Reused, 4));
    threads.block_on(async {
        let mut spinners = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let pool = spinning.clone();
            spinners.spawn(async move {
                let mut given = invocation();
                given.context.fuel = FuelBudget::new(u64::MAX / 2);
                given.context.deadline = Some(Instant::now() + Duration::from_secs(600));
                pool.invoke(given).await.map(|_| ())
            });
        }
        let mut calls = tokio::task::JoinSet::new();
        let pool = working.clone();
        let waits = runtime.clone();
        calls.spawn(async move {
            while waits.scheduler().waiting == 0 {
                tokio::task::yield_now().await;
            }
            for _ in 0..100 {
                pool.invoke(invocation()).await.unwrap();
            }
        });
        calls.join_next().await.unwrap().unwrap();
        let stats = runtime.scheduler();
        assert!(stats.waiting > 0 && stats.beyond > 0, "{stats:?}");
        // The loud one computes on, and more than the quiet one, which wanted little.
        assert!(loud.processor_time() > quiet.processor_time());
        spinners.shutdown().await;
        // Long calls are on threads of their own, and end with their stints.
        let is_over = |stats: SchedulerStats| (stats.running, stats.waiting) == (0, 0);
        wait_for(|| is_over(runtime.scheduler()) && spinning.stats().live == 0).await;
    });
    spinning.close();
    assert_eq!(loud.memory_used(), 0);
}
