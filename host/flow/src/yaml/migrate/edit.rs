//! A file under change: lines, and what is done to them.
//!
//! Edits name places of the text as it was, so they may come in any order; they are applied from the last line up. What
//! stands inside brackets has no lines of its own: the outermost bracket is written anew, on one line.

use std::collections::BTreeMap;

use crate::yaml::errors::Place;
use crate::yaml::tree::{self, Node, Value};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    /// A key gets another name.
    Rename { key: Place, old: String, new: String },
    /// A key and its value become a comment under a note.
    Remove { key: Place, note: String },
    /// A text gets another value, with a note behind it.
    Replace { value: Place, old: String, new: String, note: String },
    /// A line is added.
    Insert { after: u32, text: String },
}

impl Edit {
    fn place(&self) -> (u32, u32) {
        match self {
            Edit::Rename { key: place, .. }
            | Edit::Remove { key: place, .. }
            | Edit::Replace { value: place, .. } => (place.line, place.column),
            Edit::Insert { after, .. } => (*after, u32::MAX),
        }
    }
}

/// The text, line by line, and the edits that wait.
pub(super) struct Sheet {
    lines: Vec<String>,
    /// Edits by their place; an anchor's text is changed once, however often it is used.
    edits: BTreeMap<(u32, u32), Edit>,
}

/// A bracket of the text: where it begins and ends, both inclusive.
#[derive(Debug, Clone, Copy)]
struct Bracket {
    start: (u32, u32),
    end: (u32, u32),
}

impl Sheet {
    pub(super) fn new(text: &str) -> Self {
        Self { lines: text.lines().map(str::to_owned).collect(), edits: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, edit: Edit) {
        self.edits.entry(edit.place()).or_insert(edit);
    }

    /// The changed text, and for each of its lines the line it was.
    pub(super) fn apply(&mut self) -> (String, Vec<u32>) {
        let brackets = self.brackets();
        let mut lines: Vec<(String, u32)> = self.lines.iter().cloned().zip(1..).collect();
        let mut inside: BTreeMap<(u32, u32), (Bracket, Vec<Edit>)> = BTreeMap::new();
        let mut plain = Vec::new();
        for (place, edit) in std::mem::take(&mut self.edits) {
            match brackets.iter().find(|bracket| bracket.start < place && place < bracket.end) {
                Some(bracket) => {
                    inside.entry(bracket.start).or_insert((*bracket, Vec::new())).1.push(edit);
                }
                None => plain.push((place, Change::Line(edit))),
            }
        }
        plain.extend(
            inside.into_iter().map(|(start, (bracket, edits))| (start, Change::Bracket(bracket, edits))),
        );
        // A key that goes takes with it what would be changed inside.
        let mut covered: Vec<(u32, u32)> = Vec::new();
        for (place, change) in &plain {
            if let Change::Line(Edit::Remove { key, .. }) = change {
                covered.push((place.0, block_end(&self.lines, *key)));
            }
        }
        plain.retain(|(place, change)| {
            let is_removal =
                |from: u32| matches!(change, Change::Line(Edit::Remove { .. })) && from == place.0;
            covered.iter().all(|(from, end)| !(*from..=*end).contains(&place.0) || is_removal(*from))
        });
        plain.sort_by_key(|(place, _)| *place);
        for (_, change) in plain.into_iter().rev() {
            match change {
                Change::Line(edit) => apply(&mut lines, edit),
                Change::Bracket(bracket, edits) => rewrite(&mut lines, bracket, &edits),
            }
        }
        let origins = lines.iter().map(|(_, origin)| *origin).collect();
        let mut text: String = lines.into_iter().flat_map(|(line, _)| [line, "\n".to_owned()]).collect();
        if text.is_empty() {
            text.push('\n');
        }
        (text, origins)
    }

    /// The outermost brackets of the text. Quotes and comments are no brackets; block texts are not told apart, which at
    /// worst leaves a bracket in one alone.
    fn brackets(&self) -> Vec<Bracket> {
        let (mut found, mut open, mut quote) = (Vec::new(), Vec::new(), None::<char>);
        for (line, number) in self.lines.iter().zip(1..) {
            let mut before = ' ';
            for (letter, column) in line.chars().zip(1..) {
                match (quote, letter) {
                    (Some(mark), letter) if letter == mark && before != '\\' => quote = None,
                    (Some(_), _) => {}
                    (None, '#') if before.is_whitespace() => break,
                    (None, '"' | '\'') if " \t:,[{-".contains(before) => quote = Some(letter),
                    (None, '{' | '[') if !open.is_empty() || " \t".contains(before) => {
                        open.push((number, column))
                    }
                    (None, '}' | ']') => {
                        if let Some(start) = open.pop()
                            && open.is_empty()
                        {
                            found.push(Bracket { start, end: (number, column) });
                        }
                    }
                    (None, _) => {}
                }
                before = letter;
            }
            // A quote that is still open at the end of its line was an apostrophe, or the rest of a text.
            if open.is_empty() {
                quote = None;
            }
        }
        found
    }
}

enum Change {
    Line(Edit),
    Bracket(Bracket, Vec<Edit>),
}

fn apply(lines: &mut Vec<(String, u32)>, edit: Edit) {
    match edit {
        Edit::Rename { key, old, new } => {
            change(lines, key, |before, after| {
                after.strip_prefix(old.as_str()).map(|rest| format!("{before}{new}{rest}"))
            });
        }
        Edit::Replace { value, old, new, note } => {
            change(lines, value, |before, after| {
                let length = scalar_length(after, &old)?;
                let rest = after.get(length..)?;
                let rest = rest.trim_start().trim_start_matches('#').trim_start();
                let own = if rest.is_empty() { String::new() } else { format!("; {rest}") };
                Some(format!("{before}{new}  # {note}{own}"))
            });
        }
        Edit::Insert { after, text } => {
            let place = (after as usize).min(lines.len());
            lines.insert(place, (text, after));
        }
        Edit::Remove { key, note } => remove(lines, key, &note),
    }
}

/// Changes a line that is split before a place.
fn change(lines: &mut [(String, u32)], place: Place, make: impl FnOnce(&str, &str) -> Option<String>) {
    let Some((line, _)) = lines.get_mut(index(place.line)) else { return };
    let (before, after) = split(line, place.column);
    if let Some(changed) = make(before, after) {
        *line = changed;
    }
}

/// Turns a key and its value into comments. In front of the first key of an item its dash stays behind alone.
fn remove(lines: &mut Vec<(String, u32)>, key: Place, note: &str) {
    let text: Vec<String> = lines.iter().map(|(line, _)| line.clone()).collect();
    let (first, last) = (index(key.line), index(block_end(&text, key)));
    let Some((line, origin)) = lines.get(first).cloned() else { return };
    let (before, after) = split(&line, key.column);
    let indent = " ".repeat(before.chars().count());
    let mut made = Vec::new();
    if !before.trim().is_empty() {
        made.push((before.trim_end().to_owned(), origin));
    }
    made.push((format!("{indent}# {note}"), origin));
    made.push((format!("{indent}# {after}"), origin));
    for (line, origin) in lines.iter().take(last + 1).skip(first + 1) {
        let inner = line.strip_prefix(&indent).unwrap_or_else(|| line.trim_start());
        made.push((format!("{indent}# {inner}").trim_end().to_owned(), *origin));
    }
    let last = last.min(lines.len().saturating_sub(1));
    lines.splice(first..=last, made);
}

/// The last line of a key's value: what follows is indented more than the key, or is its list.
fn block_end(lines: &[String], key: Place) -> u32 {
    let width = (key.column as usize).saturating_sub(1);
    let mut end = key.line;
    for (line, number) in lines.iter().zip(1u32..).skip(key.line as usize) {
        let content = line.trim_start_matches(' ');
        if content.trim().is_empty() || content.starts_with('#') {
            continue;
        }
        let indent = line.len() - content.len();
        let is_item = indent == width && (content.starts_with("- ") || content == "-");
        if indent <= width && !is_item {
            break;
        }
        end = number;
    }
    end
}

fn index(line: u32) -> usize {
    (line as usize).saturating_sub(1)
}

/// A line before and from a column.
fn split(line: &str, column: u32) -> (&str, &str) {
    let at = line.char_indices().nth((column as usize).saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    line.split_at(at)
}

/// Bytes of a plain or quoted text at the start of a line's rest.
fn scalar_length(rest: &str, value: &str) -> Option<usize> {
    match rest.chars().next()? {
        quote @ ('"' | '\'') => Some(rest.get(1..)?.find(quote)? + 2),
        _ => rest.starts_with(value).then_some(value.len()),
    }
}

/// Writes a bracket anew, with its edits, and their notes above its line.
fn rewrite(lines: &mut Vec<(String, u32)>, bracket: Bracket, edits: &[Edit]) {
    let (first, last) = (index(bracket.start.0), index(bracket.end.0));
    let Some((line, origin)) = lines.get(first).cloned() else { return };
    let Some((end_line, _)) = lines.get(last).cloned() else { return };
    let (before, first_part) = split(&line, bracket.start.1);
    let (_, after) = split(&end_line, bracket.end.1 + 1);
    // The bracket alone, with its own places: blank where something else was.
    let blank = " ".repeat(before.chars().count());
    let text: Vec<String> = if first == last {
        let (kept, _) = split(&line, bracket.end.1 + 1);
        vec![format!("{blank}{}", kept.get(before.len()..).unwrap_or_default())]
    } else {
        let inner = lines.iter().take(last).skip(first + 1).map(|(line, _)| line.clone());
        let (closing, _) = split(&end_line, bracket.end.1 + 1);
        std::iter::once(format!("{blank}{first_part}")).chain(inner).chain([closing.to_owned()]).collect()
    };
    let Ok(node) = tree::parse(&text.join("\n")) else { return };
    let offset = bracket.start.0 - 1;
    let mut notes = Vec::new();
    let written = write(&node, offset, edits, &mut notes);
    let indent: String = line.chars().take_while(|letter| *letter == ' ').collect();
    let mut made: Vec<(String, u32)> =
        notes.into_iter().map(|note| (format!("{indent}# {note}"), origin)).collect();
    made.push((format!("{before}{written}{after}"), origin));
    lines.splice(first..=last, made);
}

/// A node on one line.
fn write(node: &Node, offset: u32, edits: &[Edit], notes: &mut Vec<String>) -> String {
    let edit_at =
        |place: Place| edits.iter().find(|edit| edit.place() == (place.line + offset, place.column));
    match &node.value {
        Value::Map(entries) => {
            let mut parts = Vec::new();
            for (key, value) in entries {
                let name = match edit_at(key.place) {
                    Some(Edit::Remove { note, .. }) => {
                        notes.push(format!(
                            "{note} ({}: {})",
                            key.text,
                            write(value, offset, &[], &mut Vec::new())
                        ));
                        continue;
                    }
                    Some(Edit::Rename { new, .. }) => new.as_str(),
                    Some(Edit::Replace { .. } | Edit::Insert { .. }) | None => &key.text,
                };
                parts.push(format!("{}: {}", scalar(name), write(value, offset, edits, notes)));
            }
            format!("{{{}}}", parts.join(", "))
        }
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| write(item, offset, edits, notes)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Text(text) => match edit_at(node.place) {
            Some(Edit::Replace { new, note, .. }) => {
                notes.push(note.clone());
                scalar(new)
            }
            _ => scalar(text),
        },
        Value::Null => "null".to_owned(),
        Value::Switch(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
    }
}

/// A text as a plain word where that is safe, else in quotes.
fn scalar(text: &str) -> String {
    let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic() || "./_".contains(first))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"]
            .contains(&text.to_ascii_lowercase().as_str());
    if is_word && text.parse::<f64>().is_err() {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}
