//! What a streaming endpoint emits, put together where nobody listens.
//!
//! The documents of a streaming endpoint are those that it emits. Where a caller takes them as they come, the call's own
//! list is empty. Where nobody does (an ordinary call, a stage in the middle of a flow, a shadow, an example), they are
//! put one behind the other here, and one that was emitted several times is there once, as it was emitted last. Bounded
//! by the executor's `documents` and `written_bytes`, all of them together: passing either stops the guest.
//!
//! An endpoint that does not call itself streaming has nobody to emit to.

use std::collections::HashMap;
use std::pin::pin;

use lockgate_domain::document::{BuildError, CommitError, Overlay, concat, names};
use lockgate_domain::{DocumentList, ErrorCode, LimitKind, Limits, Manifest, Problem};
use lockgate_flow::client::{ExecutorCall, ExecutorReply};
use lockgate_runtime::InvocationReply;
use tokio::sync::mpsc;

/// Lists on their way from the guest: it goes on while the one before is put away.
const ON_THEIR_WAY: usize = 1;

/// Where the documents of one call come from.
pub(crate) enum Gathering {
    /// The endpoint does not stream: they are those it returns.
    Returned,
    /// It streams, and somebody takes them as they come.
    Heard,
    /// It streams, and nobody does.
    Kept(Box<Kept>),
}

/// What was emitted so far.
pub(crate) struct Kept {
    emitted: mpsc::Receiver<DocumentList>,
    lists: Vec<DocumentList>,
    documents: u32,
    bytes: u64,
    limits: Limits,
}

impl Gathering {
    /// Sees to it that the call emits to where its documents are wanted.
    pub(crate) fn begin(manifest: &Manifest, limits: &Limits, call: &mut ExecutorCall) -> Self {
        let streams = manifest.endpoints.iter().any(|known| known.streaming && known.name == call.endpoint);
        if !streams {
            call.emit = None;
            return Self::Returned;
        }
        if call.emit.is_some() {
            return Self::Heard;
        }
        let (sender, emitted) = mpsc::channel(ON_THEIR_WAY);
        call.emit = Some(sender);
        Self::Kept(Box::new(Kept { emitted, lists: Vec::new(), documents: 0, bytes: 0, limits: *limits }))
    }

    /// Does the work and keeps what it emits; dropped in the middle when that is too much.
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Problem> {
        let Self::Kept(kept) = self else { return Ok(work.await) };
        let mut work = pin!(work);
        let done = loop {
            tokio::select! {
                biased;
                Some(list) = kept.emitted.recv() => kept.keep(list)?,
                done = &mut work => break done,
            }
        };
        while let Ok(list) = kept.emitted.try_recv() {
            kept.keep(list)?;
        }
        Ok(done)
    }

    /// The call's answer.
    pub(crate) fn reply(self, answer: InvocationReply) -> Result<ExecutorReply, Problem> {
        let documents = match self {
            Self::Returned => answer.documents,
            Self::Heard => DocumentList::default(),
            Self::Kept(kept) => kept.together()?,
        };
        Ok(ExecutorReply { documents, results: answer.results.into(), fuel: answer.fuel })
    }
}

impl Kept {
    fn keep(&mut self, list: DocumentList) -> Result<(), Problem> {
        let Limits { documents, written_bytes, .. } = self.limits;
        self.documents = self.documents.saturating_add(list.total());
        self.bytes = self.bytes.saturating_add(list.bytes());
        let passed = if self.documents > documents {
            Some((LimitKind::Documents, u64::from(documents), "documents"))
        } else if self.bytes > written_bytes {
            Some((LimitKind::WrittenBytes, written_bytes, "bytes"))
        } else {
            None
        };
        if let Some((kind, value, what)) = passed {
            let message = format!("the executor emitted more than {value} {what}, and nobody took them");
            return Err(Problem::limit(kind, value, message)
                .with_hint("call the endpoint as a stream, which keeps nothing"));
        }
        self.lists.push(list);
        Ok(())
    }

    fn together(self) -> Result<DocumentList, Problem> {
        let lists: Vec<&DocumentList> = self.lists.iter().collect();
        let all = concat(&lists, &self.limits).map_err(|error| apart(&error))?;
        let latest = latest(&all);
        if latest.len() == all.len() as usize {
            return Ok(all);
        }
        Overlay::new(all, &self.limits).snapshot(&latest).map_err(|error| too_much(&error))
    }
}

/// Per document the row at which it stands for the last time, in the order of the first. Without an id it is another one
/// each time.
fn latest(all: &DocumentList) -> Vec<u32> {
    let mut rows = Vec::with_capacity(all.len() as usize);
    let mut places = HashMap::new();
    for row in 0..all.len() {
        match all.text(names::ID, row).filter(|id| !id.is_empty()) {
            Some(id) => match places.get(id) {
                Some(&place) => {
                    if let Some(known) = rows.get_mut::<usize>(place) {
                        *known = row;
                    }
                }
                None => {
                    places.insert(id, rows.len());
                    rows.push(row);
                }
            },
            None => rows.push(row),
        }
    }
    rows
}

fn apart(error: &BuildError) -> Problem {
    match error {
        BuildError::Arrange(error) => too_much(error),
        BuildError::TooManyColumns { limit } => {
            Problem::limit(LimitKind::Columns, u64::from(*limit), message(error))
        }
        BuildError::MixedKinds { .. }
        | BuildError::WrongKind { .. }
        | BuildError::TooManyCells { .. }
        | BuildError::BadName { .. } => Problem::new(ErrorCode::ContractViolation, message(error))
            .with_hint("let the executor emit each field with one kind"),
    }
}

fn too_much(error: &CommitError) -> Problem {
    match error.limit() {
        Some((kind, value)) => Problem::limit(kind, value, message(error)),
        None => Problem::new(ErrorCode::HostFault, message(error)),
    }
}

fn message(error: &dyn std::fmt::Display) -> String {
    format!("what the executor emitted cannot be one list: {error}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lockgate_domain::document::DocumentListBuilder;
    use lockgate_domain::{EndpointName, FuelBudget, Parameters, RequestContext, RequestId, TenantName};

    use super::*;

    fn list(documents: &[(&str, &str)]) -> DocumentList {
        let mut builder = DocumentListBuilder::new(Limits::default());
        for (id, text) in documents {
            let row = builder.push_root().unwrap();
            builder.set_text("id", row, id).unwrap();
            builder.set_text("text", row, text).unwrap();
        }
        builder.finish().unwrap()
    }

    fn returned(text: &str) -> InvocationReply {
        InvocationReply { documents: list(&[("r", text)]), results: None, fuel: 1 }
    }

    fn call(endpoint: &str) -> ExecutorCall {
        ExecutorCall {
            endpoint: EndpointName::parse(endpoint).unwrap(),
            documents: DocumentList::default(),
            parameters: Parameters::default(),
            inputs: Vec::new().into(),
            context: RequestContext::new(RequestId::fresh(), TenantName::local(), FuelBudget::new(1)),
            emit: None,
        }
    }

    fn manifest() -> Manifest {
        Manifest::parse(r#"{"endpoints": [{"name": "/stream", "streaming": true}, {"name": "/plain"}]}"#)
            .unwrap()
    }

    /// Emits the lists, returns one document, and gives the ids and texts of the answer.
    async fn answer(
        endpoint: &str,
        limits: Limits,
        emits: &[&[(&str, &str)]],
    ) -> Result<Vec<String>, Problem> {
        let mut call = call(endpoint);
        let mut gathering = Gathering::begin(&manifest(), &limits, &mut call);
        let emit = call.emit.take();
        let work = async {
            for documents in emits {
                if let Some(emit) = &emit {
                    emit.send(list(documents)).await.unwrap();
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gathering.beside(work)).await.unwrap()?;
        let reply = gathering.reply(returned("returned"))?;
        let text = |name, row| reply.documents.text(name, row).unwrap_or("none");
        Ok((0..reply.documents.len())
            .map(|row| format!("{} {}", text("id", row), text("text", row)))
            .collect())
    }

    #[tokio::test]
    async fn what_is_emitted_is_the_answer() {
        let check = async |endpoint: &str, emits: &[&[(&str, &str)]], expected: &[&str]| {
            assert_eq!(answer(endpoint, Limits::default(), emits).await.unwrap(), expected);
        };
        check("/plain", &[], &["r returned"]).await;
        check("/stream", &[], &[]).await;
        check("/stream", &[&[("a", "1"), ("b", "2")], &[("c", "3")]], &["a 1", "b 2", "c 3"]).await;
        check("/stream", &[&[("a", "1")], &[("b", "2")], &[("a", "12")]], &["a 12", "b 2"]).await;
        check("/stream", &[&[("", "1")], &[("", "1")]], &[" 1", " 1"]).await;
    }

    #[tokio::test]
    async fn too_much_is_refused() {
        let few = Limits { documents: 2, ..Limits::default() };
        let problem = answer("/stream", few, &[&[("a", "1"), ("b", "2")], &[("c", "3")]]).await.unwrap_err();
        assert_eq!(problem.limit_passed(), Some((LimitKind::Documents, 2)));
        let small = Limits { written_bytes: 10, ..Limits::default() };
        let problem = answer("/stream", small, &[&[("a", "0123456789")]]).await.unwrap_err();
        assert_eq!(problem.limit_passed(), Some((LimitKind::WrittenBytes, 10)));
    }

    #[tokio::test]
    async fn a_caller_that_listens_gets_them_itself() {
        let mut call = call("/stream");
        let (sender, _receiver) = mpsc::channel(1);
        call.emit = Some(sender);
        let gathering = Gathering::begin(&manifest(), &Limits::default(), &mut call);
        assert!(call.emit.is_some());
        let reply = gathering.reply(returned("x")).unwrap();
        assert!(reply.documents.is_empty());
    }
}
