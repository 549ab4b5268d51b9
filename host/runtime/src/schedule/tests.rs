//! Grants of real futures, in one thread and in many.

use lockgate_domain::TenantName;
use std::sync::atomic::AtomicUsize;
use tokio::task::JoinSet;

use super::*;

fn scheduler(cores: usize) -> Scheduler {
    Scheduler::with_cores(cores, true)
}

fn share() -> TenantShare {
    TenantShare::new(TenantName::local())
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// Stays in its slice until `open`, like a guest that computes in one poll.
async fn stay(open: &AtomicUsize, inside: &AtomicUsize) {
    inside.fetch_add(1, Ordering::SeqCst);
    while open.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    inside.fetch_sub(1, Ordering::SeqCst);
}

async fn wait_for(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_slices_run_than_there_are_cores() {
    let scheduler = scheduler(2);
    let (open, inside) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tenant = share();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (scheduler, tenant, open, inside) =
            (scheduler.clone(), tenant.clone(), open.clone(), inside.clone());
        tasks.spawn(async move { scheduler.within(&tenant, later(), stay(&open, &inside)).await.unwrap() });
    }
    wait_for(|| scheduler.stats().waiting == 18).await;
    assert_eq!((inside.load(Ordering::SeqCst), scheduler.stats().running), (2, 2));
    open.store(1, Ordering::SeqCst);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let stats = scheduler.stats();
    assert_eq!((stats.running, stats.waiting, stats.slices, stats.waits), (0, 0, 20, 18));
    assert!(tenant.processor_time() > Duration::ZERO);
}

#[tokio::test]
async fn a_waiting_future_that_is_dropped_or_late_leaves_the_queue() {
    let scheduler = scheduler(1);
    let tenant = share();
    let lane = tenant.lane();
    assert_eq!(scheduler.0.state.lock().fair.ask(lane, 100, u64::MAX), Entry::Run, "somebody has the core");
    let mut context = Context::from_waker(Waker::noop());
    let mut first = Box::pin(scheduler.within(&tenant, later(), async {}));
    let mut second = Box::pin(scheduler.within(&tenant, later(), async {}));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    assert_eq!(scheduler.within(&tenant, Instant::now(), async {}).await, None, "late");
    assert_eq!(scheduler.stats().waiting, 2);
    drop(first);
    assert_eq!(scheduler.stats().waiting, 1);
    {
        let mut state = scheduler.0.state.lock();
        state.fair.end(lane, SLICE);
        assert_eq!(state.hand_out(0).len(), 1);
    }
    assert_eq!(scheduler.stats().running, 1);
    drop(second);
    assert_eq!((scheduler.stats().running, scheduler.stats().waiting), (0, 0), "its grant came back");
    assert!(scheduler.0.state.lock().wakers.is_empty());
}

#[tokio::test]
async fn a_grant_of_a_future_that_nobody_polls_lapses() {
    let scheduler = scheduler(1);
    let tenant = share();
    let lane = tenant.lane();
    assert_eq!(scheduler.0.state.lock().fair.ask(lane, 100, u64::MAX), Entry::Run);
    let mut context = Context::from_waker(Waker::noop());
    let mut stuck = Box::pin(scheduler.within(&tenant, later(), async { 1 }));
    let mut next = Box::pin(scheduler.within(&tenant, later(), async { 2 }));
    assert!(stuck.as_mut().poll(&mut context).is_pending());
    assert!(next.as_mut().poll(&mut context).is_pending());
    {
        let mut state = scheduler.0.state.lock();
        state.fair.end(lane, SLICE);
        // Long ago.
        drop(state.hand_out(0));
    }
    assert!(next.as_mut().poll(&mut context).is_pending(), "the other one has it");
    while scheduler.now(Instant::now()) < fair::LAPSE {
        std::thread::yield_now();
    }
    scheduler.tick();
    assert_eq!(next.await, Some(2));
    assert_eq!(stuck.await, Some(1), "it asks again");
    assert_eq!(scheduler.stats().running, 0);
}

#[tokio::test]
async fn a_panic_in_a_slice_returns_its_grant() {
    let scheduler = scheduler(1);
    let mut tasks = JoinSet::new();
    let (inner, tenant) = (scheduler.clone(), share());
    tasks.spawn(async move { inner.within(&tenant, later(), async { panic!("on purpose") }).await });
    assert!(tasks.join_next().await.unwrap().is_err());
    assert_eq!(scheduler.stats().running, 0);
}

#[tokio::test]
async fn switched_off_it_lets_everybody_in() {
    let scheduler = Scheduler::with_cores(1, false);
    assert_eq!(scheduler.within(&share(), later(), async { 1 }).await, Some(1));
    assert_eq!(scheduler.stats(), SchedulerStats::default());
}

/// Computes for so many slices, and says on which thread it ended.
async fn compute(slices: u32) -> String {
    for _ in 0..slices {
        let start = Instant::now();
        while start.elapsed() < Duration::from_nanos(SLICE) {
            std::hint::spin_loop();
        }
        tokio::task::yield_now().await;
    }
    std::thread::current().name().unwrap_or_default().to_owned()
}

fn carried<T: Send + 'static>(
    carrier: &Carrier,
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = Option<T>> {
    let (scheduler, tenant) = (scheduler(2), share());
    let work = async move { scheduler.within(&tenant, later(), work).await.unwrap() };
    carrier.carry(Box::pin(work))
}

#[tokio::test]
async fn long_calls_move_and_short_ones_stay() {
    let carrier = Carrier::default();
    let check = async |slices: u32, moves: bool| {
        let thread = carried(&carrier, compute(slices)).await.unwrap();
        assert_eq!(thread == "computing", moves, "{slices} slices ended on {thread:?}");
    };
    check(0, false).await;
    check(10, true).await;
}

#[tokio::test]
async fn a_moved_call_is_stopped_by_its_drop_and_its_panic_is_the_callers() {
    struct Told(Arc<AtomicUsize>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let carrier = Arc::new(Carrier::default());
    let (started, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let endless = {
        let (started, told) = (started.clone(), Told(dropped.clone()));
        async move {
            let _told = told;
            loop {
                if compute(1).await == "computing" {
                    started.store(1, Ordering::SeqCst);
                }
            }
        }
    };
    let mut tasks = JoinSet::new();
    let on = carrier.clone();
    tasks.spawn(async move { carried::<()>(&on, endless).await });
    wait_for(|| started.load(Ordering::SeqCst) == 1).await;
    tasks.shutdown().await;
    wait_for(|| dropped.load(Ordering::SeqCst) == 1).await;

    tasks.spawn(async move {
        let failing = async {
            compute(10).await;
            panic!("the engine asserted");
        };
        carried::<()>(&carrier, failing).await
    });
    assert!(tasks.join_next().await.unwrap().unwrap_err().is_panic());
}
