//! Numbers that guests record. A guest chooses names, so names are counted and bounded; attributes are shown in the
//! debug log only and never make a series of their own.

use std::collections::BTreeMap;

use lockgate_domain::ExecutorName;
use parking_lot::Mutex;

/// Names of one executor; values under further names are dropped and counted.
const MAX_NAMES: usize = 64;
const MAX_NAME_BYTES: usize = 64;
const MAX_ATTRIBUTES: usize = 8;

/// How values of a metric add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// values are summed
    Counter,
    /// the last value stands
    Gauge,
    /// values are summed and counted
    Histogram,
}

/// One metric of an executor.
#[derive(Debug, Clone, PartialEq)]
pub struct GuestMetric {
    /// how values add up; fixed by the first record
    pub kind: MetricKind,
    /// the sum of a counter or histogram, the last value of a gauge
    pub value: f64,
    /// how often it was recorded
    pub count: u64,
}

/// The metrics of one executor, shared by its instances.
#[derive(Debug, Default)]
pub(crate) struct GuestMetrics(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    metrics: BTreeMap<Box<str>, GuestMetric>,
    dropped: u64,
}

impl GuestMetrics {
    /// Takes one value. Names that are too long or too many, values that are not finite and attributes beyond the
    /// bound make the record count as dropped.
    pub(crate) fn record(
        &self,
        executor: &ExecutorName,
        kind: MetricKind,
        name: &str,
        value: f64,
        attributes: &[(String, String)],
    ) {
        let fits = (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
            && value.is_finite()
            && attributes.len() <= MAX_ATTRIBUTES;
        let taken = fits && self.0.lock().add(kind, name, value);
        if !taken {
            self.0.lock().dropped += 1;
            return;
        }
        tracing::debug!(
            target: "lockgate::guest",
            executor = %executor, metric = name, value, attributes = attributes.len(), "recorded"
        );
    }

    /// All metrics by name, and how many records were dropped.
    pub(crate) fn read(&self) -> (BTreeMap<Box<str>, GuestMetric>, u64) {
        let book = self.0.lock();
        (book.metrics.clone(), book.dropped)
    }
}

impl Book {
    fn add(&mut self, kind: MetricKind, name: &str, value: f64) -> bool {
        if let Some(metric) = self.metrics.get_mut(name) {
            if metric.kind != kind {
                return false;
            }
            metric.count += 1;
            match kind {
                MetricKind::Counter | MetricKind::Histogram => metric.value += value,
                MetricKind::Gauge => metric.value = value,
            }
            return true;
        }
        if self.metrics.len() >= MAX_NAMES {
            return false;
        }
        self.metrics.insert(name.into(), GuestMetric { kind, value, count: 1 });
        true
    }
}
