//! Turns: what happens to one digest happens one at a time, and equal uploads at the same time share one examination.
//!
//! Whoever waits for a turn finds what the one before it found out. A verdict lives only while somebody waits for it, and
//! only if the same bytes would get it again: after a failure of the host the next one tries for itself.

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_domain::hosting::ComponentReport;
use lockgate_domain::{ComponentDigest, Problem};
use parking_lot::{Mutex, MutexGuard};

/// What was found out about the bytes.
pub(crate) type Verdict = Result<ComponentReport, Problem>;

/// All digests that something happens to now. Bounded by the uploads and deletions in progress.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<ComponentDigest, Arc<Flight>>>);

#[derive(Default)]
struct Flight(Mutex<Option<Verdict>>);

/// A place among those that wait for a digest.
pub(crate) struct FlightTicket<'a> {
    flights: &'a Flights,
    digest: ComponentDigest,
    flight: Arc<Flight>,
}

impl Flights {
    /// Takes a place.
    pub(crate) fn join(&self, digest: ComponentDigest) -> FlightTicket<'_> {
        let flight = Arc::clone(self.0.lock().entry(digest).or_default());
        FlightTicket { flights: self, digest, flight }
    }
}

impl FlightTicket<'_> {
    /// Waits for the turn. In it is the verdict of somebody before, if there is one.
    pub(crate) fn turn(&self) -> MutexGuard<'_, Option<Verdict>> {
        self.flight.0.lock()
    }
}

impl Drop for FlightTicket<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock();
        // The map's own and this one: nobody else waits, and nobody can join while the map is locked.
        if Arc::strong_count(&self.flight) == 2 {
            flights.remove(&self.digest);
        }
    }
}
