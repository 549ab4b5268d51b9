//! What no compiler checks: headers, sizes, words, attributes, machine paths.
//!
//! Reads the files that git knows, line by line, without understanding Rust: a rule that needs a parser belongs to a
//! lint. Each rule is one function from a file to findings, so a new one is a line in [`RULES`].

mod rules;

use std::path::Path;
use std::process::Command;

use crate::Findings;
use rules::RULES;

/// One file as the rules see it.
pub(crate) struct SourceFile {
    /// Relative to the root, with slashes.
    path: String,
    /// Its text.
    text: String,
}

/// Lists every untidy place.
pub(crate) fn check(root: &Path) -> Findings {
    let machine_paths = machine_paths(root);
    let mut findings = Vec::new();
    for path in tracked_files(root)? {
        // A file that git lists but that is gone, or that is no text, has nothing to tidy.
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else { continue };
        let file = SourceFile { path, text };
        for (line, text) in file.text.lines().enumerate() {
            if !file.path.ends_with(".lock") && machine_paths.iter().any(|path| text.contains(path.as_str()))
            {
                findings.push(format!(
                    "{}:{}: a path of this machine; make it relative",
                    file.path,
                    line + 1
                ));
            }
        }
        if file.path.ends_with(".rs") {
            findings.extend(RULES.iter().flat_map(|rule| rule(&file)));
        }
    }
    Ok(findings)
}

/// Tracked files and new ones that are not ignored.
fn tracked_files(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot start git: {error}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Where this copy of the repository and its owner live; neither belongs into a file.
fn machine_paths(root: &Path) -> Vec<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    [format!("{}/", root.display()), format!("{home}/.")].into_iter().filter(|path| path.len() > 3).collect()
}
