//! Runs one request, whatever protocol it came by.
//!
//! An executor's failure is an answer: it travels inside the reply, beside the documents. What the host or the caller
//! did wrong ends the request with an error of the protocol.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use lockgate_domain::{
    DocumentList, EndpointName, ErrorCode, ErrorSource, Explanations, FuelBudget, Parameters, Problem,
    RequestContext, RequestId,
};
use lockgate_flow::client::EmitSender;
use lockgate_flow::engine::{FlowEngine, FlowReply, FlowRequest};
use lockgate_flow::target::TargetPattern;
use lockgate_wire::envelope::{Dialect, Head, Reply, Request, Route};

use crate::admission::Guard;
use crate::circumstances::{Arrival, Circumstances, REQUEST_ID};
use crate::door::Visit;
use crate::routes::ServedFlow;

/// Shortest time that an answer shows for the gateway: Jina's profiler divides by it in whole milliseconds.
const SHORTEST_ROUTE: Duration = Duration::from_millis(1);

/// What a served request gave; lends itself to an encoder.
pub(crate) struct Answer {
    pub(crate) id: RequestId,
    /// None where it could not be read.
    endpoint: Option<EndpointName>,
    parameters: Parameters,
    routes: Vec<Route>,
    failure: Option<Problem>,
    documents: DocumentList,
    dialect: Dialect,
    /// Held until the reply has left.
    pub(crate) guard: Option<Guard>,
}

/// A request that was not served, and under which id.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// None if the request could not be read so far.
    pub(crate) id: Option<RequestId>,
    pub(crate) problem: Problem,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { id: None, problem }
    }
}

impl Answer {
    /// The answer to a message that was not let in. `head` is what could be read of it.
    pub(crate) fn refusing(head: Head, problem: &Problem) -> Self {
        let endpoint = head.endpoint.as_deref().and_then(|endpoint| EndpointName::parse(endpoint).ok());
        Self {
            id: head.id.as_deref().map_or_else(RequestId::fresh, RequestId::accept),
            endpoint,
            parameters: Parameters::default(),
            routes: Vec::new(),
            failure: Some(problem.clone()),
            documents: DocumentList::default(),
            dialect: Dialect::DocArrayV1,
            guard: None,
        }
    }

    pub(crate) fn reply(&self) -> Reply<'_> {
        Reply {
            request_id: self.id.as_str(),
            endpoint: self.endpoint.as_ref().map_or("/", EndpointName::as_str),
            parameters: &self.parameters,
            routes: &self.routes,
            failure: self.failure.as_ref(),
            documents: &self.documents,
            dialect: self.dialect,
        }
    }
}

/// A request that may be served, and what is known of its answer already.
pub(crate) struct Prepared {
    flow: Arc<ServedFlow>,
    request: FlowRequest,
    arrival: Arrival,
    guard: Option<Guard>,
    /// What its parts and its answer have in common.
    label: Label,
}

/// Which request it is, and how its caller writes documents.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) id: RequestId,
    endpoint: EndpointName,
    dialect: Dialect,
}

impl Label {
    /// A part of an answer that is not complete: documents that were emitted, and nothing else.
    pub(crate) fn part<'a>(&'a self, documents: &'a DocumentList) -> Reply<'a> {
        static NONE: LazyLock<Parameters> = LazyLock::new(Parameters::default);
        Reply {
            request_id: self.id.as_str(),
            endpoint: self.endpoint.as_str(),
            parameters: &NONE,
            routes: &[],
            failure: None,
            documents,
            dialect: self.dialect,
        }
    }
}

/// Runs a request through a flow. Dropping the future stops the guests.
pub(crate) async fn serve_request(
    visit: Visit,
    request: Request,
    circumstances: Circumstances,
) -> Result<Answer, Refusal> {
    Prepared::new(visit, request, circumstances)?.run(None).await
}

impl Prepared {
    /// Checks what can be checked before anything runs.
    pub(crate) fn new(visit: Visit, request: Request, circumstances: Circumstances) -> Result<Self, Refusal> {
        let Visit { tenant, flow, guard } = visit;
        let id = request_id(&request, &circumstances);
        let refuse = |problem| Refusal { id: Some(id.clone()), problem };
        let endpoint = parse_endpoint(request.endpoint.as_deref()).map_err(refuse)?;
        let target_executor = parse_target(request.target_executor.as_deref()).map_err(refuse)?;
        let arrival = circumstances.arrival;
        let deadline = deadline(&flow, &circumstances);
        if deadline <= arrival.instant {
            return Err(refuse(too_late()));
        }
        let context = RequestContext {
            id: id.clone(),
            tenant,
            headers: circumstances.headers,
            deadline: Some(deadline),
            fuel: FuelBudget::new(flow.fuel),
            explanations: circumstances.explain.then(Explanations::default),
        };
        let label = Label { id, endpoint: endpoint.clone(), dialect: request.dialect };
        let request = FlowRequest {
            endpoint,
            target_executor,
            documents: request.documents.with_ids(),
            parameters: request.parameters,
            context,
            emit: None,
        };
        Ok(Self { flow, request, arrival, guard, label })
    }

    /// What its parts and its answer have in common.
    pub(crate) fn label(&self) -> &Label {
        &self.label
    }

    /// Runs it. What streaming endpoints emit goes to `emit` if somebody listens there, else it is part of the answer.
    pub(crate) async fn run(self, emit: Option<EmitSender>) -> Result<Answer, Refusal> {
        let Self { flow, mut request, arrival, guard, label } = self;
        let Label { id, endpoint, dialect } = label;
        let parameters = request.parameters.clone();
        let explanations = request.context.explanations.clone();
        request.emit = emit;
        let reply = FlowEngine::run(&flow.plan, request).await;
        tracing::debug!(
            request.id = id.as_str(),
            flow = %flow.name,
            endpoint = endpoint.as_str(),
            duration_us = u64::try_from(arrival.instant.elapsed().as_micros()).unwrap_or(u64::MAX),
            error = reply.failure.as_ref().map(|problem| problem.code().as_str()),
            "served"
        );
        if let Some(problem) = &reply.failure
            && !travels_inside(problem)
        {
            return Err(Refusal { id: Some(id), problem: problem.clone() });
        }
        Ok(Answer {
            routes: routes(arrival, &reply),
            id,
            endpoint: Some(endpoint),
            parameters: explained(parameters.with_results(reply.results), explanations),
            failure: reply.failure,
            documents: reply.documents,
            dialect,
            guard,
        })
    }
}

/// Parameters as answers carry them, and what the host did with the request if the caller asked. Clients
/// of every protocol read parameters, and Jina's take any key in them.
fn explained(parameters: Parameters, explanations: Option<Explanations>) -> Parameters {
    let Some(explanations) = explanations else { return parameters };
    let mut map = parameters.map().clone();
    map.insert(Parameters::EXPLAIN.to_owned(), explanations.json());
    Parameters::new(map)
}

/// Whether the door refused this message and might let the next one of the same stream in.
pub(crate) fn is_about_one_message(problem: &Problem) -> bool {
    problem.code() == ErrorCode::QuotaExceeded
}

/// Whether a failure is the executor's, and so part of an answer. By its code: whoever took too long, clients wait for
/// gRPC's DEADLINE_EXCEEDED or HTTP's 504, as Jina's do.
fn travels_inside(problem: &Problem) -> bool {
    problem.code().source() == ErrorSource::Guest
}

fn request_id(request: &Request, circumstances: &Circumstances) -> RequestId {
    let sent = request.id.as_deref().or_else(|| circumstances.headers.get(REQUEST_ID.as_str()));
    sent.map_or_else(RequestId::fresh, RequestId::accept)
}

fn parse_endpoint(sent: Option<&str>) -> Result<EndpointName, Problem> {
    let sent = sent.filter(|sent| !sent.is_empty()).unwrap_or("/");
    EndpointName::parse(sent).map_err(|error| Problem::new(ErrorCode::InvalidRequest, error.to_string()))
}

fn parse_target(sent: Option<&str>) -> Result<Option<TargetPattern>, Problem> {
    sent.filter(|sent| !sent.is_empty()).map(TargetPattern::parse).transpose()
}

/// The flow's own limit, or the caller's if it is earlier.
fn deadline(flow: &ServedFlow, circumstances: &Circumstances) -> Instant {
    let arrival = circumstances.arrival.instant;
    let latest = arrival.checked_add(flow.plan.timeout()).unwrap_or(arrival);
    circumstances.deadline.map_or(latest, |asked| asked.min(latest))
}

fn too_late() -> Problem {
    Problem::new(ErrorCode::DeadlineExceeded, "the caller's deadline was over before the request began")
        .with_hint("allow more time")
}

/// The gateway first, then the executors in the order of the plan. One that was passed by has no end.
fn routes(arrival: Arrival, reply: &FlowReply) -> Vec<Route> {
    use lockgate_flow::engine::Outcome;

    let mut routes = Vec::with_capacity(reply.routes.len() + 1);
    routes.push(Route {
        executor: "gateway".to_owned(),
        start: Some(arrival.show(arrival.instant)),
        end: Some(arrival.show(Instant::now().max(arrival.instant + SHORTEST_ROUTE))),
        failure: None,
    });
    for stage in &reply.routes {
        let (end, failure) = match &stage.outcome {
            Outcome::Ran => (stage.ended, None),
            Outcome::Failed(problem) => (stage.ended, Some(problem.clone())),
            Outcome::Skipped | Outcome::Floating => (None, None),
            Outcome::NotReached => continue,
        };
        routes.push(Route {
            executor: stage.executor.to_string(),
            start: stage.started.map(|started| arrival.show(started)),
            end: end.map(|end| arrival.show(end)),
            failure,
        });
    }
    routes
}
