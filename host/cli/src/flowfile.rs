//! Reads a flow: what it says, in which order it runs, and where its paths start.
//!
//! Every mistake in a file is told at once, each with the line it is in, so that it is mended in one go. A flow may also
//! be given in words of the command line: then it is written as a file first, so that both mean the same.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use lockgate_domain::FlowSpec;
use lockgate_domain::spec::ComponentRole;
use lockgate_flow::plan::ExecutionPlan;
use lockgate_flow::yaml::{self, FlowErrors};
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Report};

/// Where a flow comes from. It can be read again, for what its files say by then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    kind: Kind,
    /// Variables that win over the environment.
    variables: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    File(PathBuf),
    Words(Map<String, Value>),
}

/// A flow file that makes sense.
#[derive(Debug)]
pub(crate) struct FlowFile {
    /// What it says.
    pub(crate) spec: FlowSpec,
    /// Its stages in the order in which they run; its executors cannot be called.
    pub(crate) draft: ExecutionPlan,
    /// Where its relative paths start.
    pub(crate) folder: PathBuf,
    /// Files that it names and that were read with it.
    pub(crate) included: Vec<PathBuf>,
    /// What has no effect, and why.
    pub(crate) notes: Vec<String>,
}

impl Origin {
    /// A file.
    pub(crate) fn file(path: impl Into<PathBuf>) -> Self {
        Self { kind: Kind::File(path.into()), variables: Vec::new() }
    }

    /// The keys of a file that is not there: `jtype` and what belongs to it. Paths start at the current folder.
    pub(crate) fn words(keys: Map<String, Value>) -> Self {
        Self { kind: Kind::Words(keys), variables: Vec::new() }
    }

    /// Variables for `${{ ENV.NAME }}`; the first of a name wins, all of them over the environment.
    #[must_use]
    pub(crate) fn with_variables(mut self, variables: &[(String, String)]) -> Self {
        self.variables.extend_from_slice(variables);
        self
    }

    /// The file, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.kind {
            Kind::File(path) => Some(path),
            Kind::Words(_) => None,
        }
    }

    /// Reads and checks it. Components are not looked at.
    pub(crate) fn read(&self) -> Result<FlowFile, Failure> {
        match &self.kind {
            Kind::File(path) => {
                let name = path.display().to_string();
                let folder = path.parent().map(Path::to_owned).unwrap_or_default();
                let text = read_text(path)?;
                self.parse(&text, folder, &name, |errors| Failure::Rendered(errors.render(&name)))
            }
            Kind::Words(keys) => {
                let text = json!(keys).to_string();
                self.parse(&text, PathBuf::new(), "command line", |errors| in_words(&errors))
            }
        }
    }

    /// The file made to travel; `uses` says what each stage uses there, by its place in the file.
    pub(crate) fn pack(
        &self,
        uses: &dyn Fn(usize, ComponentRole) -> Option<String>,
    ) -> Result<yaml::Packed, Failure> {
        let Kind::File(path) = &self.kind else {
            return Err(Report::new("only a file can be packed").into());
        };
        let text = read_text(path)?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let include = |inner: &str| read_included(&folder.join(inner));
        yaml::pack(&text, &|name| self.variable(name), &include, uses)
            .map_err(|errors| Failure::Rendered(errors.render(&path.display().to_string())))
    }

    fn variable(&self, name: &str) -> Option<String> {
        let own = self.variables.iter().find(|(known, _)| known == name);
        own.map(|(_, value)| value.clone()).or_else(|| std::env::var(name).ok())
    }

    fn parse(
        &self,
        text: &str,
        folder: PathBuf,
        name: &str,
        complain: impl FnOnce(FlowErrors) -> Failure,
    ) -> Result<FlowFile, Failure> {
        let included = RefCell::new(Vec::new());
        let include = |inner: &str| {
            let path = folder.join(inner);
            let text = read_included(&path);
            included.borrow_mut().push(path);
            text
        };
        let parsed =
            yaml::FlowFile::parse_with(text, &|name| self.variable(name), &include).map_err(complain)?;
        let draft = lockgate_node::draft(&parsed.spec)
            .map_err(|problem| Report::new(format!("{name} is no flow")).problem(&problem))?;
        let is_file = self.path().is_some();
        let note = |note: &yaml::Note| if is_file { format!("{name}, {note}") } else { note.message.clone() };
        let notes = parsed.notes.iter().map(note).collect();
        Ok(FlowFile { spec: parsed.spec, draft, included: included.take(), folder, notes })
    }
}

impl FlowFile {
    /// Reads and checks a file. Components are not looked at.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        Origin::file(path).read()
    }
}

/// Errors without lines: nobody has seen the file that the words make.
fn in_words(errors: &FlowErrors) -> Failure {
    let report = |error: &yaml::FlowError| {
        let report = Report::new(error.message.clone());
        match &error.hint {
            Some(hint) => report.hint(hint.clone()),
            None => report,
        }
    };
    Failure::Reports(errors.errors().iter().map(report).collect())
}

/// A file that a flow names, with a sentence for what is wrong with it.
pub(crate) fn read_included(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if metadata.len() > yaml::FlowFile::MAX_BYTES as u64 {
        return Err("it is too large for a YAML file".to_owned());
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// The text of a flow file, if it can be one.
pub(crate) fn read_text(path: &Path) -> Result<String, Report> {
    let cannot = || Report::new(format!("cannot read the flow file {}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| cannot().because(&error))?;
    if metadata.is_dir() {
        return Err(Report::new(format!("{} is a folder", path.display()))
            .hint(format!("name the flow file: {}", path.join("flow.yml").display())));
    }
    if metadata.len() > yaml::FlowFile::MAX_BYTES as u64 {
        return Err(Report::new(format!("{} is too large to be a flow file", path.display())));
    }
    std::fs::read_to_string(path).map_err(|error| {
        cannot().because(&error).hint("a flow file is YAML; a component runs in a flow that names it")
    })
}
