//! Numbers of revisions are never used twice, not even by an executor that is deleted and made again under its old name.
//!
//! The last number of each deleted executor is remembered, for at most [`REMEMBERED`] names of a tenant. Beyond that the
//! names are forgotten and all new executors of the tenant begin above the highest number among them.

use lockgate_domain::hosting::RevisionNumber;
use lockgate_domain::{ExecutorName, TenantName};
use redb::WriteTransaction;

use crate::store::{RowKey, Source, StoreError, table};

const REMEMBERED: usize = 2000;

/// The first number of an executor that is not there.
pub(super) fn first(
    source: &impl Source,
    tenant: &TenantName,
    executor: &ExecutorName,
) -> Result<RevisionNumber, StoreError> {
    let retired = table::RETIRED.get(source, &RowKey::of(&[tenant, executor]))?;
    let floor = table::FLOORS.get(source, &RowKey::of(&[tenant]))?;
    Ok(retired.max(floor).map_or(RevisionNumber::FIRST, RevisionNumber::next))
}

/// Remembers the last number of an executor that is deleted.
pub(super) fn retire(
    transaction: &WriteTransaction,
    tenant: &TenantName,
    executor: &ExecutorName,
    last: RevisionNumber,
) -> Result<(), StoreError> {
    let under = RowKey::of(&[tenant]);
    let remembered = table::RETIRED.all(transaction, &under)?;
    if remembered.len() >= REMEMBERED {
        let floor = table::FLOORS.get(transaction, &under)?;
        if let Some(floor) = remembered.into_iter().chain(floor).max() {
            table::FLOORS.put(transaction, &under, &floor)?;
        }
        table::RETIRED.remove_below(transaction, &under)?;
    }
    table::RETIRED.put(transaction, &RowKey::of(&[tenant, executor]), &last).map(drop)
}
