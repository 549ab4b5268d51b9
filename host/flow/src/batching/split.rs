//! How a batch becomes calls, and how what they give becomes answers again: pure functions.
//!
//! Documents are cut in the order in which their requests came, and go back by their place. Only where an executor
//! changed their number or their order they go back by id, and where an id does not say whose a document is, that is an
//! error of the executor: a document must never reach somebody else's answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use lockgate_domain::DocumentList;
use lockgate_domain::document::names;

/// Rows of one request inside one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The request, by its place in the batch.
    pub(super) member: usize,
    /// The first of its rows.
    pub(super) first: u32,
    /// How many.
    pub(super) count: u32,
}

/// Cuts requests of so many documents, one behind the other, into calls of at most `most`. Requests without documents
/// are in none.
pub(super) fn cut(counts: impl IntoIterator<Item = u32>, most: u32) -> Vec<Vec<Part>> {
    let most = most.max(1);
    let (mut calls, mut call, mut room) = (Vec::new(), Vec::new(), most);
    for (member, total) in counts.into_iter().enumerate() {
        let mut first = 0;
        while first < total {
            let count = (total - first).min(room);
            call.push(Part { member, first, count });
            first += count;
            room -= count;
            if room == 0 {
                calls.push(std::mem::take(&mut call));
                room = most;
            }
        }
    }
    if !call.is_empty() {
        calls.push(call);
    }
    calls
}

/// Why a reply cannot be given back to its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misfit {
    /// A document that none of the requests sent.
    Unknown(String),
    /// A document that several of them sent.
    Ambiguous(String),
    /// A document without an id.
    Anonymous,
}

/// Which rows of `reply` belong to each of the parts, of which `sent` had so many rows each.
pub(super) fn assign(
    sent: &DocumentList,
    counts: &[u32],
    reply: &DocumentList,
) -> Result<Vec<Vec<u32>>, Misfit> {
    if sent.len() == reply.len() && same_ids(sent, reply) {
        return Ok(by_place(counts));
    }
    let owners = owners(sent, counts);
    if sent.len() == reply.len() && stays_home(&owners, counts, reply) {
        return Ok(by_place(counts));
    }
    let mut rows = vec![Vec::new(); counts.len()];
    for row in 0..reply.len() {
        let id = reply.text(names::ID, row).filter(|id| !id.is_empty()).ok_or(Misfit::Anonymous)?;
        match owners.get(id) {
            Some(Owner::One(part)) => {
                if let Some(rows) = rows.get_mut(*part) {
                    rows.push(row);
                }
            }
            Some(Owner::Several) => return Err(Misfit::Ambiguous(id.to_owned())),
            None => return Err(Misfit::Unknown(id.to_owned())),
        }
    }
    Ok(rows)
}

fn by_place(counts: &[u32]) -> Vec<Vec<u32>> {
    let mut first = 0;
    let rows = counts.iter().map(|count| {
        let rows = (first..first + count).collect();
        first += count;
        rows
    });
    rows.collect()
}

fn same_ids(sent: &DocumentList, reply: &DocumentList) -> bool {
    (0..sent.len()).all(|row| sent.text(names::ID, row) == reply.text(names::ID, row))
}

/// Whose document an id is.
enum Owner {
    One(usize),
    Several,
}

fn owners<'a>(sent: &'a DocumentList, counts: &[u32]) -> HashMap<&'a str, Owner> {
    let mut owners = HashMap::with_capacity(sent.len() as usize);
    for (part, row) in places(counts) {
        let Some(id) = sent.text(names::ID, row) else { continue };
        match owners.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(Owner::One(part));
            }
            Entry::Occupied(mut entry) => {
                if !matches!(entry.get(), Owner::One(other) if *other == part) {
                    entry.insert(Owner::Several);
                }
            }
        }
    }
    owners
}

/// Whether no document stands where it would reach another request than the one that sent it. New ids are the
/// executor's own affair, as long as it leaves the number of documents alone.
fn stays_home(owners: &HashMap<&str, Owner>, counts: &[u32], reply: &DocumentList) -> bool {
    places(counts).all(|(part, row)| match reply.text(names::ID, row).and_then(|id| owners.get(id)) {
        Some(Owner::One(owner)) => *owner == part,
        // It may have come from elsewhere, and nothing could tell.
        Some(Owner::Several) => false,
        None => true,
    })
}

/// Each row with the part that it lies in.
fn places(counts: &[u32]) -> impl Iterator<Item = (usize, u32)> + '_ {
    let parts = counts.iter().enumerate();
    parts.flat_map(|(part, count)| std::iter::repeat_n(part, *count as usize)).zip(0..)
}

/// Who pays how much of what a call burned: in proportion to documents, nobody more than is left to it; what one cannot
/// pay the others do.
pub(super) fn shares(burned: u64, counts: &[u32], left: &[u64]) -> Vec<u64> {
    let total: u64 = counts.iter().copied().map(u64::from).sum();
    let exact = |count: &u32| {
        let share = u128::from(burned) * u128::from(*count) / u128::from(total.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    let mut shares: Vec<u64> = counts.iter().zip(left).map(|(count, left)| exact(count).min(*left)).collect();
    let mut rest = burned.saturating_sub(shares.iter().fold(0, |sum, share| sum.saturating_add(*share)));
    for (share, left) in shares.iter_mut().zip(left) {
        let more = rest.min(left.saturating_sub(*share));
        *share += more;
        rest -= more;
    }
    shares
}

#[cfg(test)]
mod tests;
