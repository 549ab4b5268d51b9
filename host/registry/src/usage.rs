//! Usage by tenant, hour and executor, and by tenant and month: exact sums, because a bill is made of them.
//!
//! Rows of hours are kept for [`KEPT_DAYS`]; months for ever, one row each.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use lockgate_domain::usage::UsageRecord;
use lockgate_domain::{ExecutorName, Problem, Scope, TenantName, Timestamp, Usage};
use redb::WriteTransaction;

use crate::access::TenantAccess;
use crate::page::{Page, PageBuilder, PageRequest};
use crate::registry::Registry;
use crate::store::{RowKey, StoreError, table};

/// Days for which the usage of single hours is kept.
const KEPT_DAYS: u64 = 400;
const HOUR_MS: u64 = 3_600_000;

/// What one executor used in one hour; the moment may be any of that hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSample {
    /// Whose it is.
    pub tenant: TenantName,
    /// The executor.
    pub executor: ExecutorName,
    /// A moment in the hour.
    pub at: Timestamp,
    /// What was used.
    pub usage: Usage,
}

/// Which usage is asked for: from `from` to before `to`, whole hours.
#[derive(Debug, Clone, Default)]
pub struct UsageFilter {
    /// The first moment; the oldest there is if none is given.
    pub from: Option<Timestamp>,
    /// The moment after the last; none means up to now.
    pub to: Option<Timestamp>,
    /// Of one executor only.
    pub executor: Option<ExecutorName>,
}

impl Registry {
    /// Adds what was used: all of it in one transaction, on the disk when this returns. What a tenant used that is gone is
    /// dropped.
    pub fn add_usage(&self, samples: &[UsageSample]) -> Result<(), Problem> {
        if samples.is_empty() {
            return Ok(());
        }
        let oldest = self.now().as_millis().saturating_sub(KEPT_DAYS * 24 * HOUR_MS);
        let mut hours: BTreeMap<(&TenantName, String, &ExecutorName), Usage> = BTreeMap::new();
        let mut months: BTreeMap<(&TenantName, String), Usage> = BTreeMap::new();
        for sample in samples {
            let hour = hour_part(sample.at);
            *hours.entry((&sample.tenant, hour, &sample.executor)).or_default() += sample.usage;
            *months.entry((&sample.tenant, month_part(sample.at))).or_default() += sample.usage;
        }
        self.0.store.write(|transaction| {
            for ((tenant, hour, executor), usage) in &hours {
                add(transaction, &table::USAGE, tenant, &[tenant, hour, executor], *usage)?;
            }
            for ((tenant, month), usage) in &months {
                add(transaction, &table::MONTHS, tenant, &[tenant, month], *usage)?;
                forget_before(transaction, tenant, &hour_part(Timestamp::from_millis(oldest)))?;
            }
            Ok(())
        })
    }

    /// Usage by hour, then executor; the oldest first.
    pub fn usage(
        &self,
        access: &TenantAccess,
        filter: &UsageFilter,
        request: &PageRequest,
    ) -> Result<Page<UsageRecord>, Problem> {
        access.require(Scope::Read)?;
        let under = RowKey::of(&[access.tenant()]);
        let mut page = PageBuilder::new(request);
        let after = request.position("usage", &under)?;
        self.scan_usage(access, filter, after, |position, record| page.push(position, record))?;
        Ok(page.finish("usage", &under))
    }

    /// The sum of what [`Registry::usage`] lists.
    pub fn usage_sum(&self, access: &TenantAccess, filter: &UsageFilter) -> Result<Usage, Problem> {
        access.require(Scope::Read)?;
        let mut sum = Usage::default();
        self.scan_usage(access, filter, None, |_, record| {
            sum += record.usage;
            ControlFlow::Continue(())
        })?;
        Ok(sum)
    }

    /// What all executors of a tenant used in the calendar month (UTC) of that moment, for its quotas.
    pub fn month_usage(&self, tenant: &TenantName, at: Timestamp) -> Result<Usage, Problem> {
        let key = RowKey::of(&[tenant, &month_part(at)]);
        Ok(self.0.store.read(|source| table::MONTHS.get(source, &key))?.unwrap_or_default())
    }

    fn scan_usage(
        &self,
        access: &TenantAccess,
        filter: &UsageFilter,
        after: Option<String>,
        mut take: impl FnMut(&str, UsageRecord) -> ControlFlow<()>,
    ) -> Result<(), Problem> {
        let (from, to) = (filter.from.map(hour_part), filter.to);
        let start = after.into_iter().chain(from).max();
        self.0.store.read(|source| {
            table::USAGE.scan(source, &RowKey::of(&[access.tenant()]), start.as_deref(), |position, usage| {
                let Some(record) = read_record(position, usage) else { return Ok(ControlFlow::Continue(())) };
                if to.is_some_and(|to| record.hour >= to) {
                    return Ok(ControlFlow::Break(()));
                }
                if filter.executor.as_ref().is_some_and(|wanted| *wanted != record.executor) {
                    return Ok(ControlFlow::Continue(()));
                }
                Ok(take(position, record))
            })
        })
    }
}

fn add(
    transaction: &WriteTransaction,
    shelf: &crate::store::Shelf<Usage>,
    tenant: &TenantName,
    parts: &[&dyn std::fmt::Display],
    more: Usage,
) -> Result<(), StoreError> {
    if table::TENANTS.get(transaction, &RowKey::of(&[tenant]))?.is_none() {
        return Ok(());
    }
    let key = RowKey::of(parts);
    let mut sum = shelf.get(transaction, &key)?.unwrap_or_default();
    sum += more;
    shelf.put(transaction, &key, &sum).map(drop)
}

fn forget_before(transaction: &WriteTransaction, tenant: &TenantName, hour: &str) -> Result<(), StoreError> {
    let mut old = Vec::new();
    table::USAGE.scan(transaction, &RowKey::of(&[tenant]), None, |position, _| {
        if position >= hour || old.len() == 1000 {
            return Ok(ControlFlow::Break(()));
        }
        old.push(position.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    for position in old {
        table::USAGE.remove(transaction, &RowKey::of(&[tenant, &position]))?;
    }
    Ok(())
}

/// The full hour as sixteen digits of milliseconds.
fn hour_part(at: Timestamp) -> String {
    format!("{:016}", at.as_millis() / HOUR_MS * HOUR_MS)
}

/// The month, such as `2026-11`.
fn month_part(at: Timestamp) -> String {
    at.to_string().chars().take(7).collect()
}

fn read_record(position: &str, usage: Usage) -> Option<UsageRecord> {
    let (hour, executor) = position.split_once('/')?;
    let hour = Timestamp::from_millis(hour.parse().ok()?);
    Some(UsageRecord { executor: executor.parse().ok()?, hour, usage })
}

#[cfg(test)]
mod tests;
