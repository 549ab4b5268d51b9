//! `lockgate migrate`: what becomes of a flow of Jina's, key by key, and the flow file that takes its place.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use lockgate_flow::yaml::{self, Finding, Kind, Migration, Verdict};
use serde_json::{Value, json};

use crate::console::{ACCENT, Console, FAINT, GOOD, HEADING, WARNING};
use crate::failure::{Failure, Report};
use crate::flowfile::{read_included, read_text};
use crate::measures;

/// Say what becomes of a flow of Jina's, and rewrite it
#[derive(Debug, Args)]
#[command(
    after_help = "Takes a flow, a deployment or an executor's YAML. Nothing is changed without --write; what cannot be kept becomes a comment in the new file, beside its reason.\n\nExamples:\n  lockgate migrate flow.yml\n  lockgate migrate flow.yml --write lockgate.yml\n  lockgate migrate flow.yml --json | jq '.findings[] | select(.verdict == \"todo\")'"
)]
pub(crate) struct MigrateArguments {
    /// The file
    #[arg(value_name = "FLOW.yml")]
    file: PathBuf,

    /// Write the flow file for lockgate there; a file that is there already is left alone
    #[arg(short, long, value_name = "OUT.yml")]
    write: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Verdicts in the order of their urgency, and their headings.
const GROUPS: &[(Verdict, &str)] = &[
    (Verdict::Todo, "needs your work"),
    (Verdict::Later, "is not supported yet"),
    (Verdict::Rewritten, "is written in another way"),
    (Verdict::Ignored, "has no effect here"),
];

pub(crate) fn run(arguments: &MigrateArguments, console: &Console) -> Result<(), Failure> {
    let text = read_text(&arguments.file)?;
    let name = arguments.file.display().to_string();
    let folder = arguments.file.parent().map(Path::to_owned).unwrap_or_default();
    let include = |path: &str| read_included(&folder.join(path));
    let migration =
        yaml::migrate(&text, Some(&include)).map_err(|errors| Failure::Rendered(errors.render(&name)))?;
    if let Some(path) = &arguments.write {
        write(path, &migration.yaml)?;
    }
    if arguments.json {
        return console.line(to_json(&name, &migration));
    }
    report(&name, &migration).iter().try_for_each(|line| console.line(line))?;
    next(arguments, &name, &migration).iter().try_for_each(|line| console.line(line))
}

fn write(path: &Path, yaml: &str) -> Result<(), Report> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    made.and_then(|mut file| file.write_all(yaml.as_bytes())).map_err(|error| {
        let report = Report::new(format!("cannot write {}", path.display())).because(&error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => report.hint("--write names a file that is not there yet"),
            _ => report,
        }
    })
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Flow => "flow",
        Kind::Deployment => "deployment",
        Kind::Executor => "executor",
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Kept => "kept",
        Verdict::Rewritten => "rewritten",
        Verdict::Ignored => "ignored",
        Verdict::Todo => "todo",
        Verdict::Later => "later",
    }
}

fn to_json(name: &str, migration: &Migration) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "line": finding.line,
            "place": finding.place,
            "key": finding.key,
            "verdict": verdict_name(finding.verdict),
            "message": finding.message,
        })
    };
    json!({
        "file": name,
        "kind": kind_name(migration.kind),
        "findings": migration.findings.iter().map(finding).collect::<Vec<_>>(),
        "yaml": migration.yaml,
    })
}

/// What becomes of what, the urgent first.
fn report(name: &str, migration: &Migration) -> Vec<String> {
    let of = |verdict: Verdict| migration.findings.iter().filter(move |finding| finding.verdict == verdict);
    let counts: Vec<String> = GROUPS
        .iter()
        .map(|(verdict, _)| *verdict)
        .chain([Verdict::Kept])
        .map(|verdict| (of(verdict).count(), verdict_name(verdict)))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let mut lines = vec![format!(
        "{HEADING}{name}{HEADING:#} is a Jina {}: {}",
        kind_name(migration.kind),
        counts.join(", ")
    )];
    for (verdict, heading) in GROUPS {
        let mut findings = of(*verdict).peekable();
        if findings.peek().is_none() {
            continue;
        }
        let style = if *verdict == Verdict::Todo { WARNING } else { HEADING };
        lines.push(String::new());
        lines.push(format!("{style}{heading}{style:#}"));
        for finding in findings {
            let key = measures::one_line(&finding.key);
            let place = measures::one_line(&finding.place);
            lines.push(format!(
                "  {FAINT}line {:>3}{FAINT:#}  {place}: {ACCENT}{key}{ACCENT:#}",
                finding.line
            ));
            lines.push(format!("            {}", measures::one_line(&finding.message)));
        }
    }
    let kept: Vec<&Finding> = of(Verdict::Kept).collect();
    if !kept.is_empty() {
        lines.push(String::new());
        lines.push(format!("{GOOD}carries over{GOOD:#}"));
        lines.extend(kept_lines(&kept));
    }
    lines
}

/// One line for each place, and one for each remark.
fn kept_lines(kept: &[&Finding]) -> Vec<String> {
    let mut places: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut remarks: Vec<(&str, &str)> = Vec::new();
    for finding in kept {
        match places.iter_mut().find(|(place, _)| *place == finding.place) {
            Some((_, keys)) => keys.push(&finding.key),
            None => places.push((&finding.place, vec![&finding.key])),
        }
        let remark = (finding.key.as_str(), finding.message.as_str());
        if !finding.message.is_empty() && !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    let places = places.into_iter().map(|(place, keys)| {
        format!("  {}: {}", measures::one_line(place), measures::one_line(&keys.join(", ")))
    });
    let remarks = remarks.into_iter().map(|(key, remark)| format!("  {FAINT}{key}: {remark}{FAINT:#}"));
    places.chain(remarks).collect()
}

/// What to type next.
fn next(arguments: &MigrateArguments, name: &str, migration: &Migration) -> Vec<String> {
    let mut steps = Vec::new();
    let needs_code =
        migration.findings.iter().any(|finding| finding.key == "uses" && finding.verdict == Verdict::Todo);
    if needs_code {
        steps.push(("lockgate new NAME".to_owned(), "an executor to put the code into"));
    }
    match (&arguments.write, migration.kind) {
        (Some(path), Kind::Executor) => {
            steps.push((format!("mv {} {name}", path.display()), "Jina reads it as before"))
        }
        (Some(path), _) => {
            steps
                .push((format!("lockgate check {}", path.display()), "whether all its components are there"));
            steps.push((format!("lockgate up {}", path.display()), "serve it"));
        }
        (None, _) => steps.push((format!("lockgate migrate {name} --write OUT.yml"), "write the new file")),
    }
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let mut lines = vec![String::new(), format!("{HEADING}Next:{HEADING:#}")];
    lines
        .extend(steps.iter().map(|(command, what)| format!("  {ACCENT}{command:<width$}{ACCENT:#}  {what}")));
    lines
}
