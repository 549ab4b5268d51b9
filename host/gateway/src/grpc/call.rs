//! `jina.JinaRPC/Call`: one stream, many requests beside each other.
//!
//! One task drives each stream; it belongs to the stream's replies, so a caller that goes away takes it along. It
//! reads on only while fewer than `prefetch` requests are in flight or wait to be taken, and gives up on a caller that
//! takes nothing for too long. A message beyond its tenant's quota is answered like an executor's failure, and the stream
//! goes on. Whatever ends the input, what is pending is finished and sent first.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use lockgate_domain::{ErrorCode, Problem};
use lockgate_wire::proto::DataRequestProto;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};

use super::status::{status_of, status_of_refusal};
use super::{answer, is_too_large};
use crate::admission::{BytesPermit, Doorstep, Permit};
use crate::circumstances::{Arrival, Circumstances};
use crate::door::Visitor;
use crate::gate::Gate;
use crate::http::body;
use crate::in_flight::InFlight;

/// Replies on their way from the driver to the connection.
const HANDOVER: usize = 8;

/// The replies of one stream. Dropping them stops everything the stream started.
pub(super) struct Replies {
    handed_over: mpsc::Receiver<DataRequestProto>,
    driver: JoinSet<Result<(), Status>>,
}

/// Begins a stream.
pub(super) fn replies(
    gate: Arc<Gate>,
    visitor: Arc<dyn Visitor>,
    request: Request<Streaming<Bytes>>,
) -> Result<Replies, Status> {
    let circumstances = Circumstances::of(request.metadata().as_ref(), Arrival::now())
        .map_err(|problem| status_of(&problem))?;
    let prefetch = prefetch(request.metadata(), gate.options.prefetch);
    let in_order = is_true(request.metadata(), "__results_in_order__");
    let (sender, handed_over) = mpsc::channel(HANDOVER);
    let driver = Driver {
        write_timeout: gate.options.write_timeout,
        gate,
        visitor,
        circumstances,
        inbound: request.into_inner(),
        prefetch,
        doorstep: Doorstep::new(),
        in_flight: InFlight::new(prefetch, in_order),
        outbox: VecDeque::new(),
        stalled_since: Instant::now(),
        end: None,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.drive(sender));
    Ok(Replies { handed_over, driver: tasks })
}

impl Stream for Replies {
    type Item = Result<DataRequestProto, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(reply) = ready!(self.handed_over.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(reply)));
        }
        match ready!(self.driver.poll_join_next(cx)) {
            None | Some(Ok(Ok(()))) => Poll::Ready(None),
            Some(Ok(Err(status))) => Poll::Ready(Some(Err(status))),
            Some(Err(_)) => Poll::Ready(Some(Err(Status::internal("the host failed")))),
        }
    }
}

struct Driver {
    gate: Arc<Gate>,
    visitor: Arc<dyn Visitor>,
    circumstances: Circumstances,
    inbound: Streaming<Bytes>,
    prefetch: usize,
    doorstep: Doorstep<Bytes>,
    in_flight: InFlight<(Result<DataRequestProto, Status>, BytesPermit)>,
    outbox: VecDeque<(DataRequestProto, BytesPermit)>,
    write_timeout: Duration,
    stalled_since: Instant,
    /// How the stream ends when nothing is pending; none while input is taken.
    end: Option<Result<(), Status>>,
}

impl Driver {
    async fn drive(mut self, handover: mpsc::Sender<DataRequestProto>) -> Result<(), Status> {
        let gate = self.gate.clone();
        let drain = gate.drain.cancelled();
        tokio::pin!(drain);
        loop {
            let is_open = self.end.is_none();
            let has_mail = !self.outbox.is_empty();
            if !is_open && !has_mail && self.doorstep.is_free() && self.in_flight.is_empty() {
                return self.end.unwrap_or(Ok(()));
            }
            let has_room =
                self.doorstep.is_free() && self.in_flight.has_room() && self.outbox.len() < self.prefetch;
            tokio::select! {
                room = handover.reserve(), if has_mail => match room {
                    Ok(room) => self.hand_over(room),
                    Err(_) => return Ok(()),
                },
                Some(done) = self.in_flight.next() => match done {
                    Ok((reply, bytes)) => self.finish(reply, bytes),
                    Err(_) => return Err(Status::internal("the host failed")),
                },
                (message, permit) = self.doorstep.admitted() => self.start(message, permit),
                message = self.inbound.message(), if is_open && has_room => self.take(message),
                () = sleep_until(self.stalled_since + self.write_timeout), if has_mail => {
                    return Err(Status::aborted("the caller takes no replies"));
                }
                () = drain.as_mut(), if is_open => self.end = Some(Err(status_of(&draining()))),
            }
        }
    }

    fn take(&mut self, message: Result<Option<Bytes>, Status>) {
        match message {
            Ok(Some(message)) => {
                let bytes = message.len();
                if let Some((message, permit)) = self.doorstep.admit(&self.gate.admission, message, bytes) {
                    self.start(message, permit);
                }
            }
            Ok(None) => self.end = Some(Ok(())),
            Err(status) if is_too_large(&status) => {
                self.end = Some(Err(status_of(&body::too_large(self.gate.options.max_message_bytes))));
            }
            Err(status) => self.end = Some(Err(status)),
        }
    }

    fn start(&mut self, message: Bytes, permit: Permit) {
        let (gate, visitor) = (self.gate.clone(), self.visitor.clone());
        let circumstances = self.circumstances.arriving_now();
        self.in_flight.start(async move {
            match answer(&gate, &*visitor, message, circumstances).await {
                Ok((reply, guard)) => (Ok(reply), permit.into_bytes(guard)),
                Err(refusal) => (Err(status_of_refusal(&refusal)), permit.into_bytes(None)),
            }
        });
    }

    fn finish(&mut self, reply: Result<DataRequestProto, Status>, bytes: BytesPermit) {
        match reply {
            Ok(reply) => {
                if self.outbox.is_empty() {
                    self.stalled_since = Instant::now();
                }
                self.outbox.push_back((reply, bytes));
            }
            // The first failure is the one that the caller is told; an end of input is none.
            Err(status) => {
                if !matches!(self.end, Some(Err(_))) {
                    self.end = Some(Err(status));
                }
            }
        }
    }

    fn hand_over(&mut self, room: mpsc::Permit<'_, DataRequestProto>) {
        if let Some((reply, _bytes)) = self.outbox.pop_front() {
            room.send(reply);
        }
        self.stalled_since = Instant::now();
    }
}

fn draining() -> Problem {
    Problem::new(ErrorCode::Unavailable, "the gateway is draining")
        .with_hint("send the requests that have no reply to another replica")
}

/// What the caller asks for, within what the gateway allows. 0 asks for no limit of the caller's own.
fn prefetch(metadata: &MetadataMap, most: usize) -> usize {
    let asked = metadata.get("__prefetch__").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    asked.filter(|asked| *asked > 0).map_or(most, |asked| asked.min(most))
}

fn is_true(metadata: &MetadataMap, key: &str) -> bool {
    metadata.get(key).is_some_and(|value| value.as_encoded_bytes().eq_ignore_ascii_case(b"true"))
}
