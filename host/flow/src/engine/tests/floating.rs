//! Stages that nobody waits for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;

use super::*;
use crate::background::{Background, Place};

/// Keeps what it is given until it is asked to do it.
#[derive(Default)]
struct Later {
    work: Mutex<Vec<BoxFuture<'static, ()>>>,
    places: Arc<AtomicUsize>,
    is_full: bool,
}

struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Background for Later {
    fn admit(&self, _bytes: u64) -> Result<Place, Problem> {
        if self.is_full {
            return Err(Problem::new(ErrorCode::Overloaded, "no place is free").with_retry_after_ms(1000));
        }
        self.places.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Held(self.places.clone())))
    }

    fn drive(&self, place: Place, work: BoxFuture<'static, ()>) {
        let work = Box::pin(async move {
            let _place = place;
            work.await;
        });
        self.work.lock().unwrap().push(work);
    }
}

impl Later {
    async fn catch_up(&self) {
        let work = std::mem::take(&mut *self.work.lock().unwrap());
        futures_util::future::join_all(work).await;
    }

    fn places(&self) -> usize {
        self.places.load(Ordering::Relaxed)
    }
}

fn slow() -> ScriptedExecutor {
    let step = Step::After(Duration::from_secs(5), Box::new(Step::pass()));
    ScriptedExecutor::new(&["/default"], vec![step])
}

/// A bench whose stages of these names float.
fn floating(stages: Vec<(&str, &[&str], ScriptedExecutor)>, names: &[&str]) -> Bench {
    let mut bench = Bench::new(stages);
    for stage in &mut bench.spec.stages {
        stage.floating = names.contains(&stage.name.as_str());
    }
    bench
}

#[tokio::test(start_paused = true)]
async fn the_answer_does_not_wait() {
    let check = async |bench: Bench, told: &str, answer: &[(&str, &str)], calls: &[(&str, usize)]| {
        let later = Arc::new(Later::default());
        let plan = bench.plan().with_background(later.clone());
        let reply = FlowEngine::run(&plan, request("/x", list(&[("1", "")]))).await;
        assert_eq!((story(&reply).as_str(), rows(&reply.documents).as_slice()), (told, answer));
        assert_eq!((reply.failure, later.places()), (None, 1));
        later.catch_up().await;
        assert_eq!(later.places(), 0);
        for (name, count) in calls {
            assert_eq!(bench.executor(name).calls().len(), *count, "{told}: {name}");
        }
    };
    check(
        floating(vec![("a", &[], mark("a")), ("f", &["a"], slow())], &["f"]),
        "a ran, f floats",
        &[("a", "1")],
        &[("f", 1)],
    )
    .await;
    check(
        floating(vec![("f", &[], slow()), ("a", &["gateway"], mark("a"))], &["f"]),
        "f floats, a ran",
        &[("a", "1")],
        &[("f", 1)],
    )
    .await;
    check(floating(vec![("f", &[], slow())], &["f"]), "f floats", &[("1", "")], &[("f", 1)]).await;
    // What floats may need what floats, and joins what both halves gave.
    check(
        floating(
            vec![
                ("a", &[], mark("a")),
                ("f", &["a"], mark("f")),
                ("g", &["a", "f"], pass()),
                ("b", &["a"], mark("b")),
            ],
            &["f", "g"],
        ),
        "a ran, f floats, g not reached, b ran",
        &[("b", "a")],
        &[("f", 1), ("g", 1)],
    )
    .await;
    // An end that is not the last floats, whatever its author meant.
    check(
        floating(vec![("a", &[], slow()), ("b", &["gateway"], mark("b"))], &[]),
        "a floats, b ran",
        &[("b", "1")],
        &[("a", 1)],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_by_then_is_told() {
    let boom = || failing(Problem::new(ErrorCode::GuestError, "boom"));
    let check = async |floats: ScriptedExecutor, told: &str| {
        let bench =
            floating(vec![("a", &[], mark("a")), ("f", &["a"], floats), ("b", &["a"], slow())], &["f"]);
        let later = Arc::new(Later::default());
        let plan = bench.plan().with_background(later.clone());
        let run = FlowEngine::run(&plan, request("/x", list(&[("1", "")])));
        let drive = async {
            tokio::task::yield_now().await;
            later.catch_up().await;
        };
        let (reply, ()) = tokio::join!(run, drive);
        assert_eq!((story(&reply).as_str(), reply.failure), (told, None));
        assert_eq!(rows(&reply.documents), [("a", "1")]);
    };
    check(pass(), "a ran, f ran, b ran").await;
    check(boom(), "a ran, f failed with guest_error, b ran").await;
    check(ScriptedExecutor::new(&["/other"], vec![]), "a ran, f skipped, b ran").await;
}

#[tokio::test(start_paused = true)]
async fn without_anybody_to_drive_them_the_request_waits() {
    let bench = floating(vec![("a", &[], mark("a")), ("f", &["a"], slow())], &["f"]);
    let start = now();
    let reply = bench.run(request("/x", list(&[("1", "")]))).await;
    assert_eq!(rows(&reply.documents), [("a", "1")]);
    assert!(now() - start >= Duration::from_secs(5));
    assert_eq!((bench.executor("f").calls().len(), bench.executor("f").dropped()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_place_nobody_is_called() {
    let bench = floating(vec![("a", &[], mark("a")), ("f", &["a"], pass())], &["f"]);
    let later = Arc::new(Later { is_full: true, ..Later::default() });
    let plan = bench.plan().with_background(later);
    let reply = FlowEngine::run(&plan, request("/x", list(&[("1", "")]))).await;
    assert_eq!(story(&reply), "a not reached, f not reached");
    let problem = reply.failure.unwrap();
    assert_eq!((problem.code(), problem.retry_after_ms()), (ErrorCode::Overloaded, Some(1000)));
    assert!(bench.executor("a").calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn they_have_the_requests_time_and_fuel_and_outlive_its_failure() {
    let hang = ScriptedExecutor::new(&["/default"], vec![Step::Hang]);
    let boom = Step::After(
        Duration::from_millis(5),
        Box::new(Step::Fail(Problem::new(ErrorCode::GuestTrap, "trap"))),
    );
    let bench = floating(
        vec![
            ("a", &[], pass().with_fuel(600)),
            ("f", &["a"], hang),
            ("b", &["a"], ScriptedExecutor::new(&["/default"], vec![boom])),
            ("never", &["b"], pass()),
        ],
        &["f", "never"],
    );
    let later = Arc::new(Later::default());
    let plan = bench.plan().with_background(later.clone());
    let mut request = request("/x", list(&[("1", "")]));
    request.context.deadline = Some(now() + Duration::from_secs(3));
    let fuel = request.context.fuel.clone();
    let reply = FlowEngine::run(&plan, request).await;
    assert_eq!(story(&reply), "a ran, f floats, b failed with guest_trap, never not reached");
    assert_eq!(fuel.left(), 400);
    let start = now();
    later.catch_up().await;
    assert_eq!(now() - start, Duration::from_millis(2995));
    assert_eq!((bench.executor("f").dropped(), bench.executor("never").calls().len()), (1, 0));
}
