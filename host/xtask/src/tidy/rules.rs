//! The rules for one Rust file.
//!
//! Owns the list and its words; the words are the right column of the glossary in `ARCHITECTURE.md`, as far as they
//! are wrong in every type name (`Service` is not: it is tower's word).

use super::SourceFile;

type Rule = fn(&SourceFile) -> Vec<String>;

/// All rules, in the order in which they are reported.
pub(super) const RULES: &[Rule] =
    &[header, length, type_names, bare_allow, test_attributes, prints, sources_in_messages, sleeps];

/// Longest file in lines.
const MAX_LINES: usize = 800;

/// Words that have a better one, and the better one.
const FORBIDDEN: &[(&str, &str)] = &[
    ("Plugin", "component"),
    ("Artifact", "component"),
    ("Worker", "executor"),
    ("Actor", "executor"),
    ("Pipeline", "flow"),
    ("Topology", "plan"),
    ("Sandbox", "instance"),
    ("Isolate", "instance"),
    ("Vm", "instance"),
    ("Checkout", "lease"),
    ("Gas", "fuel"),
    ("Throttle", "rate limit"),
    ("Quiesce", "drain"),
    ("Fleet", "cluster"),
    ("Doc", "document"),
    ("Docs", "document list"),
    ("User", "tenant or principal"),
    ("Account", "tenant"),
    ("Org", "tenant"),
    ("Crash", "trap or fault"),
    ("Util", "the thing it does"),
    ("Utils", "the thing it does"),
    ("Helper", "the thing it does"),
    ("Manager", "the thing it does"),
];

fn header(file: &SourceFile) -> Vec<String> {
    if file.text.starts_with("//!") {
        return Vec::new();
    }
    vec![format!("{}:1: opens without `//!`; say what it owns, what it refuses, what bounds it", file.path)]
}

fn length(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().count();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines, at most {MAX_LINES}; split it into rooms", file.path)]
}

fn type_names(file: &SourceFile) -> Vec<String> {
    code_lines(file)
        .filter_map(|(number, line)| {
            let name = declared_type(line)?;
            let (word, better) = FORBIDDEN.iter().find(|(word, _)| words(name).any(|part| part == *word))?;
            Some(format!("{}:{number}: {name} says {word:?}; our word is {better}", file.path))
        })
        .collect()
}

/// An attribute may run over several lines; it ends where its bracket closes.
fn bare_allow(file: &SourceFile) -> Vec<String> {
    let lines: Vec<(usize, &str)> = code_lines(file).collect();
    let mut findings = Vec::new();
    for (index, (number, line)) in lines.iter().enumerate() {
        if !line.starts_with("#[allow(") && !line.starts_with("#![allow(") {
            continue;
        }
        let mut attribute = String::new();
        for (_, part) in lines.iter().skip(index) {
            attribute.push_str(part);
            if part.ends_with(")]") {
                break;
            }
        }
        if !attribute.contains("reason") {
            findings
                .push(format!("{}:{number}: bare allow; use #[expect(lint, reason = \"...\")]", file.path));
        }
    }
    findings
}

fn test_attributes(file: &SourceFile) -> Vec<String> {
    code_lines(file)
        .filter(|(_, line)| line.starts_with("#[ignore") || line.starts_with("#[should_panic"))
        .map(|(number, line)| {
            format!("{}:{number}: {line}; a test runs, and asserts what it expects", file.path)
        })
        .collect()
}

/// Only the command and the chores speak to a terminal.
fn prints(file: &SourceFile) -> Vec<String> {
    let is_library = file.path.starts_with("host/")
        && file.path.contains("/src/")
        && !file.path.starts_with("host/cli/")
        && !file.path.starts_with("host/xtask/");
    if !is_library {
        return Vec::new();
    }
    let macros = ["println!(", "eprintln!(", "print!(", "eprint!("];
    code_lines(file)
        .filter(|(_, line)| macros.iter().any(|name| line.starts_with(name)))
        .map(|(number, _)| format!("{}:{number}: a library prints; log it or return it", file.path))
        .collect()
}

/// `Display` prints itself, never its source: the chain is printed once, at the edge.
fn sources_in_messages(file: &SourceFile) -> Vec<String> {
    let lines: Vec<(usize, &str)> = code_lines(file).collect();
    let mut findings = Vec::new();
    for (index, (number, line)) in lines.iter().enumerate() {
        if !line.starts_with("#[error(") {
            continue;
        }
        let is_sourced = lines
            .iter()
            .skip(index + 1)
            .take(3)
            .take_while(|(_, next)| !next.starts_with("#[error("))
            .any(|(_, next)| next.contains("#[from]") || next.contains("#[source]"));
        if line.contains("{source}") || (line.contains("{0}") && is_sourced) {
            findings.push(format!("{}:{number}: a message prints its source; the edge does that", file.path));
        }
    }
    findings
}

/// Tests wait for conditions.
fn sleeps(file: &SourceFile) -> Vec<String> {
    if !file.path.starts_with("tests/it/") && !file.path.ends_with("/tests.rs") {
        return Vec::new();
    }
    code_lines(file)
        .filter(|(_, line)| line.contains("sleep("))
        .map(|(number, _)| format!("{}:{number}: a test sleeps; wait for a condition", file.path))
        .collect()
}

/// Lines that are not comments, trimmed, with their numbers from 1.
fn code_lines(file: &SourceFile) -> impl Iterator<Item = (usize, &str)> {
    file.text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.starts_with("//"))
}

/// The name a line declares as a type. Aliases may say what they stand for.
fn declared_type(line: &str) -> Option<&str> {
    let mut rest = line;
    for visibility in ["pub(crate) ", "pub(super) ", "pub "] {
        rest = rest.strip_prefix(visibility).unwrap_or(rest);
    }
    let rest = ["struct ", "enum ", "trait ", "union "].iter().find_map(|word| rest.strip_prefix(word))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.get(..end).filter(|name| name.starts_with(char::is_uppercase))
}

/// The words of a camel-case name.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let mut starts: Vec<usize> =
        name.char_indices().filter(|(_, c)| c.is_uppercase()).map(|(index, _)| index).collect();
    starts.push(name.len());
    starts
        .windows(2)
        .filter_map(|pair| name.get(*pair.first()?..*pair.last()?))
        .collect::<Vec<&str>>()
        .into_iter()
}

#[cfg(test)]
mod tests;
