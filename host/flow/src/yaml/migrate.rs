//! What becomes of a file of Jina's, key by key, and the same file with everything changed that can be.
//!
//! The verdicts are the rules of [`keys`] and the complaints of the reader, so that this never says anything else than
//! `lockgate check` does. What cannot be kept is turned into a comment beside its reason, never dropped: the author's
//! words, order and comments stay. Nothing but the text is looked at, except files that an [`Include`] reads.

mod edit;
#[cfg(test)]
mod tests;

use super::errors::{FlowErrors, Place};
use super::keys::{self, Rule, Table};
use super::tree::{self, Key, Node, Value, shorten};
use super::{FlowFile, Include, Kind, deployment, executor, include};

use edit::{Edit, Sheet};

/// What is said about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// What the file is.
    pub kind: Kind,
    /// In the order of the file.
    pub findings: Vec<Finding>,
    /// The file, changed where it had to be.
    pub yaml: String,
}

/// What becomes of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its line, from 1.
    pub line: u32,
    /// Where it stands, in the words of messages.
    pub place: String,
    /// The key.
    pub key: String,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why, or what to do; empty where there is nothing to say.
    pub message: String,
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It means here what it means to Jina, or what the message says.
    Kept,
    /// It is written in another way, which the migrated file does.
    Rewritten,
    /// It has no effect here; a comment in the migrated file.
    Ignored,
    /// It needs work that nobody but its author can do.
    Todo,
    /// It is not supported yet; a comment in the migrated file.
    Later,
}

/// Keys that are called something else here.
const RENAMED: &[(&str, &str)] = &[
    ("deployments", "executors"),
    ("pods", "executors"),
    ("disable_reduce", "no_reduce"),
    ("parallel", "replicas"),
    ("protocols", "protocol"),
    ("ports", "port"),
    ("port_expose", "port"),
];

/// What else is to know about keys that carry over.
const REMARKS: &[(&str, &str)] = &[
    ("env", "fills in `${{ ENV.NAME }}` in this file; executors have no environment"),
    ("replicas", "instances of one component in this process: they are many and cheap"),
    ("uses_with", "the executor reads it as its configuration"),
];

/// Reads a file and says what becomes of it. The error is that of a text that is no YAML.
pub fn migrate(text: &str, include: Option<Include<'_>>) -> Result<Migration, FlowErrors> {
    let untagged = untag(text);
    let text = untagged.as_deref().unwrap_or(text);
    let tree = tree::parse(text).map_err(|error| FlowErrors::new(vec![error], text))?;
    let kind = super::kind(text)?;
    let mut walk = Walk { findings: Vec::new(), sheet: Sheet::new(text), include };
    if untagged.is_some() {
        walk.say(tree.place, "the file", "jtype", Verdict::Rewritten, "written as a key instead of a tag");
    }
    match kind {
        Kind::Flow => walk.flow(&tree),
        Kind::Deployment => walk.deployment(&tree),
        Kind::Executor => walk.executor_file(&tree),
    }
    Ok(walk.finish(kind))
}

/// `!Flow` and its like at the start of the file, which is what Jina's oldest files have.
fn untag(text: &str) -> Option<String> {
    let start =
        text.lines().position(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))?;
    let line = text.lines().nth(start)?;
    let name = line.trim_end().strip_prefix('!')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| text.replacen(line, &format!("jtype: {name}"), 1))
}

struct Walk<'a> {
    findings: Vec<Finding>,
    sheet: Sheet,
    include: Option<Include<'a>>,
}

impl Walk<'_> {
    fn say(&mut self, place: Place, at: &str, key: &str, verdict: Verdict, message: &str) {
        let finding = Finding {
            line: place.line,
            place: at.to_owned(),
            key: shorten(key),
            verdict,
            message: message.to_owned(),
        };
        // The kind of a file with a tag was told as the tag.
        let is_told = |known: &Finding| known.line == finding.line && known.key == "jtype" && key == "jtype";
        if !self.findings.contains(&finding) && !self.findings.iter().any(is_told) {
            self.findings.push(finding);
        }
    }

    fn flow(&mut self, tree: &Node) {
        self.section(tree, "the flow", keys::ROOT);
        for name in ["with", "gateway"] {
            if let Some(settings) = tree.get(name) {
                self.section(settings, &format!("`{name}`"), keys::WITH);
            }
        }
        let lists = ["executors", "deployments", "pods"];
        let items = lists.iter().filter_map(|name| tree.get(name)).filter_map(|node| match &node.value {
            Value::List(items) => Some(items),
            _ => None,
        });
        for (item, index) in items.flatten().zip(1..) {
            let what = executor_name(item, index);
            if item.get("jtype").is_some() {
                let inner = item.get("with");
                inner.iter().for_each(|inner| self.executor(inner, &executor_name(inner, index)));
            } else {
                self.executor(item, &what);
            }
        }
    }

    fn deployment(&mut self, tree: &Node) {
        self.section(tree, "the deployment", keys::DEPLOYMENT);
        if let Some(with) = tree.get("with") {
            self.executor(with, "the deployment");
        }
    }

    fn executor(&mut self, node: &Node, what: &str) {
        let table = |key: &str| {
            if deployment::is_served(key) && what == "the deployment" { keys::WITH } else { keys::EXECUTOR }
        };
        let Value::Map(entries) = &node.value else { return };
        for (key, _) in entries {
            self.key(entries, key, what, table(&key.text));
        }
        let Some(uses) = node.get("uses") else {
            let message = "it gives back what it gets: it does not say what it `uses`";
            self.say(node.place, what, "uses", Verdict::Kept, message);
            return;
        };
        self.uses(uses, node, what);
    }

    fn executor_file(&mut self, tree: &Node) {
        self.section(tree, "the executor", keys::EXECUTOR_FILE);
        if let Some(metas) = tree.get("metas") {
            self.section(metas, "`metas`", keys::METAS);
        }
        if tree.get("uses").is_none() {
            let class = match tree.get("jtype").map(|kind| &kind.value) {
                Some(Value::Text(class)) => class.as_str(),
                _ => "executor",
            };
            let component = format!("{}.wasm", kebab(class));
            let message =
                format!("build the class {} as a component, {component}, beside this file", shorten(class));
            self.say(tree.place, "the executor", "uses", Verdict::Todo, &message);
            let line = tree.get("jtype").map_or(tree.place.line, |kind| kind.place.line);
            let text = format!("uses: {component}  # lockgate: {message}");
            self.sheet.push(Edit::Insert { after: line, text });
        }
    }

    /// The keys of a map by their rules.
    fn section(&mut self, node: &Node, what: &str, table: Table) {
        let Value::Map(entries) = &node.value else { return };
        for (key, _) in entries {
            self.key(entries, key, what, table);
        }
    }

    fn key(&mut self, entries: &[(Key, Node)], key: &Key, what: &str, table: Table) {
        let name = key.text.as_str();
        let renamed = RENAMED.iter().find(|(old, _)| *old == name).map(|(_, new)| *new);
        if let Some(new) = renamed.filter(|new| keys::rule(table, new) == Some(Rule::Taken))
            && entries.iter().all(|(other, _)| other.text != new)
        {
            self.say(key.place, what, name, Verdict::Rewritten, &format!("it is called `{new}`"));
            self.sheet.push(Edit::Rename { key: key.place, old: name.to_owned(), new: new.to_owned() });
            return;
        }
        let (verdict, message) = match keys::rule(table, name) {
            Some(Rule::Taken) => {
                let remark =
                    REMARKS.iter().find(|(known, _)| *known == name).map_or("", |(_, remark)| remark);
                // What it `uses` is judged by its value.
                if name != "uses" {
                    self.say(key.place, what, name, Verdict::Kept, remark);
                }
                return;
            }
            Some(Rule::Ignored(reason)) => (Verdict::Ignored, reason.to_owned()),
            Some(Rule::Later) => (Verdict::Later, "not supported yet".to_owned()),
            // The migrated file has removed it already.
            Some(Rule::Refused(hint)) => (Verdict::Todo, hint.trim_end_matches(": remove it").to_owned()),
            None => (Verdict::Todo, "there is no such key".to_owned()),
        };
        self.say(key.place, what, name, verdict, &message);
        let note = format!("lockgate: `{}` {}", shorten(name), note(verdict, &message));
        self.sheet.push(Edit::Remove { key: key.place, note });
    }

    /// What an executor is made of.
    fn uses(&mut self, uses: &Node, executor: &Node, what: &str) {
        let Value::Text(text) = &uses.value else { return };
        if include::is_yaml(text) && !text.contains("://") {
            return self.named_file(uses, text, what);
        }
        let Some((fault, hint)) = executor::uses_fault(text) else {
            return self.say(uses.place, what, "uses", Verdict::Kept, "");
        };
        let name = match executor.get("name").map(|name| &name.value) {
            Some(Value::Text(name)) if name.parse::<lockgate_domain::ExecutorName>().is_ok() => name.clone(),
            _ => kebab(stem(text)),
        };
        let component = format!("{name}.wasm");
        let message = format!("{} {fault}: {hint}", shorten(text));
        self.say(uses.place, what, "uses", Verdict::Todo, &message);
        let note = format!("lockgate: was {}, {fault}", shorten(text));
        self.sheet.push(Edit::Replace { value: uses.place, old: text.clone(), new: component, note });
    }

    /// An executor's own file, which is migrated by itself.
    fn named_file(&mut self, uses: &Node, path: &str, what: &str) {
        let read = self.include.map(|include| include(path));
        let names_component = match read {
            None => false,
            Some(Ok(text)) => tree::parse(&text).is_ok_and(|tree| tree.get("uses").is_some()),
            Some(Err(why)) => {
                let message = format!("cannot read {}: {}", shorten(path), shorten(&why));
                return self.say(uses.place, what, "uses", Verdict::Todo, &message);
            }
        };
        if names_component {
            self.say(uses.place, what, "uses", Verdict::Kept, "that file names a component");
        } else {
            let message = format!(
                "build the executor as a component and add `uses: NAME.wasm` to {}: `lockgate migrate {0}` writes it",
                shorten(path)
            );
            self.say(uses.place, what, "uses", Verdict::Todo, &message);
        }
    }

    /// Applies the edits, and asks the reader what it still minds.
    fn finish(mut self, kind: Kind) -> Migration {
        let (yaml, origins) = self.sheet.apply();
        if kind != Kind::Executor {
            let any = |_: &str| Some("1".to_owned());
            let component = |_: &str| Ok("uses: component.wasm".to_owned());
            let left = FlowFile::parse_with(&yaml, &any, &component).err();
            for error in left.iter().flat_map(FlowErrors::errors) {
                let line =
                    error.place.and_then(|place| origins.get(place.line.checked_sub(1)? as usize).copied());
                let line = line.unwrap_or(1);
                let is_told = self
                    .findings
                    .iter()
                    .any(|finding| finding.line == line && finding.verdict == Verdict::Todo);
                if is_told {
                    continue;
                }
                let message = match &error.hint {
                    Some(hint) => format!("{}: {hint}", error.message),
                    None => error.message.clone(),
                };
                let (place, key) = self.known_at(line);
                // A key with a bad value does not carry over.
                self.findings.retain(|finding| finding.line != line || finding.verdict != Verdict::Kept);
                self.findings.push(Finding { line, place, key, verdict: Verdict::Todo, message });
            }
        }
        self.findings.sort_by_key(|finding| finding.line);
        Migration { kind, findings: self.findings, yaml }
    }

    /// The last key that stands at a line or above it.
    fn known_at(&self, line: u32) -> (String, String) {
        let above = self.findings.iter().filter(|finding| finding.line <= line);
        let found = above.max_by_key(|finding| finding.line);
        found.map_or_else(
            || ("the file".to_owned(), String::new()),
            |found| (found.place.clone(), found.key.clone()),
        )
    }
}

fn note(verdict: Verdict, message: &str) -> String {
    match verdict {
        Verdict::Ignored => format!("has no effect: {message}"),
        Verdict::Later => message.to_owned(),
        Verdict::Kept | Verdict::Rewritten | Verdict::Todo => format!("means nothing here: {message}"),
    }
}

fn executor_name(item: &Node, index: usize) -> String {
    match item.get("name").map(|name| &name.value) {
        Some(Value::Text(name)) => format!("executor `{}`", shorten(name)),
        _ => format!("executor {index}"),
    }
}

/// The last part of what something `uses`, without what comes before and after it.
fn stem(uses: &str) -> &str {
    let (scheme, path) = uses.split_once("://").unwrap_or(("", uses));
    let mut parts = path.trim_end_matches('/').split('/');
    // In Jina's first hub the version stands behind the name.
    let last = if scheme.starts_with("jinahub") { parts.next() } else { parts.next_back() }.unwrap_or(path);
    last.split([':', '@', '.']).next().unwrap_or(last)
}

/// `MyExecutor` as `my-executor`, with nothing in it that a file's name does not like.
fn kebab(name: &str) -> String {
    let mut made = String::new();
    let mut before = None;
    for letter in name.chars().take(60) {
        let starts_word = letter.is_ascii_uppercase()
            && before.is_some_and(|before: char| before.is_ascii_lowercase() || before.is_ascii_digit());
        if starts_word {
            made.push('-');
        }
        made.push(if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' });
        before = Some(letter);
    }
    let made = made.trim_matches('-');
    if made.is_empty() { "executor".to_owned() } else { made.to_owned() }
}
