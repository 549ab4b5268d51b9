//! How many connections each peer has, so that one cannot take the places of all.
//!
//! Counted by IPv4 address, and by the first half of an IPv6 address: the other half is the peer's own to choose. An
//! entry lives as long as its peer has a connection, so there are never more of them than connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The count of each peer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    limit: usize,
}

/// The place of one connection. Dropping it makes room for another of the same peer.
#[derive(Debug)]
pub(crate) struct Place {
    peers: Peers,
    peer: IpAddr,
}

impl Peers {
    /// At most so many connections of one peer.
    pub(crate) fn new(limit: usize) -> Self {
        Self { counts: Arc::default(), limit: limit.max(1) }
    }

    /// A place for one more connection; none if the peer has as many as it may.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Place> {
        let peer = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(peer).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { peers: self.clone(), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.peers.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.peer)),
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_its_own_count() {
        let peers = Peers::new(2);
        let admit = |address: &str| peers.admit(address.parse().unwrap());
        let (first, second) = (admit("10.0.0.1").unwrap(), admit("::ffff:10.0.0.1").unwrap());
        assert!(admit("10.0.0.1").is_none());
        let other = admit("10.0.0.2").unwrap();
        let (near, _far) = (admit("2001:db8::1").unwrap(), admit("2001:db8::2:1").unwrap());
        assert!(admit("2001:db8::3").is_none());
        assert!(admit("2001:db8:0:1::3").is_some());
        drop(second);
        let _third = admit("10.0.0.1").unwrap();
        assert!(admit("10.0.0.1").is_none());
        drop((first, other, near, _third, _far));
        assert!(peers.counts.lock().unwrap().is_empty());
    }
}
