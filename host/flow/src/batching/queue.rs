//! Requests that gather: which batch one joins, and when a batch has waited enough. Pure: time is an argument.
//!
//! There is at most one open batch for each [`Key`]; it exists only while requests wait in it, so what bounds the
//! requests bounds the batches and the parameters they are kept under. A request that leaves takes its documents along.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_domain::document::Kind;
use lockgate_domain::spec::BatchingSpec;
use lockgate_domain::{DocumentList, EndpointName, FlushReason, Limits, TenantName};

/// What requests must have in common to share a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) tenant: TenantName,
    pub(super) endpoint: EndpointName,
    /// The parameters as this executor sees them, as JSON with sorted keys.
    pub(super) parameters: String,
    /// Which revision the caller stays with.
    pub(super) sticky: Option<String>,
}

/// A request at the entrance.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) documents: &'a DocumentList,
    pub(super) bytes: u64,
    pub(super) now: Instant,
    pub(super) deadline: Option<Instant>,
}

/// All requests of one stage that wait. `M` is what is kept of a request, `H` what its batch is known by.
#[derive(Debug)]
pub(super) struct Queues<M, H> {
    open: BTreeMap<Arc<Key>, Open<M, H>>,
    waiting: u32,
    next: u64,
    is_draining: bool,
}

#[derive(Debug)]
struct Open<M, H> {
    number: u64,
    handle: H,
    gathering: Gathering<M>,
}

/// Requests that gather for one call.
#[derive(Debug)]
struct Gathering<M> {
    members: Vec<Gathered<M>>,
    documents: u32,
    /// Nested ones included.
    total: u32,
    bytes: u64,
    columns: BTreeMap<Arc<str>, (Kind, Option<Arc<str>>)>,
}

#[derive(Debug)]
struct Gathered<M> {
    number: u64,
    documents: u32,
    total: u32,
    bytes: u64,
    /// When it is to be sent at the latest, and why then.
    leave_by: (Instant, FlushReason),
    member: M,
}

/// A batch that gathers no longer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed<M> {
    pub(super) members: Vec<M>,
    pub(super) documents: u32,
    pub(super) bytes: u64,
    pub(super) reason: FlushReason,
}

/// Where a request got in.
#[derive(Debug)]
pub(super) struct Entered<M, H> {
    /// The request, for [`Queues::leave`].
    pub(super) ticket: Ticket,
    pub(super) handle: H,
    /// Batches that this closed: the one that it did not fit into, and perhaps its own.
    pub(super) closed: Vec<(H, Closed<M>)>,
    /// Whether its batch has to be sent sooner than was known.
    pub(super) is_sooner: bool,
}

/// A request among those that wait.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) key: Arc<Key>,
    pub(super) batch: u64,
    request: u64,
}

/// How a batch stands.
#[derive(Debug)]
pub(super) enum Due<M> {
    /// It is to be sent now.
    Now(Closed<M>),
    /// Not before then.
    At(Instant),
    /// It was closed, or everybody left.
    Gone,
}

impl<M, H> Default for Queues<M, H> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), waiting: 0, next: 0, is_draining: false }
    }
}

impl<M, H: Clone> Queues<M, H> {
    /// Takes a request in; none if there are as many as may wait. `begin` makes the handle of a new batch.
    pub(super) fn enter(
        &mut self,
        key: Key,
        arrival: &Arrival<'_>,
        rule: &BatchingSpec,
        limits: &Limits,
        member: M,
        begin: impl FnOnce(&Arc<Key>, u64) -> H,
    ) -> Option<Entered<M, H>> {
        if self.waiting >= rule.max_waiting {
            return None;
        }
        let (batch, request) = (self.next, self.next + 1);
        self.next += 2;
        let mut closed = Vec::new();
        let key = Arc::new(key);
        if let Entry::Occupied(entry) = self.open.entry(key.clone())
            && let Err(reason) = entry.get().gathering.admits(arrival.documents, limits)
        {
            let open = entry.remove();
            closed.push(self.close(open, reason));
        }
        self.waiting += 1;
        let open = self.open.entry(key.clone()).or_insert_with_key(|key| Open {
            number: batch,
            handle: begin(key, batch),
            gathering: Gathering::default(),
        });
        let (number, handle) = (open.number, open.handle.clone());
        let before = open.gathering.leave_by();
        open.gathering.add(request, arrival, rule, member);
        let is_sooner = before.is_some() && open.gathering.leave_by() < before;
        let full = open.gathering.full(rule).or_else(|| self.is_draining.then_some(FlushReason::Drain));
        if let Some(reason) = full
            && let Some(open) = self.open.remove(&key)
        {
            closed.push(self.close(open, reason));
        }
        Some(Entered { ticket: Ticket { key, batch: number, request }, handle, closed, is_sooner })
    }

    /// A request goes without having been sent. What it leaves behind empty is given back, to be dropped where no lock
    /// is held.
    pub(super) fn leave(&mut self, ticket: &Ticket) -> (Option<M>, Option<H>) {
        let Some(open) = self.open.get_mut(&ticket.key).filter(|open| open.number == ticket.batch) else {
            return (None, None);
        };
        let member = open.gathering.remove(ticket.request);
        self.waiting -= u32::from(member.is_some());
        let is_empty = open.gathering.members.is_empty();
        let open = if is_empty { self.open.remove(&ticket.key) } else { None };
        (member, open.map(|open| open.handle))
    }

    /// Whether a batch is to be sent now.
    pub(super) fn due(&mut self, key: &Arc<Key>, batch: u64, now: Instant) -> Due<M> {
        let Some(open) = self.open.get(key).filter(|open| open.number == batch) else { return Due::Gone };
        match open.gathering.leave_by() {
            Some((then, _)) if then > now => Due::At(then),
            Some((_, reason)) => match self.open.remove(key) {
                Some(open) => Due::Now(self.close(open, reason).1),
                None => Due::Gone,
            },
            None => Due::Gone,
        }
    }

    /// Lets nobody wait from now on; gives the batches that did.
    pub(super) fn drain(&mut self) -> Vec<(H, Closed<M>)> {
        self.is_draining = true;
        let open = std::mem::take(&mut self.open);
        open.into_values().map(|open| self.close(open, FlushReason::Drain)).collect()
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting
    }

    fn close(&mut self, open: Open<M, H>, reason: FlushReason) -> (H, Closed<M>) {
        let Gathering { members, documents, bytes, .. } = open.gathering;
        self.waiting = self.waiting.saturating_sub(u32::try_from(members.len()).unwrap_or(u32::MAX));
        let members = members.into_iter().map(|gathered| gathered.member).collect();
        (open.handle, Closed { members, documents, bytes, reason })
    }
}

impl<M> Default for Gathering<M> {
    fn default() -> Self {
        Self { members: Vec::new(), documents: 0, total: 0, bytes: 0, columns: BTreeMap::new() }
    }
}

impl<M> Gathering<M> {
    /// Whether these documents can stand in one list with those that wait.
    fn admits(&self, documents: &DocumentList, limits: &Limits) -> Result<(), FlushReason> {
        if self.total.saturating_add(documents.total()) > limits.documents {
            return Err(FlushReason::Size);
        }
        let mut columns = self.columns.len();
        for column in documents.columns() {
            match self.columns.get(column.name()) {
                None => columns += 1,
                // One list has one kind per column: the requests would see each other in what they get back.
                Some((kind, hint)) if *kind != column.kind() || hint.as_ref() != column.hint() => {
                    return Err(FlushReason::Misfit);
                }
                Some(_) => {}
            }
        }
        if columns > limits.columns as usize { Err(FlushReason::Misfit) } else { Ok(()) }
    }

    fn add(&mut self, number: u64, arrival: &Arrival<'_>, rule: &BatchingSpec, member: M) {
        let Arrival { documents: list, bytes, .. } = *arrival;
        for column in list.columns() {
            let known = || (column.kind(), column.hint().cloned());
            self.columns.entry(column.shared_name().clone()).or_insert_with(known);
        }
        let (documents, total) = (list.len(), list.total());
        self.documents = self.documents.saturating_add(documents);
        self.total = self.total.saturating_add(total);
        self.bytes = self.bytes.saturating_add(bytes);
        let leave_by = leave_by(arrival, rule);
        self.members.push(Gathered { number, documents, total, bytes, leave_by, member });
    }

    fn remove(&mut self, number: u64) -> Option<M> {
        let place = self.members.iter().position(|gathered| gathered.number == number)?;
        let gathered = self.members.remove(place);
        self.documents = self.documents.saturating_sub(gathered.documents);
        self.total = self.total.saturating_sub(gathered.total);
        self.bytes = self.bytes.saturating_sub(gathered.bytes);
        Some(gathered.member)
    }

    fn full(&self, rule: &BatchingSpec) -> Option<FlushReason> {
        if self.documents >= rule.preferred_documents {
            return Some(FlushReason::Size);
        }
        rule.preferred_bytes.filter(|preferred| self.bytes >= *preferred).map(|_| FlushReason::Bytes)
    }

    fn leave_by(&self) -> Option<(Instant, FlushReason)> {
        self.members.iter().map(|gathered| gathered.leave_by).min()
    }
}

/// A request waits as long as the flow says, and never more than half of the time that its caller gave it.
fn leave_by(arrival: &Arrival<'_>, rule: &BatchingSpec) -> (Instant, FlushReason) {
    let Arrival { now, deadline, .. } = *arrival;
    let timeout = now.checked_add(Duration::from_millis(rule.timeout_ms)).unwrap_or(now);
    let half = deadline.and_then(|deadline| now.checked_add(deadline.saturating_duration_since(now) / 2));
    match half {
        Some(half) if half < timeout => (half, FlushReason::Deadline),
        _ => (timeout, FlushReason::Timeout),
    }
}

#[cfg(test)]
mod tests;
