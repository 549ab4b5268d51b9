//! Reciprocal rank fusion: what several searches found, in one order.
//!
//! A match gets `weight / (k + rank)` from each search that found it, and the sum decides. Ranks and not scores, because
//! a cosine and a BM25 score have nothing in common but their order.

use std::collections::BTreeMap;

use example_search_library::{Match, Score, rounded};

/// The matches of one query from all searches.
#[derive(Debug, Default)]
pub(crate) struct Fused {
    matches: Vec<(f64, Match)>,
    by_id: BTreeMap<String, usize>,
}

impl Fused {
    /// Adds what one search found, best first.
    pub(crate) fn add(&mut self, found: Vec<Match>, k: f64, weight: f64) {
        for (rank, one) in (1_u32..).zip(found) {
            let share = weight / (k + f64::from(rank));
            let known = self.by_id.get(&one.id).and_then(|place| self.matches.get_mut(*place));
            match known {
                Some((sum, known)) => {
                    *sum += share;
                    for (name, score) in one.scores.0 {
                        known.scores.entry(name).or_insert(score);
                    }
                }
                None => {
                    self.by_id.insert(one.id.clone(), self.matches.len());
                    self.matches.push((share, one));
                }
            }
        }
    }

    /// The best, with the sum as a score of its own; of equals the one that was found first.
    pub(crate) fn best(mut self, limit: usize) -> Vec<Match> {
        self.matches.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        self.matches.truncate(limit);
        let scored = |(sum, mut found): (f64, Match)| {
            found.scores.insert("rrf".into(), Score { value: rounded(sum) });
            found
        };
        self.matches.into_iter().map(scored).collect()
    }
}

#[cfg(test)]
mod tests {
    use lockgate_sdk::Json;

    use super::*;

    fn found(ids: &[&str], score: &str) -> Vec<Match> {
        let one = |id: &&str| Match {
            id: (*id).into(),
            text: String::new(),
            uri: None,
            tags: Json::default(),
            scores: Json(BTreeMap::from([(score.to_owned(), Score { value: 1.0 })])),
        };
        ids.iter().map(one).collect()
    }

    fn check(searches: &[(&[&str], f64)], limit: usize, expected: &[(&str, f64)]) {
        let mut fused = Fused::default();
        for (index, (ids, weight)) in searches.iter().enumerate() {
            fused.add(found(ids, &index.to_string()), 60.0, *weight);
        }
        let best = fused.best(limit);
        let best: Vec<_> = best.iter().map(|one| (one.id.as_str(), one.scores["rrf"].value)).collect();
        assert_eq!(best, expected);
    }

    #[test]
    fn ranks_are_summed() {
        check(&[], 5, &[]);
        check(&[(&["a", "b"], 1.0)], 5, &[("a", 0.0164), ("b", 0.0161)]);
        check(&[(&["a", "b"], 1.0), (&["b", "c"], 1.0)], 5, &[("b", 0.0325), ("a", 0.0164), ("c", 0.0161)]);
        check(&[(&["a", "b"], 1.0), (&["b", "a"], 1.0)], 1, &[("a", 0.0325)]);
        check(&[(&["a"], 1.0), (&["b"], 3.0)], 5, &[("b", 0.0492), ("a", 0.0164)]);
    }

    #[test]
    fn scores_of_all_searches_stay() {
        let mut fused = Fused::default();
        fused.add(found(&["a"], "cosine"), 60.0, 1.0);
        fused.add(found(&["a"], "bm25"), 60.0, 1.0);
        let best = fused.best(1);
        assert_eq!(best[0].scores.keys().collect::<Vec<_>>(), ["bm25", "cosine", "rrf"]);
    }
}
