//! What a call gives back: documents, errors, emitted lists, log lines.

use lockgate_domain::document::Values;
use lockgate_domain::{ErrorCode, GrpcCode};

use super::guest::{Guest, OK};
use super::*;

#[tokio::test]
async fn untouched_documents_come_back_shared() {
    let pool = pool(&Guest::calling(OK));
    let given = invocation();
    let before = given.documents.clone();
    let reply = pool.invoke(given).await.unwrap();
    assert_eq!(reply.documents, before);
    assert!(std::ptr::eq(reply.documents.columns(), before.columns()));
    assert!(reply.fuel > 0);
}

#[tokio::test]
async fn fuel_is_settled_to_the_unit() {
    let pool = pool(&Guest::calling(OK));
    let given = invocation();
    let budget = given.context.fuel.clone();
    let reply = pool.invoke(given).await.unwrap();
    assert_eq!(budget.total() - budget.left(), reply.fuel);
    let second = pool.invoke(invocation()).await.unwrap();
    assert_eq!(second.fuel, reply.fuel, "the same call burns the same fuel");
}

const WRITE: &str = r#"
    (i64.store (i32.const 200) (i64.const 1)) (i64.store (i32.const 208) (i64.const 42))
    (call $set-integer (i32.const 300) (i32.const 4) (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 400))"#;

#[tokio::test]
async fn writes_take_effect_when_the_call_is_ok() {
    let call = Box::leak(format!("{WRITE} {OK}").into_boxed_str());
    let pool = pool(&Guest { items: r#"(data (i32.const 300) "rank")"#, ..Guest::calling(call) });
    let reply = pool.invoke(invocation()).await.unwrap();
    match reply.documents.column("rank").unwrap().values() {
        Values::Integer(values) => assert_eq!(values.get(1), Some(&Some(42))),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_error_of_the_guest_keeps_the_instance() {
    let items = r#"(data (i32.const 500) "no\1b such\0athing") (data (i32.const 540) "{\22k\22:1}")"#;
    let call = "(call $fail (i32.const 500) (i32.const 14) (i32.const 540) (i32.const 7))";
    let pool = pool(&Guest { items, ..Guest::calling(call) });
    let problem = fails(&pool).await;
    assert_eq!(problem.code(), ErrorCode::GuestError);
    assert_eq!(problem.grpc(), GrpcCode::InvalidArgument);
    assert_eq!(problem.message(), r"no\u{1b} such\nthing");
    assert_eq!(problem.details(), Some(&serde_json::json!({"k": 1})));
    fails(&pool).await;
    let stats = pool.stats();
    assert_eq!((stats.built, stats.guest_errors, stats.traps, stats.idle), (1, 2, 0, 1));
}

#[tokio::test]
async fn an_endpoint_that_nobody_serves_passes_documents_through() {
    let pool = pool(&Guest::calling("(unreachable)"));
    let endpoint = EndpointName::parse("/other").unwrap();
    let reply = pool.invoke(Invocation { endpoint, ..invocation() }).await.unwrap();
    assert_eq!((reply.documents, reply.fuel), (documents(3), 0));
    assert_eq!(pool.stats().live, 0);
}

#[tokio::test]
async fn emitted_documents_arrive_under_backpressure() {
    const EMIT: &str = r#"(local $i i32)
      (loop $l
        (call $emit (i32.const 600) (i32.const 1) (i32.const 700))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 5))))
      (i32.const 16)"#;
    let pool = pool(&Guest { items: r#"(data (i32.const 600) "\02\00\00\00")"#, ..Guest::calling(EMIT) });
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let call = pool.invoke(Invocation { emit: Some(sender), ..invocation() });
    let collect = async {
        let mut texts = Vec::new();
        while let Some(list) = receiver.recv().await {
            texts.push(list.text("text", 0).unwrap().to_owned());
        }
        texts
    };
    let (reply, texts) = tokio::join!(call, collect);
    reply.unwrap();
    assert_eq!(texts, ["text 2"; 5]);
    // Nobody listens: emit says so and the call goes on.
    pool.invoke(invocation()).await.unwrap();
}

/// Everything that is logged while a test's thread holds this.
#[derive(Clone, Default)]
struct Captured(Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_log_flood_is_bounded_and_told() {
    const FLOOD: &str = r#"(local $i i32)
      (loop $l
        (call $log (i32.const 2) (i32.const 500) (i32.const 11))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 1000))))
      (call $log (i32.const 4) (i32.const 500) (i32.const 11))
      (unreachable)"#;
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let guest = Guest { items: r#"(data (i32.const 500) "hello\0a\1b[2J!")"#, ..Guest::calling(FLOOD) };
    let limits = Limits { log_lines: 3, ..Limits::default() };
    let problem = fails(&pool_with(&guest, limits, options(InstanceMode::Reused, 1))).await;
    assert_eq!(problem.hint(), Some(r"its last words: hello\n\u{1b}[2J!"));
    let text = String::from_utf8(captured.0.lock().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let line = r#" INFO lockgate::guest: hello\n\u{1b}[2J! executor="ex" request="r1""#;
    assert_eq!(lines.get(..3), Some([line; 3].as_slice()), "{text}");
    assert_eq!(
        lines.get(3..),
        Some([r#" WARN lockgate::guest: 998 more lines dropped executor="ex" request="r1""#].as_slice())
    );
}

#[test]
fn metrics_are_bounded() {
    use crate::{GuestMetric, MetricKind};
    let metrics = crate::metrics::GuestMetrics::default();
    let executor = "ex".parse().unwrap();
    let record = |kind, name: &str, value| metrics.record(&executor, kind, name, value, &[]);
    record(MetricKind::Counter, "hits", 2.0);
    record(MetricKind::Counter, "hits", 3.0);
    record(MetricKind::Gauge, "hits", 3.0);
    record(MetricKind::Gauge, "depth", 3.0);
    record(MetricKind::Gauge, "depth", 1.0);
    record(MetricKind::Counter, "bad name\n", 1.0);
    record(MetricKind::Counter, "nan", f64::NAN);
    (0..100).for_each(|index| record(MetricKind::Counter, &format!("name-{index}"), 1.0));
    let (book, dropped) = metrics.read();
    assert_eq!(book.get("hits"), Some(&GuestMetric { kind: MetricKind::Counter, value: 5.0, count: 2 }));
    assert_eq!(book.get("depth"), Some(&GuestMetric { kind: MetricKind::Gauge, value: 1.0, count: 2 }));
    assert_eq!((book.len(), dropped), (64, 3 + 38));
}

#[test]
fn log_lines_are_escaped_cut_and_counted() {
    let check = |text: &str, limit: usize, expected: &str| {
        assert_eq!(crate::log::escape(text, limit), expected);
    };
    check("plain ä", 100, "plain ä");
    check("a\nb\r\x1b[31m", 100, r"a\nb\r\u{1b}[31m");
    check("{\"level\":\"error\"}\u{2028}x\u{202e}", 100, "{\"level\":\"error\"}\\u{2028}x\\u{202e}");
    check("abcdef", 4, "abcd [cut]");
    check("äää", 3, "ä [cut]");
}
