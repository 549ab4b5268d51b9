//! Timing that survives a shared, noisy machine: contenders take turns in short rounds, the median round counts, and
//! what is compared was measured in the same minute.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Rounds per contender; odd, so that there is a middle one.
const ROUNDS: usize = 15;

/// How long one contender runs in one round.
const ROUND: Duration = Duration::from_millis(60);

/// One thing to measure: does `count` calls, one after the other.
pub(crate) struct Contender<'a> {
    name: &'static str,
    run: Box<dyn FnMut(u64) + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender that does `count` calls when asked.
    pub(crate) fn new(name: &'static str, run: impl FnMut(u64) + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// Median nanoseconds per call of each contender, in the order given.
pub(crate) fn race(contenders: &mut [Contender<'_>]) -> Vec<f64> {
    let counts: Vec<u64> = contenders.iter_mut().map(calibrate).collect();
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for _ in 0..ROUNDS {
        for ((contender, &count), times) in contenders.iter_mut().zip(&counts).zip(&mut times) {
            let start = Instant::now();
            (contender.run)(count);
            times.push(start.elapsed().as_nanos() as f64 / count as f64);
        }
    }
    times.into_iter().map(median).collect()
}

/// The middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Calls that fill one round; also warms the contender up.
fn calibrate(contender: &mut Contender<'_>) -> u64 {
    let mut count = 1;
    loop {
        let start = Instant::now();
        (contender.run)(count);
        let spent = start.elapsed();
        if spent >= ROUND / 4 {
            let per_call = spent.as_nanos().max(1) / u128::from(count);
            return u64::try_from(ROUND.as_nanos() / per_call.max(1)).unwrap_or(1).max(1);
        }
        count = count.saturating_mul(2);
        assert!(count < 1 << 40, "{} does nothing that takes time", contender.name);
    }
}

/// One line of the table.
pub(crate) struct Row {
    section: &'static str,
    name: String,
    value: f64,
    unit: &'static str,
    /// What the target is about, if there is one: a bound in the row's unit.
    target: Option<Target>,
    /// Other figures of the row, for the JSON.
    figures: Value,
}

/// A bound from the design.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// the value must not be above
    AtMost(f64),
    /// the value must not be below
    AtLeast(f64),
}

impl Row {
    /// A row without a target.
    pub(crate) fn new(
        section: &'static str,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self { section, name: name.into(), value, unit, target: None, figures: json!({}) }
    }

    /// The bound that the design sets.
    #[must_use]
    pub(crate) fn with_target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Figures from which the value was made.
    #[must_use]
    pub(crate) fn with_figures(mut self, figures: Value) -> Self {
        self.figures = figures;
        self
    }

    fn verdict(&self) -> &'static str {
        match self.target {
            None => "",
            Some(Target::AtMost(bound)) if self.value <= bound => "met",
            Some(Target::AtLeast(bound)) if self.value >= bound => "met",
            Some(_) => "MISSED",
        }
    }

    fn target_text(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtMost(bound)) => format!("<= {bound}"),
            Some(Target::AtLeast(bound)) => format!(">= {bound}"),
        }
    }

    /// For the JSON file.
    pub(crate) fn json(&self) -> Value {
        json!({
            "section": self.section, "name": self.name, "value": self.value, "unit": self.unit,
            "target": self.target_text(), "verdict": self.verdict(), "figures": self.figures,
        })
    }
}

/// The table as text.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut section = "";
    for row in rows {
        if row.section != section {
            section = row.section;
            text.push_str(&format!("\n{section}\n"));
        }
        let value =
            if row.value >= 100.0 { format!("{:.0}", row.value) } else { format!("{:.2}", row.value) };
        let line = format!(
            "  {:<62} {value:>9} {:<14} {:<9} {}",
            row.name,
            row.unit,
            row.target_text(),
            row.verdict()
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
