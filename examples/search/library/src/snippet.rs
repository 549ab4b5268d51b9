//! The part of a text that answers a query best: the window with the most different words of the query.

use std::collections::BTreeSet;

use crate::plain;
use crate::words::{Token, tokens};

/// At most `max` bytes of plain text around the words that the query asks for; all of it when it fits or `max` is 0.
///
/// A cut is shown by an ellipsis and falls between words. Without any word in common, the beginning.
#[must_use]
pub fn snippet(markdown: &str, query: &BTreeSet<String>, max: usize) -> String {
    let text = plain(markdown);
    if max == 0 || text.len() <= max {
        return text;
    }
    let hits: Vec<Token> = tokens(&text).into_iter().filter(|token| query.contains(&token.stem)).collect();
    let (start, end) = best_window(&hits, max);
    let spare = max.saturating_sub(end.saturating_sub(start));
    let start = sentence_start(&text, start, spare)
        .unwrap_or_else(|| word_start(&text, start.saturating_sub(spare / 3)));
    let end = word_end(&text, start.saturating_add(max).max(end));
    let body = text.get(start..end).unwrap_or_default().trim();
    let before = if start > 0 { "… " } else { "" };
    let after = if end < text.len() { " …" } else { "" };
    format!("{before}{body}{after}")
}

/// The stems of a query.
pub(crate) fn query_stems(query: &str) -> BTreeSet<String> {
    tokens(query).into_iter().map(|token| token.stem).collect()
}

/// First and last byte of the hits that fit into `max` bytes and hold the most different words.
fn best_window(hits: &[Token], max: usize) -> (usize, usize) {
    let mut best = (0, (0, 0));
    for (index, first) in hits.iter().enumerate() {
        let near = hits.iter().skip(index).take_while(|hit| hit.end.saturating_sub(first.start) <= max);
        let mut stems = BTreeSet::new();
        let mut end = first.end;
        for hit in near.take(64) {
            stems.insert(hit.stem.as_str());
            end = hit.end;
        }
        if stems.len() > best.0 {
            best = (stems.len(), (first.start, end));
        }
    }
    best.1
}

/// Where the sentence of `at` begins, if that is at most `reach` bytes before.
fn sentence_start(text: &str, at: usize, reach: usize) -> Option<usize> {
    let before = text.get(..at)?;
    let found = [". ", "! ", "? ", ": "].iter().filter_map(|end| before.rfind(end)).max();
    let start = found.map_or(0, |end| end + 2);
    (at - start <= reach).then_some(start)
}

fn word_start(text: &str, at: usize) -> usize {
    let at = text.floor_char_boundary(at);
    text.get(at..)
        .and_then(|rest| rest.find(' '))
        .map_or(at, |space| if at == 0 { 0 } else { at + space + 1 })
}

fn word_end(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    let at = text.floor_char_boundary(at);
    text.get(..at).and_then(|before| before.rfind(' ')).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "The first sentence is about nothing much at all. Then comes the one where fuel is limited \
        by the host, which is what matters. A third one talks about the weather, and a fourth about tea and cake.";

    #[test]
    fn the_window_holds_the_query() {
        fn check(query: &str, max: usize, expected: &str) {
            assert_eq!(snippet(TEXT, &query_stems(query), max), expected, "{query:?}");
        }
        check(
            "limits of fuel",
            80,
            "… Then comes the one where fuel is limited by the host, which is what matters. A …",
        );
        check("weather", 60, "… A third one talks about the weather, and a fourth about tea …");
        check("zebra", 30, "The first sentence is about …");
        assert_eq!(snippet("short *text*", &query_stems("text"), 80), "short text");
    }

    proptest! {
        #[test]
        fn never_much_longer_than_asked(text in "\\PC{0,400}", query in "\\PC{0,20}", max in 1_usize..200) {
            prop_assert!(snippet(&text, &query_stems(&query), max).len() <= max.max(text.len()) + 8);
        }
    }
}
