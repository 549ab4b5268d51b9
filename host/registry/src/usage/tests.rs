//! Sums are exact, and pages and filters show all of them once.

use std::sync::atomic::Ordering;

use super::*;
use crate::fixture::{Fixture, START_MS, acme, other};

fn sample(tenant: &str, executor: &str, at: u64, fuel: u64) -> UsageSample {
    UsageSample {
        tenant: tenant.parse().unwrap(),
        executor: executor.parse().unwrap(),
        at: Timestamp::from_millis(at),
        usage: Usage { requests: 1, fuel, egress_bytes: 2, ..Usage::default() },
    }
}

#[test]
fn usage_is_added_up_by_hour_and_month() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    let next_month = START_MS + 10 * 24 * HOUR_MS;
    registry.add_usage(&[]).unwrap();
    registry
        .add_usage(&[
            sample("acme", "shout", START_MS, 10),
            sample("acme", "shout", START_MS + 1, 20),
            sample("acme", "count", START_MS, 1),
            sample("other", "shout", START_MS, 500),
            sample("gone", "shout", START_MS, 7),
        ])
        .unwrap();
    registry
        .add_usage(&[sample("acme", "shout", START_MS + HOUR_MS, 3), sample("acme", "shout", START_MS, 4)])
        .unwrap();
    registry.add_usage(&[sample("acme", "shout", next_month, 100)]).unwrap();

    let fuel = |filter: &UsageFilter| {
        let mut request = PageRequest { limit: Some(1), cursor: None };
        let mut found = Vec::new();
        loop {
            let page = registry.usage(&acme(), filter, &request).unwrap();
            found.extend(page.items.iter().map(|record| (record.executor.to_string(), record.usage.fuel)));
            request.cursor = page.next;
            if request.cursor.is_none() {
                break;
            }
        }
        assert_eq!(
            registry.usage_sum(&acme(), filter).unwrap().fuel,
            found.iter().map(|(_, fuel)| fuel).sum::<u64>()
        );
        found
    };
    let rows = |rows: &[(&str, u64)]| {
        rows.iter().map(|(name, fuel)| ((*name).to_owned(), *fuel)).collect::<Vec<_>>()
    };
    let at = |milliseconds: u64| Some(Timestamp::from_millis(milliseconds));
    let hour = START_MS / HOUR_MS * HOUR_MS;
    assert_eq!(
        fuel(&UsageFilter::default()),
        rows(&[("count", 1), ("shout", 34), ("shout", 3), ("shout", 100)])
    );
    assert_eq!(
        fuel(&UsageFilter { executor: Some("shout".parse().unwrap()), ..UsageFilter::default() }),
        rows(&[("shout", 34), ("shout", 3), ("shout", 100)])
    );
    assert_eq!(
        fuel(&UsageFilter { from: at(START_MS), to: at(hour + HOUR_MS), executor: None }),
        rows(&[("count", 1), ("shout", 34)])
    );
    assert_eq!(
        fuel(&UsageFilter { from: at(hour + HOUR_MS), to: at(hour + 2 * HOUR_MS), executor: None }),
        rows(&[("shout", 3)])
    );
    assert_eq!(registry.usage_sum(&other(), &UsageFilter::default()).unwrap().fuel, 500);
    let month = |at: u64| registry.month_usage(&"acme".parse().unwrap(), Timestamp::from_millis(at)).unwrap();
    assert_eq!((month(START_MS).fuel, month(START_MS).egress_bytes, month(next_month).fuel), (38, 10, 100));
    assert_eq!(
        registry.month_usage(&"gone".parse().unwrap(), Timestamp::from_millis(START_MS)).unwrap().fuel,
        0
    );

    // Hours go after their time, months stay.
    fixture.time.store(START_MS + 401 * 24 * HOUR_MS, Ordering::SeqCst);
    registry.add_usage(&[sample("acme", "shout", START_MS + 401 * 24 * HOUR_MS, 9)]).unwrap();
    assert_eq!(fuel(&UsageFilter::default()), rows(&[("shout", 100), ("shout", 9)]));
    assert_eq!(month(START_MS).fuel, 38);
}
