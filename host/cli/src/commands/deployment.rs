//! `lockgate deployment`: one executor served without a flow file; `lockgate executor --uses` is the same.
//!
//! Options are keys of a file with `jtype: Deployment`: they are written as such a file and read like one, so that both
//! mean the same and complain in the same words.

use std::path::Path;

use clap::Args;
use lockgate_flow::yaml::{self, Kind};
use serde_json::{Map, Value};

use crate::commands::up::{self, ServingArguments, parse_variable};
use crate::console::Console;
use crate::failure::{Failure, Report};
use crate::familiar::keys::{ExecutorWords, KeyArguments};
use crate::flowfile::{Origin, read_text};

/// Serve one executor without a flow
#[derive(Debug, Args)]
#[command(
    after_help = "Options are keys of a flow file: --timeout-send 500 is `timeout_send: 500`. A YAML file says all that itself.\n\nExamples:\n  lockgate deployment --uses encoder.wasm --port 9000 --replicas 4\n  lockgate deployment --uses encoder.wasm --uses-with size=128 model=small\n  lockgate deployment --uses deployment.yml --env MODEL=small"
)]
pub(crate) struct DeploymentArguments {
    /// A component, a source folder, an executor's YAML, or a file with `jtype: Deployment`
    #[arg(long, value_name = "PATH", required = true)]
    uses: Option<String>,

    #[command(flatten)]
    executor: ServedExecutor,

    /// Print one line of JSON on standard output when it is ready
    #[arg(long)]
    json: bool,
}

/// What is said of an executor that is served alone, besides what it is.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct ServedExecutor {
    #[command(flatten)]
    words: KeyArguments<ExecutorWords>,

    /// Variables for `${{ ENV.NAME }}` in the file
    #[arg(long, value_name = "NAME=VALUE", num_args = 1.., value_parser = parse_variable)]
    env: Vec<(String, String)>,

    #[command(flatten)]
    serving: ServingArguments,
}

impl ServedExecutor {
    /// The first option that says something about what is served.
    pub(crate) fn first(&self) -> Option<String> {
        let others = || (self.serving.are_given() || !self.env.is_empty()).then(|| "--port".to_owned());
        self.words.first().or_else(others)
    }

    /// Serves it.
    pub(crate) async fn serve(&self, uses: &str, json: bool, console: &Console) -> Result<(), Failure> {
        let origin = self.origin(uses)?.with_variables(&self.env);
        up::serve(&origin, &self.serving, json, console).await
    }

    fn origin(&self, uses: &str) -> Result<Origin, Failure> {
        if is_yaml(uses) && holds_a_whole_file(Path::new(uses))? {
            return match self.words.first() {
                None => Ok(Origin::file(uses)),
                Some(option) => Err(Failure::Usage(
                    Report::new(format!("{option} and the file {uses} cannot be given together"))
                        .hint("write it in the file, where it is a key of the same name"),
                )),
            };
        }
        let mut with = Map::from_iter([("uses".to_owned(), Value::from(uses))]);
        with.extend(self.words.keys().clone());
        let keys = [("jtype", Value::from("Deployment")), ("with", Value::Object(with))];
        Ok(Origin::words(keys.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()))
    }
}

fn is_yaml(uses: &str) -> bool {
    matches!(uses.rsplit_once('.'), Some((_, "yml" | "yaml" | "jaml"))) && !uses.contains("://")
}

/// Whether a YAML file says what is served, and not only what an executor is.
fn holds_a_whole_file(path: &Path) -> Result<bool, Failure> {
    let text = read_text(path)?;
    match yaml::kind(&text) {
        Ok(kind) => Ok(matches!(kind, Kind::Flow | Kind::Deployment)),
        Err(errors) => Err(Failure::Rendered(errors.render(&path.display().to_string()))),
    }
}

pub(crate) async fn run(arguments: DeploymentArguments, console: &Console) -> Result<(), Failure> {
    let uses = arguments.uses.unwrap_or_default();
    arguments.executor.serve(&uses, arguments.json, console).await
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        executor: ServedExecutor,
    }

    fn typed(line: &str) -> ServedExecutor {
        Wrapper::try_parse_from(std::iter::once("x").chain(line.split_whitespace())).unwrap().executor
    }

    #[test]
    fn words_are_a_deployment() {
        let origin = typed("--name encoder --uses-with size=128 --port 9000").origin("encoder.wasm").unwrap();
        let with = json!({"uses": "encoder.wasm", "name": "encoder", "uses_with": {"size": 128}});
        let Value::Object(keys) = json!({"jtype": "Deployment", "with": with}) else { panic!("an object") };
        assert_eq!(origin, Origin::words(keys));
        let file = origin.read().unwrap();
        assert_eq!(file.spec.stages[0].config["size"], 128);
    }

    #[test]
    fn a_whole_file_speaks_for_itself() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let deployment = write("deployment.yml", "jtype: Deployment\nwith: {uses: a.wasm}\n");
        let executor = write("config.yml", "jtype: Encoder\nuses: a.wasm\nwith: {size: 1}\n");
        assert_eq!(typed("--port 1").origin(&deployment).unwrap(), Origin::file(&deployment));
        let failure = typed("--replicas 2").origin(&deployment).unwrap_err();
        assert!(format!("{failure:?}").contains("--replicas and the file"), "{failure:?}");
        let file = typed("--replicas 2").origin(&executor).unwrap().read().unwrap();
        let stage = &file.spec.stages[0];
        assert!(stage.uses.ends_with("/a.wasm"), "{}", stage.uses);
        assert_eq!((stage.config["size"].as_i64(), stage.pool.max), (Some(1), Some(2)));
    }

    #[test]
    fn mistakes_in_words_have_no_lines() {
        let Failure::Reports(reports) =
            typed("--replicas lots").origin("MyExecutor").unwrap().read().unwrap_err()
        else {
            panic!("reports");
        };
        let told: Vec<String> =
            reports.iter().map(|report| anstream::adapter::strip_str(&report.render()).to_string()).collect();
        assert!(told.iter().any(|text| text.contains("looks like a Python class")), "{told:?}");
        assert!(told.iter().any(|text| text.contains("`replicas` of executor `executor`")), "{told:?}");
        assert!(told.iter().all(|text| !text.contains("line")), "{told:?}");
    }
}
