//! The numbers at `/metrics`: the gateway's own, and what its assembler adds.
//!
//! Numbers are read when somebody asks; between two questions nothing is computed or kept.

use std::fmt;
use std::sync::{Arc, OnceLock};

use lockgate_telemetry::inventory::{BYTES_HELD, DRAINING, REFUSED, REQUESTS_IN_FLIGHT};
use lockgate_telemetry::page::Page;

use crate::gate::Gate;

/// Adds numbers that the gateway cannot know.
type Source = Arc<dyn Fn(&mut Page) + Send + Sync>;

/// Where further numbers come from; from nowhere until there is a source.
#[derive(Default)]
pub(crate) struct Metrics(OnceLock<Source>);

impl Metrics {
    /// Takes the source; the first one stands.
    pub(crate) fn set(&self, source: Source) {
        self.0.get_or_init(|| source);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = if self.0.get().is_some() { "source" } else { "no source" };
        write!(f, "Metrics({source})")
    }
}

/// The page as text.
pub(crate) fn text(gate: &Gate) -> String {
    let mut page = Page::default();
    add(gate, &mut page);
    if let Some(source) = gate.metrics.0.get() {
        source(&mut page);
    }
    page.into_text()
}

/// The gateway's own numbers.
pub(crate) fn add(gate: &Gate, page: &mut Page) {
    let stats = gate.admission.stats();
    page.add(&REQUESTS_IN_FLIGHT, &[], stats.in_flight as f64);
    page.add(&BYTES_HELD, &[], stats.bytes as f64);
    page.add(&REFUSED, &[], stats.refused as f64);
    page.add(&DRAINING, &[], if gate.is_draining() { 1.0 } else { 0.0 });
}
