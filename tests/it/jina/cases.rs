//! The tables of cases as they stand in `tests/jina`.

use std::collections::BTreeMap;
use std::path::Path;

use lockgate_testkit::{fixtures, repository};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::RELEASES;

/// One file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The flow of all its cases that name no other.
    flow: String,
    /// The releases of all its cases that name no others.
    #[serde(default = "all_releases")]
    releases: Vec<String>,
    cases: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    flow: Option<String>,
    releases: Option<Vec<String>>,
    /// Protocols that the client is to use, each in turn; without them the question is asked once, as it stands.
    #[serde(default)]
    over: Vec<String>,
    ask: Value,
    /// What the client may raise where it talks to Jina. Anything else raised there is a mistake of the case.
    #[serde(default)]
    raises: Vec<String>,
    #[serde(default)]
    differs: Vec<StatedDifference>,
    /// Where Lockgate is not asked yet.
    #[serde(default)]
    later: Vec<Postponed>,
}

/// Where Lockgate cannot answer as Jina does yet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Postponed {
    /// Releases that it is about; all without.
    #[serde(default)]
    releases: Vec<String>,
    /// Protocols that it is about; all without.
    #[serde(default)]
    over: Vec<String>,
    /// What is missing.
    because: String,
}

/// A difference that is meant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatedDifference {
    /// Where in the answer: a path like `responses[*].status`, or `**.status` for wherever that stands; everything
    /// below it is covered.
    pub(super) at: String,
    /// Releases that it is about; all without.
    #[serde(default)]
    releases: Vec<String>,
    /// Protocols that it is about; all without.
    #[serde(default)]
    over: Vec<String>,
    /// Only where Jina says null and Lockgate says nothing.
    #[serde(default)]
    pub(super) only_null: bool,
    /// It may be missing, because one side is not deterministic.
    #[serde(default)]
    pub(super) sometimes: bool,
    /// Why it is meant.
    pub(super) because: String,
}

/// One question with all that a run needs to know.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) protocol: Option<String>,
    pub(super) ask: Value,
    pub(super) raises: Vec<String>,
    pub(super) differs: Vec<StatedDifference>,
    pub(super) later: Option<String>,
}

impl StatedDifference {
    pub(super) fn is_about(&self, release: &str, protocol: Option<&str>) -> bool {
        is_about(&self.releases, &self.over, release, protocol)
    }
}

fn is_about(releases: &[String], over: &[String], release: &str, protocol: Option<&str>) -> bool {
    let is_named = |names: &[String], name: &str| names.iter().any(|one| one == name);
    (releases.is_empty() || is_named(releases, release))
        && (over.is_empty() || protocol.is_some_and(|protocol| is_named(over, protocol)))
}

/// What one release is asked, by flow.
pub(super) fn cases_of(release: &str) -> BTreeMap<String, Vec<Case>> {
    let mut cases: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for table in tables() {
        for row in table.cases {
            if !row.releases.as_ref().unwrap_or(&table.releases).iter().any(|name| name == release) {
                continue;
            }
            let flow = row.flow.clone().unwrap_or_else(|| table.flow.clone());
            cases.entry(flow).or_default().extend(row.asked(release));
        }
    }
    cases
}

impl Row {
    /// Once for each protocol.
    fn asked(&self, release: &str) -> Vec<Case> {
        let protocols: Vec<Option<String>> =
            if self.over.is_empty() { vec![None] } else { self.over.iter().cloned().map(Some).collect() };
        let case = |protocol: Option<String>| {
            let mut ask = self.ask.clone();
            if let Some(protocol) = &protocol {
                ask["protocol"] = Value::from(protocol.as_str());
            }
            let later = self
                .later
                .iter()
                .find(|one| is_about(&one.releases, &one.over, release, protocol.as_deref()));
            let later = later.map(|one| one.because.clone());
            let differs = self.differs.iter().filter(|one| one.is_about(release, protocol.as_deref()));
            Case {
                name: self.name.clone(),
                differs: differs.cloned().collect(),
                protocol,
                ask,
                raises: self.raises.clone(),
                later,
            }
        };
        protocols.into_iter().map(case).collect()
    }
}

/// Differences that are meant wherever they are found, in any release over any protocol that they are about.
pub(super) fn general_differences() -> Vec<StatedDifference> {
    read(&folder().join("differences.yml"))
}

/// A flow as Jina reads it.
pub(super) fn flow_of_jina(name: &str) -> String {
    let path = folder().join("flows").join(format!("{name}.yml"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The same flow as Lockgate reads it: only `uses` is another.
pub(super) fn flow_of_lockgate(text: &str) -> String {
    let component = |name: &str| fixtures::component(name).display().to_string();
    let is_used = |line: &str, class: &str| {
        let line = line.trim_start_matches([' ', '-']);
        line.strip_prefix("uses").is_some_and(|rest| rest.ends_with(&format!(": {class}")))
    };
    let lines =
        text.lines().map(|line| match ["Parity", "Fallback"].iter().find(|class| is_used(line, class)) {
            Some(class) => line.replace(class, &component(&class.to_lowercase())) + "\n",
            None => format!("{line}\n"),
        });
    lines.collect()
}

fn tables() -> Vec<Table> {
    let folder = folder().join("cases");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder() -> std::path::PathBuf {
    repository().join("tests/jina")
}

fn all_releases() -> Vec<String> {
    RELEASES.iter().map(|release| release.name.to_owned()).collect()
}

#[test]
fn every_table_names_flows_and_releases_that_there_are() {
    for table in tables() {
        for row in &table.cases {
            let flow = row.flow.as_ref().unwrap_or(&table.flow);
            assert!(flow_of_jina(flow).contains("jtype: Flow"), "{}: {flow}", row.name);
            let releases = row.releases.as_ref().unwrap_or(&table.releases);
            let named = row.differs.iter().flat_map(|one| &one.releases).chain(releases);
            for release in named {
                assert!(all_releases().contains(release), "{}: no release is called {release}", row.name);
            }
            assert!(
                row.differs.iter().all(|one| one.because.len() > 10),
                "{}: a reason is missing",
                row.name
            );
        }
    }
}
