//! English stems by Porter's five steps: "limits", "limited" and "limiting" become one word.
//!
//! A stem is a key for comparing and need not be a word. Anything but lower-case ASCII letters passes unchanged.

/// A rule of one step: this ending becomes that one.
type Rule = (&'static [u8], &'static [u8]);

/// The stem of a lower-case word.
#[must_use]
pub fn stem(word: &str) -> String {
    if word.len() < 3 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word.to_owned();
    }
    let mut stem = Stem(word.as_bytes().to_vec());
    stem.plural();
    stem.past_and_progressive();
    stem.final_y();
    stem.replace(DOUBLE_ENDINGS, 0);
    stem.replace(ENDINGS, 0);
    stem.strip();
    stem.tidy();
    String::from_utf8(stem.0).unwrap_or_else(|_| word.to_owned())
}

#[rustfmt::skip]
const DOUBLE_ENDINGS: &[Rule] = &[
    (b"ational", b"ate"), (b"ization", b"ize"), (b"iveness", b"ive"), (b"fulness", b"ful"),
    (b"ousness", b"ous"), (b"tional", b"tion"), (b"biliti", b"ble"), (b"entli", b"ent"), (b"ousli", b"ous"),
    (b"ation", b"ate"), (b"alism", b"al"), (b"aliti", b"al"), (b"iviti", b"ive"), (b"enci", b"ence"),
    (b"anci", b"ance"), (b"izer", b"ize"), (b"abli", b"able"), (b"alli", b"al"), (b"ator", b"ate"),
    (b"eli", b"e"),
];

#[rustfmt::skip]
const ENDINGS: &[Rule] = &[
    (b"icate", b"ic"), (b"ative", b""), (b"alize", b"al"), (b"iciti", b"ic"), (b"ical", b"ic"),
    (b"ness", b""), (b"ful", b""),
];

#[rustfmt::skip]
const STRIPPED: &[&[u8]] = &[
    b"ement", b"ance", b"ence", b"able", b"ible", b"ment", b"ant", b"ent", b"ion", b"ism", b"ate", b"iti",
    b"ous", b"ive", b"ize", b"al", b"er", b"ic", b"ou",
];

struct Stem(Vec<u8>);

impl Stem {
    fn plural(&mut self) {
        for (ending, replacement) in [(&b"sses"[..], &b"ss"[..]), (b"ies", b"i"), (b"ss", b"ss"), (b"s", b"")]
        {
            if let Some(kept) = self.without(ending) {
                return self.end_with(kept, replacement);
            }
        }
    }

    fn past_and_progressive(&mut self) {
        if let Some(kept) = self.without(b"eed") {
            if self.measure(kept) > 0 {
                self.0.truncate(kept + 2);
            }
            return;
        }
        let ending = [&b"ed"[..], b"ing"].into_iter().find_map(|ending| self.without(ending));
        let Some(kept) = ending.filter(|kept| (0..*kept).any(|at| !self.is_consonant(at))) else { return };
        self.0.truncate(kept);
        if [&b"at"[..], b"bl", b"iz"].into_iter().any(|ending| self.0.ends_with(ending)) {
            self.0.push(b'e');
        } else if self.ends_double() && !matches!(self.0.last(), Some(b'l' | b's' | b'z')) {
            self.0.pop();
        } else if self.measure(kept) == 1 && self.ends_short(kept) {
            self.0.push(b'e');
        }
    }

    fn final_y(&mut self) {
        if let Some(kept) = self.without(b"y")
            && (0..kept).any(|at| !self.is_consonant(at))
        {
            self.end_with(kept, b"i");
        }
    }

    /// Applies the rule of the longest ending, if what stays is long enough.
    fn replace(&mut self, rules: &[Rule], above: usize) {
        for (ending, replacement) in rules {
            if let Some(kept) = self.without(ending) {
                if self.measure(kept) > above {
                    self.end_with(kept, replacement);
                }
                return;
            }
        }
    }

    fn strip(&mut self) {
        let Some((ending, kept)) = STRIPPED.iter().find_map(|ending| Some((*ending, self.without(ending)?)))
        else {
            return;
        };
        let fits = ending != b"ion" || matches!(self.0.get(kept.wrapping_sub(1)), Some(b's' | b't'));
        if fits && self.measure(kept) > 1 {
            self.0.truncate(kept);
        }
    }

    fn tidy(&mut self) {
        if let Some(kept) = self.without(b"e") {
            let measure = self.measure(kept);
            if measure > 1 || (measure == 1 && !self.ends_short(kept)) {
                self.0.truncate(kept);
            }
        }
        if self.0.ends_with(b"ll") && self.measure(self.0.len()) > 1 {
            self.0.pop();
        }
    }

    fn without(&self, ending: &[u8]) -> Option<usize> {
        self.0.ends_with(ending).then(|| self.0.len() - ending.len())
    }

    fn end_with(&mut self, kept: usize, ending: &[u8]) {
        self.0.truncate(kept);
        self.0.extend_from_slice(ending);
    }

    fn is_consonant(&self, at: usize) -> bool {
        match self.0.get(at) {
            Some(b'a' | b'e' | b'i' | b'o' | b'u') => false,
            Some(b'y') => at == 0 || !self.is_consonant(at - 1),
            Some(_) => true,
            None => false,
        }
    }

    /// How often a vowel is followed by a consonant in the first `kept` letters.
    fn measure(&self, kept: usize) -> usize {
        let mut steps = 0;
        let mut after_vowel = false;
        for at in 0..kept {
            let consonant = self.is_consonant(at);
            steps += usize::from(consonant && after_vowel);
            after_vowel = !consonant;
        }
        steps
    }

    fn ends_double(&self) -> bool {
        matches!(self.0.as_slice(), [.., a, b] if a == b) && self.is_consonant(self.0.len() - 1)
    }

    /// Consonant, vowel, consonant at the end, the last no w, x or y: "hop".
    fn ends_short(&self, kept: usize) -> bool {
        let Some(first) = kept.checked_sub(3) else { return false };
        self.is_consonant(first)
            && !self.is_consonant(first + 1)
            && self.is_consonant(first + 2)
            && !matches!(self.0.get(first + 2), Some(b'w' | b'x' | b'y'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn families_share_a_stem() {
        fn check(words: &[&str], expected: &str) {
            for word in words {
                assert_eq!(stem(word), expected, "{word}");
            }
        }
        check(&["limit", "limits", "limited", "limiting"], "limit");
        check(&["connect", "connected", "connecting", "connection", "connections"], "connect");
        check(&["caresses", "caress"], "caress");
        check(&["ponies", "poni"], "poni");
        check(&["hop", "hopping", "hops"], "hop");
        check(&["hope", "hoping"], "hope");
        check(&["agreed", "agree"], "agre");
        check(&["relational", "relate", "related"], "relat");
        check(&["hopefulness", "hopeful"], "hope");
        check(&["adjustment", "adjustable", "adjusting"], "adjust");
        check(&["bake", "baking", "bakes", "baked"], "bake");
        check(&["controlling", "controlled", "control"], "control");
        check(&["sky"], "sky");
        check(&["is"], "is");
        check(&["größe"], "größe");
    }

    proptest! {
        #[test]
        fn a_stem_is_never_longer_than_one_letter_more(word in "[a-z]{0,20}") {
            prop_assert!(stem(&word).len() <= word.len() + 1);
        }
    }
}
