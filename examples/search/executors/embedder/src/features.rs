//! A text as a vector: words, pairs of words and parts of words, hashed into a fixed number of dimensions.
//!
//! No model and no download: a feature's hash says which dimension it counts in and with which sign, so that features
//! that share a dimension cancel out on average. A word that occurs often counts by the logarithm. Parts of
//! words (three to five letters) weigh little and forgive spelling and endings that the stems miss.
//! Equal texts give equal vectors on every machine. Time and memory: linear in the text.

use std::collections::BTreeMap;

use example_search_library::tokens;

/// Weight of a pair of neighbouring words, against that of one word.
const PAIR_WEIGHT: f32 = 0.4;
/// Weight of all parts of a word together, against that of the word.
const PARTS_WEIGHT: f32 = 0.4;
/// Weight of the parts of a word that was never indexed: only by them can it find anything.
const UNKNOWN_WEIGHT: f32 = 0.6;
/// Letters of a part of a word.
const PART_LETTERS: std::ops::RangeInclusive<usize> = 3..=5;

/// The features of a text with their counts.
#[derive(Debug, Default)]
pub(crate) struct Features {
    words: BTreeMap<String, f32>,
    pairs: BTreeMap<(String, String), f32>,
}

impl Features {
    /// Counts the words of texts, each with how often it counts.
    pub(crate) fn count(texts: &[(String, f32)]) -> Self {
        let mut features = Self::default();
        for (text, count) in texts {
            features.add(text, *count);
        }
        features
    }

    /// The different words.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.words.keys().map(String::as_str)
    }

    /// Replaces words by others, where `correct` has one.
    pub(crate) fn correct<'a>(&mut self, correct: impl Fn(&str) -> Option<&'a str>) {
        for (word, count) in std::mem::take(&mut self.words) {
            let corrected = correct(&word).map_or(word, str::to_owned);
            *self.words.entry(corrected).or_default() += count;
        }
    }

    /// Writes the vector, of length 1, or of zeros for a text without words. `weigh` says what a word is worth, none
    /// for one that was never indexed.
    pub(crate) fn write(&self, vector: &mut [f32], weigh: impl Fn(&str) -> Option<f32>) {
        for (word, count) in &self.words {
            match weigh(word).map(|worth| worth * dampened(*count)) {
                Some(weight) => {
                    add(vector, hash(&[b"word", word.as_bytes()]), weight);
                    add_parts(vector, word, weight * PARTS_WEIGHT);
                }
                None => add_parts(vector, word, UNKNOWN_WEIGHT),
            }
        }
        for ((first, second), count) in &self.pairs {
            if let (Some(one), Some(other)) = (weigh(first), weigh(second)) {
                let weight = dampened(*count) * PAIR_WEIGHT * (one + other) / 2.0;
                add(vector, hash(&[b"pair", first.as_bytes(), second.as_bytes()]), weight);
            }
        }
        normalise(vector);
    }

    fn add(&mut self, text: &str, count: f32) {
        let tokens = tokens(text);
        for token in &tokens {
            *self.words.entry(token.stem.clone()).or_default() += count;
        }
        for pair in tokens.windows(2) {
            let [first, second] = pair else { continue };
            // Across the end of a sentence, or within one compound, there is no pair.
            let between = text.get(first.end..second.start);
            if between.is_some_and(|between| !between.contains(['.', '!', '?', ';', '|'])) {
                *self.pairs.entry((first.stem.clone(), second.stem.clone())).or_default() += count;
            }
        }
    }
}

fn dampened(count: f32) -> f32 {
    if count < 1.0 { count } else { 1.0 + count.ln() }
}

/// The parts share one weight, as the sum of their squares, however many there are.
fn add_parts(vector: &mut [f32], word: &str, weight: f32) {
    let framed = format!("<{word}>");
    // Where characters begin, and the end.
    let starts: Vec<usize> = framed.char_indices().map(|(at, _)| at).chain([framed.len()]).collect();
    let count: usize = PART_LETTERS.map(|letters| starts.len().saturating_sub(letters)).sum();
    #[expect(clippy::cast_precision_loss, reason = "a word has few parts")]
    let share = weight / (count.max(1) as f32).sqrt();
    for letters in PART_LETTERS {
        for (start, end) in starts.iter().zip(starts.iter().skip(letters)) {
            let part = framed.as_bytes().get(*start..*end).unwrap_or_default();
            add(vector, hash(&[b"part", part]), share);
        }
    }
}

/// Adds a feature in its dimension, with its sign.
fn add(vector: &mut [f32], hash: u64, weight: f32) {
    let dimensions = vector.len() as u64;
    let dimension = ((hash >> 32) * dimensions) >> 32;
    let place = usize::try_from(dimension).ok().and_then(|dimension| vector.get_mut(dimension));
    if let Some(place) = place {
        *place += if hash & 1 == 0 { weight } else { -weight };
    }
}

fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value /= length;
        }
    }
}

/// FNV-1a over the fields, then mixed so that all bits depend on all bytes.
fn hash(fields: &[&[u8]]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for field in fields {
        for byte in field.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(text: &str) -> Vec<f32> {
        let mut vector = vec![0.0; 1024];
        Features::count(&[(text.to_owned(), 1.0)]).write(&mut vector, |_| Some(1.0));
        vector
    }

    fn cosine(a: &str, b: &str) -> f32 {
        vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn alike_texts_are_near() {
        assert!((cosine("fuel limits", "the limited fuel") - 1.0).abs() < 0.4);
        assert!(cosine("fuel limits of a guest", "how a guest is limited in fuel") > 0.7);
        assert!(cosine("green tea", "steam engines").abs() < 0.15);
        assert!(cosine("the cat sleeps", "the cat sleeps") > 0.999);
    }

    #[test]
    fn a_misspelt_word_is_found_by_its_parts() {
        let mut misspelt = vec![0.0; 1024];
        Features::count(&[("sandbxo".to_owned(), 1.0)]).write(&mut misspelt, |_| None);
        let near = |text: &str| misspelt.iter().zip(vector(text)).map(|(a, b)| a * b).sum::<f32>();
        assert!(near("sandbox") > near("bicycle").abs() + 0.1, "{} {}", near("sandbox"), near("bicycle"));
    }

    #[test]
    fn pairs_know_the_order() {
        assert!(cosine("house boat", "house boat") > cosine("house boat", "boat house"));
    }

    #[test]
    fn no_words_no_direction() {
        assert!(vector("").iter().chain(&vector("of the … !!")).all(|value| *value == 0.0));
    }

    #[test]
    fn what_counts_more_weighs_more() {
        let mut with_heading = vec![0.0; 1024];
        let texts = [("boil the water".to_owned(), 1.0), ("Green tea".to_owned(), 2.0)];
        Features::count(&texts).write(&mut with_heading, |_| Some(1.0));
        let similar: f32 = vector("green tea").iter().zip(&with_heading).map(|(a, b)| a * b).sum();
        assert!(similar > 0.5, "{similar}");
    }
}
