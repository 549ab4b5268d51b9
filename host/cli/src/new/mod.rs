//! What `lockgate new` unpacks: a template, and the SDK that it builds with.
//!
//! Both travel inside the command, so that a new executor builds with nothing but rustup and the package index. The SDK's
//! manifests inherit from the workspace that it lives in; an unpacked copy stands alone.

mod manifest;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

static SDK_SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/guest/rust/src");
static SDK_MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/guest/rust/macros/src");
static SDK_CONTRACT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/guest/rust/wit");
const SDK_MANIFEST: &str = include_str!("../../../../sdk/guest/rust/Cargo.toml");
const SDK_MACROS_MANIFEST: &str = include_str!("../../../../sdk/guest/rust/macros/Cargo.toml");
const SDK_README: &str = include_str!("../../../../sdk/guest/rust/README.md");
const WORKSPACE_MANIFEST: &str = include_str!("../../../../Cargo.toml");

/// The template's files: where each goes, and its text.
const TEMPLATE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../templates/rust/Cargo.toml")),
    ("src/lib.rs", include_str!("../../templates/rust/lib.rs")),
    ("examples.json", include_str!("../../templates/rust/examples.json")),
    ("flow.yml", include_str!("../../templates/rust/flow.yml")),
    ("README.md", include_str!("../../templates/rust/README.md")),
    (".gitignore", include_str!("../../templates/rust/gitignore")),
];

/// The executor in a project, as Jina's own templates call it.
const PROJECT_EXECUTOR: &str = "executor1";

/// What a project serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Project {
    /// a flow
    Flow,
    /// one executor
    Deployment,
}

impl Project {
    /// Its flow file, and the text of it.
    fn file(self) -> (&'static str, &'static str) {
        match self {
            Project::Flow => ("flow.yml", include_str!("../../templates/project/flow.yml")),
            Project::Deployment => ("deployment.yml", include_str!("../../templates/project/deployment.yml")),
        }
    }

    /// Its flow file.
    pub(crate) fn file_name(self) -> &'static str {
        self.file().0
    }
}

/// Where the SDK goes.
const SDK_FOLDER: &str = ".lockgate/sdk";

/// The words of a template, made of the name that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    name: String,
    /// The struct: `WordCount` of `word-count`.
    type_name: String,
    /// The method: `word_count`.
    method: String,
    /// The endpoint without its slash.
    pub(crate) endpoint: String,
}

impl Words {
    /// The words for an executor of that name; none if a package cannot be called so.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split(['-', '_']).filter(|part| !part.is_empty()).collect();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let method = parts.join("_").to_ascii_lowercase();
        // A keyword is no method, and `new` is the template's own.
        let method = if RESERVED.contains(&method.as_str()) { format!("{method}_texts") } else { method };
        let mut type_name: String = parts.iter().map(|part| capitalise(part)).collect();
        if PRELUDE.contains(&type_name.as_str()) {
            type_name.push_str("Texts");
        }
        Some(Self { name: name.to_owned(), type_name, endpoint: method.replace('_', "-"), method })
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{name}", &self.name)
            .replace("{type}", &self.type_name)
            .replace("{method}", &self.method)
            .replace("{endpoint}", &self.endpoint)
    }
}

/// Rust's keywords as far as they are lower-case words, the names of the template and of the prelude, and packages that a
/// crate cannot share its name with.
const RESERVED: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "new", "override", "priv", "pub", "ref", "return", "self",
    "static", "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// Names of packages that would clash with what the template needs, or that cargo refuses.
pub(crate) const TAKEN: &[&str] = &[
    "lockgate-sdk",
    "lockgate-sdk-macros",
    "lockgate_sdk",
    "serde",
    "serde_json",
    "wit-bindgen",
    "test",
    "core",
    "std",
    "alloc",
    "proc-macro",
    "proc_macro",
    "build",
    "deps",
    "examples",
    "incremental",
];

/// Structs that the prelude has names of already.
const PRELUDE: &[&str] = &[
    "Code",
    "Document",
    "DocumentRow",
    "Documents",
    "Error",
    "Executor",
    "Json",
    "Matrix",
    "Parameters",
    "Request",
    "Result",
    "ResultExt",
    "Tensor",
    "Texts",
    "Reply",
    "TestHost",
    "Config",
    "Deserialize",
    "Serialize",
    "Self",
    "String",
    "Vec",
    "Option",
    "Ok",
    "Err",
    "Some",
    "None",
    "Box",
    "Default",
    "Debug",
];

fn capitalise(part: &str) -> String {
    let mut letters = part.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Writes the whole folder; gives the files of the template in the order in which one reads them.
pub(crate) fn unpack(words: &Words, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (path, text) in TEMPLATE {
        let path = folder.join(path);
        write_new(&path, align_comments(&path, words.fill(text)).as_bytes())?;
        written.push(path);
    }
    let sdk = folder.join(SDK_FOLDER);
    write_new(&sdk.join("Cargo.toml"), manifest::standalone(SDK_MANIFEST, WORKSPACE_MANIFEST).as_bytes())?;
    let macros = manifest::standalone(SDK_MACROS_MANIFEST, WORKSPACE_MANIFEST);
    write_new(&sdk.join("macros/Cargo.toml"), macros.as_bytes())?;
    write_new(&sdk.join("README.md"), SDK_README.as_bytes())?;
    for (place, sources) in [("src", &SDK_SOURCES), ("macros/src", &SDK_MACROS), ("wit", &SDK_CONTRACT)] {
        unpack_folder(sources, &sdk.join(place))?;
    }
    Ok(written)
}

/// Writes a project with one executor; gives its own files in the order in which one reads them.
pub(crate) fn unpack_project(project: Project, name: &str, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (file, text) = project.file();
    let mut written = Vec::new();
    for (path, text) in [
        (file, text),
        ("client.py", include_str!("../../templates/project/client.py")),
        ("README.md", include_str!("../../templates/project/README.md")),
    ] {
        let path = folder.join(path);
        let text = text.replace("{name}", name).replace("{file}", file);
        write_new(&path, align_comments(&path, text).as_bytes())?;
        written.push(path);
    }
    let executor = Words::of(PROJECT_EXECUTOR).map(|words| unpack(&words, &folder.join(PROJECT_EXECUTOR)));
    written.extend(executor.transpose()?.unwrap_or_default());
    Ok(written)
}

/// Comments behind the commands of a README stand one below the other, however long the names in them are.
fn align_comments(path: &Path, text: String) -> String {
    if !path.ends_with("README.md") {
        return text;
    }
    let mut aligned = String::with_capacity(text.len());
    for (index, part) in text.split("```").enumerate() {
        let commands = part.lines().filter_map(|line| line.split_once("  # "));
        let widest = commands.map(|(command, _)| command.trim_end().chars().count()).max();
        let width = widest.filter(|_| index % 2 == 1);
        aligned.push_str(if index == 0 { "" } else { "```" });
        for line in part.split_inclusive('\n') {
            match (width, line.split_once("  # ")) {
                (Some(width), Some((command, comment))) => {
                    aligned.push_str(&format!("{:<width$}  # {comment}", command.trim_end()));
                }
                _ => aligned.push_str(line),
            }
        }
    }
    aligned
}

fn unpack_folder(sources: &Dir<'_>, target: &Path) -> io::Result<()> {
    for file in sources.files() {
        write_new(&target.join(file.path()), file.contents())?;
    }
    sources.dirs().try_for_each(|folder| unpack_folder(folder, target))
}

/// Nothing that is there is overwritten.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests;
