//! Components: what the host found out at the door.

use std::time::Duration;

use lockgate_domain::Timestamp;
use lockgate_domain::hosting::{ComponentReport, StoredComponent};

use crate::console::{ACCENT, FAINT, WARNING};
use crate::control::show::{fact, heading, short};
use crate::measures;
use crate::table::{Align, Table};

/// Components as a table.
pub(crate) fn table(components: &[StoredComponent], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("DIGEST", Align::Left),
        ("SIZE", Align::Right),
        ("NAME", Align::Left),
        ("ENDPOINTS", Align::Left),
        ("NEEDS", Align::Left),
        ("SIGNED BY", Align::Left),
        ("UPLOADED", Align::Left),
    ]);
    for component in components {
        table.push(vec![
            short(component.digest),
            measures::bytes(component.size),
            measures::shorten(&measures::one_line(&component.report.manifest.name), 24),
            measures::shorten(&endpoints(&component.report).join(" "), 40),
            needs(&component.report).join(", "),
            component.signed_by.as_ref().map(ToString::to_string).unwrap_or_default(),
            measures::relative(component.uploaded_at, now),
        ]);
    }
    table
}

/// A component in full.
pub(crate) fn full(component: &StoredComponent, now: Timestamp) -> Vec<String> {
    let mut lines = vec![heading(&component.digest.to_string())];
    let uploaded = format!(
        "{} ({}) by {}",
        measures::moment(component.uploaded_at),
        measures::relative(component.uploaded_at, now),
        measures::one_line(&component.uploaded_by)
    );
    lines.push(fact("uploaded", uploaded));
    if let Some(reference) = &component.pulled_from {
        lines.push(fact("pulled from", measures::one_line(reference)));
    }
    lines.extend(report(component));
    lines
}

/// What the host found out.
pub(crate) fn report(component: &StoredComponent) -> Vec<String> {
    let report = &component.report;
    let manifest = &report.manifest;
    let mut lines = Vec::new();
    let name = format!("{} {}", measures::one_line(&manifest.name), measures::one_line(&manifest.version));
    if !name.trim().is_empty() {
        lines.push(fact("component", name.trim()));
    }
    if !manifest.description.is_empty() {
        lines.push(fact("", measures::one_line(&manifest.description)));
    }
    if let Some(key) = &component.signed_by {
        lines.push(fact("signed by", key.as_str()));
    }
    lines.push(fact("endpoints", list(&endpoints(report), "none: every request passes through unchanged")));
    lines.push(fact(
        "size",
        format!(
            "{}, {} of machine code",
            measures::bytes(component.size),
            measures::bytes(report.code_bytes)
        ),
    ));
    lines.push(fact("compiled", compiled(report)));
    let instantiate = Duration::from_secs_f64((report.instantiate_us / 1e6).clamp(0.0, 1e6));
    lines.push(fact("instance", format!("made in {}", measures::duration(instantiate))));
    let needs = needs(report);
    let words = if needs.is_empty() {
        format!("{FAINT}nothing beyond its documents{FAINT:#}")
    } else {
        format!("{WARNING}{}{WARNING:#}", needs.join(", "))
    };
    lines.push(fact("needs", words));
    for import in report.imports.iter().filter(|import| import.needs.is_some()) {
        lines.push(fact("", format!("imports {}", measures::one_line(&import.interface))));
    }
    lines
}

fn compiled(report: &ComponentReport) -> String {
    let time = report.compile_ms.map(|ms| Duration::from_secs_f64((ms / 1e3).clamp(0.0, 1e6)));
    match (time, report.compile_memory_bytes) {
        (None, _) => "the machine code was there already".into(),
        (Some(time), None) => format!("in {}", measures::duration(time)),
        (Some(time), Some(memory)) => {
            format!("in {} with {} of memory", measures::duration(time), measures::bytes(memory))
        }
    }
}

/// The endpoints by name.
pub(crate) fn endpoints(report: &ComponentReport) -> Vec<String> {
    let names = report.manifest.endpoints.iter().map(|endpoint| endpoint.name.as_str());
    names.map(measures::one_line).collect()
}

fn needs(report: &ComponentReport) -> Vec<String> {
    report.needs().iter().map(|need| need.as_str().to_owned()).collect()
}

fn list(names: &[String], nothing: &str) -> String {
    if names.is_empty() {
        return format!("{FAINT}{nothing}{FAINT:#}");
    }
    let coloured: Vec<String> = names.iter().map(|name| format!("{ACCENT}{name}{ACCENT:#}")).collect();
    coloured.join(" ")
}
