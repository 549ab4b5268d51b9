//! Which address a call goes to: the less busy of two random ones.
//!
//! Two random choices spread load almost as well as knowing everything would, and two hosts that look at the same
//! numbers do not run to the same address. An address that left calls unanswered is asked only when there is no other.

use std::sync::Arc;

use super::address::Address;
use super::connection::Connection;

/// An address with a connection.
pub(super) struct Choice {
    pub(super) address: Arc<Address>,
    pub(super) connection: Arc<Connection>,
}

/// The address of the next call; none if no address is connected.
pub(super) fn choose(addresses: &[Arc<Address>]) -> Option<Choice> {
    let only = match addresses {
        [only] => Some(only),
        _ => pick(addresses, |address| address.is_connected() && !address.is_suspect(), fastrand::usize)
            .or_else(|| pick(addresses, |address| address.is_connected(), fastrand::usize)),
    };
    let address = only?.clone();
    // The connection may have ended since it was looked at.
    let connection = address.connection()?;
    Some(Choice { address, connection })
}

/// The less busy of two random ones among those that qualify. `random` gives a number below its argument.
fn pick(
    addresses: &[Arc<Address>],
    qualifies: impl Fn(&Address) -> bool,
    random: impl Fn(std::ops::RangeTo<usize>) -> usize,
) -> Option<&Arc<Address>> {
    let nth = |index: usize| addresses.iter().filter(|address| qualifies(address)).nth(index);
    let count = addresses.iter().filter(|address| qualifies(address)).count();
    match count {
        0 => None,
        1 => nth(0),
        count => {
            let one = random(..count);
            // Another one: the places after the first are taken as a ring.
            let two = (one + 1 + random(..count - 1)) % count;
            let (one, two) = (nth(one)?, nth(two)?);
            Some(if two.in_flight() < one.in_flight() { two } else { one })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_domain::spec::ExternalAddress;

    #[test]
    fn the_less_busy_of_two_is_picked() {
        let addresses: Vec<Arc<Address>> = (1..=3)
            .map(|port| Arc::new(Address::new(&ExternalAddress { host: "h".into(), port, tls: false })))
            .collect();
        // The first is busier than the second, the second than the third.
        let _busy = [addresses[0].enter(None), addresses[0].enter(None), addresses[1].enter(None)];
        let check = |draws: [usize; 2], qualifies: fn(&Address) -> bool, expected: Option<&str>| {
            let draw = std::cell::Cell::new(0);
            let random = |below: std::ops::RangeTo<usize>| {
                draw.set(draw.get() + 1);
                draws[draw.get() - 1] % below.end
            };
            let picked = pick(&addresses, qualifies, random).map(|address| address.url());
            assert_eq!(picked, expected, "{draws:?}");
        };
        check([0, 0], |_| true, Some("grpc://h:2"));
        check([0, 1], |_| true, Some("grpc://h:3"));
        check([1, 1], |_| true, Some("grpc://h:2"));
        check([2, 0], |_| true, Some("grpc://h:3"));
        check([0, 0], |address| address.url().ends_with('1'), Some("grpc://h:1"));
        check([0, 0], |_| false, None);
    }
}
