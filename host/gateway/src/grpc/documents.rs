//! `jina.JinaSingleDocumentRequestRPC/stream_doc`: one document in, documents out as they are emitted.
//!
//! One message per document. An executor's failure is the last message, with the document as it was sent to it; what the
//! host or the caller did wrong ends the stream with a status. An endpoint that does not stream is served as well: its
//! documents come when it is done. The guest waits while the caller takes nothing, and is stopped when it leaves.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use lockgate_domain::Problem;
use lockgate_wire::{grpc as wire, proto};
use tonic::{Request, Status};

use super::status::{status_of, status_of_refusal};
use crate::admission::{BytesPermit, Permit};
use crate::circumstances::{Arrival, Circumstances};
use crate::door::Visitor;
use crate::gate::Gate;
use crate::parts::{Part, Parts};
use crate::serve::{Answer, Prepared, Refusal};

/// The replies of one call. Dropping them stops the guests.
pub(super) struct Documents {
    /// None when the last message is known.
    parts: Option<Parts>,
    outbox: VecDeque<proto::SingleDocumentRequestProto>,
    /// Held while guests run.
    permit: Option<Permit>,
    /// Held until the last message has left.
    bytes: Option<BytesPermit>,
}

/// Begins a call; nothing runs before the first reply is asked for.
pub(super) fn documents(
    gate: &Gate,
    visitor: &dyn Visitor,
    request: Request<Bytes>,
) -> Result<Documents, Status> {
    let refuse = |problem: Problem| status_of(&problem);
    let circumstances = Circumstances::of(request.metadata().as_ref(), Arrival::now()).map_err(refuse)?;
    let message = request.into_inner();
    let permit = gate.admission.admit(message.len()).map_err(refuse)?;
    let visit = visitor.enter().map_err(refuse)?;
    let message = super::read(message, "SingleDocumentRequestProto").map_err(refuse)?;
    let request = wire::decode_single(message, &gate.options.limits).map_err(refuse)?;
    let prepared = Prepared::new(visit, request, circumstances);
    let parts = Parts::of(prepared.map_err(|refusal| status_of_refusal(&refusal))?);
    Ok(Documents { parts: Some(parts), outbox: VecDeque::new(), permit: Some(permit), bytes: None })
}

impl Documents {
    fn emit(&mut self, messages: Vec<proto::SingleDocumentRequestProto>) {
        let is_failure = |message: &proto::SingleDocumentRequestProto| {
            let status = message.header.as_ref().and_then(|header| header.status.as_ref());
            status.is_some_and(|status| status.code != i32::from(proto::status_proto::StatusCode::Success))
        };
        // Documents that cannot be written are the end: the guest need not make more of them.
        if messages.iter().any(is_failure) {
            self.parts = None;
        }
        self.outbox.extend(messages);
    }

    fn end(&mut self, ended: Result<Answer, Refusal>) -> Result<(), Status> {
        self.parts = None;
        let permit = self.permit.take();
        let mut answer = ended.map_err(|refusal| status_of_refusal(&refusal))?;
        self.bytes = permit.map(|permit| permit.into_bytes(answer.guard.take()));
        self.outbox.extend(wire::encode_singles(&answer.reply()));
        Ok(())
    }
}

impl Stream for Documents {
    type Item = Result<proto::SingleDocumentRequestProto, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(message) = self.outbox.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            let Some(parts) = &mut self.parts else { return Poll::Ready(None) };
            match ready!(Pin::new(&mut *parts).poll_next(cx)) {
                Some(Part::Emitted(documents)) => {
                    let messages = wire::encode_singles(&parts.label.part(&documents));
                    self.emit(messages);
                }
                Some(Part::Ended(ended)) => {
                    if let Err(status) = self.end(ended) {
                        return Poll::Ready(Some(Err(status)));
                    }
                }
                None => self.parts = None,
            }
        }
    }
}
