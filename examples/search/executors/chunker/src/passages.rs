//! Blocks become passages: about as long as a paragraph or two, never across a heading, with a little overlap.
//!
//! A passage ends before the block, sentence or line that would make it too long. Code is kept whole up to
//! [`CODE_FACTOR`] times the usual length. The end of a passage is repeated in the next one of its section, so that
//! an answer on the cut is found whole once. Memory: about twice the text.

use example_search_library::{HEADINGS_JOINED_BY, plain};

use crate::markdown::{Block, Kind};
use crate::sentences::{cut, sentences, words};

/// How much longer than other passages one block of code may be.
const CODE_FACTOR: usize = 4;

/// Bytes of one heading that every passage under it carries.
const HEADING_BYTES: usize = 200;

/// One passage of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passage {
    /// As written.
    pub(crate) text: String,
    /// The headings above it, outermost first, `A > B`; empty without any.
    pub(crate) heading: String,
    /// The line where its first new text begins, from 1.
    pub(crate) line: usize,
}

/// How long passages are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lengths {
    /// Most words.
    pub(crate) max_words: usize,
    /// Words of the passage before that are repeated at most.
    pub(crate) overlap_words: usize,
}

/// The passages of a text.
pub(crate) fn passages(blocks: &[Block<'_>], lengths: Lengths) -> Vec<Passage> {
    let mut writer =
        Writer { lengths, headings: Vec::new(), found: Vec::new(), section: 0, current: Current::default() };
    for block in blocks {
        match block.kind {
            Kind::Heading(level) => writer.heading(level, block.text),
            Kind::Prose | Kind::Lines | Kind::Code => {
                for piece in pieces(block, lengths.max_words) {
                    writer.add(&piece);
                }
            }
        }
    }
    writer.end_section();
    if writer.found.is_empty() {
        return titles(blocks).into_iter().collect();
    }
    writer.found
}

/// A text of nothing but headings is found by them.
fn titles(blocks: &[Block<'_>]) -> Option<Passage> {
    let first = blocks.first()?;
    let text: Vec<String> = blocks.iter().map(|block| plain(block.text)).collect();
    Some(Passage { text: text.join("\n"), heading: plain(first.text), line: first.line })
}

/// What is never cut any more.
struct Piece<'a> {
    text: &'a str,
    kind: Kind,
    line: usize,
    words: usize,
    /// Between it and what comes before it in the same passage.
    joined_by: &'static str,
}

/// A block in pieces of at most `max` words.
fn pieces<'a>(block: &Block<'a>, max: usize) -> Vec<Piece<'a>> {
    let limit = if block.kind == Kind::Code { max.saturating_mul(CODE_FACTOR) } else { max };
    let parts: Vec<&str> = if words(block.text) <= limit {
        vec![block.text]
    } else {
        let parts = if block.kind == Kind::Prose {
            sentences(block.text)
        } else {
            block.text.split_inclusive('\n').collect()
        };
        parts
            .into_iter()
            .flat_map(|part| if words(part) > limit { cut(part, max) } else { vec![part] })
            .collect()
    };
    let mut line = block.line;
    let mut joined_by = "\n\n";
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        let text = part.trim_end();
        if !text.trim_start().is_empty() {
            pieces.push(Piece { text, kind: block.kind, line, words: words(text), joined_by });
        }
        line += part.matches('\n').count();
        joined_by = if part.ends_with('\n') { "\n" } else { " " };
    }
    pieces
}

/// The passage being written.
#[derive(Default)]
struct Current {
    text: String,
    line: usize,
    words: usize,
    /// Bytes at its beginning that the passage before it ended with.
    repeated: usize,
    /// Whether it holds more than that.
    has_new: bool,
    /// Its last prose, from which the next one may begin.
    tail: String,
}

struct Writer {
    lengths: Lengths,
    headings: Vec<(u8, String)>,
    found: Vec<Passage>,
    /// The first passage of the section.
    section: usize,
    current: Current,
}

impl Writer {
    fn heading(&mut self, level: u8, text: &str) {
        self.end_section();
        self.headings.retain(|(above, _)| *above < level);
        let mut heading = plain(text);
        heading.truncate(heading.floor_char_boundary(HEADING_BYTES));
        self.headings.push((level, heading));
    }

    fn add(&mut self, piece: &Piece<'_>) {
        if self.current.has_new && self.current.words + piece.words > self.lengths.max_words {
            self.end_passage();
        }
        if !self.current.text.is_empty() {
            self.current.text.push_str(piece.joined_by);
        }
        if !self.current.has_new {
            self.current.line = piece.line;
            self.current.has_new = true;
        }
        self.current.text.push_str(piece.text);
        self.current.words += piece.words;
        piece_tail(&mut self.current.tail, piece);
    }

    /// Ends the passage; the next one begins with its last sentences.
    fn end_passage(&mut self) {
        let ended = std::mem::take(&mut self.current);
        let overlap = last_sentences(&ended.tail, self.lengths.overlap_words);
        self.current.words = words(overlap);
        self.current.repeated = overlap.len();
        overlap.clone_into(&mut self.current.text);
        self.push(ended);
    }

    /// Ends the section; a short rest goes to the passage before it.
    fn end_section(&mut self) {
        let ended = std::mem::take(&mut self.current);
        let is_short = ended.words < self.lengths.max_words / 4;
        let before = self.found.get_mut(self.section..).and_then(<[Passage]>::last_mut);
        match before.filter(|before| is_short && ended.has_new && !before.text.contains("```")) {
            Some(before) => {
                let new = ended.text.get(ended.repeated..).unwrap_or_default();
                before.text.push_str(if ended.repeated == 0 { "\n\n" } else { "" });
                before.text.push_str(new);
            }
            None if ended.has_new => self.push(ended),
            None => {}
        }
        self.section = self.found.len();
    }

    fn push(&mut self, current: Current) {
        let heading: Vec<&str> =
            self.headings.iter().map(|(_, text)| text.as_str()).filter(|text| !text.is_empty()).collect();
        self.found.push(Passage {
            text: current.text,
            heading: heading.join(HEADINGS_JOINED_BY),
            line: current.line,
        });
    }
}

fn piece_tail(tail: &mut String, piece: &Piece<'_>) {
    if piece.joined_by == "\n\n" {
        tail.clear();
    }
    if piece.kind == Kind::Prose {
        if !tail.is_empty() {
            tail.push(' ');
        }
        tail.push_str(piece.text);
    }
}

/// The last whole sentences of a text that have at most `max` words together.
fn last_sentences(text: &str, max: usize) -> &str {
    let mut start = text.len();
    let mut sum = 0;
    for sentence in sentences(text).into_iter().rev() {
        sum += words(sentence);
        if sum > max {
            break;
        }
        start -= sentence.len();
    }
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::markdown::markdown;

    const LENGTHS: Lengths = Lengths { max_words: 12, overlap_words: 4 };

    fn check(source: &str, expected: &[(&str, &str, usize)]) {
        let found = passages(&markdown(source), LENGTHS);
        let found: Vec<_> =
            found.iter().map(|one| (one.text.as_str(), one.heading.as_str(), one.line)).collect();
        assert_eq!(found, expected, "{source:?}");
    }

    #[test]
    fn passages_follow_headings() {
        check("", &[]);
        check(
            "# A\n\none\n\n## B *b*\n\ntwo\n\n# C\n\nthree",
            &[("one", "A", 3), ("two", "A > B b", 7), ("three", "C", 11)],
        );
        check("intro\n\n# A\n## B\ntext", &[("intro", "", 1), ("text", "A > B", 5)]);
        check("# Only\n## headings", &[("Only\nheadings", "Only", 1)]);
    }

    #[test]
    fn long_prose_is_cut_between_sentences_and_overlaps() {
        let text =
            "One two three four five six seven.\nEight nine ten.\nEleven twelve thirteen fourteen fifteen.";
        check(
            text,
            &[
                ("One two three four five six seven.\nEight nine ten.", "", 1),
                ("Eight nine ten.\nEleven twelve thirteen fourteen fifteen.", "", 3),
            ],
        );
    }

    #[test]
    fn blocks_stay_together_while_they_fit() {
        check(
            "a b c d\n\ne f g h\n\ni j k l\n\nm n o p q r s t u v",
            &[("a b c d\n\ne f g h\n\ni j k l", "", 1), ("i j k l\n\nm n o p q r s t u v", "", 7)],
        );
    }

    #[test]
    fn a_short_rest_joins_the_passage_before() {
        check("a b c d e f g h i j k l.\n\nm n", &[("a b c d e f g h i j k l.\n\nm n", "", 1)]);
    }

    #[test]
    fn code_is_whole_and_lists_are_cut_between_lines() {
        let code = format!("```\n{}```", "x y z w\n".repeat(8));
        check(&code, &[(&code, "", 1)]);
        let items: Vec<String> = (0..8).map(|item| format!("- item {item} more")).collect();
        check(
            &items.join("\n"),
            &[
                (&items[..3].join("\n"), "", 1),
                (&items[3..6].join("\n"), "", 4),
                (&items[6..].join("\n"), "", 7),
            ],
        );
    }

    proptest! {
        #[test]
        fn every_word_is_in_some_passage(source in "([a-z]{1,6}[ .\n#-]{1,3}){0,60}", max in 4_usize..20) {
            let found = passages(&markdown(&source), Lengths { max_words: max, overlap_words: max / 3 });
            let all: Vec<&str> = found.iter().flat_map(|one| [one.text.as_str(), one.heading.as_str()]).collect();
            let all = all.join(" ");
            for block in markdown(&source).iter().filter(|block| !matches!(block.kind, Kind::Heading(_))) {
                for word in block.text.split(|character: char| !character.is_alphanumeric()) {
                    prop_assert!(all.contains(word), "{word:?} of {source:?}");
                }
            }
            prop_assert!(found.iter().all(|one| words(&one.text) <= max * 2 + max / 3), "{found:?}");
        }
    }
}
