//! The tables: what is kept under which key.

use std::collections::BTreeSet;

use lockgate_domain::hosting::{Deployment, Revision, RevisionNumber, StoredComponent, StoredFlow, Tag};
use lockgate_domain::usage::AuditEntry;
use lockgate_domain::{
    ComponentDigest, ExecutorName, LimitKind, Problem, Quota, Tenant, TenantName, Timestamp, Usage,
};
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{RowKey, Shelf, Source, StoreError};
use crate::access::KeyRecord;
use crate::refusal::over_quota;
use crate::secrets::SealedSecret;
use crate::signing_keys::SigningKey;

/// Numbers of the store itself: `schema`; `audit`, the last sequence.
pub(crate) const META: Shelf<u64> = Shelf::new("meta");
/// `tenant`.
pub(crate) const TENANTS: Shelf<Tenant> = Shelf::new("tenants");
/// `tenant`: what it has, for its quotas.
pub(crate) const TALLIES: Shelf<Tally> = Shelf::new("tallies");
/// `tenant/id`; the host's own are below `@host`, which is no tenant's name.
pub(crate) const KEYS: Shelf<KeyRecord> = Shelf::new("keys");
/// `tenant/hex`.
pub(crate) const COMPONENTS: Shelf<StoredComponent> = Shelf::new("components");
/// `hex/tenant`: who shares a component's file.
pub(crate) const HOLDERS: Shelf<()> = Shelf::new("holders");
/// `tenant/hex/executor/number`: which revisions use a component.
pub(crate) const USES: Shelf<()> = Shelf::new("uses");
/// `tenant/executor`.
pub(crate) const EXECUTORS: Shelf<ExecutorRow> = Shelf::new("executors");
/// `tenant/executor`: the last number of an executor that was deleted, so that none is used twice.
pub(crate) const RETIRED: Shelf<RevisionNumber> = Shelf::new("retired");
/// `tenant`: the number above which new executors begin, once too many were deleted to remember each.
pub(crate) const FLOORS: Shelf<RevisionNumber> = Shelf::new("floors");
/// `tenant/executor/number`, ten digits.
pub(crate) const REVISIONS: Shelf<Revision> = Shelf::new("revisions");
/// `tenant/executor/tag`.
pub(crate) const TAGS: Shelf<Tag> = Shelf::new("tags");
/// `tenant/executor`.
pub(crate) const DEPLOYMENTS: Shelf<Deployment> = Shelf::new("deployments");
/// `tenant/flow`.
pub(crate) const FLOWS: Shelf<StoredFlow> = Shelf::new("flows");
/// `tenant/flow`: the executors that the flow refers to, as in `uses`.
pub(crate) const FLOW_USES: Shelf<BTreeSet<String>> = Shelf::new("flow_uses");
/// `tenant/name`.
pub(crate) const SECRETS: Shelf<SealedSecret> = Shelf::new("secrets");
/// `tenant/name`.
pub(crate) const SIGNING_KEYS: Shelf<SigningKey> = Shelf::new("signing_keys");
/// `tenant/hour/executor`; the hour in milliseconds, sixteen digits.
pub(crate) const USAGE: Shelf<Usage> = Shelf::new("usage");
/// `tenant/2026-11`.
pub(crate) const MONTHS: Shelf<Usage> = Shelf::new("months");
/// `sequence`, twenty digits.
pub(crate) const AUDIT: Shelf<AuditEntry> = Shelf::new("audit");
/// `tenant/sequence`.
pub(crate) const AUDIT_OF_TENANT: Shelf<()> = Shelf::new("audit_of_tenant");

/// An executor beside its revisions, tags and deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExecutorRow {
    pub(crate) name: ExecutorName,
    pub(crate) created_at: Timestamp,
    pub(crate) newest: RevisionNumber,
}

/// What a tenant has: kept with every change, so that a quota costs one row to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tally {
    /// Bytes of component files.
    pub(crate) component_bytes: u64,
    /// Bytes of revisions, flows and secrets.
    pub(crate) record_bytes: u64,
    pub(crate) components: u32,
    pub(crate) executors: u32,
    pub(crate) flows: u32,
}

impl Tally {
    /// What counts against the quota of stored bytes.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.component_bytes.saturating_add(self.record_bytes)
    }

    /// The tenant's.
    pub(crate) fn of(source: &impl Source, tenant: &TenantName) -> Result<Self, StoreError> {
        Ok(TALLIES.get(source, &RowKey::of(&[tenant]))?.unwrap_or_default())
    }

    /// Changes the tenant's; `change` may refuse.
    pub(crate) fn adjust(
        transaction: &WriteTransaction,
        tenant: &TenantName,
        change: impl FnOnce(&mut Self) -> Result<(), Problem>,
    ) -> Result<(), StoreError> {
        let mut tally = Self::of(transaction, tenant)?;
        change(&mut tally)?;
        TALLIES.put(transaction, &RowKey::of(&[tenant]), &tally).map(drop)
    }

    /// Refuses what grew over the quota of stored bytes.
    pub(crate) fn check_bytes(&self, tenant: &TenantName, quota: &Quota, grown: i64) -> Result<(), Problem> {
        if grown <= 0 || self.stored_bytes() <= quota.stored_bytes {
            return Ok(());
        }
        let most = quota.stored_bytes;
        let message =
            format!("tenant {tenant} would keep {} bytes, at most {most} are allowed", self.stored_bytes());
        Err(over_quota(LimitKind::StoredBytes, most, message))
    }

    /// Adds bytes of records, or takes them away.
    pub(crate) fn grow(&mut self, bytes: i64) {
        self.record_bytes = self.record_bytes.saturating_add_signed(bytes);
    }
}

/// The key of a component of a tenant.
pub(crate) fn component_key(tenant: &TenantName, digest: ComponentDigest) -> RowKey {
    RowKey::of(&[tenant, &digest.hex()])
}

/// The key of a revision.
pub(crate) fn revision_key(tenant: &TenantName, executor: &ExecutorName, number: RevisionNumber) -> RowKey {
    RowKey::of(&[tenant, executor, &padded(number)])
}

/// A number whose order as text is its own.
pub(crate) fn padded(number: RevisionNumber) -> String {
    format!("{:010}", number.get())
}

/// The tenant's row, else the problem that there is none.
pub(crate) fn tenant_row(source: &impl Source, tenant: &TenantName) -> Result<Tenant, StoreError> {
    let found = TENANTS.get(source, &RowKey::of(&[tenant]))?;
    found.ok_or_else(|| crate::refusal::not_found("tenant", tenant).into())
}

/// Makes every table, so that reading one never fails because nothing was written yet.
pub(super) fn create_all(transaction: &WriteTransaction) -> Result<(), StoreError> {
    macro_rules! create {
        ($($shelf:ident),+) => { $( drop(transaction.open_table($shelf.definition())?); )+ };
    }
    create!(META, TENANTS, TALLIES, KEYS, COMPONENTS, HOLDERS, USES, EXECUTORS, RETIRED, FLOORS, REVISIONS);
    create!(
        TAGS,
        DEPLOYMENTS,
        FLOWS,
        FLOW_USES,
        SECRETS,
        SIGNING_KEYS,
        USAGE,
        MONTHS,
        AUDIT,
        AUDIT_OF_TENANT
    );
    Ok(())
}

/// Removes every row of a tenant but its own components' holders, which the caller has to look at.
pub(crate) fn remove_tenant(transaction: &WriteTransaction, tenant: &TenantName) -> Result<(), StoreError> {
    let key = RowKey::of(&[tenant]);
    macro_rules! clear {
        ($($shelf:ident),+) => { $( $shelf.remove_below(transaction, &key)?; )+ };
    }
    clear!(
        KEYS,
        COMPONENTS,
        USES,
        EXECUTORS,
        RETIRED,
        REVISIONS,
        TAGS,
        DEPLOYMENTS,
        FLOWS,
        FLOW_USES,
        SECRETS
    );
    clear!(SIGNING_KEYS, USAGE, MONTHS, AUDIT_OF_TENANT);
    TALLIES.remove(transaction, &key)?;
    FLOORS.remove(transaction, &key)?;
    TENANTS.remove(transaction, &key)?;
    Ok(())
}
