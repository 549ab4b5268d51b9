//! Deployments and what serves of them now.

use lockgate_domain::Timestamp;
use lockgate_domain::hosting::{Deployment, Scale, ShadowDecision};
use lockgate_domain::spec::InstanceMode;
use serde::Deserialize;

use crate::console::{ACCENT, FAINT};
use crate::control::show::{fact, heading};
use crate::measures;
use crate::table::{Align, Table};

/// Instances of one revision, as the status of an executor tells.
#[derive(Debug, Deserialize)]
pub(crate) struct RevisionStatus {
    revision: u32,
    resident: bool,
    instances: u32,
    idle: u32,
    waiting: u32,
    calls: u64,
    traps: u64,
}

/// A deployment in full.
pub(crate) fn full(deployment: &Deployment, now: Timestamp) -> Vec<String> {
    let mut lines = vec![heading(deployment.executor.as_str())];
    lines.extend(facts(deployment, now));
    lines
}

/// Where traffic goes and how it is scaled.
pub(crate) fn facts(deployment: &Deployment, now: Timestamp) -> Vec<String> {
    let spec = &deployment.spec;
    let rest = 100.0 - spec.canary.as_ref().map_or(0.0, |canary| canary.percent);
    let mut lines = vec![fact("traffic", format!("{ACCENT}{}{ACCENT:#} {rest}%", spec.primary))];
    if let Some(canary) = &spec.canary {
        lines.push(fact("canary", format!("{ACCENT}{}{ACCENT:#} {}%", canary.target, canary.percent)));
    }
    if let Some(shadow) = &spec.shadow {
        let decision = match shadow.decision {
            ShadowDecision::Report => "a person decides",
            ShadowDecision::PromoteOrRefuse => "promotes or refuses it",
        };
        let after = measures::count(shadow.decide_after);
        lines.push(fact(
            "shadow",
            format!(
                "{ACCENT}{}{ACCENT:#} {}%, {decision} after {after} requests",
                shadow.target, shadow.percent
            ),
        ));
    }
    lines.push(fact("scale", scale(&spec.scale)));
    let capsules = &spec.capsules;
    if capsules.keeps_any() {
        let failures = if capsules.failures { "failures" } else { "no failures" };
        lines.push(fact("capsules", format!("{failures}, {}% of the rest", capsules.sample_percent)));
    }
    lines.push(fact("changed", measures::relative(deployment.changed_at, now)));
    lines
}

fn scale(scale: &Scale) -> String {
    let mut words = Vec::new();
    match (scale.min, scale.max) {
        (None, None) => words.push("as the component asks".to_owned()),
        (min, max) => {
            let show = |bound: Option<u32>| bound.map_or_else(|| "…".to_owned(), |bound| bound.to_string());
            words.push(format!("{} to {} instances", show(min), show(max)));
        }
    }
    words.extend(scale.mode.map(|mode| match mode {
        InstanceMode::Fresh => "fresh for each call".to_owned(),
        InstanceMode::Reused => "reused".to_owned(),
    }));
    words.extend(scale.queue.map(|queue| format!("{queue} may wait")));
    words.extend(scale.max_calls.map(|calls| format!("{} calls each", measures::count(calls))));
    words.join(", ")
}

/// What serves now, by revision.
pub(crate) fn status(revisions: &[RevisionStatus]) -> Vec<String> {
    if revisions.is_empty() {
        return vec![format!("  {FAINT}nothing serves: it is not deployed{FAINT:#}")];
    }
    let mut table = Table::new(&[
        ("REVISION", Align::Right),
        ("CODE", Align::Left),
        ("INSTANCES", Align::Right),
        ("IDLE", Align::Right),
        ("WAITING", Align::Right),
        ("CALLS", Align::Right),
        ("TRAPS", Align::Right),
    ]);
    for status in revisions {
        table.push(vec![
            format!("@{}", status.revision),
            if status.resident { "in memory" } else { "on disk" }.into(),
            status.instances.to_string(),
            status.idle.to_string(),
            status.waiting.to_string(),
            status.calls.to_string(),
            status.traps.to_string(),
        ]);
    }
    table.render(2)
}
