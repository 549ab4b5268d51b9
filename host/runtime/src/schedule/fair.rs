//! Who computes next: start-time fair queueing over tenants, as a state machine with explicit time.
//!
//! Every tenant has a lane with a virtual clock that runs by the processor time it used, divided by its weight. Whoever
//! waits with the smallest clock is next. The floor is where the clocks of busy tenants are; a tenant that comes back
//! from a pause starts a few of its own slices below it, so that it is served at once and cannot save up more. Such a
//! tenant is *owed* time and is let in beyond the number of cores, up to as many again.
//!
//! Nobody starves: a waiting lane's clock stands still while those of all others run. What is bounded: a lane waits with
//! no more tickets than its tenant has calls in flight, and a lane that has nothing to be remembered for is forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Nanoseconds since some start.
pub(super) type Nanos = u64;

/// Processor time of one slice.
pub(super) const SLICE: Nanos = 1_000_000;
/// Slices of its own that a tenant starts below the floor after a pause.
const CREDIT: u64 = 4;
/// The weight at which a virtual clock runs like a real one.
const USUAL_WEIGHT: u64 = 100;
/// A grant that nobody picks up for so long goes to others: its call is not being polled.
pub(super) const LAPSE: Nanos = 10 * SLICE;
/// Lanes without calls that are remembered for the time they are ahead.
const MAX_IDLE_LANES: usize = 4096;

/// Names a lane.
pub(super) type LaneId = u64;
/// Names one call's place.
pub(super) type Ticket = u64;

/// The whole state.
#[derive(Debug)]
pub(super) struct Fair {
    cores: usize,
    /// slices that run or were granted
    running: usize,
    floor: u64,
    lanes: BTreeMap<LaneId, Lane>,
    /// lanes with waiting tickets, by clock
    ready: BTreeSet<(u64, LaneId)>,
    /// grants that were handed to a ticket and not picked up yet, oldest first
    handed: VecDeque<(Ticket, LaneId, Nanos)>,
    /// number of lanes at which idle ones are looked for
    forget_at: usize,
}

#[derive(Debug, Default)]
struct Lane {
    clock: u64,
    weight: u64,
    running: usize,
    waiting: VecDeque<Ticket>,
}

/// Whether a slice may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// it may
    Run,
    /// it may, and more run than there are cores: others should make way
    RunBeyond,
    /// it waits
    Wait,
}

impl Lane {
    /// Processor time on this lane's clock.
    fn virtual_time(&self, time: Nanos) -> u64 {
        time.saturating_mul(USUAL_WEIGHT) / self.weight.max(1)
    }

    /// Whether it is more than a slice behind.
    fn is_owed(&self, floor: u64) -> bool {
        self.clock.saturating_add(self.virtual_time(SLICE)) < floor
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }
}

impl Fair {
    pub(super) fn new(cores: usize) -> Self {
        Self {
            cores: cores.max(1),
            running: 0,
            floor: 0,
            lanes: BTreeMap::new(),
            ready: BTreeSet::new(),
            handed: VecDeque::new(),
            forget_at: MAX_IDLE_LANES,
        }
    }

    /// Asks for the first slice after a pause.
    pub(super) fn ask(&mut self, id: LaneId, weight: u32, ticket: Ticket) -> Entry {
        let floor = self.floor;
        let lane = self.lanes.entry(id).or_default();
        if lane.is_idle() {
            lane.weight = u64::from(weight.max(1));
            let credit = lane.virtual_time(CREDIT * SLICE);
            lane.clock = lane.clock.max(floor.saturating_sub(credit));
        }
        self.ask_again(id, weight, ticket)
    }

    /// Asks for another slice in the moment in which the last one ended: the tenant was not away, so its clock stays.
    pub(super) fn ask_again(&mut self, id: LaneId, weight: u32, ticket: Ticket) -> Entry {
        let floor = self.floor;
        let lane = self.lanes.entry(id).or_default();
        lane.weight = u64::from(weight.max(1));
        let (clock, owed) = (lane.clock, lane.is_owed(floor));
        let first = self.ready.first().is_none_or(|(other, _)| clock < *other);
        let beyond = self.running >= self.cores;
        if (!beyond && first) || (beyond && owed && self.running < 2 * self.cores) {
            lane.running += 1;
            self.running += 1;
            self.floor = floor.max(clock);
            return if beyond { Entry::RunBeyond } else { Entry::Run };
        }
        if lane.waiting.is_empty() {
            self.ready.insert((clock, id));
        }
        lane.waiting.push_back(ticket);
        Entry::Wait
    }

    /// Whether this tenant has had less than its part.
    pub(super) fn is_owed(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(|lane| lane.is_owed(self.floor))
    }

    /// Keeps a grant for a ticket until it is picked up.
    pub(super) fn hand(&mut self, id: LaneId, ticket: Ticket, now: Nanos) {
        self.handed.push_back((ticket, id, now));
    }

    /// Picks up what was granted to a waiting ticket; whether it was, and has not lapsed.
    pub(super) fn pick_up(&mut self, ticket: Ticket) -> bool {
        let at = self.handed.iter().position(|(handed, ..)| *handed == ticket);
        at.is_some_and(|at| self.handed.remove(at).is_some())
    }

    /// A slice ended after so much time.
    pub(super) fn end(&mut self, id: LaneId, time: Nanos) {
        self.running = self.running.saturating_sub(1);
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.running = lane.running.saturating_sub(1);
        let before = lane.clock;
        lane.clock = before.saturating_add(lane.virtual_time(time));
        if !lane.waiting.is_empty() && self.ready.remove(&(before, id)) {
            self.ready.insert((lane.clock, id));
        }
        self.forget();
    }

    /// A slice ended after so much time, and its call goes on in the same moment on the same thread: whether it may keep
    /// its grant, because no other tenant that waits has a smaller clock. If not, nothing has changed.
    pub(super) fn go_on(&mut self, id: LaneId, time: Nanos) -> bool {
        let Some(lane) = self.lanes.get_mut(&id) else { return false };
        let before = lane.clock;
        let after = before.saturating_add(lane.virtual_time(time));
        let mut others = self.ready.iter().filter(|(_, other)| *other != id);
        if others.next().is_some_and(|(clock, _)| *clock < after) {
            return false;
        }
        lane.clock = after;
        if self.ready.remove(&(before, id)) {
            self.ready.insert((after, id));
        }
        self.floor = self.floor.max(after);
        true
    }

    /// A waiting ticket goes, granted or not; whether it was known.
    pub(super) fn leave(&mut self, id: LaneId, ticket: Ticket) -> bool {
        if self.pick_up(ticket) {
            self.end(id, 0);
            return true;
        }
        let Some(lane) = self.lanes.get_mut(&id) else { return false };
        let Some(at) = lane.waiting.iter().position(|waiting| *waiting == ticket) else { return false };
        lane.waiting.remove(at);
        if lane.waiting.is_empty() {
            self.ready.remove(&(lane.clock, id));
        }
        true
    }

    /// Grants a slice to whoever is next, if there is a core for it. The caller wakes the ticket.
    pub(super) fn next(&mut self, now: Nanos) -> Option<Ticket> {
        if self.running >= self.cores {
            return None;
        }
        let (clock, id) = *self.ready.first()?;
        let lane = self.lanes.get_mut(&id)?;
        let ticket = lane.waiting.pop_front()?;
        if lane.waiting.is_empty() {
            self.ready.remove(&(clock, id));
        }
        lane.running += 1;
        self.running += 1;
        self.floor = self.floor.max(clock);
        self.handed.push_back((ticket, id, now));
        Some(ticket)
    }

    /// Takes back grants that nobody picked up; says how many.
    pub(super) fn lapse(&mut self, now: Nanos) -> usize {
        let mut lapsed = 0;
        while let Some((_, id, since)) = self.handed.front().copied() {
            if now.saturating_sub(since) < LAPSE {
                break;
            }
            self.handed.pop_front();
            self.end(id, 0);
            lapsed += 1;
        }
        lapsed
    }

    /// Tickets that wait.
    pub(super) fn waiting(&self) -> usize {
        self.ready.iter().filter_map(|(_, id)| self.lanes.get(id)).map(|lane| lane.waiting.len()).sum()
    }

    /// Slices that run or were granted.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Lanes without calls are worth remembering only while they are ahead of where they would start again.
    fn forget(&mut self) {
        if self.lanes.len() < self.forget_at {
            return;
        }
        let floor = self.floor;
        self.lanes.retain(|_, lane| !lane.is_idle() || lane.clock > floor);
        if self.lanes.len() > MAX_IDLE_LANES / 2 {
            self.lanes.retain(|_, lane| !lane.is_idle());
        }
        self.forget_at = MAX_IDLE_LANES.max(2 * self.lanes.len());
    }
}

#[cfg(test)]
mod tests;
