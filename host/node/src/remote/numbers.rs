//! What `/metrics` tells of external executors.
//!
//! Series are bounded: by the addresses of the flow and by the codes there are. A call that is dropped after its deadline
//! has failed; one that is dropped before was given up by its caller and is nobody's failure.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use lockgate_domain::{ErrorCode, Problem};
use lockgate_telemetry::inventory::{
    EXTERNAL_ADDRESS, EXTERNAL_CALLS, EXTERNAL_FAILURES, EXTERNAL_IN_FLIGHT, EXTERNAL_SECONDS,
};
use lockgate_telemetry::page::Page;

use super::RemoteExecutor;
use super::address::Address;

/// The words for what is known of an address.
const STATES: [&str; 3] = ["connected", "silent", "gone"];

/// Failed calls, in the order of the codes.
#[derive(Debug, Default)]
pub(super) struct Failures([AtomicU64; ErrorCode::ALL.len()]);

/// A call until it is known what came of it.
pub(super) struct Tally<'a> {
    failures: &'a Failures,
    deadline: Option<Instant>,
    is_over: bool,
}

impl Failures {
    /// A call begins.
    pub(super) fn watch(&self, deadline: Option<Instant>) -> Tally<'_> {
        Tally { failures: self, deadline, is_over: false }
    }

    fn add(&self, code: ErrorCode) {
        let counts = ErrorCode::ALL.iter().zip(&self.0);
        counts.filter(|(known, _)| **known == code).for_each(|(_, count)| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
}

impl Tally<'_> {
    /// What came of it.
    pub(super) fn end<T>(mut self, result: &Result<T, Problem>) {
        self.is_over = true;
        if let Err(problem) = result {
            self.failures.add(problem.code());
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.failures.add(ErrorCode::DeadlineExceeded);
        }
    }
}

impl RemoteExecutor {
    /// Puts its numbers on the page.
    pub(crate) fn add_to(&self, page: &mut Page) {
        let executor = self.shared.name.as_str();
        for address in self.addresses.iter() {
            let series = [executor, address.url()];
            page.add(&EXTERNAL_CALLS, &series, address.calls() as f64);
            page.add(&EXTERNAL_SECONDS, &series, address.time().as_secs_f64());
            page.add(&EXTERNAL_IN_FLIGHT, &series, address.in_flight() as f64);
            for state in STATES {
                let is_it = u8::from(state == state_of(address));
                page.add(&EXTERNAL_ADDRESS, &[executor, address.url(), state], is_it.into());
            }
        }
        for (code, count) in ErrorCode::ALL.iter().zip(&self.failures.0) {
            match count.load(Ordering::Relaxed) {
                0 => {}
                count => page.add(&EXTERNAL_FAILURES, &[executor, code.as_str()], count as f64),
            }
        }
    }
}

fn state_of(address: &Address) -> &'static str {
    match (address.is_connected(), address.is_suspect()) {
        (true, false) => "connected",
        (true, true) => "silent",
        (false, _) => "gone",
    }
}
