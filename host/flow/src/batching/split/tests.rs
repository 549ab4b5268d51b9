//! Cutting, giving back and charging, as data.

use proptest::prelude::*;

use super::*;
use crate::batching::tests::list;

#[test]
fn batches_are_cut_into_calls() {
    let check = |counts: &[u32], most: u32, expected: &[&[(usize, u32, u32)]]| {
        let calls = cut(counts.iter().copied(), most);
        let calls: Vec<Vec<(usize, u32, u32)>> = calls
            .iter()
            .map(|call| call.iter().map(|part| (part.member, part.first, part.count)).collect())
            .collect();
        assert_eq!(calls, expected, "{counts:?} by {most}");
    };
    check(&[], 4, &[]);
    check(&[0, 0], 4, &[]);
    check(&[1, 2], 4, &[&[(0, 0, 1), (1, 0, 2)]]);
    check(&[1, 3], 4, &[&[(0, 0, 1), (1, 0, 3)]]);
    check(&[3, 3], 4, &[&[(0, 0, 3), (1, 0, 1)], &[(1, 1, 2)]]);
    check(&[9], 4, &[&[(0, 0, 4)], &[(0, 4, 4)], &[(0, 8, 1)]]);
    check(&[1, 0, 1], u32::MAX, &[&[(0, 0, 1), (2, 0, 1)]]);
    check(&[2], 0, &[&[(0, 0, 1)], &[(0, 1, 1)]]);
}

#[test]
fn replies_go_back_to_those_who_sent_them() {
    let check = |sent: &[&str], counts: &[u32], reply: &[&str], expected: Result<&[&[u32]], Misfit>| {
        let rows = assign(&list(sent), counts, &list(reply));
        let expected =
            expected.map(|parts| parts.iter().map(|rows| rows.to_vec()).collect::<Vec<Vec<u32>>>());
        assert_eq!(rows, expected, "{sent:?} {counts:?} -> {reply:?}");
    };
    let unknown = |id: &str| Err(Misfit::Unknown(id.into()));
    // As they were, whatever the ids say.
    check(&["a", "b", "c"], &[2, 1], &["a", "b", "c"], Ok(&[&[0, 1], &[2]]));
    check(&["a", "b", "a"], &[2, 1], &["a", "b", "a"], Ok(&[&[0, 1], &[2]]));
    check(&["", ""], &[1, 1], &["", ""], Ok(&[&[0], &[1]]));
    // New ids, the same number; the order within a request is the executor's affair.
    check(&["a", "b", "c"], &[2, 1], &["x", "y", "z"], Ok(&[&[0, 1], &[2]]));
    check(&["a", "b", "c"], &[2, 1], &["b", "a", "c"], Ok(&[&[0, 1], &[2]]));
    // Another order, another number: by id.
    check(&["a", "b", "c"], &[2, 1], &["c", "b", "a"], Ok(&[&[1, 2], &[0]]));
    check(&["a", "b", "c"], &[2, 1], &["c"], Ok(&[&[], &[0]]));
    check(&["a", "b", "c"], &[2, 1], &[], Ok(&[&[], &[]]));
    check(&["a", "b"], &[1, 1], &["a", "b", "a"], Ok(&[&[0, 2], &[1]]));
    check(&["a", "a", "b"], &[2, 1], &["a"], Ok(&[&[0], &[]]));
    // Where nothing says whose it is.
    check(&["a", "b"], &[1, 1], &["a", "x", "b"], unknown("x"));
    check(&["a", "b"], &[1, 1], &["b", "x"], unknown("x"));
    check(&["a", "b"], &[1, 1], &[""], Err(Misfit::Anonymous));
    check(&["a", "a", "b"], &[1, 2], &["b", "a"], Err(Misfit::Ambiguous("a".into())));
    check(&["a", "a", "b"], &[1, 2], &["a", "b", "a"], Err(Misfit::Ambiguous("a".into())));
}

#[test]
fn fuel_is_paid_by_documents() {
    let check = |burned, counts: &[u32], left: &[u64], expected: &[u64]| {
        assert_eq!(shares(burned, counts, left), expected, "{burned} {counts:?} {left:?}");
    };
    check(10, &[1, 4], &[100, 100], &[2, 8]);
    check(10, &[1, 1, 1], &[100, 100, 100], &[4, 3, 3]);
    check(10, &[1, 1], &[2, 100], &[2, 8]);
    check(10, &[1, 1], &[2, 3], &[2, 3]);
    check(u64::MAX, &[1, 1], &[u64::MAX, u64::MAX], &[u64::MAX / 2 + 1, u64::MAX / 2]);
    check(0, &[], &[], &[]);
}

proptest! {
    #[test]
    fn every_document_is_called_once_and_in_order(counts in prop::collection::vec(0u32..50, 0..20), most in 1u32..60) {
        let mut next = vec![0; counts.len()];
        let mut last = 0;
        for call in cut(counts.iter().copied(), most) {
            prop_assert!(call.iter().map(|part| part.count).sum::<u32>() <= most);
            for part in call {
                prop_assert!(part.member >= last && part.count > 0);
                prop_assert_eq!(next[part.member], part.first);
                next[part.member] += part.count;
                last = part.member;
            }
        }
        prop_assert_eq!(next, counts);
    }

    #[test]
    fn fuel_is_paid_exactly_and_by_nobody_twice(
        burned in 0u64..10_000,
        members in prop::collection::vec((1u32..20, 0u64..3000), 1..12),
    ) {
        let (counts, left): (Vec<u32>, Vec<u64>) = members.into_iter().unzip();
        let shares = shares(burned, &counts, &left);
        prop_assert_eq!(shares.iter().sum::<u64>(), burned.min(left.iter().sum()));
        prop_assert!(shares.iter().zip(&left).all(|(share, left)| share <= left));
    }

    /// Whatever an executor does with the order and the number of documents that have ids of their own, nobody gets
    /// somebody else's.
    #[test]
    fn nobody_gets_somebody_elses_documents(
        counts in prop::collection::vec(1u32..6, 1..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let names: Vec<String> = counts.iter().enumerate()
            .flat_map(|(part, count)| (0..*count).map(move |row| format!("{part}:{row}")))
            .collect();
        let sent: Vec<&str> = names.iter().map(String::as_str).collect();
        let reply: Vec<&str> = picks.iter().map(|pick| *pick.get(&sent)).collect();
        let rows = assign(&list(&sent), &counts, &list(&reply)).unwrap();
        let mut seen: Vec<u32> = rows.iter().flatten().copied().collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..reply.len() as u32).collect::<Vec<_>>());
        for (part, rows) in rows.iter().enumerate() {
            prop_assert!(rows.is_sorted());
            let own = format!("{part}:");
            prop_assert!(rows.iter().all(|row| reply[*row as usize].starts_with(&own)));
        }
    }
}
