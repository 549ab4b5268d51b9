//! Every call that reached a guest is metered once, whatever became of it.

use std::task::{Context, Waker};

use lockgate_domain::{ErrorCode, Usage};
use parking_lot::Mutex;

use super::guest::{Guest, OK};
use super::*;
use crate::CallMeter;

const SPIN: &str = "(loop $l (br $l)) (unreachable)";
const FAIL: &str = "(call $fail (i32.const 500) (i32.const 0) (i32.const 0) (i32.const 0))";
const WRITE: &str = r#"
    (i64.store (i32.const 200) (i64.const 1)) (i64.store (i32.const 208) (i64.const 42))
    (drop (i32.load (i32.const 0)))
    (call $set-integer (i32.const 300) (i32.const 4) (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 400))
    (i32.const 16)"#;

/// Keeps what it is told.
#[derive(Default)]
struct Ledger(Mutex<Vec<Usage>>);

impl CallMeter for Ledger {
    fn record(&self, usage: Usage) {
        self.0.lock().push(usage);
    }
}

fn metered(guest: &Guest, limits: Limits) -> (InstancePool, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let setup = PoolSetup::new("ex".parse().unwrap(), load(guest), options(InstanceMode::Reused, 1));
    (InstancePool::new(&RUNTIME, PoolSetup { limits, meter: ledger.clone(), ..setup }), ledger)
}

#[tokio::test]
async fn a_call_is_metered_whatever_becomes_of_it() {
    let three = documents(3).bytes();
    assert_eq!(three, 3 * "text 0".len() as u64);
    let check = async |guest: Guest, limits: Limits, code: Option<ErrorCode>, bytes_out: u64| {
        let (pool, ledger) = metered(&guest, limits);
        let answer = pool.invoke(invocation()).await;
        assert_eq!(answer.as_ref().err().map(Problem::code), code, "{answer:?}");
        let records = ledger.0.lock().clone();
        let [building, call] = records[..] else { panic!("{records:?}") };
        assert_eq!(Usage { fuel: 0, wall_time_us: 0, ..building }, Usage::default());
        assert!(building.fuel > 0, "{building:?}");
        let failures = u64::from(code.is_some());
        let (fuel, wall_time_us) = (call.fuel, call.wall_time_us);
        let (requests, documents, bytes_in, egress_bytes) = (1, 3, three, 0);
        let expected =
            Usage { requests, failures, documents, fuel, wall_time_us, bytes_in, bytes_out, egress_bytes };
        assert_eq!(call, expected);
        assert!(call.fuel > 0);
        match answer {
            Ok(reply) => assert_eq!(call.fuel, reply.fuel),
            Err(problem) if problem.code() == ErrorCode::LimitExceeded => assert_eq!(call.fuel, limits.fuel),
            Err(_) => {}
        }
    };
    let usual = Limits::default();
    let few = Limits { fuel: 1_000_000, ..usual };
    let short = Limits { wall_time_ms: 20, fuel: u64::MAX / 1024, ..usual };
    let rank = Guest { items: r#"(data (i32.const 300) "rank")"#, ..Guest::calling(WRITE) };
    check(Guest::calling(OK), usual, None, three).await;
    // The column covers rows 0 and 1.
    check(rank, usual, None, three + 2 * 8).await;
    check(Guest::calling(FAIL), usual, Some(ErrorCode::GuestError), 0).await;
    check(Guest::calling("(unreachable)"), usual, Some(ErrorCode::GuestTrap), 0).await;
    check(Guest::calling(SPIN), few, Some(ErrorCode::LimitExceeded), 0).await;
    check(Guest::calling(SPIN), short, Some(ErrorCode::DeadlineExceeded), 0).await;
}

#[tokio::test]
async fn a_dropped_call_is_metered() {
    let (pool, ledger) = metered(&Guest::calling(SPIN), Limits::default());
    let mut call = Box::pin(pool.invoke(invocation()));
    // The guest computes in each poll and yields.
    let mut poll = || call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
    while pool.stats().calls == 0 {
        assert!(poll());
    }
    assert!(poll());
    drop(call);
    // It had moved to a thread of its own.
    wait_for(|| ledger.0.lock().len() == 2).await;
    let records = ledger.0.lock().clone();
    let [_, call] = records[..] else { panic!("{records:?}") };
    assert_eq!((call.requests, call.failures, call.bytes_out), (1, 1, 0));
    assert!(call.fuel > 0 && call.fuel < Limits::default().fuel, "{call:?}");
}

#[tokio::test]
async fn only_what_reached_a_guest_is_metered() {
    let (pool, ledger) = metered(&Guest::calling(OK), Limits::default());
    let endpoint = EndpointName::parse("/other").unwrap();
    pool.invoke(Invocation { endpoint, ..invocation() }).await.unwrap();
    let mut late = invocation();
    late.context.deadline = Some(std::time::Instant::now());
    pool.invoke(late).await.unwrap_err();
    assert_eq!(*ledger.0.lock(), []);

    // An instance that never comes to be costs what its start burned.
    let (pool, ledger) = metered(&Guest { init: "(unreachable)", ..Guest::calling(OK) }, Limits::default());
    fails(&pool).await;
    let records = ledger.0.lock().clone();
    let [building] = records[..] else { panic!("{records:?}") };
    assert_eq!((building.requests, building.failures), (0, 0));
    assert!(building.fuel > 0);
}
