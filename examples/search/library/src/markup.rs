//! Plain text out of Markdown, for people who read a match and for counting words.
//!
//! Labels of links stay and their targets go; marks of emphasis, of headings and of quotes go; white space becomes one
//! space. No full parser: what it does not know stays as it is. One pass, never longer than its input.

/// Bytes of the label of a link at most.
const MAX_LABEL: usize = 400;
/// Bytes of the target of a link at most.
const MAX_TARGET: usize = 500;

/// The readable text of a piece of Markdown, on one line.
#[must_use]
pub fn plain(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len());
    let mut in_code = false;
    for line in markdown.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            in_code = !in_code;
        } else if in_code {
            add(&mut out, trimmed);
        } else if !is_rule(trimmed) {
            let unmarked = trimmed.trim_start_matches(['#', '>', '|', ' ']).trim_end_matches([' ', '#', '|']);
            add(&mut out, &inline(unmarked));
        }
    }
    out
}

/// Lines that only draw: table separators, rules, underlines of headings.
fn is_rule(line: &str) -> bool {
    line.len() > 2
        && line.chars().all(|character| matches!(character, '-' | '=' | '*' | '_' | '|' | ':' | ' '))
}

/// Appends words with single spaces between them.
fn add(out: &mut String, text: &str) {
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
}

fn inline(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        let after = rest.get(character.len_utf8()..).unwrap_or_default();
        rest = match character {
            '*' | '`' => after,
            '!' if after.starts_with('[') => after,
            '[' => match link(after) {
                Some((label, after)) => {
                    out.push_str(&inline(label));
                    after
                }
                None => {
                    out.push('[');
                    after
                }
            },
            '<' if after.starts_with("!--") => {
                after.find("-->").and_then(|end| after.get(end + 3..)).unwrap_or_default()
            }
            other => {
                out.push(other);
                after
            }
        };
    }
    out
}

/// `label](target) rest` as label and rest. What is too long is no link, which bounds the search for its end.
fn link(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1_usize;
    let close = text.bytes().take(MAX_LABEL).position(|byte| {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    let (label, rest) = (text.get(..close)?, text.get(close + 1..)?);
    let end = match rest.bytes().next()? {
        b'(' => b')',
        b'[' => b']',
        _ => return None,
    };
    let end = rest.bytes().take(MAX_TARGET).position(|byte| byte == end)?;
    let rest = rest.get(end + 1..)?;
    // An image that links somewhere is a badge and says nothing about the text.
    Some((if label.starts_with("![") { "" } else { label }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_and_words_stay() {
        fn check(markdown: &str, expected: &str) {
            assert_eq!(plain(markdown), expected, "{markdown:?}");
        }
        check("## A *very* **bold** `claim` ##\n\n> quoted", "A very bold claim quoted");
        check("see [the guide](docs/guide.md) and ![a cat](cat.png)", "see the guide and a cat");
        check("[one][1], [x] and [open", "one, [x] and [open");
        check("[![CI](a.svg)](ci) [a [b](c)](d)", "a b");
        check("| a | b |\n|---|---|\n| 1 | 2 |", "a | b 1 | 2");
        check("```rust\nlet a = b * c;\n```\nafter", "let a = b * c; after");
        check("keep snake_case <!-- not this --> and this", "keep snake_case and this");
        check("Title\n=====\ntext", "Title text");
    }

    #[test]
    fn nesting_is_shallow() {
        for deep in ["[".repeat(100_000), "[x](".repeat(20_000)] {
            assert_eq!(plain(&deep).len(), deep.len());
        }
        let nested = format!("{}a{}", "[".repeat(5_000), "](b)".repeat(5_000));
        assert!(plain(&nested).contains('a'));
    }
}
