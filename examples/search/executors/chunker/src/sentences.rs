//! Where sentences end, and pieces of a text that are too long even for one sentence.

/// Bytes that count as one word in a text without spaces.
const WORD_BYTES: usize = 16;

/// Abbreviations whose full stop ends no sentence.
const ABBREVIATIONS: &[&str] = &[
    "e.g.", "i.e.", "etc.", "vs.", "cf.", "dr.", "mr.", "mrs.", "ms.", "st.", "no.", "fig.", "approx.", "ca.",
];

/// How long a text is, in words; a text that has no spaces counts by its bytes.
pub(crate) fn words(text: &str) -> usize {
    text.split_whitespace().count().max(text.len() / WORD_BYTES)
}

/// The sentences of a text, each with the white space that follows it: joined they are the text.
pub(crate) fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if !is_end(character) {
            continue;
        }
        while characters.next_if(|(_, next)| is_end(*next) || is_closing(*next)).is_some() {}
        let mut next = characters.peek().map_or(text.len(), |(next, _)| *next);
        let spaced = characters.peek().is_some_and(|(_, next)| next.is_whitespace());
        while characters.next_if(|(_, next)| next.is_whitespace()).is_some() {
            next = characters.peek().map_or(text.len(), |(next, _)| *next);
        }
        let begins = characters.peek().is_none_or(|(_, next)| !next.is_lowercase());
        let sentence = text.get(start..=at).unwrap_or_default();
        let unspaced = matches!(character, '。' | '！' | '？');
        if unspaced || (spaced && begins && !(character == '.' && is_abbreviation(sentence))) {
            found.extend(text.get(start..next));
            start = next;
        }
    }
    found.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    found
}

/// Cuts a text without regard to meaning into pieces of at most `max` words.
pub(crate) fn cut(text: &str, max: usize) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let most = rest.floor_char_boundary(max.saturating_mul(WORD_BYTES).max(4));
        let at = match word_boundary(rest, max) {
            boundary if boundary <= most => boundary,
            _ => gap(rest.get(..most).unwrap_or_default()).unwrap_or(most),
        };
        let (piece, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        found.push(piece);
        rest = after;
    }
    found
}

/// The end of the last gap between words, or failing that of the last character that belongs to no word.
fn gap(text: &str) -> Option<usize> {
    let end = |(at, gap): (usize, &str)| at + gap.len();
    let last = |is_gap: fn(char) -> bool| text.rmatch_indices(is_gap).next().map(end);
    last(char::is_whitespace).or_else(|| last(|character| !character.is_alphanumeric()))
}

/// Where word number `max` begins; the end when there are fewer.
fn word_boundary(text: &str, max: usize) -> usize {
    let mut words = 0;
    let mut after_space = true;
    for (at, character) in text.char_indices() {
        let space = character.is_whitespace();
        if after_space && !space {
            if words == max {
                return at;
            }
            words += 1;
        }
        after_space = space;
    }
    text.len()
}

fn is_end(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | '…' | '。' | '！' | '？')
}

fn is_closing(character: char) -> bool {
    matches!(character, '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '*' | '_' | '`')
}

/// Whether the text ends in an abbreviation, or in a single letter and a full stop as names do.
fn is_abbreviation(text: &str) -> bool {
    let last =
        text.rsplit(char::is_whitespace).next().unwrap_or_default().trim_start_matches(['(', '[', '*']);
    let initial = last.chars().count() == 2 && last.chars().next().is_some_and(char::is_uppercase);
    initial || ABBREVIATIONS.contains(&last.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_of_a_text() {
        fn check(text: &str, expected: &[&str]) {
            assert_eq!(sentences(text), expected, "{text:?}");
        }
        check("", &[]);
        check("One. Two! Three?", &["One. ", "Two! ", "Three?"]);
        check("It costs 3.5 units, e.g. Two. Done.", &["It costs 3.5 units, e.g. Two. ", "Done."]);
        check("J. Smith said \"No.\" Then he left", &["J. Smith said \"No.\" ", "Then he left"]);
        check("see lib.rs and so on. and lower case", &["see lib.rs and so on. and lower case"]);
        check("一。二。", &["一。", "二。"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "[a-zA-Z .!?\n一。ü]{0,120}", max in 1_usize..8) {
            prop_assert_eq!(&sentences(&text).concat(), &text);
            let pieces = cut(&text, max);
            prop_assert_eq!(&pieces.concat(), &text);
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.split_whitespace().count() <= max));
        }
    }
}
