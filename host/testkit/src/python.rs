//! The Python environments in which the real Jina runs: each made once per list of requirements, kept in the target
//! folder.
//!
//! Needs Python 3.11 with `venv`, and the package index the first time: the lists pin packages of that version.
//! Nothing is installed outside the target folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::shared::{lock, target_folder};

/// Interpreters that may make an environment, the best one first.
const INTERPRETERS: &[&str] = &["python3.11", "python3"];
const NEEDED: &str = "this test needs Python 3.11 (python3.11 or python3, with venv) and access to the Python package \
                      index";

/// The interpreter of an environment with exactly these requirements, or one line that says what is missing.
pub fn jina_python(requirements: &Path) -> Result<PathBuf, String> {
    static MADE: Mutex<BTreeMap<PathBuf, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
    // Held while one is made: two at once would only share the network.
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.entry(requirements.to_owned()).or_insert_with(|| make(requirements)).clone()
}

/// As [`jina_python`], for another tool that tests need: the program of that name in an environment of its own.
pub fn tool(requirements: &Path, name: &str) -> Result<PathBuf, String> {
    make(requirements).map(|python| python.with_file_name(name))
}

fn make(requirements: &Path) -> Result<PathBuf, String> {
    let _lock = lock("lockgate-venv-jina");
    let list = std::fs::read(requirements)
        .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    let digest: String = Sha256::digest(&list).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let folder = target_folder().join(format!("venv-jina-{digest}"));
    let python = folder.join("bin").join("python");
    let complete = folder.join("complete");
    if complete.is_file() && is_wanted(&python) {
        return Ok(python);
    }
    let found = INTERPRETERS.iter().find(|name| is_wanted(Path::new(name)));
    let found = found.ok_or_else(|| format!("{NEEDED}: neither {}", INTERPRETERS.join(" nor ")))?;
    run(Command::new(found).args(["-m", "venv", "--clear"]).arg(&folder))
        .map_err(|why| format!("{NEEDED}: {found} -m venv failed: {why}"))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-deps", "-r"]).arg(requirements))
        .map_err(|why| format!("{NEEDED}: pip install failed: {why}"))?;
    std::fs::write(&complete, b"")
        .map_err(|error| format!("cannot write {}: {error}", complete.display()))?;
    Ok(python)
}

/// Whether it runs and has the version that the lists are for.
fn is_wanted(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", "import sys; sys.exit(sys.version_info[:2] != (3, 11))"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs to the end; the error is the last line the program wrote.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words).into_owned();
    Err(words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned())
}
