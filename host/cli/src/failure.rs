//! How a command ends when it does not end well: `error:` lines, source excerpts, `hint:` lines, an exit code.
//!
//! The one place where an error's chain is printed. A chain names each cause once, outermost first.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use lockgate_domain::Problem;
use serde_json::Value;

use crate::console::{Console, ERROR};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What to tell, exit code 1.
    Reports(Vec<Report>),
    /// Errors of a flow file, each with its line: `error:` first lines and indented rest, without colour.
    Rendered(String),
    /// Wrong usage that clap cannot see, exit code 2.
    Usage(Report),
    /// Nobody reads the answer any more: a quiet success.
    OutputClosed,
    /// Stopped by a signal before there was anything to drain.
    Interrupted,
}

/// One error as its reader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Report {
    message: String,
    causes: Vec<String>,
    excerpt: Option<String>,
    hints: Vec<String>,
}

impl Report {
    /// One sentence that names the object.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a cause in words.
    #[must_use]
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds an error and what caused it.
    #[must_use]
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Some libraries repeat their source in their own words: once is enough.
            let is_new = self.causes.last().is_none_or(|earlier| !earlier.contains(&text));
            if is_new && !text.is_empty() {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds a problem of a flow or a component as the cause, with its own hint.
    #[must_use]
    pub(crate) fn problem(mut self, problem: &Problem) -> Self {
        let mut inner = Report::from(problem);
        self.causes.push(inner.message);
        self.causes.append(&mut inner.causes);
        self.excerpt = self.excerpt.or(inner.excerpt);
        self.hints.append(&mut inner.hints);
        self
    }

    /// Adds another report as the cause of this one.
    #[must_use]
    pub(crate) fn with(mut self, other: &Report) -> Self {
        self.causes.push(other.message.clone());
        self.causes.extend_from_slice(&other.causes);
        self.hints.extend_from_slice(&other.hints);
        self
    }

    /// The error and its causes in one line, without hints.
    pub(crate) fn sentence(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }

    /// Adds lines that are shown as they are: an excerpt of a file, a compiler's words.
    #[must_use]
    pub(crate) fn excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = Some(excerpt.into());
        self
    }

    /// A problem as a host writes it in JSON; none if it is none.
    pub(crate) fn from_json(problem: &Value) -> Option<Self> {
        let text = |name: &str| problem.get(name).and_then(Value::as_str);
        let mut report = Self::new(text("message")?);
        let limit = problem.get("limit").and_then(|limit| limit.get("name").zip(limit.get("value")));
        if let Some((name, value)) = limit {
            report = report.cause(format!("limit {} = {value}", name.as_str().unwrap_or_default()));
        }
        Some(match text("hint") {
            Some(hint) => report.hint(hint),
            None => report,
        })
    }

    /// The report as lines, colours included.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("{ERROR}error:{ERROR:#} {}", self.message);
        for cause in &self.causes {
            write_lines(&mut text, "  caused by: ", cause);
        }
        if let Some(excerpt) = &self.excerpt {
            text.push('\n');
            text.push_str(excerpt.trim_end_matches('\n'));
        }
        for hint in &self.hints {
            let style = crate::console::ACCENT;
            write_lines(&mut text, &format!("{style}hint:{style:#} "), hint);
        }
        text
    }
}

impl Failure {
    /// What a failed write to standard output means.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Report::new("cannot write to standard output").because(&error).into(),
        }
    }

    /// Prints the failure and gives the exit code.
    pub(crate) fn report(&self, console: &Console) -> ExitCode {
        match self {
            Failure::Reports(reports) => {
                reports.iter().for_each(|report| console.error(report.render()));
                ExitCode::FAILURE
            }
            Failure::Rendered(text) => {
                console.error(paint(text));
                ExitCode::FAILURE
            }
            Failure::Usage(report) => {
                console.error(report.render());
                ExitCode::from(2)
            }
            Failure::OutputClosed => ExitCode::SUCCESS,
            Failure::Interrupted => {
                console.note("interrupted");
                ExitCode::from(130)
            }
        }
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Failure::Reports(vec![report])
    }
}

impl From<&Problem> for Report {
    fn from(problem: &Problem) -> Self {
        let mut report = Report::new(problem.message());
        if let Some((kind, value)) = problem.limit_passed() {
            report.causes.push(format!("limit {} = {value}", kind.as_str()));
        }
        if !problem.backtrace().is_empty() {
            let frames: Vec<_> = problem.backtrace().iter().map(|frame| format!("    at {frame}")).collect();
            report.excerpt = Some(frames.join("\n"));
        }
        report.hints.extend(problem.hint().map(str::to_owned));
        report
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Report::from(&problem).into()
    }
}

/// Colours the labels of errors that another crate has laid out.
fn paint(text: &str) -> String {
    let mut painted = String::with_capacity(text.len());
    for line in text.trim_end_matches('\n').split_inclusive('\n') {
        let hint = crate::console::ACCENT;
        match (line.strip_prefix("error:"), line.split_once("= hint:")) {
            (Some(rest), _) => painted.push_str(&format!("{ERROR}error:{ERROR:#}{rest}")),
            (None, Some((margin, rest))) => painted.push_str(&format!("{margin}= {hint}hint:{hint:#}{rest}")),
            (None, None) => painted.push_str(line),
        }
    }
    painted
}

/// Continuation lines are indented, so that each label stands alone at the start of its line.
fn write_lines(text: &mut String, label: &str, content: &str) {
    for (index, line) in content.lines().enumerate() {
        let lead = if index == 0 { label } else { "    " };
        text.push_str(&format!("\n{lead}{line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_domain::{ErrorCode, LimitKind};

    fn plain(report: &Report) -> String {
        anstream::adapter::strip_str(&report.render()).to_string()
    }

    #[test]
    fn reports_read_well() {
        let io = io::Error::new(io::ErrorKind::NotFound, "No such file or directory");
        insta::assert_snapshot!(
            plain(&Report::new("cannot read flow.yml").because(&io).hint("give the path of a flow file")),
            @r"
        error: cannot read flow.yml
          caused by: No such file or directory
        hint: give the path of a flow file
        "
        );
        let problem = Problem::limit(LimitKind::Fuel, 1000, "executor upper burned its fuel")
            .with_hint("raise limits.fuel")
            .with_backtrace(vec!["upper::call".into(), "core::run".into()]);
        insta::assert_snapshot!(plain(&Report::from(&problem)), @r"
        error: executor upper burned its fuel
          caused by: limit fuel = 1000
            at upper::call
            at core::run
        hint: raise limits.fuel
        ");
        let problem = Problem::new(ErrorCode::Unavailable, "the host is draining");
        insta::assert_snapshot!(plain(&Report::from(&problem)), @"error: the host is draining");
    }
}
