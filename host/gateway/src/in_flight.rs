//! The requests of one stream that are worked on at once, and the order in which their replies leave.
//!
//! Each request is a task, so that a stream uses more than one core and a reader that stands still keeps no guest
//! half-way. The tasks belong to the set: dropping it stops them all. What bounds it is the stream's prefetch, replies
//! that wait for their turn included.

use std::collections::BTreeMap;

use tokio::task::{JoinError, JoinSet};

/// Tasks of one stream.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    tasks: JoinSet<(u64, T)>,
    order: Order<T>,
    limit: usize,
    started: u64,
}

/// How replies leave.
#[derive(Debug)]
enum Order<T> {
    Completion,
    /// The next number to leave, and those that are ready too early.
    Arrival {
        next: u64,
        early: BTreeMap<u64, T>,
    },
}

impl<T: Send + 'static> InFlight<T> {
    /// At most `limit` requests; replies in order of completion, or of arrival.
    pub(crate) fn new(limit: usize, in_order: bool) -> Self {
        let order =
            if in_order { Order::Arrival { next: 0, early: BTreeMap::new() } } else { Order::Completion };
        Self { tasks: JoinSet::new(), order, limit: limit.max(1), started: 0 }
    }

    /// Whether nothing is worked on and nothing waits for its turn.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether another request may start.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.limit
    }

    /// Starts a request.
    pub(crate) fn start(&mut self, work: impl Future<Output = T> + Send + 'static) {
        let number = self.started;
        self.started += 1;
        self.tasks.spawn(async move { (number, work.await) });
    }

    /// The next reply to leave; none while nothing is in flight. Dropping the future loses nothing. An error is a
    /// panic in the host: the order can no longer be kept, so the stream has to end.
    pub(crate) async fn next(&mut self) -> Option<Result<T, JoinError>> {
        loop {
            if let Order::Arrival { next, early } = &mut self.order
                && let Some(reply) = early.remove(next)
            {
                *next += 1;
                return Some(Ok(reply));
            }
            let (number, reply) = match self.tasks.join_next().await? {
                Ok(done) => done,
                Err(error) => return Some(Err(error)),
            };
            match &mut self.order {
                Order::Completion => return Some(Ok(reply)),
                Order::Arrival { early, .. } => {
                    early.insert(number, reply);
                }
            }
        }
    }

    fn len(&self) -> usize {
        match &self.order {
            Order::Completion => self.tasks.len(),
            Order::Arrival { early, .. } => self.tasks.len() + early.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    async fn check(in_order: bool, expected: &[u64]) {
        let mut in_flight = InFlight::new(3, in_order);
        let mut release = Vec::new();
        for number in 0..3_u64 {
            let (sender, receiver) = oneshot::channel::<()>();
            release.push(sender);
            in_flight.start(async move { receiver.await.map(|()| number).unwrap() });
        }
        assert!(!in_flight.has_room());
        let mut replies = Vec::new();
        for sender in release.into_iter().rev() {
            sender.send(()).unwrap();
            if !in_order {
                replies.push(in_flight.next().await.unwrap().unwrap());
            }
        }
        while let Some(reply) = in_flight.next().await {
            replies.push(reply.unwrap());
        }
        assert_eq!(replies, expected);
        assert!(in_flight.is_empty());
    }

    #[tokio::test]
    async fn replies_leave_in_the_order_asked_for() {
        check(false, &[2, 1, 0]).await;
        check(true, &[0, 1, 2]).await;
    }

    #[tokio::test]
    async fn dropping_the_set_stops_the_work() {
        let (guard, dropped) = oneshot::channel::<()>();
        let mut in_flight = InFlight::new(1, false);
        in_flight.start(async move {
            std::future::pending::<()>().await;
            drop(guard);
        });
        tokio::task::yield_now().await;
        drop(in_flight);
        assert!(dropped.await.is_err());
    }
}
