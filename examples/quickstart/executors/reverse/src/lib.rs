//! Second of the quickstart's chain: texts turned around as a reader sees them.
//!
//! A letter keeps its accents, an emoji its skin tone and its joined parts, a flag its two halves:
//! the common clusters, without the tables that full Unicode segmentation needs.

use lockgate_sdk::prelude::*;

/// Reverses texts.
#[derive(Debug, Default)]
pub struct Reverse;

/// Turns texts around.
#[executor]
impl Reverse {
    /// Puts the last visible character first.
    #[endpoint("/default", reads("text"), writes("text"))]
    fn reverse(&mut self, documents: &mut Documents) -> Result<()> {
        documents.map_texts(reversed)
    }
}

fn reversed(text: &str) -> String {
    let mut reversed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = last_cluster(rest) {
        let (before, cluster) = rest.split_at(start);
        reversed.push_str(cluster);
        rest = before;
    }
    reversed
}

/// Where the last visible character starts; `None` in an empty text.
fn last_cluster(text: &str) -> Option<usize> {
    let mut letters = text.char_indices().rev().peekable();
    loop {
        let (start, letter) = letters.next()?;
        let before = letters.peek().map(|(_, before)| *before);
        match before {
            None => return Some(start),
            Some(JOINER) => {}
            Some('\r') if letter == '\n' => {}
            Some(_) if extends(letter) => {}
            Some(before) if is_flag_half(letter) && is_flag_half(before) => {
                // Halves pair up from the left: an odd one out stands alone.
                let halves = text.get(..start)?.chars().rev().take_while(|half| is_flag_half(*half)).count();
                return if halves % 2 == 1 { letters.next().map(|(start, _)| start) } else { Some(start) };
            }
            Some(_) => return Some(start),
        }
    }
}

/// Binds the characters beside it into one.
const JOINER: char = '\u{200d}';

/// Whether a character belongs to the one before it.
const fn extends(letter: char) -> bool {
    matches!(letter,
        JOINER
        | '\u{300}'..='\u{36f}'       // accents
        | '\u{483}'..='\u{489}'       // Cyrillic marks
        | '\u{591}'..='\u{5bd}'       // Hebrew points
        | '\u{64b}'..='\u{65f}'       // Arabic vowels
        | '\u{93a}'..='\u{93c}' | '\u{93e}'..='\u{94d}' // Devanagari vowels
        | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' // Thai vowels and tones
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' // more accents
        | '\u{20d0}'..='\u{20ff}'     // marks around symbols, keycaps
        | '\u{fe00}'..='\u{fe0f}'     // how a symbol is drawn
        | '\u{fe20}'..='\u{fe2f}'     // half marks
        | '\u{1f3fb}'..='\u{1f3ff}'   // skin tones
        | '\u{e0020}'..='\u{e007f}'   // tags of regional flags
    )
}

/// Whether a character is half of a country's flag.
const fn is_flag_half(letter: char) -> bool {
    matches!(letter, '\u{1f1e6}'..='\u{1f1ff}')
}

#[cfg(test)]
mod tests {
    use lockgate_sdk::prelude::*;

    use super::*;

    #[test]
    fn visible_characters_stay_whole() {
        for (text, expected) in [
            ("", ""),
            ("hello", "olleh"),
            ("grüße", "eßürg"),
            ("e\u{301}a", "ae\u{301}"),
            ("\u{301}a", "a\u{301}"),
            ("ok 👍🏽!", "!👍🏽 ko"),
            ("👨\u{200d}👩\u{200d}👧 x", "x 👨\u{200d}👩\u{200d}👧"),
            ("🇩🇪🇫🇷a", "a🇫🇷🇩🇪"),
            ("🇩🇪🇫", "🇫🇩🇪"),
            ("a\r\nb", "b\r\na"),
        ] {
            assert_eq!(reversed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_document_is_reversed() {
        let reply = TestHost::new()
            .call::<Reverse>("/any", documents![{ "text": "abc" }, {}, { "text": "äö" }])
            .unwrap();
        assert_eq!(reply.texts(), ["cba", "", "öä"]);
        assert_eq!(reply.column("text").get(1), Some(&json!(null)));
    }
}
