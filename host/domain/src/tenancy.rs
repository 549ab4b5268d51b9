//! Who owns things and who asks: tenants with their quotas, keys with their scopes, principals.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{KeyId, TenantName};
use crate::limits::Limits;
use crate::timestamp::Timestamp;

/// What a tenant may use, all its executors together. Every value is finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Quota {
    /// Requests of the data plane in one second; a second's worth may come at once.
    pub requests_per_second: u32,
    /// Requests that are worked on at once.
    pub concurrent_requests: u32,
    /// Fuel burned in one second, averaged over a few seconds.
    pub fuel_per_second: u64,
    /// Fuel burned in one calendar month, UTC.
    pub fuel_per_month: u64,
    /// Bytes of linear memory of all live instances.
    pub instance_memory_bytes: u64,
    /// Bytes of components kept.
    pub stored_bytes: u64,
    /// Components kept.
    pub components: u32,
    /// Executors.
    pub executors: u32,
    /// Flows.
    pub flows: u32,
    /// Bytes that executors send and receive over HTTP in one calendar month, UTC.
    pub egress_bytes_per_month: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            requests_per_second: 1000,
            concurrent_requests: 256,
            fuel_per_second: 4_000_000_000,
            fuel_per_month: 2_000_000_000_000_000,
            instance_memory_bytes: 2 << 30,
            stored_bytes: 2 << 30,
            components: 1000,
            executors: 1000,
            flows: 200,
            egress_bytes_per_month: 10 << 30,
        }
    }
}

/// Who decides about a revision that is granted more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Approval {
    /// Whoever may deploy may also grant.
    #[default]
    Automatic,
    /// A key with the scope `admin` must approve it before traffic reaches it.
    Required,
}

/// What the operator of a host decides about a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TenantSettings {
    /// Share of the processor against other tenants that want it at the same time.
    pub weight: u32,
    /// What all its executors may use together.
    pub quota: Quota,
    /// Highest limits that its revisions may ask for.
    pub limits: Limits,
    /// Who decides about new capabilities.
    pub approval: Approval,
    /// Whether a component must be signed with a key that the tenant registered.
    pub require_signature: bool,
    /// Whether its executors may be granted private networks.
    pub private_networks: bool,
    /// Whether it may do anything at all; a suspended tenant's requests are refused, its things stay.
    pub suspended: bool,
}

impl Default for TenantSettings {
    fn default() -> Self {
        Self {
            weight: 100,
            quota: Quota::default(),
            limits: Limits::default(),
            approval: Approval::default(),
            require_signature: false,
            private_networks: false,
            suspended: false,
        }
    }
}

/// A tenant as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// What the operator decided.
    pub settings: TenantSettings,
    /// When it was created.
    pub created_at: Timestamp,
    /// Number of its changes; the entity tag of the API.
    pub etag: u64,
}

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Scope {
    /// Calling flows and executors.
    Call,
    /// Uploading and deleting components.
    Upload,
    /// Executors, revisions, tags, flows, deployments, secrets.
    Deploy,
    /// Looking at everything but secrets.
    Read,
    /// Everything of the tenant: keys, signing keys and approvals as well.
    Admin,
    /// Everything of the host: tenants and their quotas as well.
    Host,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Scope; 6] =
        [Scope::Call, Scope::Upload, Scope::Deploy, Scope::Read, Scope::Admin, Scope::Host];

    /// The scope as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Call => "call",
            Scope::Upload => "upload",
            Scope::Deploy => "deploy",
            Scope::Read => "read",
            Scope::Admin => "admin",
            Scope::Host => "host",
        }
    }

    /// Whether having this one is as good as having `wanted`.
    pub fn covers(self, wanted: Scope) -> bool {
        self == wanted
            || match self {
                Scope::Host => true,
                Scope::Admin => wanted != Scope::Host,
                Scope::Deploy | Scope::Upload => wanted == Scope::Read,
                Scope::Call | Scope::Read => false,
            }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope; there are call, upload, deploy, read, admin and host")]
pub struct ScopeError(String);

impl FromStr for Scope {
    type Err = ScopeError;
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let known = Scope::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| ScopeError(text.chars().take(40).collect()))
    }
}

/// An API key as it is listed; the secret part is shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ApiKey {
    /// Its public part.
    pub id: KeyId,
    /// Whose it is; none for the host's own.
    pub tenant: Option<TenantName>,
    /// What people call it.
    pub label: String,
    /// What it is good for.
    pub scopes: BTreeSet<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// How logs and the audit call it: `key:ID`, `jwt:SUBJECT` or `local`.
    pub name: String,
    /// The tenant it belongs to; none for the operator of the host.
    pub tenant: Option<TenantName>,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
}

impl Principal {
    /// Whoever sits at a host that serves only its owner.
    pub fn local() -> Self {
        Self { name: "local".into(), tenant: None, scopes: BTreeSet::from([Scope::Host]) }
    }

    /// Whether one of its scopes covers this one.
    pub fn may(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.covers(wanted))
    }
}
