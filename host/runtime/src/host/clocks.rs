//! The time as an instance may know it: the system's, or rounded down to 10 ms where the revision says `coarse`.
//!
//! A coarse clock cannot tell what a neighbour's work on the same processor costs. Whatever else tells the time rounds
//! in the same way: the monotonic clock, the wall clock, and what is left of a call.

use std::time::{Duration, Instant};

use lockgate_domain::ClockGrant;
use wasmtime_wasi::clocks::{MonotonicClock, WallClock};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// What a coarse clock rounds to.
const GRAIN: Duration = Duration::from_millis(10);

/// Sets the clocks that the grant allows.
pub(super) fn set(builder: &mut WasiCtxBuilder, grant: ClockGrant) {
    if grant == ClockGrant::Coarse {
        builder.wall_clock(Coarse(WallClock::new())).monotonic_clock(Coarse(MonotonicClock::new()));
    }
}

/// What is left until then.
pub(super) fn remaining(until: Instant, grant: ClockGrant) -> u64 {
    let left = until.saturating_duration_since(Instant::now());
    let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
    match grant {
        ClockGrant::Precise => left,
        ClockGrant::Coarse => round(left),
    }
}

struct Coarse<C>(C);

impl HostWallClock for Coarse<WallClock> {
    fn resolution(&self) -> Duration {
        GRAIN
    }

    fn now(&self) -> Duration {
        let now = self.0.now();
        Duration::new(now.as_secs(), round(u64::from(now.subsec_nanos())) as u32)
    }
}

impl HostMonotonicClock for Coarse<MonotonicClock> {
    fn resolution(&self) -> u64 {
        GRAIN.as_nanos() as u64
    }

    fn now(&self) -> u64 {
        round(self.0.now())
    }
}

fn round(nanoseconds: u64) -> u64 {
    let grain = GRAIN.as_nanos() as u64;
    nanoseconds - nanoseconds % grain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_clocks_round_down() {
        for (exact, told) in
            [(0, 0), (9_999_999, 0), (10_000_000, 10_000_000), (1_234_567_890, 1_230_000_000)]
        {
            assert_eq!(round(exact), told);
        }
        let wall = Coarse(WallClock::new()).now();
        assert_eq!(wall.subsec_nanos() % 10_000_000, 0, "{wall:?}");
        assert!(wall.as_secs() > 1_600_000_000);
        assert_eq!(Coarse(MonotonicClock::new()).now() % 10_000_000, 0);
        let until = Instant::now() + Duration::from_secs(5);
        assert_eq!(remaining(until, ClockGrant::Coarse) % 10_000_000, 0);
        assert!(remaining(until, ClockGrant::Precise) > 1_000_000_000);
    }
}
