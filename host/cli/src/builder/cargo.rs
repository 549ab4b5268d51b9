//! Builds a Rust executor with cargo, for speed: a component runs more often than it is built, and optimising for size
//! saves less than a tenth of it but makes work on texts twice as slow.
//!
//! The profile is passed on the command line, so that an author's crate needs none and a workspace's own is left
//! alone. Cargo's messages come as JSON: that is how the component's path is known instead of guessed.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use crate::failure::Report;
use crate::measures;
use crate::progress::{Progress, Step, Verb};

/// What components are compiled for.
const TARGET: &str = "wasm32-wasip2";
/// Level 3 gains nothing over 2 but bytes. No unwinding: a panic is a trap.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=2",
    "profile.release.lto=\"fat\"",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=true",
    "profile.release.debug=false",
    "profile.release.codegen-units=1",
];
/// Lines of cargo's own words that are kept for a failure; the last ones say most.
const KEPT_LINES: usize = 40;
/// Compiler errors that are shown; the rest is counted.
const SHOWN_ERRORS: usize = 5;

/// Builds the crate in `folder`; gives the path of its component.
pub(super) async fn build(name: &str, folder: &Path, progress: &Progress) -> Result<PathBuf, Report> {
    let step = progress.begin(Verb("building", "built"), name);
    match run(name, folder, &step).await {
        Ok(component) => {
            let size = std::fs::metadata(&component).map_or(0, |metadata| metadata.len());
            step.done(&measures::bytes(size));
            Ok(component)
        }
        Err(report) => {
            step.failed();
            Err(report)
        }
    }
}

async fn run(name: &str, folder: &Path, step: &Step) -> Result<PathBuf, Report> {
    ensure_target(folder, step).await?;
    let manifest = folder.join("Cargo.toml");
    let manifest = std::fs::canonicalize(&manifest)
        .map_err(|error| Report::new(format!("cannot open {}", manifest.display())).because(&error))?;
    let mut command = tool("cargo", folder);
    command.args([
        "build",
        "--release",
        "--target",
        TARGET,
        "--message-format",
        "json-diagnostic-rendered-ansi",
    ]);
    PROFILE.iter().for_each(|setting| {
        command.args(["--config", setting]);
    });
    let mut outcome = Outcome::default();
    let status = watch(command, &manifest, step, &mut outcome).await?;
    if !status.success() {
        return Err(outcome.report(name, folder));
    }
    outcome.component.ok_or_else(|| {
        Report::new(format!("{} built, but it gives no component", folder.display()))
            .hint("the crate's Cargo.toml needs [lib] crate-type = [\"cdylib\"]")
    })
}

/// Adds the compilation target where it is missing, and says so.
async fn ensure_target(folder: &Path, step: &Step) -> Result<(), Report> {
    step.now("looking for the Rust toolchain");
    let output = tool("rustc", folder).args(["--print", "sysroot"]).output().await.map_err(|error| {
        Report::new("cannot run rustc, which builds executors written in Rust")
            .because(&error)
            .hint("install Rust from https://rustup.rs, or name built .wasm files in the flow")
    })?;
    let sysroot = String::from_utf8_lossy(&output.stdout);
    if Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    step.say(&format!("adding the Rust target {TARGET} (rustup target add {TARGET})"));
    step.now("rustup is downloading the target");
    let by_hand = format!("run 'rustup target add {TARGET}' in {}", folder.display());
    let output = tool("rustup", folder).args(["target", "add", TARGET]).output().await.map_err(|error| {
        Report::new(format!("the Rust target {TARGET} is missing, and rustup cannot be run to add it"))
            .because(&error)
            .hint("install the target with the tool that installed Rust")
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Report::new(format!("rustup could not add the Rust target {TARGET}"))
        .excerpt(String::from_utf8_lossy(&output.stderr))
        .hint(by_hand))
}

fn tool(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C and a changed file end a build under way.
    command.kill_on_drop(true);
    command
}

/// Runs cargo and reads both of its streams to their ends: a full pipe would stop it.
async fn watch(
    mut command: Command,
    manifest: &Path,
    step: &Step,
    outcome: &mut Outcome,
) -> Result<ExitStatus, Report> {
    let failed = |error: std::io::Error| {
        Report::new("cannot run cargo, which builds executors written in Rust")
            .because(&error)
            .hint("install Rust from https://rustup.rs, or name built .wasm files in the flow")
    };
    let mut cargo = command.spawn().map_err(failed)?;
    let (stdout, stderr) = (cargo.stdout.take(), cargo.stderr.take());
    let mut words = Vec::new();
    let messages = read_lines(stdout, |line| outcome.read(line, manifest));
    let chatter = read_lines(stderr, |line| {
        step.now(line);
        if words.len() == KEPT_LINES {
            words.remove(0);
        }
        words.push(line.to_owned());
    });
    tokio::join!(messages, chatter);
    outcome.words = words;
    cargo.wait().await.map_err(failed)
}

async fn read_lines(stream: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&str)) {
    let Some(stream) = stream else { return };
    let (mut reader, mut line) = (BufReader::new(stream), Vec::new());
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        take(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

/// What cargo told.
#[derive(Debug, Default)]
struct Outcome {
    component: Option<PathBuf>,
    errors: Vec<String>,
    words: Vec<String>,
}

/// The fields that matter of cargo's messages.
#[derive(Debug, Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact { manifest_path: PathBuf, filenames: Vec<PathBuf> },
    #[serde(rename = "compiler-message")]
    Diagnosed { message: Diagnostic },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

impl Outcome {
    fn read(&mut self, line: &str, manifest: &Path) {
        // Whatever is no message is a build script's or a wrapper's own print.
        let Ok(message) = serde_json::from_str(line) else { return };
        match message {
            Message::Artifact { manifest_path, filenames } if manifest_path == manifest => {
                let component =
                    filenames.into_iter().find(|file| file.extension().is_some_and(|e| e == "wasm"));
                self.component = component.or_else(|| self.component.take());
            }
            Message::Diagnosed { message } if message.level == "error" => {
                self.errors.extend(message.rendered);
            }
            Message::Artifact { .. } | Message::Diagnosed { .. } | Message::Other => {}
        }
    }

    /// The compiler's errors where there are some, else cargo's last words.
    fn report(&self, name: &str, folder: &Path) -> Report {
        let mut excerpt = if self.errors.is_empty() {
            self.words.iter().filter(|line| !is_routine(line)).cloned().collect::<Vec<_>>().join("\n")
        } else {
            self.errors
                .iter()
                .take(SHOWN_ERRORS)
                .map(|error| error.trim_end())
                .collect::<Vec<_>>()
                .join("\n\n")
        };
        if let Some(hidden) = self.errors.len().checked_sub(SHOWN_ERRORS).filter(|hidden| *hidden > 0) {
            excerpt.push_str(&format!("\n\n... and {hidden} more messages"));
        }
        Report::new(format!("executor {name:?} in {} does not compile", folder.display())).excerpt(excerpt)
    }
}

fn is_routine(line: &str) -> bool {
    [
        "Compiling ",
        "Downloading ",
        "Downloaded ",
        "Updating ",
        "Locking ",
        "Blocking ",
        "Checking ",
        "Adding ",
    ]
    .iter()
    .any(|routine| line.trim_start().starts_with(routine))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Outcome {
        let mut outcome = Outcome::default();
        lines.iter().for_each(|line| outcome.read(line, Path::new("/x/Cargo.toml")));
        outcome
    }

    #[test]
    fn finds_the_component_of_its_own_crate() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(read(&[line]).component.as_deref(), expected.map(Path::new), "{line}");
        };
        check(
            r#"{"reason":"compiler-artifact","manifest_path":"/x/Cargo.toml","filenames":["/t/a.rlib","/t/a.wasm"]}"#,
            Some("/t/a.wasm"),
        );
        check(
            r#"{"reason":"compiler-artifact","manifest_path":"/y/Cargo.toml","filenames":["/t/b.wasm"]}"#,
            None,
        );
        check(r#"{"reason":"build-finished","success":true}"#, None);
        check("a build script's print", None);
    }

    #[test]
    fn failures_show_the_compilers_words() {
        let error = r#"{"reason":"compiler-message","message":{"level":"error","rendered":"error[E0425]: no `x`\n"}}"#;
        let warning = r#"{"reason":"compiler-message","message":{"level":"warning","rendered":"unused"}}"#;
        let report = |outcome: &Outcome| {
            let text = outcome.report("upper", Path::new("executors/upper")).render();
            anstream::adapter::strip_str(&text).to_string()
        };
        insta::assert_snapshot!(report(&read(&[warning, error])), @r#"
        error: executor "upper" in executors/upper does not compile
        error[E0425]: no `x`
        "#);
        let mut outcome = read(&[]);
        outcome.words = vec!["   Compiling a v1".into(), "error: no matching package named `b` found".into()];
        insta::assert_snapshot!(report(&outcome), @r#"
        error: executor "upper" in executors/upper does not compile
        error: no matching package named `b` found
        "#);
    }
}
