//! Leases, queue, growth, recycling.

use std::time::{Duration, Instant};

use lockgate_domain::ErrorCode;

use super::guest::{Guest, OK};
use super::*;

/// Fails with a message of as many bytes as there were calls: how a test reads the guest's own state.
const COUNT: &str = "(global.set $count (i32.add (global.get $count) (i32.const 1)))
    (call $fail (i32.const 500) (global.get $count) (i32.const 0) (i32.const 0))";
const STARS: &str = r#"(data (i32.const 500) "********")"#;
const SPIN: &str = "(loop $l (br $l)) (unreachable)";

fn counting() -> Guest {
    Guest { items: STARS, ..Guest::calling(COUNT) }
}

async fn counts(pool: &InstancePool, calls: usize) -> Vec<usize> {
    let mut counts = Vec::new();
    for _ in 0..calls {
        counts.push(fails(pool).await.message().len());
    }
    counts
}

#[tokio::test]
async fn reused_instances_keep_state_and_fresh_ones_do_not() {
    let check = async |options: PoolOptions, expected: [usize; 4], recycled: u64| {
        let pool = pool_with(&counting(), Limits::default(), options);
        assert_eq!(counts(&pool, 4).await, expected);
        assert_eq!(pool.stats().recycled, recycled);
    };
    check(options(InstanceMode::Reused, 2), [1, 2, 3, 4], 0).await;
    check(options(InstanceMode::Fresh, 2), [1, 1, 1, 1], 4).await;
    check(PoolOptions { max_calls: Some(2), ..options(InstanceMode::Reused, 2) }, [1, 2, 1, 2], 2).await;
    let small = PoolOptions { recycle_memory_bytes: Some(100), ..options(InstanceMode::Reused, 2) };
    check(small, [1, 1, 1, 1], 4).await;
}

#[tokio::test]
async fn prewarm_builds_the_minimum_and_sweep_leaves_it() {
    let options = PoolOptions { min: 1, ..options(InstanceMode::Reused, 4) };
    let pool = pool_with(&Guest::calling(OK), Limits::default(), options);
    pool.prewarm().await.unwrap();
    assert_eq!((pool.stats().live, pool.stats().idle), (1, 1));
    let calls = (0..3).map(|_| pool.invoke(invocation()));
    for reply in join_all(calls).await {
        reply.unwrap();
    }
    let later = Instant::now() + Duration::from_secs(3600);
    pool.sweep(Instant::now());
    pool.sweep(later);
    assert_eq!((pool.stats().live, pool.stats().idle), (1, 1));
    pool.close();
    assert_eq!(pool.stats().live, 0);
    assert_eq!(fails(&pool).await.code(), ErrorCode::Unavailable);
}

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.map(Box::pin).collect();
    let mut outputs = Vec::new();
    for future in &mut pinned {
        outputs.push(future.await);
    }
    outputs
}

#[tokio::test]
async fn the_queue_is_bounded_and_dropped_calls_leave_it() {
    let options = PoolOptions { queue: 1, ..options(InstanceMode::Reused, 1) };
    let pool = pool_with(&Guest::calling(SPIN), Limits::default(), options);
    let spin = || {
        let pool = pool.clone();
        async move { pool.invoke(invocation()).await.map(|_| ()) }
    };
    let mut tasks = tokio::task::JoinSet::new();
    let first = tasks.spawn(spin());
    wait_for(|| pool.stats().calls == 1).await;
    let second = tasks.spawn(spin());
    wait_for(|| pool.stats().waiting == 1).await;

    let problem = fails(&pool).await;
    assert_eq!(problem.code(), ErrorCode::Overloaded);
    assert_eq!(problem.limit_passed(), Some((lockgate_domain::LimitKind::Queue, 1)));
    assert!(problem.retry_after_ms().is_some());
    assert_eq!(pool.stats().shed, 1);

    // A waiting call that is dropped leaves its place.
    second.abort();
    wait_for(|| pool.stats().waiting == 0).await;
    // A running call that is dropped stops its guest; the place goes to who waits next.
    let third = tasks.spawn(spin());
    wait_for(|| pool.stats().waiting == 1).await;
    first.abort();
    wait_for(|| pool.stats().calls == 2).await;
    assert_eq!((pool.stats().live, pool.stats().traps), (1, 1));
    third.abort();
    wait_for(|| pool.stats().live == 0).await;
    assert_eq!(pool.stats().built, 2);
}

#[tokio::test]
async fn unburned_fuel_of_a_dropped_call_goes_back() {
    let pool = pool(&Guest::calling(SPIN));
    let given = invocation();
    let budget = given.context.fuel.clone();
    let mut tasks = tokio::task::JoinSet::new();
    let call = pool.clone();
    let handle = tasks.spawn(async move { call.invoke(given).await.map(|_| ()) });
    wait_for(|| pool.stats().calls == 1).await;
    assert!(budget.left() <= budget.total() - Limits::default().fuel);
    handle.abort();
    wait_for(|| pool.stats().live == 0).await;
    assert!(budget.left() > budget.total() - Limits::default().fuel);
    assert!(budget.left() < budget.total());
}

#[tokio::test]
async fn a_busy_pool_grows_to_its_maximum_and_waits_there() {
    let limits = Limits { wall_time_ms: 20, fuel: u64::MAX / 4, ..Limits::default() };
    let pool = pool_with(&Guest::calling(SPIN), limits, options(InstanceMode::Reused, 2));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let mut given = invocation();
            given.context.fuel = FuelBudget::new(u64::MAX / 2);
            pool.invoke(given).await.unwrap_err().code()
        });
    }
    let mut codes = Vec::new();
    while let Some(code) = tasks.join_next().await {
        assert!(pool.stats().live <= 2);
        codes.push(code.unwrap());
    }
    assert!(
        codes.iter().all(|code| matches!(code, ErrorCode::DeadlineExceeded | ErrorCode::Overloaded)),
        "{codes:?}"
    );
    assert_eq!((pool.stats().live, pool.stats().waiting), (0, 0));
}

#[tokio::test]
async fn a_full_engine_makes_pools_wait() {
    let runtime = Runtime::new(RuntimeOptions { max_instances: 1, ..RuntimeOptions::default() }).unwrap();
    let component = runtime.load(&Guest::calling(OK).bytes()).unwrap();
    let limits = Limits { wall_time_ms: 50, ..Limits::default() };
    let make = |name: &str| {
        let options = options(InstanceMode::Reused, 2);
        let setup = PoolSetup::new(name.parse().unwrap(), component.clone(), options);
        InstancePool::new(&runtime, PoolSetup { limits, ..setup })
    };
    let (one, two) = (make("one"), make("two"));
    let spinning = Guest::calling(SPIN);
    let spinning = runtime.load(&spinning.bytes()).unwrap();
    let setup = PoolSetup::new("busy".parse().unwrap(), spinning, options(InstanceMode::Reused, 1));
    let busy = InstancePool::new(&runtime, setup);
    let mut tasks = tokio::task::JoinSet::new();
    let call = busy.clone();
    let handle = tasks.spawn(async move { call.invoke(invocation()).await.map(|_| ()) });
    wait_for(|| busy.stats().calls == 1).await;
    let problem = fails(&two).await;
    assert_eq!(problem.code(), ErrorCode::Overloaded, "{problem:?}");
    assert_eq!((two.stats().live, two.stats().shed), (0, 1));
    // Components can still be loaded, and the place is free when the busy call is gone.
    runtime.load(&counting().bytes()).unwrap();
    handle.abort();
    two.invoke(invocation()).await.unwrap();
    // An idle instance of one pool makes way for another pool.
    one.invoke(invocation()).await.unwrap();
    assert_eq!((one.stats().live, two.stats().live), (1, 0));
}
