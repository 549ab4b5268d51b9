//! An answer as a person reads it: texts first, then what else a document holds, matches as ranked lines.
//!
//! Whatever comes from a document is a stranger's text: control characters never reach the terminal, long values are
//! cut to its width, and a document of thousands of lines or matches shows its beginning and a count.

use lockgate_domain::DocumentList;
use lockgate_domain::document::{Column, Values, names};
use serde_json::Value;

use crate::console::{ACCENT, FAINT, GOOD, HEADING};
use crate::measures;

/// Lines of one text that are shown.
const TEXT_LINES: usize = 40;
/// Lines of one match that are shown.
const MATCH_LINES: usize = 3;
/// Matches of one document that are shown.
const MATCHES: usize = 100;
/// Columns with a place of their own; all others are listed by name.
const PLACED: &[&str] =
    &[names::ID, names::TEXT, names::URI, names::MIME_TYPE, names::MATCHES, names::SCORES, names::TAGS];

/// Renders the documents of an answer, at most `room` of them. `first` is the number of the first one in the whole call.
pub(crate) fn documents(
    list: &DocumentList,
    first: u64,
    is_only: bool,
    room: u64,
    width: usize,
) -> Vec<String> {
    let mut page = Page { lines: Vec::new(), width: width.max(20) };
    let shown = u32::try_from(room).unwrap_or(u32::MAX).min(list.len());
    for (row, number) in (0..shown).zip(first..) {
        let number = if is_only { None } else { Some(number) };
        page.document(list, row, number);
    }
    page.lines
}

struct Page {
    lines: Vec<String>,
    width: usize,
}

impl Page {
    fn document(&mut self, list: &DocumentList, row: u32, number: Option<u64>) {
        let matches = list.links(names::MATCHES, row);
        let lead = number.map(|number| format!("{number}  ")).unwrap_or_default();
        let indent = measures::width(&lead);
        let mut head = self.head_lines(list, row, indent, matches.is_empty());
        if head.is_empty() {
            head.push(format!("{FAINT}document {}{FAINT:#}", id(list, row)));
        }
        for (index, line) in head.into_iter().enumerate() {
            let lead = if index == 0 { format!("{FAINT}{lead}{FAINT:#}") } else { " ".repeat(indent) };
            self.lines.push(format!("{lead}{line}"));
        }
        self.fields(list, row, indent);
        self.matches(list, matches, indent);
    }

    /// The text; of a document without text, where it is.
    fn head_lines(&self, list: &DocumentList, row: u32, indent: usize, is_plain: bool) -> Vec<String> {
        let room = self.width.saturating_sub(indent);
        let uri = list.text(names::URI, row).filter(|uri| !uri.is_empty()).map(measures::one_line);
        let mut lines = Vec::new();
        if let Some(text) = list.text(names::TEXT, row).filter(|text| !text.is_empty()) {
            let text = measures::printable(text);
            let all: Vec<_> = text.lines().collect();
            let style = if is_plain { anstyle::Style::new() } else { HEADING };
            for line in all.iter().take(TEXT_LINES) {
                lines.push(format!("{style}{}{style:#}", measures::shorten(line, room)));
            }
            if let Some(more) = all.len().checked_sub(TEXT_LINES).filter(|more| *more > 0) {
                lines.push(format!("{FAINT}… {more} more lines{FAINT:#}"));
            }
        }
        if let Some(uri) = uri {
            lines.push(format!("{ACCENT}{}{ACCENT:#}", measures::shorten(&uri, room)));
        }
        lines
    }

    /// What else the document holds, one line per field.
    fn fields(&mut self, list: &DocumentList, row: u32, indent: usize) {
        let room = self.width.saturating_sub(indent + 2);
        let mut put = |name: &str, value: &str| {
            let line = measures::shorten(&format!("{} {}", measures::one_line(name), value), room);
            self.lines.push(format!("{}{FAINT}{line}{FAINT:#}", " ".repeat(indent + 2)));
        };
        let tags = list.column(names::TAGS).and_then(|column| value(column, row));
        if let Some(tags) = tags.filter(|tags| tags != "{}") {
            put(names::TAGS, &tags);
        }
        if let Some(scores) = scores(list, row) {
            put(names::SCORES, &scores);
        }
        for column in list.columns().iter().filter(|column| !PLACED.contains(&column.name())) {
            if let Some(value) = value(column, row) {
                put(column.name(), &value);
            }
        }
    }

    fn matches(&mut self, list: &DocumentList, rows: &[u32], indent: usize) {
        let digits = rows.len().min(MATCHES).to_string().len();
        for (&row, rank) in rows.iter().take(MATCHES).zip(1u32..) {
            self.match_lines(list, row, &format!("{rank:>digits$}."), indent + 2);
        }
        if let Some(more) = rows.len().checked_sub(MATCHES).filter(|more| *more > 0) {
            self.lines.push(format!("{}{FAINT}… {more} more matches{FAINT:#}", " ".repeat(indent + 2)));
        }
    }

    /// `1. 0.873  where it is`, and below what it says.
    fn match_lines(&mut self, list: &DocumentList, row: u32, rank: &str, indent: usize) {
        let score = scores(list, row);
        let uri = list.text(names::URI, row).filter(|uri| !uri.is_empty()).map(measures::one_line);
        let margin = " ".repeat(indent);
        let mut head = format!("{margin}{HEADING}{rank}{HEADING:#}");
        let mut used = indent + rank.len();
        if let Some(score) = score {
            let score = measures::shorten(&score, self.width / 2);
            used += 2 + measures::width(&score);
            head.push_str(&format!(" {GOOD}{score}{GOOD:#}"));
        }
        let text_indent = indent + rank.len() + 1;
        let text = measures::one_line(list.text(names::TEXT, row).unwrap_or(""));
        let place = uri.unwrap_or_else(|| if text.is_empty() { id(list, row) } else { String::new() });
        if !place.is_empty() {
            let place = measures::shorten(&place, self.width.saturating_sub(used + 2).max(10));
            head.push_str(&format!("  {ACCENT}{place}{ACCENT:#}"));
        }
        self.lines.push(head);
        for line in wrap(&text, self.width.saturating_sub(text_indent), MATCH_LINES) {
            self.lines.push(format!("{}{line}", " ".repeat(text_indent)));
        }
    }
}

fn id(list: &DocumentList, row: u32) -> String {
    measures::one_line(list.text(names::ID, row).unwrap_or("without id"))
}

/// One score stands alone; several are named.
fn scores(list: &DocumentList, row: u32) -> Option<String> {
    let Values::Json(column) = list.column(names::SCORES)?.values() else { return None };
    let Ok(Value::Object(scores)) = serde_json::from_str(column.get(row)?) else { return None };
    let numbers: Vec<(String, f64)> = scores
        .iter()
        .filter_map(|(name, score)| {
            let number = score.as_f64().or_else(|| score.get("value")?.as_f64())?;
            Some((measures::one_line(name), number))
        })
        .collect();
    match numbers.as_slice() {
        [] => None,
        [(_, only)] => Some(format!("{only:.3}")),
        several => {
            let named: Vec<_> = several.iter().map(|(name, number)| format!("{name} {number:.3}")).collect();
            Some(named.join(", "))
        }
    }
}

/// The value of a row in a few words; none where there is none.
fn value(column: &Column, row: u32) -> Option<String> {
    let index = row as usize;
    match column.values() {
        Values::Text(texts) | Values::Json(texts) => {
            texts.get(row).filter(|text| !text.is_empty()).map(measures::one_line)
        }
        Values::Bytes(values) => values.get(index)?.as_ref().map(|bytes| measures::bytes(bytes.len() as u64)),
        Values::Integer(values) => values.get(index)?.map(|value| value.to_string()),
        Values::Number(values) => values.get(index)?.map(|value| value.to_string()),
        Values::Boolean(values) => values.get(index)?.map(|value| value.to_string()),
        Values::Tensor(tensors) => tensors.get(row).map(|tensor| {
            let shape: Vec<_> = tensor.shape().iter().map(u32::to_string).collect();
            format!("{}[{}]", tensor.dtype(), shape.join(", "))
        }),
        Values::Link(links) => match links.get(row).len() {
            0 => None,
            1 => Some("1 document".into()),
            many => Some(format!("{many} documents")),
        },
    }
}

/// Breaks a one-line text into at most `limit` lines at blanks; what does not fit shows as `…`.
fn wrap(text: &str, width: usize, limit: usize) -> Vec<String> {
    let width = width.max(10);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let fits = line.is_empty() || measures::width(&line) + 1 + measures::width(word) <= width;
        if fits {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            continue;
        }
        if lines.len() + 1 == limit {
            lines.push(with_mark(line, width));
            return lines;
        }
        lines.push(measures::shorten(&line, width));
        line = word.to_owned();
    }
    if !line.is_empty() {
        lines.push(measures::shorten(&line, width));
    }
    lines
}

/// Ends a line with `…`, at the end of a word if it has several.
fn with_mark(mut line: String, width: usize) -> String {
    while measures::width(&line) >= width {
        match line.rfind(' ') {
            Some(end) => line.truncate(end),
            None => return measures::shorten(&format!("{line}…"), width),
        }
    }
    line + "…"
}

#[cfg(test)]
mod tests;
