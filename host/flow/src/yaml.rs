//! Flow files: YAML in Jina's format, with our own keys where Jina's say too little.
//!
//! A key is never silently ignored: what is unknown, or belongs to Python, or to later work, is an error that says what
//! to do; what has no effect here is listed in [`FlowFile::notes`]. All errors of a file are found together, each with
//! its place. The text may be a stranger's: its size, depth, nodes and aliases are bounded, and nothing in it is
//! executed or fetched, nor included unless the caller reads files for it. `uses` is kept as written: what it is relative
//! to is the caller's knowledge.

mod batching;
mod capabilities;
mod condition;
mod deployment;
mod errors;
mod executor;
mod exposed;
mod external;
mod gateway;
mod include;
mod keys;
mod migrate;
mod pack;
mod pool;
mod reader;
mod root;
mod schema;
mod shards;
mod substitute;
#[cfg(test)]
mod tests;
mod tree;
pub mod units;

use std::fmt;

use lockgate_domain::FlowSpec;

pub use errors::{FlowError, FlowErrors, Place};
pub use include::Include;
pub use keys::{Rule, find_key};
pub use migrate::{Finding, Migration, Verdict, migrate};
pub use pack::{Packed, pack};
pub use schema::schema;

use include::Included;

/// A flow file that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowFile {
    /// What it says.
    pub spec: FlowSpec,
    /// What it says without effect, for people to read.
    pub notes: Vec<Note>,
}

/// A key that has no effect here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its line, from 1.
    pub line: u32,
    /// One sentence that names it.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// What a file is, as far as it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `jtype: Flow`
    Flow,
    /// `jtype: Deployment`
    Deployment,
    /// Any other `jtype`, or none: the description of an executor.
    Executor,
}

/// Looks at what a file says it is; nothing else in it is checked.
pub fn kind(text: &str) -> Result<Kind, FlowErrors> {
    let tree = tree::parse(text).map_err(|error| FlowErrors::new(vec![error], text))?;
    Ok(match tree.get("jtype").map(|node| &node.value) {
        Some(tree::Value::Text(kind)) if kind == "Flow" => Kind::Flow,
        Some(tree::Value::Text(kind)) if kind == "Deployment" => Kind::Deployment,
        _ => Kind::Executor,
    })
}

impl FlowFile {
    /// Longest file in bytes.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Reads a flow file that stands alone. `environment` answers `${{ ENV.NAME }}`.
    pub fn parse(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, FlowErrors> {
        Self::read(text, environment, None)
    }

    /// Reads a flow file that may name others: the YAML of an executor or of a deployment.
    pub fn parse_with(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
        include: Include<'_>,
    ) -> Result<Self, FlowErrors> {
        Self::read(text, environment, Some(Included::new(include, environment)))
    }

    fn read(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
        included: Option<Included<'_>>,
    ) -> Result<Self, FlowErrors> {
        let found = |errors| FlowErrors::new(errors, text);
        if text.len() > Self::MAX_BYTES {
            let message = format!("the file has {} bytes, at most {} are read", text.len(), Self::MAX_BYTES);
            return Err(found(vec![FlowError::new(None, message)]));
        }
        let mut tree = tree::parse(text).map_err(|error| found(vec![error]))?;
        let mut reader = reader::Reader::default();
        tree.check_duplicates(&mut reader);
        substitute::substitute(&mut tree, environment, &mut reader);
        if let Some(included) = &included {
            included.deployments(&mut tree, &mut reader);
        }
        deployment::to_flow(&mut tree, &mut reader);
        if let Some(included) = &included {
            included.executors(&mut tree, &mut reader);
        }
        let spec = root::read(&tree, &mut reader);
        match (spec, reader.errors.is_empty()) {
            (Some(spec), true) => Ok(Self { spec, notes: reader.notes }),
            _ => Err(found(reader.errors)),
        }
    }
}
