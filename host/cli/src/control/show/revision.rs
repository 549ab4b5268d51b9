//! Revisions, tags and executors: what runs under which name, what it may reach, and what its examples gave.

use lockgate_domain::capability::CapabilityDiff;
use lockgate_domain::hosting::{ExampleOutcome, Executor, Revision, RevisionState, Tag};
use lockgate_domain::{Capabilities, ExecutorName, Timestamp};

use crate::console::{ERROR, FAINT, GOOD, WARNING};
use crate::control::show::{fact, heading, plural, short};
use crate::measures;
use crate::table::{Align, Table};

/// Executors as a table.
pub(crate) fn executors(executors: &[Executor], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("EXECUTOR", Align::Left),
        ("NEWEST", Align::Right),
        ("TAGS", Align::Left),
        ("TRAFFIC", Align::Left),
        ("MADE", Align::Left),
    ]);
    for executor in executors {
        let traffic = executor.deployment.as_ref().map(|deployment| {
            let spec = &deployment.spec;
            let canary =
                spec.canary.as_ref().map(|canary| format!(", {} {}%", canary.target, canary.percent));
            let shadow =
                spec.shadow.as_ref().map(|shadow| format!(", shadow {} {}%", shadow.target, shadow.percent));
            format!("{}{}{}", spec.primary, canary.unwrap_or_default(), shadow.unwrap_or_default())
        });
        table.push(vec![
            executor.name.to_string(),
            format!("@{}", executor.newest),
            tags_of(&executor.tags),
            traffic.unwrap_or_else(|| "not deployed".into()),
            measures::relative(executor.created_at, now),
        ]);
    }
    table
}

/// An executor in full.
pub(crate) fn executor(executor: &Executor, now: Timestamp) -> Vec<String> {
    let mut lines = vec![heading(executor.name.as_str())];
    let made = format!(
        "{} ({})",
        measures::moment(executor.created_at),
        measures::relative(executor.created_at, now)
    );
    lines.push(fact("made", made));
    lines.push(fact("newest", format!("@{}", executor.newest)));
    for tag in &executor.tags {
        lines.push(fact("tag", describe_tag(tag, now)));
    }
    match &executor.deployment {
        Some(deployment) => lines.extend(super::deployment::facts(deployment, now)),
        None => lines.push(fact("traffic", format!("{FAINT}not deployed{FAINT:#}"))),
    }
    lines
}

/// Tags as a table.
pub(crate) fn tags(tags: &[Tag], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("TAG", Align::Left),
        ("REVISION", Align::Right),
        ("BEFORE", Align::Left),
        ("MOVED", Align::Left),
    ]);
    for tag in tags {
        table.push(vec![
            tag.name.to_string(),
            format!("@{}", tag.revision),
            before(tag),
            measures::relative(tag.moved_at, now),
        ]);
    }
    table
}

/// One tag in a line.
pub(crate) fn describe_tag(tag: &Tag, now: Timestamp) -> String {
    let before = before(tag);
    let before = if before.is_empty() { String::new() } else { format!(", before: {before}") };
    let moved = measures::relative(tag.moved_at, now);
    format!("{} → @{} {FAINT}(moved {moved}{before}){FAINT:#}", tag.name, tag.revision)
}

fn before(tag: &Tag) -> String {
    const SHOWN: usize = 5;
    let mut before: Vec<String> = tag.before.iter().take(SHOWN).map(|number| format!("@{number}")).collect();
    if tag.before.len() > SHOWN {
        before.push("…".into());
    }
    before.join(" ")
}

fn tags_of(tags: &[Tag]) -> String {
    let words: Vec<String> = tags.iter().map(|tag| format!("{}=@{}", tag.name, tag.revision)).collect();
    measures::shorten(&words.join(" "), 40)
}

/// Revisions as a table.
pub(crate) fn table(revisions: &[Revision], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("REVISION", Align::Right),
        ("COMPONENT", Align::Left),
        ("STATE", Align::Left),
        ("EXAMPLES", Align::Left),
        ("MADE", Align::Left),
        ("BY", Align::Left),
        ("NOTE", Align::Left),
    ]);
    for revision in revisions {
        table.push(vec![
            format!("@{}", revision.number),
            short(revision.spec.component),
            state(&revision.state).to_owned(),
            summary_of(&revision.examples),
            measures::relative(revision.created_at, now),
            measures::shorten(&measures::one_line(&revision.created_by), 24),
            measures::shorten(&measures::one_line(&revision.spec.note), 40),
        ]);
    }
    table
}

/// A revision in full.
pub(crate) fn full(name: &ExecutorName, revision: &Revision, now: Timestamp) -> Vec<String> {
    let mut lines = vec![heading(&format!("{name}@{}", revision.number))];
    lines.push(fact("component", revision.spec.component.to_string()));
    let made = format!(
        "{} ({}) by {}",
        measures::moment(revision.created_at),
        measures::relative(revision.created_at, now),
        measures::one_line(&revision.created_by)
    );
    lines.push(fact("made", made));
    if !revision.spec.note.is_empty() {
        lines.push(fact("note", measures::one_line(&revision.spec.note)));
    }
    lines.extend(state_facts(&revision.state));
    let limits = &revision.spec.limits;
    let words = format!(
        "{} fuel, {}, {}",
        measures::count(limits.fuel),
        measures::duration(std::time::Duration::from_millis(limits.wall_time_ms)),
        measures::bytes(limits.memory_bytes)
    );
    lines.push(fact("limits", words));
    if !revision.spec.configuration.is_empty() {
        let configuration = serde_json::Value::Object(revision.spec.configuration.clone()).to_string();
        lines.push(fact("config", measures::one_line(&configuration)));
    }
    lines.extend(capabilities(&revision.spec.capabilities));
    lines.extend(examples(&revision.examples));
    lines
}

fn capabilities(capabilities: &Capabilities) -> Vec<String> {
    let words = capabilities.words();
    if words.is_empty() {
        return vec![fact("may reach", format!("{FAINT}nothing beyond its documents{FAINT:#}"))];
    }
    let label = |index: usize| if index == 0 { "may reach" } else { "" };
    words.iter().enumerate().map(|(index, word)| fact(label(index), measures::one_line(word))).collect()
}

/// Whether traffic may reach it.
pub(crate) fn state(state: &RevisionState) -> &'static str {
    match state {
        RevisionState::Ready => "ready",
        RevisionState::AwaitsApproval { .. } => "awaits approval",
        RevisionState::Refused { .. } => "refused",
    }
}

/// Whether traffic may reach it, and why not.
pub(crate) fn state_facts(state: &RevisionState) -> Vec<String> {
    match state {
        RevisionState::Ready => vec![fact("state", format!("{GOOD}ready{GOOD:#}"))],
        RevisionState::AwaitsApproval { added } => {
            let mut lines = vec![fact("state", format!("{WARNING}awaits approval{WARNING:#} of"))];
            lines.extend(added.iter().map(|word| fact("", measures::one_line(word))));
            lines
        }
        RevisionState::Refused { reason } => {
            vec![fact("state", format!("{ERROR}refused{ERROR:#}: {}", measures::one_line(reason)))]
        }
    }
}

/// What is granted now and was not before, and the other way round. Before the first revision there was nothing.
pub(crate) fn diff(diff: &CapabilityDiff, is_first: bool) -> Vec<String> {
    if diff.added.is_empty() && diff.removed.is_empty() {
        let words = if is_first { "none" } else { "as before" };
        return vec![fact("capabilities", format!("{FAINT}{words}{FAINT:#}"))];
    }
    let added = diff.added.iter().map(|word| format!("{WARNING}+{WARNING:#} {}", measures::one_line(word)));
    let removed = diff.removed.iter().map(|word| format!("{GOOD}-{GOOD:#} {}", measures::one_line(word)));
    let label = |index: usize| if index == 0 { "capabilities" } else { "" };
    added.chain(removed).enumerate().map(|(index, word)| fact(label(index), word)).collect()
}

/// What golden examples gave, one line each.
pub(crate) fn examples(outcomes: &[ExampleOutcome]) -> Vec<String> {
    if outcomes.is_empty() {
        return vec![fact("examples", format!("{FAINT}none{FAINT:#}"))];
    }
    let label = |index: usize| if index == 0 { "examples" } else { "" };
    let line = |outcome: &ExampleOutcome| {
        let endpoint = measures::one_line(outcome.endpoint.as_str());
        let fuel = measures::count(outcome.fuel);
        match &outcome.difference {
            None => format!("{GOOD}✓{GOOD:#} {endpoint} {FAINT}{fuel} fuel{FAINT:#}"),
            Some(difference) => format!("{ERROR}✗{ERROR:#} {endpoint} {}", measures::one_line(difference)),
        }
    };
    outcomes.iter().enumerate().map(|(index, outcome)| fact(label(index), line(outcome))).collect()
}

fn summary_of(outcomes: &[ExampleOutcome]) -> String {
    let good = outcomes.iter().filter(|outcome| outcome.difference.is_none()).count();
    match outcomes.len() {
        0 => String::new(),
        count if good == count => format!("{} ok", plural(count as u64, "example")),
        count => format!("{good} of {count} ok"),
    }
}
