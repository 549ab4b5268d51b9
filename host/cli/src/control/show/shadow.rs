//! What a shadow's comparison has given so far.

use lockgate_domain::ExecutorName;
use lockgate_domain::hosting::{ShadowReport, ShadowVerdict};

use crate::console::{ERROR, FAINT, GOOD};
use crate::control::show::{fact, heading, plural};
use crate::measures;

/// The report as lines.
pub(crate) fn report(name: &ExecutorName, report: &ShadowReport) -> Vec<String> {
    let mut lines = vec![heading(&format!("{name}: @{} beside @{}", report.shadow, report.primary))];
    let verdict = match &report.verdict {
        ShadowVerdict::Comparing => "still comparing".to_owned(),
        ShadowVerdict::Within => format!("{GOOD}within the bounds{GOOD:#}"),
        ShadowVerdict::Outside { .. } => format!("{ERROR}outside the bounds{ERROR:#}"),
    };
    lines.push(fact("verdict", verdict));
    if let ShadowVerdict::Outside { reasons } = &report.verdict {
        lines.extend(reasons.iter().map(|reason| fact("", measures::one_line(reason))));
    }
    let skipped = match report.skipped {
        0 => String::new(),
        skipped => format!(" {FAINT}({skipped} skipped: the host was busy){FAINT:#}"),
    };
    let compared =
        format!("{}, {}", plural(report.requests, "request"), plural(report.documents, "document"));
    lines.push(fact("compared", format!("{compared}{skipped}")));
    let differing = share(report.differing_requests, report.requests);
    lines.push(fact("differing", format!("{}{differing}", plural(report.differing_requests, "request"))));
    lines.push(fact("failed", plural(report.failed_requests, "request")));
    let fields = [
        (report.text_differences, "text"),
        (report.tag_differences, "tags"),
        (report.other_differences, "other fields"),
    ];
    let fields: Vec<String> = fields
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{what} {count}"))
        .collect();
    if !fields.is_empty() {
        lines.push(fact("documents", format!("{} differ", fields.join(", "))));
    }
    if report.max_embedding_distance > 0.0 {
        lines.push(fact("embeddings", format!("at most {:.4} apart", report.max_embedding_distance)));
    }
    lines.push(fact("fuel", format!("{:.2} times the primary's", report.fuel_ratio)));
    lines.push(fact("time", format!("{:.2} times the primary's", report.latency_ratio)));
    if !report.samples.is_empty() {
        lines.push(heading("differences"));
        lines.extend(report.samples.iter().map(|sample| format!("  {}", measures::one_line(sample))));
    }
    lines
}

fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return String::new();
    }
    format!(" ({:.2}%)", part as f64 * 100.0 / whole as f64)
}
