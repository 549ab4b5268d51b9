//! Sums that are written once, kept when a write fails, and exact under concurrency.

use std::sync::atomic::{AtomicBool, Ordering};

use lockgate_domain::ErrorCode;
use lockgate_domain::tenancy::TenantSettings;

use super::*;
use crate::hosting::quota::MonthSums;

#[derive(Default)]
struct Book {
    written: Mutex<Vec<UsageSample>>,
    is_failing: AtomicBool,
}

impl UsageSink for Book {
    fn add(&self, samples: &[UsageSample]) -> Result<(), Problem> {
        if self.is_failing.load(Ordering::Relaxed) {
            return Err(Problem::new(ErrorCode::HostFault, "the disk is full"));
        }
        self.written.lock().extend_from_slice(samples);
        Ok(())
    }
}

impl Book {
    /// `tenant/executor hour requests` of all that was written.
    fn lines(&self) -> Vec<String> {
        let line = |sample: &UsageSample| {
            format!("{}/{} {} {}", sample.tenant, sample.executor, sample.at, sample.usage.requests)
        };
        self.written.lock().iter().map(line).collect()
    }

    fn fail(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Ordering::Relaxed);
    }
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn quota(tenant: &str) -> Arc<TenantQuota> {
    let month = MonthSums::of(name("2026-11-26T16:00:00Z"));
    Arc::new(TenantQuota::new(name(tenant), TenantSettings::default(), month))
}

const ONE: Usage = Usage {
    requests: 1,
    failures: 0,
    documents: 2,
    fuel: 3,
    wall_time_us: 4,
    bytes_in: 5,
    bytes_out: 6,
    egress_bytes: 7,
};

#[test]
fn usage_is_written_once_by_hour() {
    let (clock, hand) = Clock::standing_at(name("2026-11-26T16:59:59.999Z"));
    let (ledger, book) = (Ledger::default(), Book::default());
    let meter = ledger.meter(&name("acme"), &name("shout"), quota("acme"), clock.clone());
    let other = ledger.meter(&name("beta"), &name("shout"), quota("beta"), clock);
    meter.record(ONE);
    meter.record(ONE);
    other.record(ONE);
    hand.fetch_add(1, Ordering::Relaxed);
    meter.record(ONE);
    ledger.settle(&book).unwrap();
    let first = [
        "acme/shout 2026-11-26T16:00:00Z 2",
        "acme/shout 2026-11-26T17:00:00Z 1",
        "beta/shout 2026-11-26T16:00:00Z 1",
    ];
    assert_eq!(book.lines(), first);
    assert_eq!(book.written.lock()[0].usage, {
        let mut sum = ONE;
        sum += ONE;
        sum
    });
    ledger.settle(&book).unwrap();
    assert_eq!(book.lines(), first, "nothing is written twice");
}

#[test]
fn a_failed_write_keeps_its_counts() {
    let (clock, hand) = Clock::standing_at(name("2026-11-26T16:00:00Z"));
    let (ledger, book) = (Ledger::default(), Book::default());
    let acme = ledger.meter(&name("acme"), &name("shout"), quota("acme"), clock.clone());
    let beta = ledger.meter(&name("beta"), &name("shout"), quota("beta"), clock);
    acme.record(ONE);
    beta.record(ONE);
    book.fail(true);
    assert_eq!(ledger.settle(&book).unwrap_err().message(), "the disk is full");
    assert_eq!(book.lines().len(), 0);
    acme.record(ONE);
    hand.fetch_add(HOUR_MS, Ordering::Relaxed);
    acme.record(ONE);
    book.fail(false);
    ledger.settle(&book).unwrap();
    let all = [
        "acme/shout 2026-11-26T16:00:00Z 2",
        "acme/shout 2026-11-26T17:00:00Z 1",
        "beta/shout 2026-11-26T16:00:00Z 1",
    ];
    assert_eq!(book.lines(), all);
}

#[test]
fn concurrent_calls_are_counted_exactly() {
    let (clock, _hand) = Clock::standing_at(name("2026-11-26T16:00:00Z"));
    let (ledger, book) = (Ledger::default(), Book::default());
    let meter = ledger.meter(&name("acme"), &name("shout"), quota("acme"), clock);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| meter.record(ONE)));
        }
        scope.spawn(|| (0..20).for_each(|_| ledger.settle(&book).unwrap()));
    });
    ledger.settle(&book).unwrap();
    let sum = book.written.lock().iter().fold(Usage::default(), |mut sum, sample| {
        sum += sample.usage;
        sum
    });
    assert_eq!((sum.requests, sum.documents, sum.egress_bytes), (4000, 8000, 28_000));
}

#[test]
fn pages_of_executors_that_are_gone_are_forgotten_once_they_are_written() {
    let (clock, hand) = Clock::standing_at(name("2026-11-26T16:00:00Z"));
    let (ledger, book) = (Ledger::default(), Book::default());
    let meter = ledger.meter(&name("acme"), &name("shout"), quota("acme"), clock);
    for _ in 0..2 * MOST_HOURS {
        meter.record(ONE);
        hand.fetch_add(HOUR_MS, Ordering::Relaxed);
    }
    drop(meter);
    book.fail(true);
    ledger.settle(&book).unwrap_err();
    assert_eq!(ledger.pages(), 1);
    book.fail(false);
    ledger.settle(&book).unwrap();
    assert_eq!((ledger.pages(), book.lines().len()), (0, MOST_HOURS));
    let requests: u64 = book.written.lock().iter().map(|sample| sample.usage.requests).sum();
    assert_eq!(requests, 2 * MOST_HOURS as u64);
}

#[test]
fn a_meter_debits_the_quota() {
    let (clock, _hand) = Clock::standing_at(name("2026-11-26T16:00:00Z"));
    let mut settings = TenantSettings::default();
    settings.quota.fuel_per_month = 3;
    let month = MonthSums::of(clock.now());
    let quota = Arc::new(TenantQuota::new(name("acme"), settings, month));
    let meter = Ledger::default().meter(&name("acme"), &name("shout"), quota.clone(), clock.clone());
    quota.enter(clock.now()).unwrap();
    meter.record(ONE);
    assert!(quota.enter(clock.now()).is_err());
}
