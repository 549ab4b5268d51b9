//! Every limit ends a call with its own name, and the next call is served.

use std::time::{Duration, Instant};

use lockgate_domain::{ErrorCode, LimitKind};

use super::guest::{Guest, OK};
use super::*;

const SPIN: &str = "(loop $l (br $l)) (unreachable)";

/// Runs `call` under `limits` and expects this limit to end it, and the instance to be gone.
async fn check(guest: Guest, limits: Limits, kind: LimitKind, value: u64) -> Problem {
    let pool = pool_with(&guest, limits, options(InstanceMode::Reused, 1));
    let problem = fails(&pool).await;
    assert_eq!(problem.limit_passed(), Some((kind, value)), "{problem:?}");
    assert_eq!(problem.executor().map(|name| name.as_str()), Some("ex"));
    assert_eq!(problem.digest(), Some(pool.component().digest()));
    let stats = pool.stats();
    assert_eq!((stats.live, stats.traps), (0, 1), "the store is thrown away");
    problem
}

#[tokio::test]
async fn fuel() {
    let limits = Limits { fuel: 1_000_000, ..Limits::default() };
    let problem = check(Guest::calling(SPIN), limits, LimitKind::Fuel, 1_000_000).await;
    assert_eq!(problem.code(), ErrorCode::LimitExceeded);
    let calls = "(loop $l (drop (call $len)) (br $l)) (unreachable)";
    check(Guest::calling(calls), limits, LimitKind::Fuel, 1_000_000).await;
}

#[tokio::test]
async fn fuel_of_the_flow() {
    let pool = pool(&Guest::calling(SPIN));
    let mut given = invocation();
    given.context.fuel = FuelBudget::new(5_000_000);
    let budget = given.context.fuel.clone();
    let problem = pool.invoke(given).await.unwrap_err();
    assert_eq!(problem.limit_passed(), Some((LimitKind::FlowFuel, 5_000_000)), "{problem:?}");
    assert_eq!(budget.left(), 0);
    let mut given = invocation();
    given.context.fuel = budget;
    let problem = pool.invoke(given).await.unwrap_err();
    assert_eq!(problem.limit_passed(), Some((LimitKind::FlowFuel, 5_000_000)), "{problem:?}");
}

#[tokio::test]
async fn wall_time_of_a_computing_guest() {
    let limits = Limits { wall_time_ms: 30, fuel: u64::MAX / 2, ..Limits::default() };
    let pool = pool_with(&Guest::calling(SPIN), limits, options(InstanceMode::Reused, 1));
    let mut given = invocation();
    given.context.fuel = FuelBudget::new(u64::MAX / 2);
    let problem = pool.invoke(given).await.unwrap_err();
    assert_eq!(problem.limit_passed(), Some((LimitKind::WallTime, 30)), "{problem:?}");
    assert_eq!(problem.code(), ErrorCode::DeadlineExceeded);
}

#[tokio::test]
async fn wall_time_of_a_waiting_guest() {
    const EMIT: &str =
        "(loop $l (call $emit (i32.const 600) (i32.const 1) (i32.const 700)) (br $l)) (unreachable)";
    let limits = Limits { wall_time_ms: 30, ..Limits::default() };
    let pool = pool_with(&Guest::calling(EMIT), limits, options(InstanceMode::Reused, 1));
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let problem = pool.invoke(Invocation { emit: Some(sender), ..invocation() }).await.unwrap_err();
    assert_eq!(problem.limit_passed(), Some((LimitKind::WallTime, 30)), "{problem:?}");
    drop(receiver);
}

#[tokio::test]
async fn the_deadline_of_the_request() {
    let pool = pool(&Guest::calling(SPIN));
    let mut given = invocation();
    given.context.deadline = Some(Instant::now() + Duration::from_millis(30));
    let problem = pool.invoke(given).await.unwrap_err();
    assert_eq!((problem.code(), problem.limit_passed()), (ErrorCode::DeadlineExceeded, None));
    let mut given = invocation();
    given.context.deadline = Some(Instant::now());
    let problem = pool.invoke(given).await.unwrap_err();
    assert_eq!(problem.code(), ErrorCode::DeadlineExceeded);
    assert_eq!(pool.stats().calls, 1, "the second never reached an instance");
}

#[tokio::test]
async fn memory() {
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let at_once = "(drop (memory.grow (i32.const 1000))) (i32.const 16)";
    let problem = check(Guest::calling(at_once), limits, LimitKind::Memory, 1 << 20).await;
    assert!(problem.hint().unwrap().contains("memory_bytes"), "{problem:?}");
    let page_by_page = "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) (unreachable)";
    check(Guest::calling(page_by_page), limits, LimitKind::Memory, 1 << 20).await;
}

#[tokio::test]
async fn memory_that_does_not_even_start() {
    let limits = Limits { memory_bytes: 1 << 16, ..Limits::default() };
    let pool = pool_with(&Guest::calling(OK), limits, options(InstanceMode::Reused, 1));
    assert_eq!(fails(&pool).await.limit_passed(), Some((LimitKind::Memory, 1 << 16)));
    let limits = Limits { core_instances: 1, ..Limits::default() };
    let pool = pool_with(&Guest::calling(OK), limits, options(InstanceMode::Reused, 1));
    assert_eq!(fails(&pool).await.limit_passed(), Some((LimitKind::Instances, 1)));
    assert_eq!(pool.stats().live, 0);
}

#[tokio::test]
async fn table() {
    let limits = Limits { table_elements: 100, ..Limits::default() };
    let grow = "(drop (table.grow (ref.null func) (i32.const 1000))) (i32.const 16)";
    check(Guest::calling(grow), limits, LimitKind::Table, 100).await;
}

#[tokio::test]
async fn stack() {
    let items = "(func $f (result i32) (i32.add (call $f) (i32.const 1)))";
    let guest = Guest { items, ..Guest::calling("(call $f)") };
    check(guest, Limits::default(), LimitKind::Stack, crate::engine::STACK_BYTES as u64).await;
}

#[tokio::test]
async fn bytes_of_one_host_call() {
    let limits = Limits { host_call_bytes: 1000, ..Limits::default() };
    let call = "(call $log (i32.const 1) (i32.const 0) (i32.const 5000)) (i32.const 16)";
    check(Guest::calling(call), limits, LimitKind::HostCallBytes, 1000).await;
}

#[tokio::test]
async fn traps_and_broken_values() {
    let check = async |call: &'static str, code: ErrorCode, words: &str| {
        let pool = pool(&Guest::calling(call));
        let problem = fails(&pool).await;
        assert_eq!(problem.code(), code, "{problem:?}");
        assert!(problem.message().contains(words), "{problem:?}");
        assert_eq!((pool.stats().live, pool.stats().traps), (0, 1));
        problem
    };
    let problem = check("(unreachable)", ErrorCode::GuestTrap, "unreachable").await;
    assert_eq!(problem.backtrace().len(), 1, "{:?}", problem.backtrace());
    check("(i32.load (i32.const -8))", ErrorCode::GuestTrap, "out of bounds memory access").await;
    check("(i32.const -8)", ErrorCode::ContractViolation, "out of bounds").await;
    check(
        "(i32.store8 (i32.const 64) (i32.const 9)) (i32.const 64)",
        ErrorCode::ContractViolation,
        "discriminant",
    )
    .await;
    check(
        "(call $log (i32.const 77) (i32.const 0) (i32.const 1)) (i32.const 16)",
        ErrorCode::ContractViolation,
        "discriminant",
    )
    .await;
    check(
        "(i32.store8 (i32.const 0) (i32.const 255)) (call $log (i32.const 1) (i32.const 0) (i32.const 1)) (i32.const 16)",
        ErrorCode::ContractViolation,
        "utf",
    )
    .await;
    check(
        "(call $set-integer (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 100000000) (i32.const 400)) (i32.const 16)",
        ErrorCode::ContractViolation,
        "out of bounds",
    )
    .await;
}

#[tokio::test]
async fn init_has_limits_too() {
    let limits = Limits { fuel: 1_000_000, ..Limits::default() };
    let pool =
        pool_with(&Guest { init: SPIN, ..Guest::calling(OK) }, limits, options(InstanceMode::Reused, 1));
    assert_eq!(fails(&pool).await.limit_passed(), Some((LimitKind::Fuel, 1_000_000)));
    let refuses = Guest {
        init: "(call $fail (i32.const 500) (i32.const 5) (i32.const 0) (i32.const 0))",
        items: r#"(data (i32.const 500) "model")"#,
        ..Guest::calling(OK)
    };
    let pool =
        pool_with(&refuses, Limits::default(), PoolOptions { min: 1, ..options(InstanceMode::Reused, 1) });
    let problem = pool.prewarm().await.unwrap_err();
    assert_eq!((problem.code(), problem.message()), (ErrorCode::GuestError, "model"));
    assert_eq!(pool.stats().live, 0);
}
