//! How rare words are: in how many indexed passages each occurs.
//!
//! Bounded: words that come when the vocabulary is full are not counted, and are found by their parts only.
//! Nothing is ever forgotten, so passages that were deleted still count; shares change little by that.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Words in how many passages.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    passages: u32,
    words: BTreeMap<Box<str>, u32>,
    max_words: usize,
}

impl Vocabulary {
    /// An empty one, for at most this many words.
    pub(crate) const fn new(max_words: usize) -> Self {
        Self { passages: 0, words: BTreeMap::new(), max_words }
    }

    /// Number of different words.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// Number of passages.
    pub(crate) const fn passages(&self) -> u32 {
        self.passages
    }

    /// Counts the different words of one passage.
    pub(crate) fn count<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        self.passages = self.passages.saturating_add(1);
        for word in words {
            if let Some(count) = self.words.get_mut(word) {
                *count = count.saturating_add(1);
            } else if self.words.len() < self.max_words {
                self.words.insert(word.into(), 1);
            }
        }
    }

    /// What a word of a query is worth: the less, the more passages hold it; none when no passage does.
    pub(crate) fn worth(&self, word: &str) -> Option<f32> {
        if self.passages == 0 {
            return Some(1.0);
        }
        let (all, with) = (f64::from(self.passages), f64::from(*self.words.get(word)?));
        #[expect(clippy::cast_possible_truncation, reason = "a weight between 0 and 1")]
        let worth = ((1.0 + all / with).ln() / (1.0 + all).ln()) as f32;
        Some(worth)
    }

    /// The indexed word that a word which was never indexed is most likely a misspelling of: it begins with the same
    /// letter and is one edit away, or two if it is long. Of several the one in most passages.
    pub(crate) fn nearest(&self, word: &str) -> Option<&str> {
        let letters: Vec<char> = word.chars().collect();
        let allowed = match letters.len() {
            // One edit away from a word of four letters stand too many others: "find" is not "fund".
            0..5 => return None,
            5..8 => 1,
            _ => 2,
        };
        let first = letters.first()?.to_string();
        let from = (Bound::Included(first.as_str()), Bound::Unbounded);
        let begins_alike =
            self.words.range::<str, _>(from).take_while(|(known, _)| known.starts_with(first.as_str()));
        let near = begins_alike.filter_map(|(known, passages)| {
            let known_letters: Vec<char> = known.chars().collect();
            Some((edits(&letters, &known_letters, allowed)?, Reverse(*passages), &**known))
        });
        near.min().map(|(_, _, known)| known)
    }
}

/// How many letters are added, lost, changed or swapped with their neighbour; none when it is more than allowed.
fn edits(a: &[char], b: &[char], allowed: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > allowed {
        return None;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (row, letter) in a.iter().enumerate() {
        let mut current = Vec::with_capacity(last.len());
        current.push(row + 1);
        for (column, other) in b.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX / 2);
            let changed = at(&last, column) + usize::from(letter != other);
            let mut best = changed.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let swapped =
                row > 0 && column > 0 && a.get(row - 1) == Some(other) && b.get(column - 1) == Some(letter);
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
        }
        if current.iter().all(|edits| *edits > allowed) {
            return None;
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().filter(|edits| *edits <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarer_the_more() {
        let mut vocabulary = Vocabulary::new(2);
        assert_eq!(vocabulary.worth("a"), Some(1.0));
        for words in [&["a"][..], &["a", "b"], &["a", "c"]] {
            vocabulary.count(words.iter().copied());
        }
        assert!(vocabulary.worth("a") < vocabulary.worth("b"));
        assert_eq!(vocabulary.worth("b"), Some(1.0));
        assert_eq!(vocabulary.worth("nowhere"), None);
        assert_eq!((vocabulary.len(), vocabulary.passages()), (2, 3));
        assert_eq!(vocabulary.worth("c"), None, "the vocabulary is full");
    }
    #[test]
    fn misspelt_words_are_understood() {
        let mut vocabulary = Vocabulary::new(100);
        vocabulary.count(["varroa", "compost", "composer", "sandbox", "cat", "fund", "volcano"].into_iter());
        vocabulary.count(["composer"].into_iter());
        let check =
            |word: &str, expected: Option<&str>| assert_eq!(vocabulary.nearest(word), expected, "{word}");
        check("varoa", Some("varroa"));
        check("sandbxo", Some("sandbox"));
        check("composs", Some("compost"));
        check("composti", Some("compost"));
        check("compose", Some("composer"));
        check("xandbox", None);
        check("ca", None);
        check("find", None);
        check("vulcanizer", None);
    }
}
