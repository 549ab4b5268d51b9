//! A request whose documents leave as they are emitted.
//!
//! The flow runs inside whoever asks for the next part, so it stands still while nobody asks: that is the backpressure,
//! one list on its way and one in the guest's hands. Dropping the parts stops the guests. The answer comes last; its
//! documents are those that were not emitted, because some executor at the end of the flow does not stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::future::BoxFuture;
use lockgate_domain::DocumentList;
use tokio::sync::mpsc;

use crate::serve::{Answer, Label, Prepared, Refusal};

/// Lists on their way to the caller.
const ON_THEIR_WAY: usize = 1;

/// One piece of what a caller gets.
pub(crate) enum Part {
    /// Documents that an executor emitted.
    Emitted(DocumentList),
    /// How the request ended; nothing comes after it.
    Ended(Result<Answer, Refusal>),
}

/// All parts of one request.
pub(crate) struct Parts {
    pub(crate) label: Label,
    emitted: mpsc::Receiver<DocumentList>,
    state: State,
}

enum State {
    Running(BoxFuture<'static, Result<Answer, Refusal>>),
    /// What was emitted last may still be on its way.
    Ending(Box<Result<Answer, Refusal>>),
    Over,
}

impl Parts {
    /// Begins a request; nothing runs before the first part is asked for.
    pub(crate) fn of(prepared: Prepared) -> Self {
        let label = prepared.label().clone();
        let (sender, emitted) = mpsc::channel(ON_THEIR_WAY);
        Self { label, emitted, state: State::Running(Box::pin(prepared.run(Some(sender)))) }
    }
}

impl Stream for Parts {
    type Item = Part;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Part>> {
        let parts = &mut *self;
        if let State::Running(running) = &mut parts.state {
            // First, because it is older than anything that the guest does next.
            if let Poll::Ready(Some(documents)) = parts.emitted.poll_recv(cx) {
                return Poll::Ready(Some(Part::Emitted(documents)));
            }
            match running.as_mut().poll(cx) {
                Poll::Ready(ended) => parts.state = State::Ending(Box::new(ended)),
                Poll::Pending => {
                    return match parts.emitted.poll_recv(cx) {
                        Poll::Ready(Some(documents)) => Poll::Ready(Some(Part::Emitted(documents))),
                        Poll::Ready(None) | Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
        if let Ok(documents) = parts.emitted.try_recv() {
            return Poll::Ready(Some(Part::Emitted(documents)));
        }
        match std::mem::replace(&mut parts.state, State::Over) {
            State::Ending(ended) => Poll::Ready(Some(Part::Ended(*ended))),
            State::Running(_) | State::Over => Poll::Ready(None),
        }
    }
}
