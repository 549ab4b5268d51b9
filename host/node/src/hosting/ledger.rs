//! What calls used, per tenant, executor and hour, on its way into the registry.
//!
//! A call is recorded in one piece, under a lock that is held for a few additions, in the hour in which it ended. What
//! was recorded stays here until the registry has it: a write that fails is kept and tried again, and nothing is ever
//! written twice. One settlement runs at a time, so when [`Ledger::settle`] returns, everything that was recorded
//! before it was called can be read back. What a kill of the process loses is what was recorded since the last
//! settlement, a few seconds' worth. Bounded by the executors there are, and by [`MOST_HOURS`] for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockgate_domain::{ExecutorName, Problem, TenantName, Timestamp, Usage};
use lockgate_registry::{Registry, UsageSample};
use lockgate_runtime::CallMeter;
use parking_lot::Mutex;

use super::clock::Clock;
use super::quota::TenantQuota;

/// Hours that one executor's usage may wait for the registry; beyond that they are added to the last one.
const MOST_HOURS: usize = 48;
const HOUR_MS: u64 = 3_600_000;

/// Where usage goes: the registry in a host, a list in tests.
pub(crate) trait UsageSink {
    /// Adds these to what is there, all or nothing.
    fn add(&self, samples: &[UsageSample]) -> Result<(), Problem>;
}

impl UsageSink for Registry {
    fn add(&self, samples: &[UsageSample]) -> Result<(), Problem> {
        self.add_usage(samples)
    }
}

/// All meters of a host. Cheap to clone; all clones are the same ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pages: Mutex<BTreeMap<(TenantName, ExecutorName), Arc<LedgerPage>>>,
    /// One settlement at a time.
    settling: Mutex<()>,
}

/// The hours of one executor that the registry does not have yet, oldest first.
#[derive(Debug, Default)]
struct LedgerPage(Mutex<Vec<(Timestamp, Usage)>>);

/// The meter of one executor: all its pools share it.
#[derive(Debug)]
pub(crate) struct ExecutorMeter {
    page: Arc<LedgerPage>,
    quota: Arc<TenantQuota>,
    clock: Clock,
}

impl CallMeter for ExecutorMeter {
    fn record(&self, usage: Usage) {
        let now = self.clock.now();
        self.quota.debit(now, &usage);
        self.page.add(hour_of(now), usage);
    }
}

impl Ledger {
    /// The meter of an executor, which debits the tenant's quota as well.
    pub(crate) fn meter(
        &self,
        tenant: &TenantName,
        executor: &ExecutorName,
        quota: Arc<TenantQuota>,
        clock: Clock,
    ) -> Arc<ExecutorMeter> {
        let key = (tenant.clone(), executor.clone());
        let page = self.0.pages.lock().entry(key).or_default().clone();
        Arc::new(ExecutorMeter { page, quota, clock })
    }

    /// Writes what was recorded so far. Blocks while the registry writes.
    pub(crate) fn settle(&self, sink: &dyn UsageSink) -> Result<(), Problem> {
        let _turn = self.0.settling.lock();
        let mut taken = Vec::new();
        for ((tenant, executor), page) in self.0.pages.lock().iter() {
            let hours = std::mem::take(&mut *page.0.lock());
            taken.extend(hours.into_iter().map(|(at, usage)| {
                let sample = UsageSample { tenant: tenant.clone(), executor: executor.clone(), at, usage };
                (page.clone(), sample)
            }));
        }
        if taken.is_empty() {
            self.forget_unused();
            return Ok(());
        }
        let (pages, samples): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
        let written = sink.add(&samples);
        if written.is_err() {
            let kept = pages.iter().zip(&samples);
            kept.for_each(|(page, sample)| page.put_back(sample.at, sample.usage));
        }
        drop(pages);
        self.forget_unused();
        written
    }

    /// Drops pages that hold nothing and that no meter can write to any more.
    fn forget_unused(&self) {
        self.0.pages.lock().retain(|_, page| Arc::strong_count(page) > 1 || !page.0.lock().is_empty());
    }

    #[cfg(test)]
    fn pages(&self) -> usize {
        self.0.pages.lock().len()
    }
}

impl LedgerPage {
    fn add(&self, hour: Timestamp, usage: Usage) {
        let mut hours = self.0.lock();
        let is_full = hours.len() >= MOST_HOURS;
        match hours.last_mut() {
            // Within the hour, and when the clock went back: what is written is never before what was written.
            Some((last, sums)) if *last >= hour || is_full => *sums += usage,
            _ => hours.push((hour, usage)),
        }
    }

    fn put_back(&self, hour: Timestamp, usage: Usage) {
        let mut hours = self.0.lock();
        match hours.iter_mut().find(|(known, _)| *known == hour) {
            Some((_, sums)) => *sums += usage,
            None => {
                let place = hours.partition_point(|(known, _)| *known < hour);
                hours.insert(place, (hour, usage));
            }
        }
    }
}

fn hour_of(moment: Timestamp) -> Timestamp {
    let milliseconds = moment.as_millis();
    Timestamp::from_millis(milliseconds - milliseconds % HOUR_MS)
}

#[cfg(test)]
mod tests;
