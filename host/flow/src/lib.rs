//! Validates a graph of stages, plans it, runs it.

pub mod client;
