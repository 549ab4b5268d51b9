//! A plan as a Mermaid flowchart.
//!
//! Names are letters, digits, `-` and `_`, so they need no escaping; nodes are numbered, because Mermaid reserves words
//! such as `end`.

use std::fmt::Write;

use super::{ExecutionPlan, Source};

pub(super) fn render(plan: &ExecutionPlan) -> String {
    let mut text = String::from("flowchart LR\n  request([request])\n");
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _written = text.write_fmt(arguments);
    };
    for (stage, place) in plan.stages().iter().zip(0..) {
        line(format_args!("  s{place}[\"{}\"]\n", stage.name));
        let arrow = match (stage.is_floating, &stage.condition) {
            (true, _) => "-.->",
            (false, Some(_)) => "-- when -->",
            (false, None) => "-->",
        };
        for source in &stage.sources {
            match source {
                Source::Gateway => line(format_args!("  request {arrow} s{place}\n")),
                Source::Stage(before) => line(format_args!("  s{before} {arrow} s{place}\n")),
            }
        }
    }
    line(format_args!("  answer([answer])\n"));
    match plan.answer() {
        Source::Gateway => line(format_args!("  request --> answer\n")),
        Source::Stage(place) => line(format_args!("  s{place} --> answer\n")),
    }
    text
}
