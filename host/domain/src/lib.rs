//! Words of the field: ids, documents, limits, specifications and errors.
//!
//! Everything here is plain data and pure functions of it: no clock, no IO, no async, no wasm. Every other crate
//! depends on this one and this one on none, so a type belongs here only if two other crates speak of it.

pub mod capability;
pub mod condition;
pub mod document;
pub mod error;
pub mod explain;
pub mod fuel;
pub mod hosting;
pub mod ids;
pub mod limits;
pub mod manifest;
pub mod request;
pub mod results;
pub mod spec;
pub mod tenancy;
pub mod timestamp;
pub mod usage;

pub use crate::capability::{
    Capabilities, CapabilityKind, ClockGrant, HostPattern, HttpGrant, KeyValueGrant, RandomGrant,
};
pub use crate::condition::Condition;
pub use crate::document::DocumentList;
pub use crate::error::{ErrorCode, ErrorSource, GrpcCode, LimitKind, Problem};
pub use crate::explain::{BatchExplanation, Explanations, FlushReason};
pub use crate::fuel::FuelBudget;
pub use crate::ids::{
    ComponentDigest, EndpointName, ExecutorName, FlowName, KeyId, RequestId, SecretName, SigningKeyName,
    TagName, TenantName,
};
pub use crate::limits::Limits;
pub use crate::manifest::Manifest;
pub use crate::request::{Parameters, RequestContext};
pub use crate::results::{NamedResults, Results, ResultsError};
pub use crate::spec::{FlowSpec, StageSpec};
pub use crate::tenancy::{Principal, Quota, Scope, Tenant};
pub use crate::timestamp::Timestamp;
pub use crate::usage::Usage;
