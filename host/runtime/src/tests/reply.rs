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
