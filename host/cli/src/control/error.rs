//! Why a request of the control API gave nothing: refused by the host, or never answered.

use http::StatusCode;
use lockgate_domain::ErrorCode;
use serde_json::Value;

use crate::control::HostUrl;
use crate::failure::{Failure, Report};
use crate::measures;

/// A request that failed.
#[derive(Debug)]
pub(crate) struct ControlError {
    /// The host's code; none if the host did not answer in its own words.
    pub(crate) code: Option<ErrorCode>,
    /// What to tell.
    pub(crate) report: Report,
}

impl ControlError {
    /// The host's refusal in its own words. `had_key` is whether the request said who asks.
    pub(super) fn refused(url: &HostUrl, status: StatusCode, body: &[u8], had_key: bool) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let problem = body.get("error").unwrap_or(&Value::Null);
        let code = problem.get("code").and_then(Value::as_str);
        let code = code.and_then(|code| ErrorCode::ALL.into_iter().find(|known| known.as_str() == code));
        let mut report = Report::from_json(problem).unwrap_or_else(|| {
            Report::new(format!("{url} answered HTTP {status}")).hint(
                "is it a lockgate control API? 'lockgate serve' says where it is; --url names another one",
            )
        });
        let message = problem.get("message").and_then(Value::as_str).unwrap_or_default();
        for line in details(problem).iter().filter(|(_, difference)| !message.contains(difference.as_str())) {
            report = report.cause(measures::one_line(&format!("{}{}", line.0, line.1)));
        }
        if let Some(wait) = problem.get("retry_after_ms").and_then(Value::as_u64) {
            let wait = measures::duration(std::time::Duration::from_millis(wait));
            report = report.hint(format!("it may go well in {wait}"));
        }
        if code == Some(ErrorCode::Unauthenticated) && !had_key {
            report = report.hint("no key was sent: set LOCKGATE_KEY, or run 'lockgate login' once");
        }
        Self { code, report }
    }

    /// Whether the host refused with this code.
    pub(crate) fn is(&self, code: ErrorCode) -> bool {
        self.code == Some(code)
    }
}

/// What a problem tells beyond its message: a list of sentences, or the differences of golden examples, each with where it
/// is.
fn details(problem: &Value) -> Vec<(String, String)> {
    let words = |value: &Value| match value {
        Value::String(text) => Some((String::new(), text.clone())),
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            let place = text("endpoint").map(|name| format!("{name}: ")).unwrap_or_default();
            Some((place, text("difference").or_else(|| text("message"))?.to_owned()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    let details = problem.get("details");
    let listed =
        details.and_then(|details| details.as_array().or_else(|| details.get("examples")?.as_array()));
    listed.into_iter().flatten().filter_map(words).take(8).collect()
}

impl From<Report> for ControlError {
    fn from(report: Report) -> Self {
        Self { code: None, report }
    }
}

impl From<ControlError> for Report {
    fn from(error: ControlError) -> Self {
        error.report
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        error.report.into()
    }
}
