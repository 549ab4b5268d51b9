//! `lockgate publish`: from a component or a folder to traffic, in one command.

use std::path::{Path, PathBuf};

use clap::Args;
use lockgate_domain::capability::CapabilityDiff;
use lockgate_domain::hosting::{
    Deployment, Revision, RevisionNumber, RevisionState, StoredComponent, Tag, Target,
};
use lockgate_domain::{Capabilities, ExecutorName, Limits, TagName};
use lockgate_flow::yaml::units::{Unit, parse_text};
use serde_json::{Map, Value, json};

use crate::builder::{self, Source};
use crate::console::{ACCENT, Console, FAINT, GOOD, HEADING, WARNING};
use crate::control::{Ask, ComponentFile, HostArguments, assignment, parse_reply, read_json, show, upload};
use crate::failure::{Failure, Report};
use crate::progress::{Progress, Verb};

/// Golden examples in a source folder, unless others are named.
const EXAMPLES: &str = "examples.json";

/// Upload a component and serve it as an executor's next revision
#[derive(Debug, Args)]
#[command(
    after_help = "A folder is built first; its examples.json, if it has one, holds the golden examples. The revision's examples run before traffic reaches it: one that differs refuses it, and what was served before goes on.\n\nExamples:\n  lockgate publish shout.wasm --executor shout\n  lockgate publish . --executor shout --note 'louder'\n  lockgate publish shout.wasm --executor shout --tag next --no-deploy\n  lockgate publish . --executor mail --config suffix=! \\\n      --capabilities capabilities.json --dry-run"
)]
pub(crate) struct PublishArguments {
    /// A component, or a folder with its sources
    #[arg(value_name = "X.wasm|FOLDER")]
    source: PathBuf,

    /// The executor; it is made if there is none of that name
    #[arg(short, long, value_name = "NAME")]
    executor: ExecutorName,

    /// The tag that moves to the new revision
    #[arg(long, value_name = "TAG", default_value = "latest")]
    tag: TagName,

    /// What the executor reads as its configuration: a JSON file, or NAME=JSON; may be repeated
    #[arg(short, long, value_name = "FILE|NAME=JSON")]
    config: Vec<String>,

    /// What it may reach, as a JSON file
    #[arg(long, value_name = "FILE.json")]
    capabilities: Option<PathBuf>,

    /// Ceilings of one call and one instance: a JSON file, or NAME=VALUE such as memory_bytes=64MiB; may be repeated
    #[arg(long, value_name = "FILE|NAME=VALUE")]
    limits: Vec<String>,

    /// Golden examples as a JSON file [default: examples.json of the folder]
    #[arg(long, value_name = "FILE.json")]
    examples: Option<PathBuf>,

    /// One line for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,

    /// Move the tag and deploy nothing new
    #[arg(long)]
    no_deploy: bool,

    /// Try the revision and make none
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    host: HostArguments,
}

pub(crate) async fn run(arguments: PublishArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let progress = Progress::new(console);
    // What is wrong with the options is told before anything is built or sent.
    let mut body = arguments.body()?;
    let mut client = host.client(console)?;
    let source = Source::find(&arguments.source)?;
    let path = client.path(&format!("/executors/{}/revisions", arguments.executor)).await?;
    let file = builder::build(arguments.executor.as_str(), &source, &progress).await?;
    let file = ComponentFile::read(&file).await?;
    let component = upload(&mut client, &file, &progress).await?;
    body.insert("component".into(), json!(file.digest));
    let doing = if arguments.dry_run { Verb("trying", "tried") } else { Verb("publishing", "published") };
    let step = progress.begin(doing, arguments.executor.as_str());
    let ask = Ask::post(path).json(&Value::Object(body)).patiently();
    let answer = match client.send(ask).await.and_then(|reply| reply.value()) {
        Ok(answer) => {
            step.done("");
            answer
        }
        Err(error) => {
            step.failed();
            return Err(error.into());
        }
    };
    host.print(console, &answer, || arguments.describe(&component, &answer))
}

impl PublishArguments {
    /// The request without its component.
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        body.insert("tag".into(), json!(self.tag));
        body.insert("deploy".into(), (!self.no_deploy).into());
        body.insert("dry_run".into(), self.dry_run.into());
        if !self.config.is_empty() {
            body.insert(
                "configuration".into(),
                settings(&self.config, "a configuration", assignment)?.into(),
            );
        }
        if !self.limits.is_empty() {
            let limits = settings(&self.limits, "limits", limit)?.into();
            let read: Result<Limits, _> = serde_json::from_value(Value::clone(&limits));
            let words = || format!("there are {}", Limits::FIELDS.join(", "));
            read.map_err(|error| Report::new("these are no limits").because(&error).hint(words()))?;
            body.insert("limits".into(), limits);
        }
        if let Some(path) = &self.capabilities {
            let capabilities = read_json(path, "capabilities")?;
            let read: Result<Capabilities, _> = serde_json::from_value(capabilities.clone());
            read.map_err(|error| {
                Report::new(format!("{} holds no capabilities", path.display()))
                    .because(&error)
                    .hint("such as {\"http\": {\"hosts\": [\"api.example.org\"]}, \"secrets\": [\"openai\"]}")
            })?;
            body.insert("capabilities".into(), capabilities);
        }
        if let Some(examples) = self.examples()? {
            body.insert("examples".into(), examples);
        }
        if !self.note.is_empty() {
            body.insert("note".into(), self.note.clone().into());
        }
        Ok(body)
    }

    fn examples(&self) -> Result<Option<Value>, Report> {
        let beside = self.source.join(EXAMPLES);
        match &self.examples {
            Some(path) => read_json(path, "golden examples").map(Some),
            None if self.source.is_dir() && beside.is_file() => {
                read_json(&beside, "golden examples").map(Some)
            }
            None => Ok(None),
        }
    }

    /// What was made of it, and how to call it.
    fn describe(&self, component: &Value, answer: &Value) -> Result<Vec<String>, Failure> {
        let component: StoredComponent = parse_reply(component)?;
        let revision: Revision = parse_reply(answer.get("revision").unwrap_or(&Value::Null))?;
        let diff: CapabilityDiff =
            answer.get("diff").map_or_else(|| Ok(CapabilityDiff::default()), parse_reply)?;
        let tag: Option<Tag> = answer.get("tag").map_or(Ok(None), parse_reply)?;
        let name = if self.dry_run {
            format!("{HEADING}{}{HEADING:#} {FAINT}(tried, not made){FAINT:#}", self.executor)
        } else {
            format!("{HEADING}{}@{}{HEADING:#}", self.executor, revision.number)
        };
        let mut lines = vec![name, show::fact("digest", component.digest.to_string())];
        lines.extend(show::component::report(&component));
        lines.extend(show::revision::diff(&diff, revision.number == RevisionNumber::FIRST));
        lines.extend(show::revision::examples(&revision.examples));
        lines.extend(show::revision::state_facts(&revision.state));
        lines.extend(tag.map(|tag| show::fact("tag", show::revision::describe_tag(&tag, show::now()))));
        let deployment = answer.get("deployment").filter(|deployment| deployment.is_object());
        let deployment: Option<Deployment> = deployment.map(parse_reply).transpose()?;
        lines.extend(self.next(&component, &revision, deployment.as_ref()));
        Ok(lines)
    }

    /// What to type next.
    fn next(
        &self,
        component: &StoredComponent,
        revision: &Revision,
        deployment: Option<&Deployment>,
    ) -> Vec<String> {
        let name = &self.executor;
        let command = |command: String| format!("  {ACCENT}{command}{ACCENT:#}");
        if self.dry_run {
            return Vec::new();
        }
        if matches!(revision.state, RevisionState::AwaitsApproval { .. }) {
            let reference = format!("{name}@{}", revision.number);
            let words = format!(
                "{WARNING}No traffic reaches it{WARNING:#} until somebody with the scope admin types"
            );
            let approve = command(format!("lockgate revision approve {reference}"));
            let set = command(format!("lockgate tag set {name}:{} {reference}", self.tag));
            let mut lines = vec![String::new(), words, approve, set];
            lines.extend(deployment.is_none().then(|| command(format!("lockgate deploy {name}"))));
            return lines;
        }
        let endpoints = show::component::endpoints(&component.report);
        let endpoint = endpoints.iter().find(|name| *name != "/default").map_or("/", String::as_str);
        let (heading, reference) = match deployment.map(|deployment| &deployment.spec.primary) {
            Some(Target::Tag(tag)) if *tag == self.tag => ("It serves:", name.to_string()),
            Some(_) => ("It can be called:", format!("{name}:{}", self.tag)),
            None => ("It can be called by its number:", format!("{name}@{}", revision.number)),
        };
        let call = format!("lockgate call --executor {reference} --endpoint {endpoint} --text 'hello world'");
        vec![String::new(), format!("{GOOD}{heading}{GOOD:#}"), command(call)]
    }
}

/// JSON files and assignments, laid over each other in their order.
fn settings(
    words: &[String],
    what: &str,
    parse: fn(&str) -> Option<(String, Value)>,
) -> Result<Map<String, Value>, Failure> {
    let mut settings = Map::new();
    for word in words {
        let is_file = Path::new(word).is_file();
        match parse(word) {
            Some((name, value)) if !is_file => drop(settings.insert(name, value)),
            Some(_) | None => match read_json(Path::new(word), what)? {
                Value::Object(read) => settings.extend(read),
                _ => return Err(Report::new(format!("{word} must hold a JSON object")).into()),
            },
        }
    }
    Ok(settings)
}

/// `memory_bytes=64MiB`, `wall_time_ms=5s`, `fuel=1G`.
fn limit(text: &str) -> Option<(String, Value)> {
    let (name, value) = assignment(text)?;
    let unit = match name.as_str() {
        name if name.ends_with("_bytes") => Unit::Bytes,
        name if name.ends_with("_ms") => Unit::Time,
        _ => Unit::Count,
    };
    let parsed = value.as_str().and_then(|text| parse_text(text, unit));
    Some((name, parsed.map_or(value, Value::from)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        publish: PublishArguments,
    }

    #[test]
    fn options_become_the_request() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let config = write("config.json", r#"{"a": 1, "b": 2}"#);
        let list = write("list.json", "[1]");
        let examples = write("examples.json", r#"[{"endpoint": "/x", "data": [], "expect": []}]"#);
        let bad = write("bad.json", r#"{"sockets": true}"#);
        let check = |words: &[&str], expected: Option<Value>| {
            let words = ["publish", "x.wasm", "--executor", "shout"].iter().chain(words);
            let body = Wrapper::try_parse_from(words).unwrap().publish.body();
            assert_eq!(body.ok().map(Value::Object), expected);
        };
        let usual = |more: Value| {
            let mut body = json!({"tag": "latest", "deploy": true, "dry_run": false});
            crate::control::merge(&mut body, more);
            Some(body)
        };
        check(&[], usual(json!({})));
        check(
            &["--dry-run", "--no-deploy", "--tag", "next"],
            usual(json!({"tag": "next", "deploy": false, "dry_run": true})),
        );
        check(&["--config", &config, "--config", "b=x"], usual(json!({"configuration": {"a": 1, "b": "x"}})));
        check(&["--config", &list], None);
        check(&["--config", "nowhere.json"], None);
        check(
            &["--limits", "memory_bytes=64MiB", "--limits", "wall_time_ms=5s", "--limits", "fuel=1G"],
            usual(json!({"limits": {"memory_bytes": 67108864, "wall_time_ms": 5000, "fuel": 1_000_000_000}})),
        );
        check(&["--limits", "fuels=1"], None);
        check(&["--limits", "fuel=lots"], None);
        check(&["--capabilities", &bad], None);
        check(
            &["--examples", &examples, "--note", "hi"],
            usual(json!({"examples": [{"endpoint": "/x", "data": [], "expect": []}], "note": "hi"})),
        );
    }
}
