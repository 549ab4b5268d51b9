//! Which revision a call goes to: a pure function of the shares and of what the request says about itself.
//!
//! A canary's part of the traffic is cut out by a hash, not by dice: requests with the same `lockgate-sticky` header go
//! to the same side of every executor for as long as the share stays, on every node and after every start; without that
//! header the request's id decides, so that all stages of one request and all its retries agree. Raising the share
//! moves requests to the canary and none back. A caller who sends the same id every time is sticky as well, which is
//! what it asked for. Shadows are drawn by dice: who is compared does not matter to callers.

use lockgate_domain::request::STICKY;
use lockgate_domain::{ExecutorName, RequestContext};

/// A part of the whole, from percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(f64);

impl Share {
    /// What is outside 0 to 100, or no number, counts as the nearer end; not a number is nothing.
    pub(crate) fn percent(percent: f64) -> Self {
        Self(if percent.is_nan() { 0.0 } else { percent.clamp(0.0, 100.0) / 100.0 })
    }

    /// Whether a point between 0 and 1 (1 excluded) lies inside.
    pub(crate) fn holds(self, point: f64) -> bool {
        point < self.0
    }
}

/// Where a request lies between 0 and 1 (1 excluded), as far as one executor is concerned.
pub(crate) fn point(executor: &ExecutorName, context: &RequestContext) -> f64 {
    let key = context.headers.get(STICKY).unwrap_or_else(|| context.id.as_str());
    // The executor is part of it: two canaries at 10 % shall not meet the same tenth of all callers.
    let hash = mixed(hash(hash(OFFSET, executor.as_str()), key));
    // 53 bits are what a double holds exactly.
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: the same on every machine and in every version.
fn hash(start: u64, text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    step(text.bytes().fold(start, step), 0xff)
}

/// Spreads what differs in a few bits over all of them.
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use lockgate_domain::request::Headers;
    use lockgate_domain::{FuelBudget, RequestId, TenantName};

    use super::*;

    fn context(id: &str, sticky: Option<&str>) -> RequestContext {
        let headers = sticky.map(|value| vec![(STICKY.to_owned(), value.to_owned())]).unwrap_or_default();
        let context = RequestContext::new(RequestId::accept(id), TenantName::local(), FuelBudget::new(1));
        RequestContext { headers: Headers::new(headers), ..context }
    }

    fn name(text: &str) -> ExecutorName {
        text.parse().unwrap()
    }

    #[test]
    fn shares_cut_out_their_part() {
        let check = |percent: f64, expected: std::ops::RangeInclusive<usize>| {
            let share = Share::percent(percent);
            let inside =
                |number: &usize| share.holds(point(&name("shout"), &context(&format!("r{number}"), None)));
            let count = (0..10_000).filter(inside).count();
            assert!(expected.contains(&count), "{percent} %: {count}");
        };
        check(0.0, 0..=0);
        check(-5.0, 0..=0);
        check(f64::NAN, 0..=0);
        check(1.0, 60..=150);
        check(25.0, 2300..=2700);
        check(100.0, 10_000..=10_000);
        check(1e9, 10_000..=10_000);
    }

    #[test]
    fn the_same_request_stays_on_its_side() {
        let shout = name("shout");
        assert_eq!(point(&shout, &context("a", None)), point(&shout, &context("a", None)));
        assert_eq!(point(&shout, &context("a", Some("me"))), point(&shout, &context("b", Some("me"))));
        assert_ne!(point(&shout, &context("a", Some("me"))), point(&shout, &context("a", Some("you"))));
        assert_ne!(point(&shout, &context("a", None)), point(&name("other"), &context("a", None)));
        // Written down: a change would move callers of every host that is upgraded.
        assert_eq!(format!("{:.6}", point(&shout, &context("a", None))), "0.053630");
    }
}
