//! A caller that listens to a streaming endpoint elsewhere: each document is passed on as it comes.
//!
//! A stream begins with one document, as in Jina; several are called as ever, and so is an executor that knows no
//! streams. The next document is read when the one before was taken, so a caller that takes nothing makes the other side
//! wait, behind one window of HTTP/2; a caller that leaves drops the stream, which ends it there. Each message has the
//! bounds of an answer; all of them together have the call's time, as those of an executor of our own. What was passed on
//! cannot be taken back: a stream that has begun is not tried again.

use lockgate_flow::client::{EmitSender, ExecutorCall};
use lockgate_wire::grpc;
use tonic::Code;

use super::RemoteExecutor;
use super::address::Visit;
use super::balance::Choice;
use super::connection::Connection;
use super::failure::{Outcome, in_answer, sort_out_stream, unreadable};

/// What became of a stream.
pub(super) enum Streamed {
    /// All that it gave has been passed on.
    Ended,
    /// The other side knows no streams, and has done nothing.
    Unknown,
}

impl RemoteExecutor {
    /// Who is to get the documents of this call one by one.
    pub(super) fn listener<'a>(
        &self,
        call: &'a ExecutorCall,
        connection: &Connection,
    ) -> Option<&'a EmitSender> {
        let manifest = self.shared.manifest.load();
        let streams = manifest.resolve(&call.endpoint).is_some_and(|endpoint| endpoint.streaming);
        let is_asked = streams && call.documents.len() == 1 && connection.may_stream();
        call.emit.as_ref().filter(|_| is_asked)
    }

    /// Passes on what comes until it ends, or nobody takes it any more.
    pub(super) async fn stream(
        &self,
        call: &ExecutorCall,
        emit: &EmitSender,
        choice: &Choice,
        visit: &mut Visit<'_>,
    ) -> Result<Streamed, Outcome> {
        let (name, url) = (&self.shared.name, choice.address.url());
        let request = self.encode(call, &choice.connection, grpc::encode_single)?;
        let mut messages = match choice.connection.stream(request).await {
            Ok(messages) => messages,
            Err(status) if status.code() == Code::Unimplemented => return Ok(Streamed::Unknown),
            Err(status) => return Err(sort_out_stream(name, url, &status, false)),
        };
        let mut is_begun = false;
        loop {
            let message = match messages.message().await {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(status) if status.code() == Code::Unimplemented && !is_begun => {
                    return Ok(Streamed::Unknown);
                }
                Err(status) => return Err(sort_out_stream(name, url, &status, is_begun)),
            };
            is_begun = true;
            visit.answered();
            let answer = grpc::decode_single_reply(message, &self.shared.limits)
                .map_err(|problem| Outcome::Answered(unreadable(name, url, &problem)))?;
            if let Some(problem) = answer.failure {
                return Err(Outcome::Answered(in_answer(name, problem)));
            }
            if emit.send(answer.documents).await.is_err() {
                break;
            }
        }
        visit.answered();
        Ok(Streamed::Ended)
    }
}
