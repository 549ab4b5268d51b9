//! One call with everything that its outcome depends on, and the same call again.
//!
//! A recorded call has an instance of its own, from instantiation on: what a warm one remembers is in no journal. A
//! replay gives the guest the same request, the same fuel and the recorded answers, and must end in the same way after
//! the same fuel. Outcomes that the clock or the host's state decided (a deadline, a caller that went away, a full
//! host) cannot come out again by themselves; there the replay stops where the recording did.

use std::time::{Duration, Instant};

use lockgate_domain::request::Headers;
use lockgate_domain::{
    DocumentList, EndpointName, ErrorCode, FuelBudget, Parameters, Problem, RequestContext, RequestId,
    TenantName,
};

use crate::instance::{Instance, Traced};
use crate::invocation::{Inputs, Invocation, InvocationReply};
use crate::journal::{Journal, JournalEntry};

/// Longest time that a replay may take: its fuel is bounded, and its host calls wait for nothing.
const REPLAY_TIME: Duration = Duration::from_secs(600);

/// A call and what its outcome depends on, besides component, configuration, limits and capabilities.
#[derive(Debug, Clone)]
pub struct Recording {
    /// what the client addressed
    pub endpoint: EndpointName,
    /// the documents
    pub documents: DocumentList,
    /// the parameters as the executor saw them
    pub parameters: Parameters,
    /// the joined lists
    pub inputs: Inputs,
    /// the request's id
    pub request: RequestId,
    /// the request's metadata
    pub headers: Headers,
    /// fuel that the whole request had
    pub request_fuel: u64,
    /// fuel that this call was granted; 0 if it was never made
    pub granted_fuel: u64,
    /// fuel that starting and `init` burned
    pub init_fuel: u64,
    /// fuel that the call burned; none if `init` failed
    pub call_fuel: Option<u64>,
    /// what the guest was answered
    pub journal: Vec<JournalEntry>,
}

/// What became of a replay.
#[derive(Debug)]
pub struct Replay {
    /// how it ended
    pub outcome: Result<InvocationReply, Problem>,
    /// fuel that starting and `init` burned
    pub init_fuel: u64,
    /// fuel that the call burned; none if `init` failed
    pub call_fuel: Option<u64>,
    /// what the guest asked that the recording does not have
    pub divergence: Option<String>,
    /// whether it was stopped where the recording had been ended from outside
    pub is_stopped: bool,
}

/// Whether an outcome was decided outside of the guest.
pub fn is_ended_from_outside(problem: &Problem) -> bool {
    match problem.code() {
        ErrorCode::DeadlineExceeded
        | ErrorCode::Cancelled
        | ErrorCode::Overloaded
        | ErrorCode::Unavailable
        | ErrorCode::QuotaExceeded
        | ErrorCode::HostFault => true,
        ErrorCode::InvalidRequest
        | ErrorCode::RequestTooLarge
        | ErrorCode::NotFound
        | ErrorCode::Unauthenticated
        | ErrorCode::PermissionDenied
        | ErrorCode::Conflict
        | ErrorCode::PreconditionFailed
        | ErrorCode::GuestError
        | ErrorCode::GuestTrap
        | ErrorCode::LimitExceeded
        | ErrorCode::ContractViolation
        | ErrorCode::InvalidComponent
        | ErrorCode::CapabilityDenied
        | ErrorCode::InvalidFlow => false,
    }
}

/// The request's part of a recording, before the call.
pub(crate) struct Sketch(Recording);

impl Sketch {
    pub(crate) fn of(invocation: &Invocation) -> Self {
        let Invocation { endpoint, documents, parameters, inputs, context, .. } = invocation;
        Self(Recording {
            endpoint: endpoint.clone(),
            documents: documents.clone(),
            parameters: parameters.clone(),
            inputs: inputs.clone(),
            request: context.id.clone(),
            headers: context.headers.clone(),
            request_fuel: context.fuel.total(),
            granted_fuel: 0,
            init_fuel: 0,
            call_fuel: None,
            journal: Vec::new(),
        })
    }

    /// The recording of a call that an instance took.
    pub(crate) fn called(self, instance: &mut Instance, init_fuel: u64) -> Option<Recording> {
        let journal = instance.take_journal();
        let (granted_fuel, call_fuel) = (instance.granted(), Some(instance.burned()));
        Some(Recording { granted_fuel, init_fuel, call_fuel, journal: pages(journal)?, ..self.0 })
    }

    /// The recording of an instance that did not come up.
    pub(crate) fn not_built(self, traced: Traced) -> Option<Recording> {
        Some(Recording { init_fuel: traced.fuel, journal: pages(traced.journal)?, ..self.0 })
    }
}

/// None for a journal that has not everything.
fn pages(journal: Journal) -> Option<Vec<JournalEntry>> {
    match journal {
        Journal::Recording(pages) if !pages.is_truncated => Some(pages.entries),
        Journal::Recording(_) | Journal::Off | Journal::Replaying(_) => None,
    }
}

impl Recording {
    /// What a replay builds its instance with.
    pub(crate) fn traced(&self, is_stopped: bool) -> Traced {
        let most_fuel = (is_stopped && self.call_fuel.is_none()).then_some(self.init_fuel);
        let until = Instant::now().checked_add(REPLAY_TIME);
        Traced { journal: Journal::replay(self.journal.clone()), most_fuel, until, fuel: 0 }
    }

    /// The call again.
    pub(crate) fn invocation(&self, is_stopped: bool) -> Invocation {
        let fuel = FuelBudget::new(self.request_fuel.max(self.granted_fuel));
        let granted = match self.call_fuel {
            Some(burned) if is_stopped => burned.max(1),
            _ => self.granted_fuel,
        };
        fuel.take(fuel.total().saturating_sub(granted));
        Invocation {
            endpoint: self.endpoint.clone(),
            documents: self.documents.clone(),
            parameters: self.parameters.clone(),
            inputs: self.inputs.clone(),
            context: RequestContext {
                headers: self.headers.clone(),
                ..RequestContext::new(self.request.clone(), TenantName::local(), fuel)
            },
            emit: None,
        }
    }
}

impl Replay {
    /// Sorts what is known when a replay has ended.
    pub(crate) fn new(
        outcome: Result<InvocationReply, Problem>,
        (init_fuel, call_fuel): (u64, Option<u64>),
        journal: Journal,
        is_stopped: bool,
    ) -> Self {
        let (mut divergence, mut has_ended) = (None, false);
        if let Journal::Replaying(reader) = journal {
            has_ended = reader.has_ended;
            let left = reader.left();
            let unasked = || format!("{left} recorded answers were not asked for");
            divergence = reader.divergence.or_else(|| (left > 0 && !is_stopped).then(unasked));
        }
        if has_ended && !is_stopped {
            divergence.get_or_insert_with(|| "asked for more than was recorded".into());
        }
        let is_stopped = is_stopped && divergence.is_none() && outcome.is_err();
        Self { outcome, init_fuel, call_fuel, divergence, is_stopped }
    }
}
