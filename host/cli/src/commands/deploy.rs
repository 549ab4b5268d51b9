//! `lockgate deploy`, `status` and `shadow`: where traffic goes, what serves it, and what a shadow gave.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lockgate_domain::hosting::{DeploymentSpec, Target};
use lockgate_domain::{ErrorCode, ExecutorName};
use serde_json::{Map, Value, json};

use crate::console::{Console, GOOD};
use crate::control::{
    Ask, Client, HostArguments, assignment, merge, parse_count, parse_reply, read_json, show,
};
use crate::failure::{Failure, Report};

/// How often a change is tried when others change the same deployment meanwhile.
const TRIES: usize = 4;

/// Say where an executor's traffic goes and how it is scaled; what is not named stays
#[derive(Debug, Args)]
#[command(
    after_help = "Revisions are named by a tag (stable) or a number (@3). No request is lost: those in progress finish where they began.\n\nExamples:\n  lockgate deploy shout\n  lockgate deploy shout --canary @4=5\n  lockgate deploy shout --primary stable --no-canary\n  lockgate deploy shout --shadow @4=20 --decide-after 500 --promote\n  lockgate deploy shout --min 1 --max 8 --mode reused"
)]
pub(crate) struct DeployArguments {
    /// The executor
    #[arg(value_name = "EXECUTOR")]
    name: ExecutorName,

    #[command(flatten)]
    traffic: Traffic,

    #[command(flatten)]
    scale: ScaleArguments,

    /// The whole deployment as a JSON file; options win
    #[arg(long, value_name = "FILE.json", help_heading = "Other options")]
    spec: Option<PathBuf>,

    /// Serve it no longer; revisions and tags stay
    #[arg(long, help_heading = "Other options")]
    remove: bool,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Traffic")]
struct Traffic {
    /// Where traffic goes [default for a new deployment: latest]
    #[arg(long, value_name = "REVISION")]
    primary: Option<Target>,

    /// Another revision for a part of the traffic in percent
    #[arg(long, value_name = "REVISION=PERCENT", value_parser = parse_part)]
    canary: Option<Part>,

    /// All traffic to the primary revision
    #[arg(long, conflicts_with = "canary")]
    no_canary: bool,

    /// Another revision that also runs for a part of the traffic; its answers are compared and thrown away
    #[arg(long, value_name = "REVISION=PERCENT", value_parser = parse_part)]
    shadow: Option<Part>,

    /// Requests to compare before the shadow is judged
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    decide_after: Option<u64>,

    /// What the shadow is allowed: differing_requests, embedding_distance, fuel_ratio, latency_ratio
    #[arg(long, value_name = "BOUND=NUMBER", value_parser = parse_bound)]
    accept: Vec<(String, Value)>,

    /// Move the primary tag to the shadow if it is within its bounds, refuse it if not
    #[arg(long)]
    promote: bool,

    /// No shadow
    #[arg(long, conflicts_with_all = ["shadow", "decide_after", "accept", "promote"])]
    no_shadow: bool,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Scale")]
struct ScaleArguments {
    /// Instances kept even when idle
    #[arg(long, value_name = "COUNT")]
    min: Option<u32>,

    /// Most instances at once
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    max: Option<u32>,

    /// Whether an instance serves one call or many
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,

    /// Requests that may wait for an instance
    #[arg(long, value_name = "COUNT")]
    queue: Option<u32>,

    /// Calls after which an instance is retired
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    max_calls: Option<u64>,

    /// Keep requests that fail as replay capsules; calls then run in fresh instances
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    capture_failures: Option<bool>,

    /// Keep this part of all other requests as replay capsules, in percent
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    capture_percent: Option<f64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// a new instance for each call
    Fresh,
    /// an instance serves many calls
    Reused,
}

/// A revision and its part of the traffic.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    target: Target,
    percent: f64,
}

fn parse_part(text: &str) -> Result<Part, String> {
    let bad = || "expected REVISION=PERCENT, such as @4=5 or next=20".to_owned();
    let (target, percent) = text.split_once('=').ok_or_else(bad)?;
    let target = target.parse().map_err(|error| format!("{error}"))?;
    Ok(Part { target, percent: parse_percent(percent)? })
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.trim_end_matches('%').parse::<f64>().ok();
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "expected a percentage from 0 to 100".into())
}

fn parse_bound(text: &str) -> Result<(String, Value), String> {
    let bound = assignment(text).filter(|(_, value)| value.is_number());
    bound.ok_or_else(|| "expected BOUND=NUMBER, such as differing_requests=0.01".into())
}

impl DeployArguments {
    /// The deployment to be, made of the one that is there.
    fn lay(&self, base: Value) -> Result<Value, Failure> {
        let mut spec = base;
        if let Some(path) = &self.spec {
            merge(&mut spec, read_json(path, "a deployment")?);
        }
        let Value::Object(fields) = &mut spec else {
            return Err(Report::new("a deployment is a JSON object").into());
        };
        self.traffic.lay(fields)?;
        self.scale.lay(fields);
        let read: Result<DeploymentSpec, _> = serde_json::from_value(spec.clone());
        read.map_err(|error| Report::new("this is no deployment").because(&error))?;
        Ok(spec)
    }
}

impl Traffic {
    fn lay(&self, spec: &mut Map<String, Value>) -> Result<(), Failure> {
        if let Some(primary) = &self.primary {
            spec.insert("primary".into(), json!(primary));
        }
        if self.no_canary {
            spec.remove("canary");
        }
        if let Some(canary) = &self.canary {
            spec.insert("canary".into(), json!({ "target": canary.target, "percent": canary.percent }));
        }
        if self.no_shadow {
            spec.remove("shadow");
        }
        if let Some(shadow) = &self.shadow {
            let fields = json!({ "target": shadow.target, "percent": shadow.percent });
            merge(spec.entry("shadow").or_insert_with(|| json!({})), fields);
        }
        let mut details = Map::new();
        details.extend(self.decide_after.map(|count| ("decide_after".to_owned(), json!(count))));
        if !self.accept.is_empty() {
            details.insert("accept".into(), self.accept.iter().cloned().collect::<Map<_, _>>().into());
        }
        if self.promote {
            details.insert("decision".into(), "promote_or_refuse".into());
        }
        if details.is_empty() {
            return Ok(());
        }
        match spec.get_mut("shadow") {
            Some(shadow) => merge(shadow, Value::Object(details)),
            None => {
                let report = Report::new("there is no shadow to judge");
                return Err(Failure::Usage(
                    report.hint("--shadow @4=20 runs revision 4 beside the primary one"),
                ));
            }
        }
        Ok(())
    }
}

impl ScaleArguments {
    fn lay(&self, spec: &mut Map<String, Value>) {
        let mode = self.mode.map(|mode| match mode {
            Mode::Fresh => "fresh",
            Mode::Reused => "reused",
        });
        let scale = present([
            ("min", self.min.map(Value::from)),
            ("max", self.max.map(Value::from)),
            ("mode", mode.map(Value::from)),
            ("queue", self.queue.map(Value::from)),
            ("max_calls", self.max_calls.map(Value::from)),
        ]);
        let capsules = present([
            ("failures", self.capture_failures.map(Value::from)),
            ("sample_percent", self.capture_percent.map(Value::from)),
        ]);
        for (name, fields) in [("scale", scale), ("capsules", capsules)] {
            if !fields.is_empty() {
                merge(spec.entry(name).or_insert_with(|| json!({})), Value::Object(fields));
            }
        }
    }
}

fn present<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

pub(crate) async fn run(arguments: DeployArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    let path = client.path(&format!("/executors/{}/deployment", arguments.name)).await?;
    if arguments.remove {
        client.send(Ask::delete(path).patiently()).await?;
        return host.print(console, &json!({ "removed": arguments.name }), || {
            Ok(vec![format!("{GOOD}removed{GOOD:#} the deployment of {}", arguments.name)])
        });
    }
    let deployment = change(&mut client, &path, &arguments).await?;
    host.print(console, &deployment, || Ok(show::deployment::full(&parse_reply(&deployment)?, show::now())))
}

/// Reads, changes and writes, and again if somebody else wrote in between.
async fn change(client: &mut Client, path: &str, arguments: &DeployArguments) -> Result<Value, Failure> {
    let mut tries = 0;
    loop {
        let (spec, etag) = match client.send(Ask::get(path)).await {
            Ok(reply) => {
                let spec = reply.value()?.get("spec").cloned().unwrap_or_else(|| json!({}));
                (spec, reply.etag)
            }
            Err(error) if error.is(ErrorCode::NotFound) => (json!({}), None),
            Err(error) => return Err(error.into()),
        };
        let ask = Ask::put(path).json(&arguments.lay(spec)?).unchanged_since(etag.as_deref()).patiently();
        match client.send(ask).await {
            Err(error) if error.is(ErrorCode::PreconditionFailed) && tries < TRIES => tries += 1,
            outcome => return Ok(outcome?.value()?),
        }
    }
}

/// Show what serves of an executor now, revision by revision
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  lockgate status shout\n  lockgate status shout --json")]
pub(crate) struct StatusArguments {
    /// The executor
    #[arg(value_name = "EXECUTOR")]
    name: ExecutorName,

    #[command(flatten)]
    host: HostArguments,
}

pub(crate) async fn status(arguments: StatusArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    let path = client.path(&format!("/executors/{}/status", arguments.name)).await?;
    let status = client.send(Ask::get(path)).await?.value()?;
    host.print(console, &status, || {
        let revisions = status.get("revisions").unwrap_or(&Value::Null);
        let revisions: Vec<show::deployment::RevisionStatus> = parse_reply(revisions)?;
        let mut lines = vec![show::heading(arguments.name.as_str())];
        lines.extend(show::deployment::status(&revisions));
        Ok(lines)
    })
}

/// Show what comparing an executor's shadow with its primary revision gave so far
#[derive(Debug, Args)]
#[command(
    after_help = "'lockgate deploy EXECUTOR --shadow @4=20' begins a comparison.\n\nExamples:\n  lockgate shadow shout\n  lockgate shadow shout --json | jq .verdict"
)]
pub(crate) struct ShadowArguments {
    /// The executor
    #[arg(value_name = "EXECUTOR")]
    name: ExecutorName,

    #[command(flatten)]
    host: HostArguments,
}

pub(crate) async fn shadow(arguments: ShadowArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    let path = client.path(&format!("/executors/{}/shadow", arguments.name)).await?;
    let report = client.send(Ask::get(path)).await?.value()?;
    host.print(console, &report, || Ok(show::shadow::report(&arguments.name, &parse_reply(&report)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        deploy: DeployArguments,
    }

    #[test]
    fn options_change_what_they_name() {
        let check = |words: &str, before: Value, expected: Option<Value>| {
            let words =
                ["deploy", "shout"].into_iter().chain(words.split(' ').filter(|word| !word.is_empty()));
            let spec = Wrapper::try_parse_from(words).unwrap().deploy.lay(before);
            assert_eq!(spec.ok(), expected);
        };
        check("", json!({}), Some(json!({})));
        check("--primary stable", json!({"primary": "latest"}), Some(json!({"primary": "stable"})));
        check(
            "--canary @4=5 --min 1",
            json!({"primary": "latest", "scale": {"max": 3}}),
            Some(
                json!({"primary": "latest", "canary": {"target": "@4", "percent": 5.0}, "scale": {"min": 1, "max": 3}}),
            ),
        );
        check("--no-canary", json!({"canary": {"target": "@4", "percent": 5.0}}), Some(json!({})));
        check(
            "--shadow next=20% --decide-after 1k --accept fuel_ratio=3 --promote",
            json!({}),
            Some(
                json!({"shadow": {"target": "next", "percent": 20.0, "decide_after": 1000, "accept": {"fuel_ratio": 3}, "decision": "promote_or_refuse"}}),
            ),
        );
        check("--promote", json!({}), None);
        check("--shadow @2=1 --accept fuel=3", json!({}), None);
        check(
            "--mode reused --capture-failures",
            json!({}),
            Some(json!({"scale": {"mode": "reused"}, "capsules": {"failures": true}})),
        );
    }

    #[test]
    fn parts_are_parsed() {
        let check = |text: &str, fits: bool| assert_eq!(parse_part(text).is_ok(), fits, "{text}");
        check("@4=5", true);
        check("next=0.5%", true);
        check("@4", false);
        check("@4=101", false);
        check("@4=-1", false);
        check("@4=nan", false);
        check("@x=1", false);
    }
}
