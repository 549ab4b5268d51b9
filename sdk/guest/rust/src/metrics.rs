//! Metrics of an executor, recorded by the host under the executor's name.
//!
//! The host bounds the number of names and attribute values; what passes the bound is dropped there.

use crate::host;

/// How values of one name add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// They are summed.
    Counter,
    /// The last one counts.
    Gauge,
    /// They are distributed over buckets.
    Histogram,
}

/// Adds to a counter: `counter("indexed", 3.0, &[("language", "en")])`.
pub fn counter(name: &str, value: f64, attributes: &[(&str, &str)]) {
    host::record_metric(Metric::Counter, name, value, attributes);
}

/// Sets a gauge.
pub fn gauge(name: &str, value: f64, attributes: &[(&str, &str)]) {
    host::record_metric(Metric::Gauge, name, value, attributes);
}

/// Adds a value to a histogram.
pub fn histogram(name: &str, value: f64, attributes: &[(&str, &str)]) {
    host::record_metric(Metric::Histogram, name, value, attributes);
}
