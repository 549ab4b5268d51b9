//! What was used, as a bill needs it: sums per tenant and executor and hour.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::ids::ExecutorName;
use crate::timestamp::Timestamp;

/// Sums of what calls used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Usage {
    /// Calls of the executor that reached a guest.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Documents handed to it, nested ones not counted.
    pub documents: u64,
    /// Fuel burned, also by calls that failed.
    pub fuel: u64,
    /// Microseconds of wall time inside the executor.
    pub wall_time_us: u64,
    /// Bytes of documents handed to it.
    pub bytes_in: u64,
    /// Bytes of documents it gave.
    pub bytes_out: u64,
    /// Bytes sent and received by its outbound HTTP.
    pub egress_bytes: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.requests, other.requests);
        add(&mut self.failures, other.failures);
        add(&mut self.documents, other.documents);
        add(&mut self.fuel, other.fuel);
        add(&mut self.wall_time_us, other.wall_time_us);
        add(&mut self.bytes_in, other.bytes_in);
        add(&mut self.bytes_out, other.bytes_out);
        add(&mut self.egress_bytes, other.egress_bytes);
    }
}

/// The usage of one executor in one hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UsageRecord {
    /// The executor.
    pub executor: ExecutorName,
    /// The full hour in which it began, UTC.
    pub hour: Timestamp,
    /// The sums.
    #[serde(flatten)]
    pub usage: Usage,
}

/// One control action, successful or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Grows by one with each entry of the host.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who, as [`Principal::name`](crate::tenancy::Principal) says it.
    pub principal: String,
    /// On whose things; none for the host's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<crate::ids::TenantName>,
    /// What, such as `revision.create`.
    pub action: String,
    /// The object, such as `shout@3`.
    pub object: String,
    /// The code of the error, if it was refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The id of the request.
    pub request_id: String,
}
