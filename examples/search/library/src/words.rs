//! The words of a text: letters and digits in any script, folded, stemmed, without stop words.
//!
//! `FlowSpec` gives "flow", "spec" and "flowspec", so that both spellings find it. Scripts without spaces between words
//! give pairs of characters. A word counts up to its first 64 characters, which bounds what base64 can do.

use crate::stem;

/// Characters of one word that count.
const MAX_CHARS: usize = 64;

/// One word that counts, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The stem: what is compared.
    pub stem: String,
    /// Byte offset of its first character.
    pub start: usize,
    /// Byte offset after its last character.
    pub end: usize,
}

/// The words of a text in reading order, stop words left out.
#[must_use]
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::with_capacity(text.len() / 8);
    let mut start = None;
    for (at, character) in text.char_indices().chain([(text.len(), ' ')]) {
        match start {
            None if character.is_alphanumeric() => start = Some(at),
            Some(from) if !belongs(text, at, character) => {
                run(text, from, at, &mut found);
                start = None;
            }
            None | Some(_) => {}
        }
    }
    found
}

/// Whether a word goes on at this character: an apostrophe counts when a letter follows.
fn belongs(text: &str, at: usize, character: char) -> bool {
    let apostrophe = matches!(character, '\'' | '\u{2019}');
    let followed = || text.get(at + character.len_utf8()..).and_then(|rest| rest.chars().next());
    character.is_alphanumeric() || (apostrophe && followed().is_some_and(char::is_alphabetic))
}

/// The tokens of one unbroken run of letters and digits.
fn run(text: &str, start: usize, end: usize, found: &mut Vec<Token>) {
    let Some(word) = text.get(start..end) else { return };
    if word.chars().any(is_unspaced) {
        return pairs(word, start, found);
    }
    let mut part = 0;
    let mut previous = ('_', 0);
    for (at, character) in word.char_indices() {
        let length = at - part;
        if character.is_uppercase() && previous.0.is_lowercase() && length > 1 {
            push(word.get(part..at), start + part, found);
            part = at;
        }
        previous = (character, at);
    }
    if part > 0 {
        push(word.get(part..), start + part, found);
    }
    push(Some(word), start, found);
}

fn push(word: Option<&str>, start: usize, found: &mut Vec<Token>) {
    let Some(word) = word else { return };
    let folded = fold(word);
    if !folded.is_empty() && STOP_WORDS.binary_search(&folded.as_str()).is_err() {
        found.push(Token { stem: stem(&folded), start, end: start + word.len() });
    }
}

/// Neighbouring characters of a script that writes no spaces; a lone character stands for itself.
fn pairs(word: &str, start: usize, found: &mut Vec<Token>) {
    let characters: Vec<(usize, char)> = word.char_indices().collect();
    for pair in characters.windows(2) {
        let [(at, first), (next, second)] = pair else { continue };
        let token = Token {
            stem: [*first, *second].iter().collect(),
            start: start + at,
            end: start + next + second.len_utf8(),
        };
        found.push(token);
    }
    if characters.len() == 1 {
        found.push(Token { stem: word.to_owned(), start, end: start + word.len() });
    }
}

/// Lower case, Latin letters without their accents, no possessive and no apostrophe.
fn fold(word: &str) -> String {
    let mut folded = String::with_capacity(word.len());
    for character in word.chars().take(MAX_CHARS).flat_map(char::to_lowercase) {
        match character {
            '\u{2019}' => folded.push('\''),
            'à'..='å' => folded.push('a'),
            'ç' => folded.push('c'),
            'è'..='ë' => folded.push('e'),
            'ì'..='ï' => folded.push('i'),
            'ñ' => folded.push('n'),
            'ò'..='ö' | 'ø' => folded.push('o'),
            'ù'..='ü' => folded.push('u'),
            'ý' | 'ÿ' => folded.push('y'),
            'ß' => folded.push_str("ss"),
            '\u{300}'..='\u{36f}' => {}
            other => folded.push(other),
        }
    }
    let bare = folded.strip_suffix("'s").map(str::len);
    folded.truncate(bare.unwrap_or(folded.len()));
    folded.retain(|character| character != '\'');
    folded
}

fn is_unspaced(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2fa1f}')
}

/// Words that say nothing about a topic, in order, as [`fold`] writes them.
#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "about", "above", "after", "again", "all", "also", "am", "an", "and", "any", "are", "arent", "as",
    "at", "be", "because", "been", "before", "being", "below", "between", "both", "but", "by", "can",
    "cannot", "cant", "could", "couldnt", "did", "didnt", "do", "does", "doesnt", "doing", "dont", "down",
    "during", "each", "few", "for", "from", "further", "had", "hadnt", "has", "hasnt", "have", "havent",
    "having", "he", "her", "here", "hers", "herself", "him", "himself", "his", "how", "however", "http",
    "https", "i", "if", "im", "in", "into", "is", "isnt", "it", "its", "itself", "ive", "just", "may", "me",
    "might", "more", "most", "must", "my", "myself", "no", "nor", "not", "of", "off", "on", "once", "only",
    "or", "other", "our", "ours", "ourselves", "out", "over", "own", "same", "shall", "she", "should",
    "shouldnt", "so", "some", "such", "than", "that", "thats", "the", "their", "theirs", "them",
    "themselves", "then", "there", "these", "they", "this", "those", "through", "to", "too", "under",
    "until", "up", "upon", "us", "very", "was", "wasnt", "we", "were", "werent", "what", "when", "where",
    "whether", "which", "while", "who", "whom", "whose", "why", "will", "with", "within", "without", "wont",
    "would", "wouldnt", "www", "you", "your", "yours", "yourself", "yourselves",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_of_a_text() {
        fn check(text: &str, expected: &[&str]) {
            let found = tokens(text);
            assert_eq!(
                found.iter().map(|token| token.stem.as_str()).collect::<Vec<_>>(),
                expected,
                "{text:?}"
            );
        }
        check("", &[]);
        check("How is the fuel limited?", &["fuel", "limit"]);
        check("the author's books, the authors' book", &["author", "book", "author", "book"]);
        check("don't can’t WON'T", &[]);
        check("FlowSpec and gRPC", &["flow", "spec", "flowspec", "grpc"]);
        check("max_concurrent-requests", &["max", "concurr", "request"]);
        check("Crème brûlée, Straße", &["creme", "brule", "strass"]);
        check("検索エンジン", &["検索", "索エ", "エン", "ンジ", "ジン"]);
        check("версия 3.19", &["версия", "3", "19"]);
    }

    #[test]
    fn stop_words_are_in_order() {
        assert!(STOP_WORDS.is_sorted());
    }

    proptest! {
        #[test]
        fn tokens_stand_where_they_say(text in "\\PC{0,80}") {
            for token in tokens(&text) {
                prop_assert!(text.get(token.start..token.end).is_some_and(|word| !word.is_empty()));
                prop_assert!(!token.stem.is_empty());
            }
        }
    }
}
