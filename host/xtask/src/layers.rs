//! The walls of the house: which crate may depend on which.
//!
//! The table below is the architecture; a crate that is not in it is a finding, so that nobody adds a room without
//! saying on which floor it stands. Reads `cargo metadata` and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use crate::Findings;

/// Where a crate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A layer of the host; depends on lower numbers only.
    Layer(u8),
    /// Serves tests and chores: sees everything, is seen by tests only.
    Dev,
    /// Runs inside the sandbox: knows nothing of the host.
    Guest,
}

/// The host, floor by floor.
const LAYERS: &[(&str, Place)] = &[
    ("lockgate-domain", Place::Layer(0)),
    ("lockgate-wire", Place::Layer(1)),
    ("lockgate-telemetry", Place::Layer(1)),
    ("lockgate-socket", Place::Layer(1)),
    ("lockgate-runtime", Place::Layer(2)),
    ("lockgate-registry", Place::Layer(2)),
    ("lockgate-flow", Place::Layer(2)),
    ("lockgate-deploy", Place::Layer(2)),
    ("lockgate-gateway", Place::Layer(3)),
    ("lockgate-control", Place::Layer(3)),
    ("lockgate-node", Place::Layer(4)),
    ("lockgate-cli", Place::Layer(5)),
    ("lockgate-testkit", Place::Dev),
    ("lockgate-xtask", Place::Dev),
];

/// Folders whose crates are guests.
const GUEST_FOLDERS: &[&str] = &["sdk/guest", "examples", "tests/fixtures"];

/// The only crate that names wasmtime.
const RUNTIME: &str = "lockgate-runtime";

/// Lists every broken wall.
pub(crate) fn check(root: &Path) -> Findings {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .map_err(|error| format!("cannot read the workspace: {error}"))?;
    let mut places = BTreeMap::new();
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        match place(root, package) {
            Some(place) => {
                places.insert(package.name.to_string(), place);
            }
            None => findings.push(format!(
                "{} has no layer; give it one in host/xtask/src/layers.rs, or move a guest to {}",
                package.name,
                GUEST_FOLDERS.join(", ")
            )),
        }
    }
    for package in metadata.workspace_packages() {
        findings.extend(broken_walls(package, &places));
    }
    findings.extend(paths_to_wasmtime(&metadata, &places)?);
    Ok(findings)
}

fn place(root: &Path, package: &Package) -> Option<Place> {
    let name = package.name.as_str();
    if let Some((_, place)) = LAYERS.iter().find(|(known, _)| *known == name) {
        return Some(*place);
    }
    let folder = package.manifest_path.as_std_path().strip_prefix(root).ok()?;
    GUEST_FOLDERS.iter().any(|guests| folder.starts_with(guests)).then_some(Place::Guest)
}

/// What the direct dependencies of one crate break.
fn broken_walls(package: &Package, places: &BTreeMap<String, Place>) -> Vec<String> {
    let from = package.name.as_str();
    let Some(own) = places.get(from) else { return Vec::new() };
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let to = dependency.name.as_str();
        let in_tests = dependency.kind == DependencyKind::Development;
        if is_wasmtime(to) && from != RUNTIME {
            findings.push(format!("{from} depends on {to}; only {RUNTIME} may see wasmtime"));
        }
        if let Some(reason) = places.get(to).and_then(|other| forbidden(*own, *other, in_tests)) {
            findings.push(format!("{from} depends on {to}: {reason}"));
        }
    }
    findings
}

fn forbidden(from: Place, to: Place, in_tests: bool) -> Option<&'static str> {
    match (from, to) {
        (Place::Guest, Place::Guest) | (Place::Dev, _) => None,
        (Place::Guest, _) => Some("a guest knows nothing of the host"),
        (Place::Layer(_), Place::Guest) => Some("the host knows guests by their components only"),
        (Place::Layer(_), Place::Dev) if in_tests => None,
        (Place::Layer(_), Place::Dev) => Some("it serves tests; make it a dev-dependency"),
        (Place::Layer(own), Place::Layer(other)) if other < own => None,
        (Place::Layer(own), Place::Layer(other)) if other == own => {
            Some("siblings of one layer do not know each other; let a higher layer connect them")
        }
        (Place::Layer(_), Place::Layer(_)) => Some("dependencies point downwards"),
    }
}

/// Crates below the one where gateway and runtime meet must not reach wasmtime by any path.
fn paths_to_wasmtime(metadata: &Metadata, places: &BTreeMap<String, Place>) -> Findings {
    let resolve = metadata.resolve.as_ref().ok_or("cargo metadata gave no dependency graph")?;
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let edges: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
        .nodes
        .iter()
        .map(|node| (&node.id, node.deps.iter().map(|dependency| &dependency.pkg).collect()))
        .collect();
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let may_reach = match places.get(name) {
            Some(Place::Layer(layer)) => *layer >= 4 || name == RUNTIME,
            Some(Place::Dev) => true,
            Some(Place::Guest) | None => false,
        };
        if may_reach {
            continue;
        }
        if let Some(path) = path_to_wasmtime(&package.id, &edges, &names) {
            findings.push(format!("{name} reaches wasmtime: {}", path.join(" -> ")));
        }
    }
    Ok(findings)
}

/// A shortest path from one package to wasmtime, if there is one.
fn path_to_wasmtime<'a>(
    start: &'a PackageId,
    edges: &BTreeMap<&'a PackageId, Vec<&'a PackageId>>,
    names: &BTreeMap<&'a PackageId, &'a str>,
) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&PackageId, &PackageId> = BTreeMap::new();
    let mut seen = BTreeSet::from([start]);
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(id) = queue.pop_front() {
        let name = names.get(id).copied().unwrap_or_default();
        if is_wasmtime(name) {
            let mut path = vec![name];
            let mut at = id;
            while let Some(before) = came_from.get(at) {
                path.push(names.get(*before).copied().unwrap_or_default());
                at = before;
            }
            path.reverse();
            return Some(path);
        }
        for next in edges.get(id).into_iter().flatten() {
            if seen.insert(next) {
                came_from.insert(next, id);
                queue.push_back(next);
            }
        }
    }
    None
}

fn is_wasmtime(name: &str) -> bool {
    name == "wasmtime" || name.starts_with("wasmtime-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walls_stand_between_layers() {
        let check = |from, to, in_tests, allowed: bool| {
            assert_eq!(
                forbidden(from, to, in_tests).is_none(),
                allowed,
                "{from:?} -> {to:?}, in tests: {in_tests}"
            );
        };
        check(Place::Layer(2), Place::Layer(1), false, true);
        check(Place::Layer(2), Place::Layer(2), false, false);
        check(Place::Layer(2), Place::Layer(3), true, false);
        check(Place::Layer(5), Place::Dev, true, true);
        check(Place::Layer(5), Place::Dev, false, false);
        check(Place::Dev, Place::Layer(5), false, true);
        check(Place::Guest, Place::Guest, false, true);
        check(Place::Guest, Place::Layer(0), false, false);
        check(Place::Layer(4), Place::Guest, true, false);
    }
}
