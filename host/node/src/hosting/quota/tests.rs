//! Each quota as a table of moments: who is let in, who is refused, and how long to wait.

use lockgate_domain::Quota;

use super::*;

const START: &str = "2026-11-26T16:00:00Z";

fn at(milliseconds: u64) -> Timestamp {
    let start: Timestamp = START.parse().unwrap();
    Timestamp::from_millis(start.as_millis() + milliseconds)
}

fn quota(change: impl Fn(&mut TenantSettings)) -> TenantQuota {
    let mut settings = TenantSettings::default();
    change(&mut settings);
    TenantQuota::new("acme".parse().unwrap(), settings, MonthSums::of(at(0)))
}

/// The refusal: limit, value, milliseconds to wait.
type Refusal = Option<(LimitKind, u64, u64)>;

fn refusal(entered: &Result<InProgress, Problem>) -> Refusal {
    let problem = entered.as_ref().err()?;
    let (kind, value) = problem.limit_passed().unwrap();
    assert_eq!(problem.code(), ErrorCode::QuotaExceeded);
    assert!(
        problem.message().contains("acme") && problem.message().contains(&value.to_string()),
        "{problem:?}"
    );
    Some((kind, value, problem.retry_after_ms().unwrap()))
}

#[test]
fn requests_come_a_second_at_once_and_then_at_the_rate() {
    let quota = quota(|settings| settings.quota.requests_per_second = 4);
    let check = |moment: u64, expected: Refusal| {
        let entered = quota.enter(at(moment));
        assert_eq!(refusal(&entered), expected, "at {moment}");
    };
    for _ in 0..4 {
        check(0, None);
    }
    check(0, Some((LimitKind::RequestRate, 4, 250)));
    check(249, Some((LimitKind::RequestRate, 4, 1)));
    check(250, None);
    check(250, Some((LimitKind::RequestRate, 4, 250)));
    // Nothing is saved up beyond a second's worth.
    for _ in 0..4 {
        check(60_000, None);
    }
    check(60_000, Some((LimitKind::RequestRate, 4, 250)));
    // A clock that goes back gives nothing away.
    check(1000, Some((LimitKind::RequestRate, 4, 250)));
}

#[test]
fn the_promised_wait_is_long_enough_and_not_too_long() {
    for rate in [1, 3, 7, 999, 1001] {
        let quota = quota(|settings| {
            settings.quota.requests_per_second = rate;
            settings.quota.concurrent_requests = u32::MAX;
        });
        let mut wait = 0;
        while refusal(&quota.enter(at(wait))).is_none() {}
        for _ in 0..50 {
            let (_, _, promised) = refusal(&quota.enter(at(wait))).unwrap();
            if promised > 1 {
                assert!(quota.enter(at(wait + promised - 1)).is_err(), "{rate}: too long");
            }
            wait += promised;
            while refusal(&quota.enter(at(wait))).is_none() {}
        }
    }
}

#[test]
fn requests_at_once_are_counted_until_they_end() {
    let quota = quota(|settings| settings.quota.concurrent_requests = 2);
    let (first, second) = (quota.enter(at(0)).unwrap(), quota.enter(at(0)).unwrap());
    assert_eq!(refusal(&quota.enter(at(0))), Some((LimitKind::ConcurrentRequests, 2, CONCURRENCY_PAUSE_MS)));
    drop(first);
    let third = quota.enter(at(0)).unwrap();
    assert_eq!(quota.in_progress(), 2);
    drop((second, third));
    assert_eq!(quota.in_progress(), 0);
}

#[test]
fn fuel_is_debited_afterwards_and_averaged() {
    let quota = quota(|settings| settings.quota.fuel_per_second = 1000);
    let burn = |moment: u64, fuel: u64| quota.debit(at(moment), &Usage { fuel, ..Usage::default() });
    let check = |moment: u64, expected: Refusal| {
        assert_eq!(refusal(&quota.enter(at(moment))), expected, "at {moment}");
    };
    check(0, None);
    burn(0, 3999);
    check(0, None);
    // One large call may pass the average; whoever comes next waits for it.
    burn(0, 6001);
    check(0, Some((LimitKind::FuelRate, 1000, 6001)));
    check(6000, Some((LimitKind::FuelRate, 1000, 1)));
    check(6001, None);
    check(20_000, None);
}

#[test]
fn fuel_of_a_month_ends_with_the_month() {
    let sums = MonthSums { fuel: 90, ..MonthSums::of(at(0)) };
    let mut settings = TenantSettings::default();
    settings.quota.fuel_per_month = 100;
    let quota = TenantQuota::new("acme".parse().unwrap(), settings, sums);
    assert_eq!(refusal(&quota.enter(at(0))), None);
    quota.debit(at(0), &Usage { fuel: 10, ..Usage::default() });
    let next: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
    let wait = next.as_millis() - at(0).as_millis();
    assert_eq!(refusal(&quota.enter(at(0))), Some((LimitKind::FuelMonth, 100, wait)));
    assert_eq!(refusal(&quota.enter(next)), None);
}

#[test]
fn egress_ends_with_the_month() {
    let quota = quota(|settings| settings.quota.egress_bytes_per_month = 100);
    quota.allow_egress(at(0)).unwrap();
    quota.debit(at(0), &Usage { egress_bytes: 100, ..Usage::default() });
    let problem = quota.allow_egress(at(0)).unwrap_err();
    assert_eq!(problem.limit_passed(), Some((LimitKind::Egress, 100)));
    assert_eq!(refusal(&quota.enter(at(0))), None, "executors without HTTP go on");
    quota.allow_egress("2027-01-01T00:00:00Z".parse().unwrap()).unwrap();
}

#[test]
fn settings_change_while_requests_are_in_progress() {
    let quota = quota(|settings| settings.quota.requests_per_second = 1);
    let first = quota.enter(at(0)).unwrap();
    assert!(quota.enter(at(0)).is_err());
    let settings = TenantSettings {
        quota: Quota { requests_per_second: 100, ..Quota::default() },
        ..TenantSettings::default()
    };
    quota.change(settings.clone());
    let second = quota.enter(at(0)).unwrap();
    quota.change(TenantSettings { suspended: true, ..settings });
    let problem = quota.enter(at(0)).unwrap_err();
    assert_eq!(problem.code(), ErrorCode::PermissionDenied);
    assert_eq!(problem.message(), "tenant acme is suspended");
    drop((first, second));
}

#[test]
fn months_are_those_of_the_calendar() {
    let check = |moment: &str, begin: &str, after: &str| {
        let moment: Timestamp = moment.parse().unwrap();
        assert_eq!(month_begin(moment).to_string(), begin);
        assert_eq!(month_after(moment).to_string(), after);
    };
    check("2026-11-26T16:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    check("2026-12-31T23:59:59.999Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    check("2028-02-29T00:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
}
