//! What to send: texts, files, folders and JSON lines, in the order of the kinds below, read when their turn comes.
//!
//! Folders are listed first and read later, so that a large tree costs its names and one request's contents. Symbolic
//! links are not followed, hidden folders and build output are left out: nobody means to send them.

use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use globset::{GlobBuilder, GlobMatcher};
use walkdir::{DirEntry, WalkDir};

use crate::call::media;
use crate::failure::{Failure, Report};
use crate::measures;

/// Largest file that is sent, in bytes: the gateway's usual limit for a whole message.
const MAX_FILE_BYTES: u64 = 128 << 20;
/// Folders that hold no documents.
const SKIPPED_FOLDERS: &[&str] = &["target", "node_modules", "__pycache__"];

/// The options that name inputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Documents")]
pub(crate) struct InputArguments {
    /// Send this text as a document; may be repeated
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) text: Vec<String>,

    /// Send this file as a document: text as text, anything else as a blob; '-' is standard input; may be repeated
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,

    /// Send every file below this folder as a document with its path as uri; may be repeated
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) dir: Vec<PathBuf>,

    /// Take only files of --dir whose path below the folder matches
    #[arg(long, value_name = "PATTERN", requires = "dir")]
    pub(crate) glob: Vec<String>,

    /// Send the documents of this file, one JSON object per line; '-' is standard input; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) jsonl: Vec<PathBuf>,

    /// Send a request without documents
    #[arg(long, conflicts_with_all = ["text", "file", "dir", "jsonl"])]
    pub(crate) no_documents: bool,
}

/// One document to be, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// a text of the command line or of standard input
    Text(String),
    /// a file, and the name under which it is sent
    File { path: PathBuf, uri: String },
    /// a JSON object, and where it stands
    Json { text: String, origin: String },
}

/// One document, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// text or bytes
    Plain { text: Option<String>, blob: Option<Bytes>, uri: Option<String>, mime_type: Option<&'static str> },
    /// a JSON object, and where it stands
    Json { text: String, origin: String },
}

/// Finds everything that the options name.
pub(crate) fn collect(arguments: &InputArguments) -> Result<Vec<Input>, Failure> {
    let mut inputs: Vec<Input> = arguments.text.iter().cloned().map(Input::Text).collect();
    for path in &arguments.file {
        if is_standard_input(path) {
            inputs.push(Input::Text(read_standard_input()?));
        } else {
            inputs.push(Input::File { path: path.clone(), uri: uri(path) });
        }
    }
    let globs = arguments.glob.iter().map(|pattern| matcher(pattern)).collect::<Result<Vec<_>, _>>()?;
    for folder in &arguments.dir {
        list(folder, &globs, &mut inputs)?;
    }
    for path in &arguments.jsonl {
        read_lines(path, &mut inputs)?;
    }
    let asks_for_nothing = arguments.text.is_empty()
        && arguments.file.is_empty()
        && arguments.dir.is_empty()
        && arguments.jsonl.is_empty()
        && !arguments.no_documents;
    if asks_for_nothing {
        if io::stdin().is_terminal() {
            return Err(Failure::Usage(
                Report::new("there is nothing to send")
                    .hint("name documents with --text, --file, --dir or --jsonl, or pipe a text in")
                    .hint("--no-documents sends a request with parameters alone"),
            ));
        }
        inputs.push(Input::Text(read_standard_input()?));
    }
    Ok(inputs)
}

impl Input {
    /// Reads it.
    pub(crate) fn load(&self) -> Result<Content, Report> {
        match self {
            Input::Text(text) => {
                Ok(Content::Plain { text: Some(text.clone()), blob: None, uri: None, mime_type: None })
            }
            Input::Json { text, origin } => Ok(Content::Json { text: text.clone(), origin: origin.clone() }),
            Input::File { path, uri } => load_file(path, uri),
        }
    }
}

fn load_file(path: &Path, uri: &str) -> Result<Content, Report> {
    let cannot = |error: &io::Error| Report::new(format!("cannot read {}", path.display())).because(error);
    let size = std::fs::metadata(path).map_err(|error| cannot(&error))?.len();
    if size > MAX_FILE_BYTES {
        return Err(Report::new(format!(
            "{} has {}, at most {} are sent as one document",
            path.display(),
            measures::bytes(size),
            measures::bytes(MAX_FILE_BYTES)
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| cannot(&error))?;
    let text = media::text(&bytes).map(str::to_owned);
    let mime_type = Some(media::media_type(path, text.is_some()));
    let blob = if text.is_none() { Some(Bytes::from(bytes)) } else { None };
    Ok(Content::Plain { text, blob, uri: Some(uri.to_owned()), mime_type })
}

fn list(folder: &Path, globs: &[GlobMatcher], inputs: &mut Vec<Input>) -> Result<(), Failure> {
    let before = inputs.len();
    for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(is_wanted) {
        let entry = entry.map_err(|error| {
            Report::new(format!("cannot read folder {}", folder.display()))
                .because(&error)
                .hint("--dir takes a folder, --file a single file")
        })?;
        let below = entry.path().strip_prefix(folder).unwrap_or_else(|_| entry.path());
        let matches = globs.is_empty() || globs.iter().any(|glob| glob.is_match(below));
        if entry.file_type().is_file() && matches {
            inputs.push(Input::File { path: entry.path().to_owned(), uri: uri(entry.path()) });
        }
    }
    if inputs.len() > before {
        return Ok(());
    }
    let report = Report::new(format!("found no file to send in {}", folder.display()));
    Err(match globs.first() {
        Some(glob) => {
            report.hint(format!("no path matches {:?}; '**/' reaches into folders", glob.glob().glob()))
        }
        None => report.hint("hidden files and build output are left out"),
    }
    .into())
}

fn is_wanted(entry: &DirEntry) -> bool {
    if entry.depth() == 0 {
        return true;
    }
    let name = entry.file_name().to_string_lossy();
    let is_skipped = entry.file_type().is_dir() && SKIPPED_FOLDERS.contains(&name.as_ref());
    !name.starts_with('.') && !is_skipped
}

fn matcher(pattern: &str) -> Result<GlobMatcher, Failure> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| {
        Failure::Usage(
            Report::new(format!("{pattern:?} is not a pattern for --glob"))
                .because(&error)
                .hint("examples: '*.md' (in the folder itself), '**/*.md' (below it, too), '**/*.{md,txt}'"),
        )
    })?;
    Ok(glob.compile_matcher())
}

fn read_lines(path: &Path, inputs: &mut Vec<Input>) -> Result<(), Failure> {
    let name = if is_standard_input(path) { "standard input".into() } else { path.display().to_string() };
    let cannot = |error: &io::Error| Report::new(format!("cannot read {name}")).because(error);
    let reader: Box<dyn Read> = if is_standard_input(path) {
        Box::new(io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| cannot(&error))?)
    };
    for (line, number) in BufReader::new(reader).lines().zip(1u64..) {
        let text = line.map_err(|error| cannot(&error))?;
        if !text.trim().is_empty() {
            inputs.push(Input::Json { text, origin: format!("{name}, line {number}") });
        }
    }
    Ok(())
}

fn read_standard_input() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| Report::new("cannot read standard input").because(&error))?;
    let text = media::text(&bytes)
        .ok_or_else(|| Report::new("standard input is not text").hint("send binary content with --file"))?;
    Ok(text.strip_suffix('\n').unwrap_or(text).to_owned())
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// The path as a person would type it.
fn uri(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    text.strip_prefix("./").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests;
