//! Components for tests: every guest of the repository, built once; and files that are no executor.
//!
//! All guests are built by one cargo call with the settings of `lockgate build`, so that both share what is compiled.
//! Some components are made by hand from others, because no compiler would give them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::guest::assemble;
use crate::shared::{lock, repository, target_folder};

/// Folders with one crate per guest, under the root.
const GUEST_FOLDERS: &[&str] =
    &["tests/fixtures/executors", "examples/quickstart/executors", "examples/search/executors"];

/// What `lockgate build` passes.
const PROFILE: &[&str] = &[
    "profile.release.opt-level=2",
    "profile.release.lto=\"fat\"",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=true",
    "profile.release.debug=false",
    "profile.release.codegen-units=1",
];

/// The part of the `manifests` guest that says what its `describe` does.
const MARKER: &[u8; 32] = b"describe:honest.................";

/// The component of the guest in that folder, such as `hostile` or `chunker`.
pub fn component(folder: &str) -> PathBuf {
    let built = built();
    built.get(folder).cloned().unwrap_or_else(|| {
        let known: Vec<&str> = built.keys().map(String::as_str).collect();
        panic!("no guest is called {folder:?}; there are {}", known.join(", "))
    })
}

/// The `manifests` guest with a `describe` that does what the word says; the words stand in its source.
pub fn manifest_component(word: &str) -> PathBuf {
    let mut bytes = read(&component("manifests"));
    let mut marker = format!("describe:{word}").into_bytes();
    marker.resize(MARKER.len(), b'.');
    let Some(at) = bytes.windows(MARKER.len()).position(|window| window == MARKER) else {
        panic!("the guest `manifests` has lost its marker");
    };
    bytes.splice(at..at + MARKER.len(), marker);
    keep(&format!("manifest-{word}.wasm"), &bytes)
}

/// A valid component that exports nothing.
pub fn component_without_exports() -> PathBuf {
    keep("no-exports.wasm", &assemble("(component)"))
}

/// A component that asks for an interface nobody may have.
pub fn component_with_foreign_import() -> PathBuf {
    let text = r#"(component (import "wasi:sockets/tcp@0.2.0" (instance)))"#;
    keep("foreign-import.wasm", &assemble(text))
}

/// A core module, as `wasm32-unknown-unknown` gives.
pub fn core_module() -> PathBuf {
    keep("core-module.wasm", &assemble("(module)"))
}

/// The first half of a valid component.
pub fn truncated_component() -> PathBuf {
    let mut bytes = read(&component("neighbour"));
    bytes.truncate(bytes.len() / 2);
    keep("truncated.wasm", &bytes)
}

/// A file that is no WebAssembly at all.
pub fn no_component() -> PathBuf {
    keep("text.wasm", b"This is a text file that somebody renamed.\n")
}

fn built() -> &'static BTreeMap<String, PathBuf> {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> BTreeMap<String, PathBuf> {
    let _lock = lock("lockgate-fixtures");
    add_target();
    let folders = guest_folders();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--target", "wasm32-wasip2", "--message-format", "json"]);
    command.arg("--target-dir").arg(target_folder());
    PROFILE.iter().for_each(|setting| {
        command.args(["--config", setting]);
    });
    for folder in &folders {
        command.args(["-p", &package_name(folder)]);
    }
    let output = command.current_dir(repository()).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot start cargo to build the guests: {error}"));
    let messages = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        panic!(
            "the guests do not build (is the target there? rustup target add wasm32-wasip2)\n{}{}",
            String::from_utf8_lossy(&output.stderr),
            compiler_words(&messages)
        );
    }
    components(&messages, &folders)
}

/// A toolchain that was there before the repository may lack the guests' target. Without rustup, cargo's own words say so.
fn add_target() {
    let rustup = |words: &[&str]| Command::new("rustup").args(words).current_dir(repository()).output();
    let has_target = |output: &std::process::Output| {
        String::from_utf8_lossy(&output.stdout).lines().any(|target| target == "wasm32-wasip2")
    };
    if rustup(&["target", "list", "--installed"]).is_ok_and(|output| !has_target(&output)) {
        // Its failure shows in the build that follows, with what to do.
        rustup(&["target", "add", "wasm32-wasip2"]).ok();
    }
}

fn guest_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = GUEST_FOLDERS
        .iter()
        .filter_map(|folder| std::fs::read_dir(repository().join(folder)).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .collect();
    folders.sort();
    folders
}

fn package_name(folder: &Path) -> String {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    name.unwrap_or_else(|| panic!("{} names no package", folder.display())).to_owned()
}

/// Which folder gave which component, by cargo's own messages.
fn components(messages: &str, folders: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for message in json_lines(messages) {
        let manifest = message.get("manifest_path").and_then(Value::as_str).map(Path::new);
        let Some(folder) =
            manifest.and_then(Path::parent).filter(|folder| folders.iter().any(|f| f == folder))
        else {
            continue;
        };
        let files = message.get("filenames").and_then(Value::as_array).into_iter().flatten();
        let component = files.filter_map(Value::as_str).find(|file| file.ends_with(".wasm"));
        if let (Some(name), Some(component)) = (folder.file_name(), component) {
            found.insert(name.to_string_lossy().into_owned(), PathBuf::from(component));
        }
    }
    found
}

fn compiler_words(messages: &str) -> String {
    json_lines(messages)
        .filter_map(|message| message.get("message")?.get("rendered")?.as_str().map(str::to_owned))
        .collect()
}

fn json_lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Writes a made component under a name of its own; a reader never sees half of it.
fn keep(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = target_folder().join("lockgate-made-components");
    let path = folder.join(name);
    let written = std::fs::create_dir_all(&folder).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.persist(&path).map_err(|error| error.error)
    });
    match written {
        Ok(_) => path,
        Err(error) => panic!("cannot write {}: {error}", path.display()),
    }
}
