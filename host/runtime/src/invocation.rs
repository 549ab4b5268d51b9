//! What a caller asks of a pool, and what it gets.

use std::sync::Arc;

use lockgate_domain::{DocumentList, EndpointName, ExecutorName, Parameters, RequestContext, Results};
use tokio::sync::mpsc;

/// The upstream lists that were joined into a request: executor, first row, number of rows.
pub type Inputs = Arc<[(ExecutorName, u32, u32)]>;

/// One call of an executor.
#[derive(Debug)]
pub struct Invocation {
    /// what the client addressed; resolved against the manifest, and a call of an endpoint that the executor does not
    /// serve passes the documents through
    pub endpoint: EndpointName,
    /// the documents; shared, never copied
    pub documents: DocumentList,
    /// the parameters as this executor sees them
    pub parameters: Parameters,
    /// the joined lists; empty where there is one input
    pub inputs: Inputs,
    /// who asks, until when, with what fuel
    pub context: RequestContext,
    /// where emitted documents go; without it `emit` tells the guest that nobody listens
    pub emit: Option<mpsc::Sender<DocumentList>>,
}

/// The answer to an [`Invocation`].
#[derive(Debug)]
pub struct InvocationReply {
    /// the documents after the call; untouched columns are the request's own
    pub documents: DocumentList,
    /// what the guest gave beside them
    pub results: Option<Box<Results>>,
    /// fuel burned
    pub fuel: u64,
}
