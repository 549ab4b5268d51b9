//! The requests of one HTTP/2 connection, worked on where their bytes came in.
//!
//! A short call is over with its first poll. In the connection's own task that costs no other task and wakes no other
//! thread, and its reply leaves in one write with those of its neighbours. A request that has to wait for something, or
//! for its turn behind others that took [`TURN`], becomes a task of its own: one connection may use every core, and no
//! request is held up by a long one before it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioExecutor;
use tokio::task::coop::unconstrained;

use crate::cork::Cork;

/// How long the requests that came in together may work before the rest of them go elsewhere. Above what a short call
/// takes, so that a burst of them stays together, and below what anybody notices.
const TURN: Duration = Duration::from_micros(200);

/// Turns in one go: a peer that sends on and on does not keep the thread from other connections.
const TURNS: usize = 5;

type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where hyper leaves the requests of a connection. Holds what came in since the connection was last polled, which is
/// bounded by the streams that a peer may open at once. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Streams {
    came: Arc<Mutex<Vec<Request>>>,
    /// Of the connection's socket.
    pub(crate) cork: Cork,
    /// Whether it has come to requests of HTTP/2. On HTTP/1 there is nothing to gather, and a socket that becomes a
    /// WebSocket leaves with nothing in it.
    speaks_http2: Arc<AtomicBool>,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, request: F) {
        self.speaks_http2.store(true, Ordering::Relaxed);
        self.came.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(request));
    }
}

impl Streams {
    /// Drives a connection and the beginnings of its requests to its end.
    pub(crate) async fn drive<C: Future>(&self, mut connection: Pin<&mut C>) -> C::Output {
        std::future::poll_fn(|cx| {
            let (mut goes_on, mut turns) = (true, 0);
            loop {
                self.cork.set(goes_on && self.speaks_http2.load(Ordering::Relaxed));
                let polled = connection.as_mut().poll(cx);
                self.cork.set(false);
                let came = self.take();
                let has_more = !came.is_empty() || (goes_on && self.cork.is_holding());
                if polled.is_ready() || !has_more {
                    came.into_iter().for_each(begin_elsewhere);
                    return polled;
                }
                // Polled once more the connection writes the replies, and last what the cork held.
                goes_on = !came.is_empty();
                turns += 1;
                if turns <= TURNS {
                    begin_here(came, cx);
                } else {
                    came.into_iter().for_each(begin_elsewhere);
                }
            }
        })
        .await
    }

    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.came.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn begin_here(requests: Vec<Request>, cx: &mut Context<'_>) {
    let end = Instant::now() + TURN;
    let mut is_over = false;
    for mut request in requests {
        if is_over || begin(request.as_mut(), cx) == Poll::Pending {
            begin_elsewhere(request);
        }
        is_over = is_over || Instant::now() >= end;
    }
}

/// The first poll, with what a task of its own would have: a budget, for all of them together have TURN, and a panic
/// that ends nothing else. What panicked is over; its drop resets the stream.
fn begin(request: Pin<&mut (dyn Future<Output = ()> + Send)>, cx: &mut Context<'_>) -> Poll<()> {
    let first = AssertUnwindSafe(|| pin!(unconstrained(request)).poll(cx));
    catch_unwind(first).unwrap_or(Poll::Ready(()))
}

fn begin_elsewhere(request: Request) {
    hyper::rt::Executor::execute(&TokioExecutor::new(), request);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use hyper::rt::Executor as _;
    use tokio::sync::oneshot;

    use super::*;

    /// What is over with its first poll runs in the connection's task; what waits, and what comes after something long,
    /// runs elsewhere; all of it runs.
    #[tokio::test]
    async fn short_requests_stay_and_others_leave() {
        let streams = Streams::default();
        let own = tokio::task::try_id();
        let (here, elsewhere) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (waiting, awaited) = oneshot::channel::<()>();
        let (ended, end) = oneshot::channel::<()>();
        let count = |number: usize| {
            let (here, elsewhere) = (here.clone(), elsewhere.clone());
            move || {
                let place = if tokio::task::try_id() == own { here } else { elsewhere };
                place.fetch_add(number, Ordering::SeqCst);
            }
        };
        let request = {
            let (short, long, late, last) = (count(1), count(10), count(100), count(1000));
            let streams = streams.clone();
            async move {
                streams.execute(async move { short() });
                streams.execute(async move {
                    awaited.await.ok();
                    late();
                });
                streams.execute(async move {
                    long();
                    let start = Instant::now();
                    while start.elapsed() < TURN {}
                });
                streams.execute(async move {
                    last();
                    ended.send(()).ok();
                });
                end.await.ok();
                waiting.send(()).ok();
            }
        };
        let connection = pin!(request);
        streams.drive(connection).await;
        while elsewhere.load(Ordering::SeqCst) < 1100 {
            tokio::task::yield_now().await;
        }
        let (here, elsewhere) = (here.load(Ordering::SeqCst), elsewhere.load(Ordering::SeqCst));
        // On a busy machine the turn may be over before the long one begins.
        assert!(matches!((here, elsewhere), (11, 1100) | (1, 1110)), "{here} {elsewhere}");
    }

    #[tokio::test]
    async fn a_panic_ends_nothing_else() {
        let streams = Streams::default();
        let (ended, end) = oneshot::channel::<()>();
        let connection = async {
            streams.execute(async { panic!("on purpose") });
            streams.execute(async move { ended.send(()).unwrap() });
            end.await
        };
        assert_eq!(streams.drive(pin!(connection)).await, Ok(()));
    }
}
