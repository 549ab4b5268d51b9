//! An inverted index that ranks by BM25: which passages hold a word, and how often.
//!
//! A passage is a slot number that the shelf gives. Memory: about twelve bytes for each different word of each passage,
//! and each different word once, for as long as some passage holds it.

use std::collections::BTreeMap;
use std::rc::Rc;

/// How much repeated words and long passages count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights {
    /// How fast repeating a word stops to help; 0: at once.
    pub(crate) k1: f64,
    /// How much a long passage is held against it, 0 to 1.
    pub(crate) b: f64,
}

/// Words by passage and passages by word.
#[derive(Debug)]
pub(crate) struct Postings {
    weights: Weights,
    numbers: BTreeMap<Rc<str>, u32>,
    /// By number.
    terms: Vec<Term>,
    /// Numbers of terms that no passage holds any more.
    free: Vec<u32>,
    /// By slot; none where nothing is.
    passages: Vec<Option<Passage>>,
    count: usize,
    length: f64,
}

/// A word, and the passages that hold it in no order.
#[derive(Debug)]
struct Term {
    word: Rc<str>,
    holders: Vec<Holder>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    slot: u32,
    count: f32,
}

#[derive(Debug)]
struct Passage {
    terms: Vec<u32>,
    length: f32,
}

impl Postings {
    /// Empty.
    pub(crate) const fn new(weights: Weights) -> Self {
        Self {
            weights,
            numbers: BTreeMap::new(),
            terms: Vec::new(),
            free: Vec::new(),
            passages: Vec::new(),
            count: 0,
            length: 0.0,
        }
    }

    /// Different words.
    pub(crate) fn words(&self) -> usize {
        self.numbers.len()
    }

    /// Adds a passage in a free slot: its words and how often each counts.
    pub(crate) fn add(&mut self, slot: usize, words: &BTreeMap<String, f32>) {
        let Ok(number) = u32::try_from(slot) else { return };
        let mut terms = Vec::with_capacity(words.len());
        for (word, count) in words {
            let term = self.number(word);
            if let Some(Term { holders, .. }) = self.terms.get_mut(term as usize) {
                holders.push(Holder { slot: number, count: *count });
                terms.push(term);
            }
        }
        let length = words.values().sum::<f32>();
        if self.passages.len() <= slot {
            self.passages.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.passages.get_mut(slot) {
            *place = Some(Passage { terms, length });
        }
        self.count += 1;
        self.length += f64::from(length);
    }

    /// Takes a passage out.
    pub(crate) fn remove(&mut self, slot: usize) {
        let Some(passage) = self.passages.get_mut(slot).and_then(Option::take) else { return };
        for number in passage.terms {
            let Some(term) = self.terms.get_mut(number as usize) else { continue };
            term.holders.retain(|holder| holder.slot as usize != slot);
            if term.holders.is_empty() {
                self.numbers.remove(&term.word);
                self.free.push(number);
            }
        }
        self.count -= 1;
        self.length -= f64::from(passage.length);
    }

    /// The scores of all passages that hold a word of the query.
    pub(crate) fn rank<'a>(&self, query: impl Iterator<Item = &'a str>) -> Vec<(usize, f64)> {
        let mut scores = vec![0.0; self.passages.len()];
        #[expect(clippy::cast_precision_loss, reason = "fewer passages than 2^52")]
        let average = (self.length / self.count.max(1) as f64).max(1.0);
        for word in query {
            let term = self.numbers.get(word).and_then(|number| self.terms.get(*number as usize));
            let Some(Term { holders, .. }) = term else { continue };
            let rarity = rarity(self.count, holders.len());
            for holder in holders {
                let slot = holder.slot as usize;
                let (Some(score), Some(Some(passage))) = (scores.get_mut(slot), self.passages.get(slot))
                else {
                    continue;
                };
                *score += rarity * self.worth(f64::from(holder.count), f64::from(passage.length) / average);
            }
        }
        scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0).collect()
    }

    /// What a word that occurs `count` times is worth in a passage of this length, the average being 1.
    fn worth(&self, count: f64, length: f64) -> f64 {
        let Weights { k1, b } = self.weights;
        count * (k1 + 1.0) / (count + k1 * (1.0 - b + b * length))
    }

    /// The number of a word, a free one if the word is new.
    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = self.free.pop().unwrap_or_else(|| u32::try_from(self.terms.len()).unwrap_or(u32::MAX));
        let term = Term { word: word.into(), holders: Vec::new() };
        self.numbers.insert(Rc::clone(&term.word), number);
        match self.terms.get_mut(number as usize) {
            Some(place) => *place = term,
            None => self.terms.push(term),
        }
        number
    }
}

/// The rarer a word, the more it says; always positive.
#[expect(clippy::cast_precision_loss, reason = "fewer passages than 2^52")]
fn rarity(all: usize, with: usize) -> f64 {
    let (all, with) = (all as f64, with as f64);
    (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> BTreeMap<String, f32> {
        let mut words = BTreeMap::new();
        for word in text.split_whitespace() {
            *words.entry(word.to_owned()).or_default() += 1.0;
        }
        words
    }

    fn postings(texts: &[&str]) -> Postings {
        let mut postings = Postings::new(Weights { k1: 1.2, b: 0.75 });
        for (slot, text) in texts.iter().enumerate() {
            postings.add(slot, &words(text));
        }
        postings
    }

    #[test]
    fn the_formula() {
        let found = postings(&["a b", "a a", "c d"]).rank(["a"].into_iter());
        // Two of three passages hold it: ln(1 + 1.5 / 2.5); all are of average length.
        let rarity = 1.6_f64.ln();
        assert_eq!(found.len(), 2);
        assert!((found[0].1 - rarity).abs() < 1e-9);
        assert!((found[1].1 - rarity * 2.0 * 2.2 / 3.2).abs() < 1e-9);
    }

    #[test]
    fn rare_words_and_short_passages_win() {
        let texts = postings(&["a x", "a y", "a z", "a x long long long long"]);
        let scores =
            |query: &[&str]| texts.rank(query.iter().copied()).into_iter().collect::<BTreeMap<_, _>>();
        assert!(scores(&["a", "y"])[&1] > scores(&["a", "y"])[&0]);
        assert!(scores(&["x"])[&0] > scores(&["x"])[&3]);
        assert!(scores(&["nowhere"]).is_empty());
    }

    #[test]
    fn what_is_removed_is_gone() {
        let mut one = postings(&["a b", "a c", "b c"]);
        one.remove(1);
        one.remove(1);
        let other = postings(&["a b", "", "b c"]);
        assert_eq!(one.rank(["c"].into_iter()).len(), 1);
        assert_eq!(one.rank(["a"].into_iter()).len(), other.rank(["a"].into_iter()).len());
        assert_eq!((one.words(), other.words()), (3, 3));
        one.remove(2);
        assert_eq!(one.words(), 2);
        one.add(2, &words("b c"));
        one.add(1, &words("a c"));
        let fresh = postings(&["a b", "a c", "b c"]);
        assert_eq!(one.rank(["a", "c"].into_iter()), fresh.rank(["a", "c"].into_iter()));
    }
}
