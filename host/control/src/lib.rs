//! The control API: tenants, keys, components, executors, flows and deployments over HTTP and JSON.

mod serving;

pub use crate::serving::{CapsuleEntry, Change, RevisionStatus, Serving};
