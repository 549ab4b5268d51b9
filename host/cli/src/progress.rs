//! What is going on while a person waits: one line per step, moving on a terminal, plain elsewhere.
//!
//! Always on standard error. A step that ends leaves one line behind that says what it did and how long it took.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console::{Console, ERROR, FAINT, GOOD};
use crate::measures;

/// The steps of a command.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    console: Console,
    bars: MultiProgress,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Moving,
    Plain,
}

/// One step under way.
#[derive(Debug)]
pub(crate) struct Step {
    progress: Progress,
    bar: ProgressBar,
    verb: Verb,
    subject: String,
    started: Instant,
}

/// What is done, while it goes on and afterwards: `building`, `built`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verb(pub(crate) &'static str, pub(crate) &'static str);

impl Progress {
    /// Moving on a terminal, plain lines elsewhere.
    pub(crate) fn new(console: &Console) -> Self {
        let mode = if console.is_watched() { Mode::Moving } else { Mode::Plain };
        let target =
            if mode == Mode::Moving { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { console: *console, bars: MultiProgress::with_draw_target(target), mode }
    }

    /// Begins a step such as building `encoder`.
    pub(crate) fn begin(&self, verb: Verb, subject: impl Into<String>) -> Step {
        let (subject, bar) = (subject.into(), ProgressBar::new_spinner());
        if self.mode == Mode::Moving {
            bar.set_style(style("{spinner:.cyan} {prefix} {wide_msg:.dim}"));
            bar.set_prefix(format!("{} {subject}", verb.0));
            let bar = self.bars.add(bar);
            bar.enable_steady_tick(Duration::from_millis(100));
            return Step { progress: self.clone(), bar, verb, subject, started: Instant::now() };
        }
        Step { progress: self.clone(), bar, verb, subject, started: Instant::now() }
    }

    /// A bar over `total` things; hidden unless a person watches.
    pub(crate) fn bar(&self, total: u64, what: &'static str) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(total));
        bar.set_style(style("{bar:30.cyan/dim} {pos}/{len} {msg} {elapsed:.dim}"));
        bar.set_message(what);
        bar
    }

    /// A bar over bytes on their way; hidden unless a person watches.
    pub(crate) fn bytes(&self, total: u64) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(total));
        bar.set_style(style("{bar:30.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec:.dim}"));
        bar
    }

    /// Prints a line above what moves.
    pub(crate) fn say(&self, text: &str) {
        match self.mode {
            Mode::Plain => self.console.note(text),
            Mode::Moving => self.bars.suspend(|| self.console.note(text)),
        }
    }
}

impl Step {
    /// What the step does right now; shown only where lines can move.
    pub(crate) fn now(&self, text: &str) {
        self.bar.set_message(measures::one_line(text));
    }

    /// Prints a line above what moves.
    pub(crate) fn say(&self, text: &str) {
        self.progress.say(text);
    }

    /// Ends well; `outcome` says what came of it.
    pub(crate) fn done(self, outcome: &str) {
        let took = measures::duration(self.started.elapsed());
        self.bar.finish_and_clear();
        self.progress.say(&format!(
            "{GOOD}✓{GOOD:#} {} {} {FAINT}{outcome}{}{took}{FAINT:#}",
            self.verb.1,
            self.subject,
            if outcome.is_empty() { "" } else { " · " },
        ));
    }

    /// Ends badly; why is told by the failure.
    pub(crate) fn failed(self) {
        self.bar.finish_and_clear();
        self.progress.say(&format!("{ERROR}✗{ERROR:#} {} {}", self.verb.0, self.subject));
    }
}

/// The template, or indicatif's own look should the template ever be wrong.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("━━╌")
}
