//! A text as blocks: headings, prose, lists and tables, code.
//!
//! Only what matters for cutting is recognised; everything unknown is prose. Front matter, rules and comments of
//! their own lines are left out. One pass over the lines, and no input is refused.

/// What a block is, and with it where it may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A heading of this level, 1 to 6; never part of the text of a passage.
    Heading(u8),
    /// Sentences.
    Prose,
    /// A list or a table: lines that mean something by themselves.
    Lines,
    /// Code, with its fences.
    Code,
}

/// A piece of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its text as written; of a heading without its marks.
    pub(crate) text: &'a str,
    /// The line it begins on, from 1.
    pub(crate) line: usize,
}

/// The blocks of a Markdown text.
pub(crate) fn markdown(source: &str) -> Vec<Block<'_>> {
    let mut scanner = Scanner { source, blocks: Vec::new(), open: None, fence: None, in_comment: false };
    let skip = front_matter(source);
    let mut at = 0;
    for (index, line) in source.split_inclusive('\n').enumerate() {
        let end = at + line.len();
        if index >= skip {
            scanner.line(Line { text: line.trim_end(), start: at, end, number: index + 1 });
        }
        at = end;
    }
    scanner.close();
    scanner.blocks
}

/// The paragraphs of a plain text.
pub(crate) fn paragraphs(source: &str) -> Vec<Block<'_>> {
    let mut scanner = Scanner { source, blocks: Vec::new(), open: None, fence: None, in_comment: false };
    let mut at = 0;
    for (index, line) in source.split_inclusive('\n').enumerate() {
        let (start, end) = (at, at + line.len());
        match line.trim().is_empty() {
            true => scanner.close(),
            false => scanner.extend(Kind::Prose, &Line { text: line, start, end, number: index + 1 }),
        }
        at = end;
    }
    scanner.close();
    scanner.blocks
}

struct Line<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    number: usize,
}

struct Open {
    kind: Kind,
    start: usize,
    end: usize,
    line: usize,
    lines: usize,
}

struct Scanner<'a> {
    source: &'a str,
    blocks: Vec<Block<'a>>,
    open: Option<Open>,
    fence: Option<&'a str>,
    in_comment: bool,
}

impl<'a> Scanner<'a> {
    fn line(&mut self, line: Line<'a>) {
        let trimmed = line.text.trim_start();
        if let Some(fence) = self.fence {
            self.extend(Kind::Code, &line);
            if trimmed.starts_with(fence)
                && trimmed.bytes().all(|byte| fence.as_bytes().first() == Some(&byte))
            {
                self.fence = None;
                self.close();
            }
        } else if self.in_comment || trimmed.starts_with("<!--") {
            self.close();
            self.in_comment = !trimmed.contains("-->");
        } else if trimmed.is_empty() {
            self.close();
        } else if let Some(fence) = fence(trimmed) {
            self.close();
            self.fence = Some(fence);
            self.extend(Kind::Code, &line);
        } else if let Some((level, text)) = heading(trimmed) {
            self.close();
            self.blocks.push(Block { kind: Kind::Heading(level), text, line: line.number });
        } else if let Some(level) = self.underline(trimmed) {
            self.underlined(level);
        } else if is_rule(trimmed) {
            self.close();
        } else {
            self.text(trimmed, &line);
        }
    }

    fn text(&mut self, trimmed: &str, line: &Line<'a>) {
        let in_lines = self.open.as_ref().is_some_and(|open| open.kind == Kind::Lines);
        if is_item(trimmed) && !in_lines {
            self.close();
            self.extend(Kind::Lines, line);
        } else {
            self.extend(Kind::Prose, line);
        }
    }

    /// Adds a line to the open block, whatever it is, or opens one.
    fn extend(&mut self, kind: Kind, line: &Line<'_>) {
        match &mut self.open {
            Some(open) => {
                open.end = line.end;
                open.lines += 1;
            }
            None => {
                self.open = Some(Open { kind, start: line.start, end: line.end, line: line.number, lines: 1 })
            }
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let text = self.source.get(open.start..open.end).unwrap_or_default();
        let text = if open.kind == Kind::Prose { text.trim() } else { text.trim_end() };
        self.blocks.push(Block { kind: open.kind, text, line: open.line });
    }

    /// The level of the heading that this line makes of the line before.
    fn underline(&self, trimmed: &str) -> Option<u8> {
        let open = self.open.as_ref().filter(|open| open.kind == Kind::Prose && open.lines == 1);
        let drawn = |mark: char| trimmed.len() > 1 && trimmed.chars().all(|character| character == mark);
        open.and_then(|_| if drawn('=') { Some(1) } else { drawn('-').then_some(2) })
    }

    fn underlined(&mut self, level: u8) {
        self.close();
        if let Some(block) = self.blocks.last_mut() {
            block.kind = Kind::Heading(level);
        }
    }
}

/// Lines of front matter at the beginning: from `---` to the next `---`, when there is one.
fn front_matter(source: &str) -> usize {
    let mut lines = source.lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return 0;
    }
    lines.position(|line| line.trim_end() == "---").map_or(0, |line| line + 2)
}

fn fence(trimmed: &str) -> Option<&str> {
    let mark = trimmed.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let length = trimmed.len() - trimmed.trim_start_matches(mark).len();
    let fence = trimmed.get(..length)?;
    (length >= 3 && !trimmed.get(length..)?.contains('`')).then_some(fence)
}

fn heading(trimmed: &str) -> Option<(u8, &str)> {
    let text = trimmed.trim_start_matches('#');
    let level = u8::try_from(trimmed.len() - text.len()).ok().filter(|level| (1..=6).contains(level))?;
    (text.is_empty() || text.starts_with([' ', '\t']))
        .then(|| (level, text.trim().trim_end_matches('#').trim_end()))
}

fn is_rule(trimmed: &str) -> bool {
    let marks = trimmed.chars().filter(|character| *character != ' ').count();
    let drawn = |mark| trimmed.chars().all(|character| character == mark || character == ' ');
    marks > 2 && ['-', '*', '_'].into_iter().any(drawn)
}

/// Whether the line begins an item of a list, or a row of a table.
fn is_item(trimmed: &str) -> bool {
    let number = trimmed.trim_start_matches(|character: char| character.is_ascii_digit());
    let numbered = number.len() < trimmed.len() && (number.starts_with(". ") || number.starts_with(") "));
    numbered || ["- ", "* ", "+ ", "|"].into_iter().any(|mark| trimmed.starts_with(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[(Kind, &str, usize)]) {
        let found: Vec<_> =
            markdown(source).iter().map(|block| (block.kind, block.text, block.line)).collect();
        assert_eq!(found, expected, "{source:?}");
    }

    #[test]
    fn blocks_of_markdown() {
        use Kind::{Code, Heading, Lines, Prose};
        check("", &[]);
        check(
            "# A #\n\ntext\nmore\n\n### B\n",
            &[(Heading(1), "A", 1), (Prose, "text\nmore", 3), (Heading(3), "B", 6)],
        );
        check("A\n=\n", &[(Prose, "A\n=", 1)]);
        check("A\n===\nb\n---\n", &[(Heading(1), "A", 1), (Heading(2), "b", 3)]);
        check(
            "text\n- a\n  b\n- c\n\nend",
            &[(Prose, "text", 1), (Lines, "- a\n  b\n- c", 2), (Prose, "end", 6)],
        );
        check("1. a\n2. b", &[(Lines, "1. a\n2. b", 1)]);
        check("| a |\n|---|\n| 1 |", &[(Lines, "| a |\n|---|\n| 1 |", 1)]);
        check(
            "a\n```sh\n# no heading\n\nx\n```\nb",
            &[(Prose, "a", 1), (Code, "```sh\n# no heading\n\nx\n```", 2), (Prose, "b", 7)],
        );
        check("````\n```\n````\nb", &[(Code, "````\n```\n````", 1), (Prose, "b", 4)]);
        check("```\nnever closed", &[(Code, "```\nnever closed", 1)]);
        check("---\ntitle: x\n---\ntext", &[(Prose, "text", 4)]);
        check("a\n\n---\n\nb", &[(Prose, "a", 1), (Prose, "b", 5)]);
        check("<!-- one\ntwo -->\n#hashtag", &[(Prose, "#hashtag", 3)]);
    }

    #[test]
    fn paragraphs_of_plain_text() {
        let found: Vec<_> =
            paragraphs("# one\r\ntwo\r\n \r\nthree").iter().map(|block| (block.text, block.line)).collect();
        assert_eq!(found, [("# one\r\ntwo", 1), ("three", 4)]);
    }
}
