//! A manifest that inherits from its workspace, made to stand alone.
//!
//! Works line by line on the two shapes that the SDK's manifests have: `KEY.workspace = true` in `[package]` and in the
//! tables of dependencies. What cannot be resolved stays as it is, and cargo says so.

/// The manifest with every inherited key replaced by what the workspace says, and without `[lints]`: the workspace's lints
/// are not the author's.
pub(super) fn standalone(manifest: &str, workspace: &str) -> String {
    let (mut lines, mut table) = (Vec::new(), "");
    for line in manifest.lines() {
        if line.starts_with('[') {
            table = line.trim();
        }
        if table == "[lints]" {
            continue;
        }
        let source = if table == "[package]" { "[workspace.package]" } else { "[workspace.dependencies]" };
        let inherited = line.strip_suffix(".workspace = true").and_then(|key| entry(workspace, source, key));
        lines.push(inherited.unwrap_or(line));
    }
    lines.join("\n") + "\n"
}

/// The line of a table that sets this key.
fn entry<'a>(text: &'a str, table: &str, key: &str) -> Option<&'a str> {
    let inside = text.lines().skip_while(|line| line.trim() != table).skip(1);
    let mut inside = inside.take_while(|line| !line.starts_with('['));
    inside.find(|line| line.split_once('=').is_some_and(|(name, _)| name.trim() == key))
}
