//! Callers that listen to an endpoint elsewhere.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;

/// A call whose documents go to the receiver.
fn listening(texts: &[&str]) -> (ExecutorCall, mpsc::Receiver<DocumentList>) {
    let (sender, receiver) = mpsc::channel(1);
    (ExecutorCall { emit: Some(sender), ..call("/upper", texts) }, receiver)
}

fn numbers(count: u32) -> impl Fn(u32) -> Option<DocumentList> + Send + Sync + 'static {
    move |number| (number < count).then(|| documents(&[&number.to_string()]))
}

/// What a caller hears, and how the call ends. Documents that were not emitted are told behind a dash.
async fn heard(remote: &RemoteExecutor, asked: &[&str]) -> (Vec<String>, Option<Problem>) {
    let (call, mut receiver) = listening(asked);
    let mut told = Vec::new();
    let taking = async {
        while let Some(list) = receiver.recv().await {
            told.extend(texts(&list));
        }
    };
    let (reply, ()) = timeout(PATIENCE, async { tokio::join!(remote.call(call), taking) }).await.unwrap();
    match reply {
        Ok(reply) => {
            told.extend(texts(&reply.documents).iter().map(|text| format!("- {text}")));
            (told, None)
        }
        Err(problem) => (told, Some(problem)),
    }
}

#[tokio::test]
async fn documents_are_passed_on_one_by_one() {
    let failure = Problem::new(ErrorCode::GuestError, "boom");
    let busy = Problem::new(ErrorCode::Unavailable, "gone");
    let other = Other::streaming(vec![
        Step::emit(numbers(3), Step::pass()),
        Step::emit(numbers(0), upper()),
        Step::emit(numbers(1), Step::Fail(failure)),
        Step::emit(numbers(1), Step::Fail(busy.clone())),
        Step::Fail(busy),
        upper(),
    ])
    .await;
    let remote = start(&[other.address]);
    remote.ready(PATIENCE, &|_| {}).await.unwrap();
    let check = async |asked: &[&str], expected: &[&str], code: Option<ErrorCode>| {
        let (told, problem) = heard(&remote, asked).await;
        assert_eq!(told, expected, "{problem:?}");
        assert_eq!(problem.as_ref().map(Problem::code), code, "{problem:?}");
    };
    check(&["a"], &["0", "1", "2", "a"], None).await;
    check(&["a"], &["A"], None).await;
    check(&["a"], &["0"], Some(ErrorCode::GuestError)).await;
    // What has been passed on is not asked for again.
    check(&["a"], &["0"], Some(ErrorCode::HostFault)).await;
    check(&["a"], &[], Some(ErrorCode::Unavailable)).await;
    // A stream begins with one document.
    check(&["a", "b"], &["- A", "- B"], None).await;
    assert_eq!(other.calls(), 6);
    assert_eq!(ask(&remote, "a").await.unwrap(), ["A"]);
}

#[tokio::test]
async fn what_does_not_stream_answers_at_once() {
    let other = Other::start(vec![upper()]).await;
    let remote = start(&[other.address]);
    remote.ready(PATIENCE, &|_| {}).await.unwrap();
    assert_eq!(heard(&remote, &["a"]).await.0, ["- A"]);
}

/// A gateway that is like the other one, but has never heard of streams.
async fn older(other: SocketAddr) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut running = JoinSet::new();
    running.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let there = TcpStream::connect(other).await.unwrap();
            let client = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(there));
            let (sender, driver) = client.await.unwrap();
            let answer = service_fn(move |request: http::Request<Incoming>| {
                let mut sender = sender.clone();
                async move {
                    if request.uri().path().ends_with("/stream_doc") {
                        let mut refused = http::Response::new(tonic::body::Body::empty());
                        for (name, value) in [("grpc-status", "12"), ("content-type", "application/grpc")] {
                            refused.headers_mut().insert(name, value.parse().unwrap());
                        }
                        return Ok(refused);
                    }
                    let answered = sender.send_request(request).await?;
                    Ok::<_, hyper::Error>(answered.map(tonic::body::Body::new))
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            connections.spawn(server.serve_connection(TokioIo::new(stream), answer).map(drop));
            connections.spawn(driver.map(drop));
        }
    });
    (address, running)
}

#[tokio::test]
async fn an_executor_that_knows_no_streams_answers_at_once() {
    let other = Other::streaming(vec![upper()]).await;
    let (address, _running) = older(other.address).await;
    let remote = start(&[address]);
    remote.ready(PATIENCE, &|_| {}).await.unwrap();
    for calls in 1..4 {
        assert_eq!(heard(&remote, &["a"]).await.0, ["- A"]);
        assert_eq!(other.calls(), calls);
        let connection = remote.addresses[0].connection().unwrap();
        assert!(!connection.may_stream(), "it is asked once");
    }
}

#[tokio::test]
async fn a_caller_that_takes_nothing_makes_the_other_side_wait() {
    const SIZE: usize = 128 << 10;
    // What fits into one window, and what is on its way beside it.
    const AHEAD: u32 = ((1 << 20) / SIZE) as u32 + 16;
    let emitted = Arc::new(AtomicU32::new(0));
    let count = emitted.clone();
    let text = "x".repeat(SIZE);
    let endless = move |number| {
        count.store(number, Ordering::Relaxed);
        Some(documents(&[&text]))
    };
    let other = Other::streaming(vec![Step::emit(endless, Step::pass())]).await;
    let remote = start(&[other.address]);
    remote.ready(PATIENCE, &|_| {}).await.unwrap();
    let (call, mut receiver) = listening(&["a"]);
    let taking = async {
        for taken in 1..100 {
            assert!(timeout(PATIENCE, receiver.recv()).await.unwrap().is_some());
            let emitted = emitted.load(Ordering::Relaxed);
            assert!(emitted <= taken + AHEAD, "{emitted} were emitted, {taken} taken");
        }
    };
    tokio::select! {
        reply = remote.call(call) => panic!("it has no end: {reply:?}"),
        () = taking => {}
    }
    // The caller has left, and the other side hears of it.
    until("the call has ended there", || other.script.dropped() == 1).await;
    assert_eq!(remote.addresses[0].in_flight(), 0);
}

#[tokio::test]
async fn a_receiver_that_is_gone_ends_the_call() {
    let other = Other::streaming(vec![Step::emit(numbers(u32::MAX), Step::pass())]).await;
    let remote = start(&[other.address]);
    remote.ready(PATIENCE, &|_| {}).await.unwrap();
    let (call, receiver) = listening(&["a"]);
    drop(receiver);
    let reply = timeout(PATIENCE, remote.call(call)).await.unwrap().unwrap();
    assert!(reply.documents.is_empty());
    until("the call has ended there", || other.script.dropped() == 1).await;
}
