//! What one tenant may use in time, enforced at the door: requests a second, requests at once, fuel a second and a
//! month, and the bytes of its executors' HTTP.
//!
//! Requests are admitted before any work; fuel is known only afterwards, so a call is debited when it has ended and the
//! next one finds the debt. A second's worth of requests may come at once, four seconds' worth of fuel. Refusals say
//! which quota, its value, and when the same request would pass. Everything here is a function of the moment it is
//! given, so tests need no clock. Quotas can be changed while calls run: the next request sees the new value.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{ErrorCode, LimitKind, Problem, TenantName, Timestamp, Usage};
use parking_lot::Mutex;
use time::{Date, Month, OffsetDateTime};

/// Seconds over which fuel is averaged.
const FUEL_SECONDS: u64 = 4;
/// When to come back after a refusal for requests at once: nobody knows, so soon.
const CONCURRENCY_PAUSE_MS: u64 = 100;

/// The counters of one tenant.
#[derive(Debug)]
pub(crate) struct TenantQuota {
    tenant: TenantName,
    state: Mutex<State>,
    in_progress: Arc<AtomicU32>,
    refused: AtomicU64,
}

#[derive(Debug)]
struct State {
    settings: TenantSettings,
    requests: Bucket,
    fuel: Bucket,
    month: MonthSums,
}

/// A leaky bucket: what was taken flows out again at the rate of the quota.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Thousandths of units in it, so that whole milliseconds leak whole numbers.
    level: u128,
    /// When it was looked at last, in milliseconds since 1970.
    at: u64,
}

/// What was used in a calendar month, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MonthSums {
    /// Its first moment.
    pub(crate) begin: Timestamp,
    /// Fuel.
    pub(crate) fuel: u64,
    /// Bytes over HTTP.
    pub(crate) egress_bytes: u64,
}

/// One request in progress; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct InProgress(Arc<AtomicU32>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl TenantQuota ===

impl TenantQuota {
    /// Starts with what the registry says was used in this month.
    pub(crate) fn new(tenant: TenantName, settings: TenantSettings, month: MonthSums) -> Self {
        let state = State { settings, requests: Bucket::default(), fuel: Bucket::default(), month };
        Self { tenant, state: Mutex::new(state), in_progress: Arc::default(), refused: AtomicU64::new(0) }
    }

    /// Applies other settings from the next request on; what was used stays used.
    pub(crate) fn change(&self, settings: TenantSettings) {
        self.state.lock().settings = settings;
    }

    /// The settings that apply.
    pub(crate) fn settings(&self) -> TenantSettings {
        self.state.lock().settings.clone()
    }

    /// Requests in progress now.
    pub(crate) fn in_progress(&self) -> u32 {
        self.in_progress.load(Ordering::Relaxed)
    }

    /// Requests refused so far because a quota was used up.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Lets one request in, or says which quota is used up. A refused request costs nothing of any quota.
    pub(crate) fn enter(&self, now: Timestamp) -> Result<InProgress, Problem> {
        let mut state = self.state.lock();
        state.month.turn(now);
        if state.settings.suspended {
            let message = format!("tenant {} is suspended", self.tenant);
            return Err(
                Problem::new(ErrorCode::PermissionDenied, message).with_hint("ask the operator of the host")
            );
        }
        let quota = state.settings.quota;
        if self.in_progress.load(Ordering::Relaxed) >= quota.concurrent_requests {
            let value = u64::from(quota.concurrent_requests);
            return Err(self.refuse(LimitKind::ConcurrentRequests, value, CONCURRENCY_PAUSE_MS));
        }
        if state.month.fuel >= quota.fuel_per_month {
            let wait = state.month.ends_in_ms(now);
            return Err(self.refuse(LimitKind::FuelMonth, quota.fuel_per_month, wait));
        }
        let fuel_rate = quota.fuel_per_second;
        if let Some(wait) = state.fuel.wait_ms(now, fuel_rate, fuel_rate.saturating_mul(FUEL_SECONDS), 1) {
            return Err(self.refuse(LimitKind::FuelRate, fuel_rate, wait));
        }
        let rate = u64::from(quota.requests_per_second);
        if let Some(wait) = state.requests.wait_ms(now, rate, rate, 1) {
            return Err(self.refuse(LimitKind::RequestRate, rate, wait));
        }
        state.requests.add(1);
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        Ok(InProgress(self.in_progress.clone()))
    }

    /// Whether executors that may use HTTP may still be called this month.
    pub(crate) fn allow_egress(&self, now: Timestamp) -> Result<(), Problem> {
        let mut state = self.state.lock();
        state.month.turn(now);
        let limit = state.settings.quota.egress_bytes_per_month;
        if state.month.egress_bytes < limit {
            return Ok(());
        }
        Err(self.refuse(LimitKind::Egress, limit, state.month.ends_in_ms(now)))
    }

    /// The month, and the bytes of HTTP that are left in it.
    pub(crate) fn egress_left(&self, now: Timestamp) -> (Timestamp, u64) {
        let mut state = self.state.lock();
        state.month.turn(now);
        let limit = state.settings.quota.egress_bytes_per_month;
        (state.month.begin, limit.saturating_sub(state.month.egress_bytes))
    }

    /// Debits what a call used.
    pub(crate) fn debit(&self, now: Timestamp, usage: &Usage) {
        let mut state = self.state.lock();
        state.month.turn(now);
        state.month.fuel = state.month.fuel.saturating_add(usage.fuel);
        state.month.egress_bytes = state.month.egress_bytes.saturating_add(usage.egress_bytes);
        let rate = state.settings.quota.fuel_per_second;
        state.fuel.leak(now, rate);
        state.fuel.add(usage.fuel);
    }

    fn refuse(&self, kind: LimitKind, value: u64, retry_after_ms: u64) -> Problem {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let (what, hint) = match kind {
            LimitKind::RequestRate => {
                ("sends more than", "send fewer requests, or ask the operator for a larger quota")
            }
            LimitKind::ConcurrentRequests => {
                ("has in progress as many as it may,", "wait for answers before sending more")
            }
            LimitKind::FuelRate => ("burns more than", "send fewer requests, or let executors do less"),
            LimitKind::FuelMonth => {
                ("has burned this month's", "wait for the next month, or ask the operator for a larger quota")
            }
            _ => (
                "has sent and received this month's",
                "wait for the next month, or ask the operator for a larger quota",
            ),
        };
        let unit = match kind {
            LimitKind::RequestRate => "requests a second",
            LimitKind::ConcurrentRequests => "requests at once",
            LimitKind::FuelRate => "units of fuel a second",
            LimitKind::FuelMonth => "units of fuel",
            _ => "bytes of its executors' HTTP",
        };
        let message = format!("tenant {} {what} {value} {unit}", self.tenant);
        Problem::limit(kind, value, message).with_retry_after_ms(retry_after_ms.max(1)).with_hint(hint)
    }
}

// === impl Bucket ===

impl Bucket {
    const SCALE: u128 = 1000;

    /// Lets flow out what `rate` units a second took away since it was looked at last. A clock that went back is
    /// waited for: nothing flows until it has come past the moment that was seen.
    fn leak(&mut self, now: Timestamp, rate: u64) {
        let passed = now.as_millis().saturating_sub(self.at);
        self.level = self.level.saturating_sub(u128::from(passed).saturating_mul(u128::from(rate)));
        self.at = self.at.max(now.as_millis());
    }

    fn add(&mut self, units: u64) {
        self.level = self.level.saturating_add(u128::from(units).saturating_mul(Self::SCALE));
    }

    /// Milliseconds until `units` fit below `room`; none if they fit now.
    fn wait_ms(&mut self, now: Timestamp, rate: u64, room: u64, units: u64) -> Option<u64> {
        self.leak(now, rate);
        let wanted = self.level.saturating_add(u128::from(units).saturating_mul(Self::SCALE));
        let excess = wanted.saturating_sub(u128::from(room).saturating_mul(Self::SCALE));
        if excess == 0 {
            return None;
        }
        // Without a rate nothing ever flows out: come back when the quota may have been changed.
        const NEVER_MS: u64 = 3_600_000;
        let wait = excess.div_ceil(u128::from(rate.max(1)));
        Some(if rate == 0 { NEVER_MS } else { u64::try_from(wait).unwrap_or(u64::MAX) })
    }
}

// === impl MonthSums ===

impl MonthSums {
    /// The month of a moment, with nothing used.
    pub(crate) fn of(now: Timestamp) -> Self {
        Self { begin: month_begin(now), fuel: 0, egress_bytes: 0 }
    }

    /// Begins anew when another month has begun. A clock that goes back does not give a month twice.
    fn turn(&mut self, now: Timestamp) {
        let begin = month_begin(now);
        if begin > self.begin {
            *self = Self { begin, fuel: 0, egress_bytes: 0 };
        }
    }

    fn ends_in_ms(&self, now: Timestamp) -> u64 {
        month_after(self.begin).as_millis().saturating_sub(now.as_millis())
    }
}

fn month_begin(moment: Timestamp) -> Timestamp {
    let date = date(moment);
    first_of(date.year(), date.month())
}

fn month_after(moment: Timestamp) -> Timestamp {
    let date = date(moment);
    let month = date.month().next();
    first_of(date.year() + i32::from(month == Month::January), month)
}

fn date(moment: Timestamp) -> Date {
    let seconds = i64::try_from(moment.as_millis() / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MAX, OffsetDateTime::date)
}

fn first_of(year: i32, month: Month) -> Timestamp {
    let seconds = Date::from_calendar_date(year, month, 1)
        .map_or(i64::MAX, |date| date.midnight().assume_utc().unix_timestamp());
    Timestamp::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

#[cfg(test)]
mod tests;
