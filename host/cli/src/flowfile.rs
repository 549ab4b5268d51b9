//! Reads a flow file: what it says, in which order it runs, and where its paths start.
//!
//! Every mistake in the file is told at once, each with the line it is in, so that it is mended in one go.

use std::path::{Path, PathBuf};

use lockgate_domain::FlowSpec;
use lockgate_flow::plan::ExecutionPlan;
use lockgate_flow::yaml;

use crate::failure::{Failure, Report};

/// A flow file that makes sense.
#[derive(Debug)]
pub(crate) struct FlowFile {
    /// What it says.
    pub(crate) spec: FlowSpec,
    /// Its stages in the order in which they run; its executors cannot be called.
    pub(crate) draft: ExecutionPlan,
    /// Where its relative paths start.
    pub(crate) folder: PathBuf,
    /// What has no effect, and why.
    pub(crate) notes: Vec<String>,
}

impl FlowFile {
    /// Reads and checks a file. Components are not looked at.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = read_text(path)?;
        let name = path.display().to_string();
        let parsed = yaml::FlowFile::parse(&text, &|name| std::env::var(name).ok())
            .map_err(|errors| Failure::Rendered(errors.render(&name)))?;
        let draft = lockgate_node::draft(&parsed.spec)
            .map_err(|problem| Report::new(format!("{name} is no flow")).problem(&problem))?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let notes = parsed.notes.iter().map(|note| format!("{name}, {note}")).collect();
        Ok(Self { spec: parsed.spec, draft, folder, notes })
    }
}

fn read_text(path: &Path) -> Result<String, Report> {
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
