//! Flow files: YAML in Jina's format, with our own keys where Jina's say too little.
//!
//! A key is never silently ignored: what is unknown, or belongs to Python, or to later work, is an error that says what
//! to do; what has no effect here is listed in [`FlowFile::notes`]. All errors of a file are found together, each with
//! its place. The text may be a stranger's: its size, depth, nodes and aliases are bounded, and nothing in it is
//! executed, included or fetched. `uses` is kept as written: what it is relative to is the caller's knowledge.

mod capabilities;
mod errors;
mod executor;
mod keys;
mod pool;
mod reader;
mod root;
mod substitute;
#[cfg(test)]
mod tests;
mod tree;
pub mod units;

use std::fmt;

use lockgate_domain::FlowSpec;

pub use errors::{FlowError, FlowErrors, Place};

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

impl FlowFile {
    /// Longest file in bytes.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Reads a flow file. `environment` answers `${{ ENV.NAME }}`.
    pub fn parse(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, FlowErrors> {
        let found = |errors| FlowErrors::new(errors, text);
        if text.len() > Self::MAX_BYTES {
            let message = format!("the file has {} bytes, at most {} are read", text.len(), Self::MAX_BYTES);
            return Err(found(vec![FlowError::new(None, message)]));
        }
        let mut tree = tree::parse(text).map_err(|error| found(vec![error]))?;
        let mut reader = reader::Reader::default();
        tree.check_duplicates(&mut reader);
        substitute::substitute(&mut tree, environment, &mut reader);
        let spec = root::read(&tree, &mut reader);
        match (spec, reader.errors.is_empty()) {
            (Some(spec), true) => Ok(Self { spec, notes: reader.notes }),
            _ => Err(found(reader.errors)),
        }
    }
}
