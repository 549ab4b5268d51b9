//! What strangers hand in and own, and the one place that keeps it.
//!
//! [`Registry`] is that place: one data directory, opened by one process. [`access`] says who is asking and what it may do.

pub mod access;
mod audit;
mod components;
mod executors;
#[cfg(test)]
mod fixture;
mod flows;
mod folder;
pub mod jwt;
mod key_value;
mod keys;
pub mod oci;
mod options;
mod page;
mod refusal;
mod registry;
mod rules;
mod secrets;
pub mod signature;
mod signing_keys;
mod store;
mod tenants;
mod usage;
mod validator;
pub mod vault;

pub use crate::audit::AuditDraft;
pub use crate::components::{Arrival, Upload, UploadTerms};
pub use crate::executors::{CreatedRevision, Examined, RevisionOptions};
pub use crate::key_value::{ExecutorStore, KeyValueFault};
pub use crate::options::{Clock, RegistryOptions};
pub use crate::page::{Page, PageRequest};
pub use crate::refusal::Precondition;
pub use crate::registry::Registry;
pub use crate::rules::secrets_in;
pub use crate::secrets::SecretEntry;
pub use crate::signing_keys::SigningKey;
pub use crate::tenants::Holdings;
pub use crate::usage::{UsageFilter, UsageSample};
pub use crate::validator::ComponentValidator;
