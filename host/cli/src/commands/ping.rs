//! `lockgate ping`: whether a flow, a gateway or an executor answers, ours or Jina's.
//!
//! A flow is asked for a dry run, which goes through all its executors; a gateway or an executor for its health alone.
//! The exit code is Jina's: 0 after enough successful attempts, else 1.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::call::probe::{Question, probe};
use crate::call::target::Target;
use crate::console::{Console, ERROR, FAINT, GOOD};
use crate::failure::{Failure, Report};
use crate::measures;
use crate::tls::TrustArguments;

/// Time between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Ask whether a flow, a gateway or an executor is ready
#[derive(Debug, Args)]
#[command(
    after_help = "Works with Jina's as well. The exit code is 0 after enough successful attempts, else 1.\n\nExamples:\n  lockgate ping flow 127.0.0.1:8080\n  lockgate ping flow http://127.0.0.1:8080 \\\n      --attempts 3 --min-successful-attempts 2\n  lockgate ping executor grpc://127.0.0.1:9000 --timeout 500 --json"
)]
pub(crate) struct PingArguments {
    /// What is asked
    #[arg(value_name = "WHAT")]
    what: What,

    /// Where it is; grpc://, http:// or ws:// chooses the protocol, grpcs://, https:// or wss:// with TLS; else gRPC
    #[arg(value_name = "HOST:PORT")]
    target: Target,

    /// Milliseconds that one attempt may take; -1 waits for ever
    #[arg(long, value_name = "MS", default_value_t = 3000, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(-1..=86_400_000))]
    timeout: i64,

    /// How often it is asked
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    attempts: u32,

    /// How often it must answer
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    min_successful_attempts: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    trust: TrustArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// a gateway and all executors behind it
    Flow,
    /// one executor, served alone
    Executor,
    /// a gateway, whatever is behind it
    Gateway,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Flow => "flow",
            What::Executor => "executor",
            What::Gateway => "gateway",
        }
    }
}

/// One attempt.
struct Attempt {
    took: Duration,
    outcome: Result<(), Report>,
}

pub(crate) async fn run(arguments: PingArguments, console: &Console) -> Result<(), Failure> {
    let mut attempts: Vec<Attempt> = Vec::new();
    for number in 1..=arguments.attempts {
        if number > 1 {
            tokio::time::sleep(PAUSE).await;
        }
        let attempt = attempt(&arguments).await;
        if !arguments.json {
            say(&arguments, number, &attempt, console)?;
        }
        attempts.push(attempt);
    }
    conclude(&arguments, &attempts, console)
}

async fn attempt(arguments: &PingArguments) -> Attempt {
    let question = match arguments.what {
        What::Flow => Question::DryRun,
        What::Executor | What::Gateway => Question::Health,
    };
    let begun = Instant::now();
    let asking = probe(&arguments.target, question, arguments.trust.ca.as_deref());
    let outcome = match u64::try_from(arguments.timeout) {
        Ok(limit) => tokio::time::timeout(Duration::from_millis(limit), asking).await.unwrap_or_else(|_| {
            Err(Report::new(format!("{} did not answer in {limit} ms", arguments.target))
                .hint("--timeout allows more time"))
        }),
        Err(_) => asking.await,
    };
    Attempt { took: begun.elapsed(), outcome }
}

/// One line for an attempt. The only one that failed is told at the end.
fn say(arguments: &PingArguments, number: u32, attempt: &Attempt, console: &Console) -> Result<(), Failure> {
    let (what, target, of) = (arguments.what.name(), &arguments.target, arguments.attempts);
    let count = if of == 1 { String::new() } else { format!("  {FAINT}{number} of {of}{FAINT:#}") };
    let took = measures::duration(attempt.took);
    match &attempt.outcome {
        Ok(()) => console.line(format_args!("{GOOD}✓{GOOD:#} {what} at {target} is ready in {took}{count}")),
        Err(report) if of > 1 => {
            let why = report.sentence();
            console.line(format_args!("{ERROR}✗{ERROR:#} {what} at {target} is not ready: {why}{count}"))
        }
        Err(_) => Ok(()),
    }
}

fn conclude(arguments: &PingArguments, attempts: &[Attempt], console: &Console) -> Result<(), Failure> {
    let good: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.outcome.is_ok()).collect();
    let successes = u32::try_from(good.len()).unwrap_or(u32::MAX);
    let total: Duration = good.iter().map(|attempt| attempt.took).sum();
    let average = total.checked_div(successes);
    if arguments.json {
        console.line(to_json(arguments, attempts, successes, average))?;
    } else if let Some(average) = average.filter(|_| attempts.len() > 1) {
        let of = attempts.len();
        let average = measures::duration(average);
        console.line(format_args!("{successes} of {of} attempts succeeded, in {average} on average"))?;
    }
    if successes >= arguments.min_successful_attempts {
        return Ok(());
    }
    let what = arguments.what.name();
    let least = arguments.min_successful_attempts;
    let mut report = Report::new(format!("{what} at {} is not ready", arguments.target));
    if arguments.attempts > 1 || least > 1 {
        report = report
            .cause(format!("{successes} of {} attempts succeeded, {least} were asked for", attempts.len()));
    }
    let last = attempts.iter().rev().find_map(|attempt| attempt.outcome.as_ref().err());
    Err(match last {
        Some(last) => report.with(last).into(),
        None => report.hint("--attempts asks more often").into(),
    })
}

fn to_json(
    arguments: &PingArguments,
    attempts: &[Attempt],
    successes: u32,
    average: Option<Duration>,
) -> Value {
    let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let results: Vec<Value> = attempts
        .iter()
        .map(|attempt| match &attempt.outcome {
            Ok(()) => json!({ "ready": true, "ms": milliseconds(attempt.took) }),
            Err(report) => {
                json!({ "ready": false, "ms": milliseconds(attempt.took), "error": report.sentence() })
            }
        })
        .collect();
    json!({
        "target": arguments.what.name(),
        "address": arguments.target.to_string(),
        "attempts": attempts.len(),
        "successful": successes,
        "ready": successes >= arguments.min_successful_attempts,
        "average_ms": average.map(milliseconds),
        "results": results,
    })
}
