//! Traces, logs, and one inventory of metrics.
