//! The control API: tenants, keys, components, executors, flows and deployments over HTTP and JSON.
//!
//! One table says who may do what ([`operation`]), one guard enforces it and writes the audit log ([`guard`]), handlers
//! only translate between HTTP and the registry. What traffic must see is told to the part that serves ([`Serving`]).
//! What protects the host from callers is here too: sizes, counts and waiting times ([`ControlOptions`]).

mod body;
mod changes;
mod control;
mod describe;
mod extract;
mod guard;
mod listener;
mod numbers;
mod operation;
mod options;
mod pages;
mod places;
mod refusal;
mod routes;
mod serving;
mod uploads;

#[cfg(test)]
mod tests;

pub use crate::control::{Control, ControlParts};
pub use crate::describe::openapi;
pub use crate::listener::Drained;
pub use crate::options::ControlOptions;
pub use crate::serving::{CapsuleEntry, Change, RevisionStatus, Serving};
