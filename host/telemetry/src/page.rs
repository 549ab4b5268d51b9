//! The page that a collector reads: the inventory with values, in Prometheus' text format 0.0.4.
//!
//! A page is always valid, whatever its sources add: samples are grouped by metric, samples of the same series are
//! summed, label values are escaped. It refuses what is not in the inventory: a fault of the program, so a debug
//! build stops and a release build leaves the sample out. It grows with its series only; bounding those is the work
//! of whoever adds them.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::inventory::{METRICS, Metric};

/// The media type of [`Page::into_text`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Samples under way to being text.
#[derive(Debug, Default)]
pub struct Page {
    /// By the metric's place in the inventory, then by rendered labels.
    samples: BTreeMap<usize, BTreeMap<String, f64>>,
}

impl Page {
    /// Adds a value to the series with these label values, given in the order of the metric's labels.
    pub fn add(&mut self, metric: &Metric, values: &[&str], value: f64) {
        let place = METRICS.iter().position(|known| known == metric);
        let fits = place.is_some() && values.len() == metric.labels.len();
        debug_assert!(fits, "{} is not in the inventory with {} labels", metric.name, values.len());
        if let (Some(place), true) = (place, fits) {
            let series = self.samples.entry(place).or_default();
            *series.entry(labels(metric, values)).or_default() += value;
        }
    }

    /// The text. Metrics without a sample are left out.
    pub fn into_text(self) -> String {
        let mut text = String::new();
        for (place, series) in self.samples {
            let Some(Metric { name, kind, help, .. }) = METRICS.get(place) else { continue };
            line(&mut text, format_args!("# HELP {name} {help}"));
            line(&mut text, format_args!("# TYPE {name} {}", kind.as_str()));
            for (labels, value) in series {
                if value.is_infinite() {
                    let sign = if value > 0.0 { '+' } else { '-' };
                    line(&mut text, format_args!("{name}{labels} {sign}Inf"));
                } else {
                    line(&mut text, format_args!("{name}{labels} {value}"));
                }
            }
        }
        text
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail; were it to, the line would be missing and nothing else.
    if writeln!(text, "{line}").is_err() {
        debug_assert!(false, "a string took no more text");
    }
}

fn labels(metric: &Metric, values: &[&str]) -> String {
    let mut text = String::new();
    for (name, value) in metric.labels.iter().zip(values) {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{CALLS, DRAINING, GUEST_COUNTER, GUEST_GAUGE};

    fn check(samples: &[(Metric, &[&str], f64)], expected: &[&str]) {
        let mut page = Page::default();
        for (metric, values, value) in samples {
            page.add(metric, values, *value);
        }
        let text = page.into_text();
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        assert_eq!(lines, expected, "{text}");
        for line in text.lines().filter(|line| line.starts_with("# HELP")) {
            assert_eq!(text.matches(line).count(), 1, "{text}");
        }
    }

    #[test]
    fn samples_become_text() {
        check(&[], &[]);
        check(&[(DRAINING, &[], 0.0)], &["# TYPE lockgate_draining gauge", "lockgate_draining 0"]);
        // Out of order, and grouped all the same.
        check(
            &[(CALLS, &["b"], 1.0), (DRAINING, &[], 1.0), (CALLS, &["a"], 2.0), (CALLS, &["b"], 3.0)],
            &[
                "# TYPE lockgate_draining gauge",
                "lockgate_draining 1",
                "# TYPE lockgate_calls_total counter",
                r#"lockgate_calls_total{executor="a"} 2"#,
                r#"lockgate_calls_total{executor="b"} 4"#,
            ],
        );
        check(
            &[(GUEST_COUNTER, &["a", "\"\\\n}ü"], 0.5)],
            &[
                "# TYPE lockgate_guest_counter_total counter",
                r#"lockgate_guest_counter_total{executor="a",name="\"\\\n}ü"} 0.5"#,
            ],
        );
        check(
            &[(GUEST_GAUGE, &["a", "x"], f64::MAX), (GUEST_GAUGE, &["a", "x"], f64::MAX)],
            &["# TYPE lockgate_guest_gauge gauge", r#"lockgate_guest_gauge{executor="a",name="x"} +Inf"#],
        );
    }

    #[test]
    fn help_is_the_inventorys() {
        let mut page = Page::default();
        page.add(&DRAINING, &[], 1.0);
        assert!(page.into_text().starts_with(&format!("# HELP lockgate_draining {}\n", DRAINING.help)));
    }
}
