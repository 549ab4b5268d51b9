//! Replay capsules: one request of one executor as a file, and the request run again from it.
//!
//! A capsule holds all that the outcome depends on: which component, its configuration, limits and capabilities, the
//! request with its documents, and each answer of the host that differs from run to run. It is JSON, made for people to
//! look into. It contains what the request contained, so it is kept like the request's data: files are readable by the
//! owner alone. A secret is in it only as its name, `{"$secret": "NAME"}`. A capsule comes from anywhere, so reading
//! one is bounded: its file, its documents by the limits that it names, the fuel and the time of its replay.

mod documents;
mod keeper;

use std::collections::BTreeSet;

use lockgate_domain::ids::EndpointName as Endpoint;
use lockgate_domain::request::Headers;
use lockgate_domain::spec::{InstanceMode, PoolOptions};
use lockgate_domain::{
    Capabilities, ComponentDigest, ErrorCode, ExecutorName, Limits, Parameters, Problem, RequestId,
};
use lockgate_runtime::{
    InstancePool, InvocationReply, JournalEntry, MAX_JOURNAL_BYTES, MemoryStore, PoolSetup, Recording,
    Replay, is_ended_from_outside,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::documents::DocumentsFile;
pub(crate) use self::keeper::Keeper;
use crate::CONTRACT;
use crate::node::Node;

/// Version of the file.
const VERSION: u32 = 1;
/// Largest file that is read: the journal, and documents both ways in base64.
const MAX_FILE_BYTES: usize = MAX_JOURNAL_BYTES * 16;
/// Characters of results that are told.
const SHOWN_CHARACTERS: usize = 200;
/// The key of a secret's place in a configuration.
const SECRET: &str = "$secret";

/// What a capsule says besides its request.
#[derive(Debug, Clone, Copy)]
pub struct CapsuleSetting<'a> {
    /// the executor
    pub executor: &'a ExecutorName,
    /// its component
    pub digest: ComponentDigest,
    /// its ceilings
    pub limits: &'a Limits,
    /// what it was granted
    pub capabilities: &'a Capabilities,
    /// its configuration as it was written, secrets not filled in
    pub configuration: &'a Map<String, Value>,
    /// the engine that ran it
    pub engine: &'a str,
}

/// A capsule that was read.
#[derive(Debug, Clone)]
pub struct Capsule(File);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    capsule: u32,
    engine: String,
    contract: String,
    executor: ExecutorName,
    digest: ComponentDigest,
    limits: Limits,
    capabilities: Capabilities,
    configuration: Map<String, Value>,
    request: RequestFile,
    fuel: FuelFile,
    outcome: OutcomeFile,
    /// what the guest gave beside its documents, as JSON text: a number that is read and written again may be another
    #[serde(default, skip_serializing_if = "Option::is_none")]
    results: Option<String>,
    journal: Vec<JournalEntry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestFile {
    id: String,
    endpoint: String,
    headers: Vec<(String, String)>,
    parameters: Map<String, Value>,
    inputs: Vec<(ExecutorName, u32, u32)>,
    documents: DocumentsFile,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FuelFile {
    request: u64,
    granted: u64,
    init: u64,
    call: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeFile {
    Documents(DocumentsFile),
    Error(ErrorFile),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorFile {
    code: String,
    grpc: String,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<(String, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
    /// decided by a clock or by the state of the host, and so by nothing that a capsule holds
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    from_outside: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// in words
    pub outcome: String,
    /// fuel that starting and `init` burned
    pub init_fuel: u64,
    /// fuel that the call burned; none if `init` failed
    pub call_fuel: Option<u64>,
}

/// What a replay says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// whether outcome and fuel are the same
    pub is_same: bool,
    /// how the recorded run ended
    pub recorded: Ending,
    /// how the replay ended
    pub replayed: Ending,
    /// what the guest asked that was not recorded
    pub divergence: Option<String>,
    /// whether the replay was stopped where the recording had been ended from outside
    pub is_stopped: bool,
    /// secrets of the configuration that nobody filled in
    pub missing_secrets: Vec<String>,
}

/// Writes a capsule.
pub fn seal(
    setting: &CapsuleSetting<'_>,
    recording: &Recording,
    outcome: &Result<InvocationReply, Problem>,
) -> Result<Vec<u8>, Problem> {
    let Recording { granted_fuel, init_fuel, call_fuel, request_fuel, .. } = *recording;
    let file = File {
        capsule: VERSION,
        engine: setting.engine.to_owned(),
        contract: CONTRACT.to_owned(),
        executor: setting.executor.clone(),
        digest: setting.digest,
        limits: *setting.limits,
        capabilities: setting.capabilities.clone(),
        configuration: setting.configuration.clone(),
        request: RequestFile {
            id: recording.request.as_str().to_owned(),
            endpoint: recording.endpoint.as_str().to_owned(),
            headers: recording.headers.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            parameters: recording.parameters.map().clone(),
            inputs: recording.inputs.to_vec(),
            documents: DocumentsFile::of(&recording.documents),
        },
        fuel: FuelFile { request: request_fuel, granted: granted_fuel, init: init_fuel, call: call_fuel },
        outcome: outcome_of(outcome),
        results: results_of(outcome),
        journal: recording.journal.clone(),
    };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(|error| {
        Problem::new(ErrorCode::HostFault, format!("the capsule cannot be written: {error}"))
    })?;
    bytes.push(b'\n');
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("a capsule of {} bytes is not kept, {MAX_FILE_BYTES} is the most", bytes.len());
        return Err(Problem::new(ErrorCode::HostFault, message));
    }
    Ok(bytes)
}

fn outcome_of(outcome: &Result<InvocationReply, Problem>) -> OutcomeFile {
    match outcome {
        Ok(reply) => OutcomeFile::Documents(DocumentsFile::of(&reply.documents)),
        Err(problem) => OutcomeFile::Error(ErrorFile {
            code: problem.code().as_str().to_owned(),
            grpc: problem.grpc().as_str().to_owned(),
            message: problem.message().to_owned(),
            limit: problem.limit_passed().map(|(kind, value)| (kind.as_str().to_owned(), value)),
            details: problem.details().cloned(),
            from_outside: is_ended_from_outside(problem),
        }),
    }
}

fn results_of(outcome: &Result<InvocationReply, Problem>) -> Option<String> {
    let results = outcome.as_ref().ok()?.results.as_ref()?;
    serde_json::to_string(results.object()).ok()
}

impl OutcomeFile {
    fn words(&self, results: Option<&str>) -> String {
        match self {
            OutcomeFile::Documents(documents) => match results {
                Some(results) => format!("{}, and beside them {}", documents.words(), shorten(results)),
                None => documents.words(),
            },
            OutcomeFile::Error(error) => format!("{}: {}", error.code, error.message),
        }
    }
}

fn shorten(text: &str) -> String {
    let mut characters = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut short: String = characters.by_ref().take(SHOWN_CHARACTERS).collect();
    if characters.next().is_some() {
        short.push_str("...");
    }
    short
}

impl Capsule {
    /// Reads a capsule of anybody's.
    pub fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let invalid =
            |what: String| Problem::new(ErrorCode::InvalidRequest, format!("this is no capsule: {what}"));
        if bytes.len() > MAX_FILE_BYTES {
            return Err(invalid(format!("it has {} bytes, {MAX_FILE_BYTES} is the most", bytes.len())));
        }
        #[derive(Deserialize)]
        struct Head {
            capsule: u32,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        if head.capsule != VERSION {
            return Err(invalid(format!("it has version {}, this host reads {VERSION}", head.capsule))
                .with_hint("replay it with the lockgate that wrote it"));
        }
        serde_json::from_slice(bytes).map(Self).map_err(|error| invalid(error.to_string()))
    }

    /// The component that it needs.
    pub fn digest(&self) -> ComponentDigest {
        self.0.digest
    }

    /// The executor that it was.
    pub fn executor(&self) -> &ExecutorName {
        &self.0.executor
    }

    /// The engine that ran it.
    pub fn engine(&self) -> &str {
        &self.0.engine
    }

    /// Names of the secrets that its configuration refers to.
    pub fn secrets(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut values: Vec<&Value> = self.0.configuration.values().collect();
        while let Some(value) = values.pop() {
            match value {
                Value::Object(map) => match secret_name(map) {
                    Some(name) => {
                        names.insert(name.to_owned());
                    }
                    None => values.extend(map.values()),
                },
                Value::Array(items) => values.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        names
    }

    fn recording(&self) -> Result<Recording, Problem> {
        let File { request, fuel, limits, journal, .. } = &self.0;
        let invalid = |what: String| {
            Problem::new(ErrorCode::InvalidRequest, format!("the capsule's request is none: {what}"))
        };
        let documents = request.documents.clone().into_list(limits).map_err(invalid)?;
        let endpoint = Endpoint::parse(&request.endpoint).map_err(|error| invalid(error.to_string()))?;
        Ok(Recording {
            endpoint,
            documents,
            parameters: Parameters::new(request.parameters.clone()),
            inputs: request.inputs.clone().into(),
            request: RequestId::accept(&request.id),
            headers: Headers::new(request.headers.clone()),
            request_fuel: fuel.request,
            granted_fuel: fuel.granted,
            init_fuel: fuel.init,
            call_fuel: fuel.call,
            journal: journal.clone(),
        })
    }
}

fn secret_name(map: &Map<String, Value>) -> Option<&str> {
    map.get(SECRET).filter(|_| map.len() == 1)?.as_str()
}

/// Puts secrets in their places; those that are not known stay as their names.
fn fill(value: &mut Value, secrets: &Map<String, Value>) {
    if let Value::Object(map) = value {
        if let Some(known) = secret_name(map).and_then(|name| secrets.get(name)) {
            *value = known.clone();
            return;
        }
        map.values_mut().for_each(|value| fill(value, secrets));
    } else if let Value::Array(items) = value {
        items.iter_mut().for_each(|value| fill(value, secrets));
    }
}

impl Node {
    /// Runs a capsule's request again in a pool of its own, on the bytes of its component.
    pub async fn replay(
        &self,
        capsule: &Capsule,
        component: Vec<u8>,
        secrets: &Map<String, Value>,
    ) -> Result<Verdict, Problem> {
        let recording = capsule.recording()?;
        let file = &capsule.0;
        let component = self.load(component).await?;
        if component.digest() != file.digest {
            let message =
                format!("the component is {}, the capsule needs {}", component.digest(), file.digest);
            return Err(Problem::new(ErrorCode::InvalidRequest, message));
        }
        let mut configuration = Value::Object(file.configuration.clone());
        fill(&mut configuration, secrets);
        let configuration = match configuration {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let setup = PoolSetup {
            limits: file.limits,
            configuration,
            capabilities: file.capabilities.clone(),
            key_value: Some(std::sync::Arc::new(MemoryStore::default())),
            ..PoolSetup::new(file.executor.clone(), component, ONE)
        };
        let from_outside = matches!(&file.outcome, OutcomeFile::Error(error) if error.from_outside);
        let pool = InstancePool::new(self.runtime(), setup);
        let replay = pool.replay(&recording, from_outside).await?;
        let missing = capsule.secrets().into_iter().filter(|name| !secrets.contains_key(name)).collect();
        Ok(verdict(file, replay, missing))
    }
}

/// One instance for one call.
const ONE: PoolOptions = PoolOptions {
    min: 0,
    max: 1,
    mode: InstanceMode::Fresh,
    queue: 1,
    grow_after_ms: 1,
    idle_ms: 1,
    max_calls: None,
    recycle_memory_bytes: None,
};

fn verdict(file: &File, replay: Replay, missing_secrets: Vec<String>) -> Verdict {
    let Replay { outcome, init_fuel, call_fuel, divergence, is_stopped } = replay;
    let (outcome, results) = (outcome_of(&outcome), results_of(&outcome));
    let recorded_words = file.outcome.words(file.results.as_deref());
    let recorded = Ending { outcome: recorded_words, init_fuel: file.fuel.init, call_fuel: file.fuel.call };
    let words = if is_stopped {
        "stopped where the recording ended".into()
    } else {
        outcome.words(results.as_deref())
    };
    let replayed = Ending { outcome: words, init_fuel, call_fuel };
    let same_fuel = (recorded.init_fuel, recorded.call_fuel) == (init_fuel, call_fuel);
    let same_outcome = outcome == file.outcome && results == file.results;
    let is_same = divergence.is_none() && (is_stopped || same_fuel && same_outcome);
    Verdict { is_same, recorded, replayed, divergence, is_stopped, missing_secrets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_files_are_refused_in_words() {
        let check = |text: &str, words: &str| {
            let problem = Capsule::read(text.as_bytes()).unwrap_err();
            assert!(problem.message().contains(words), "{problem}");
        };
        check("", "no capsule");
        check("[]", "no capsule");
        check(r#"{"capsule": 2}"#, "version 2");
        check(r#"{"capsule": 1}"#, "missing field");
        check(&"[".repeat(100_000), "no capsule");
    }

    #[test]
    fn secrets_are_named_and_filled_in() {
        let mut value = serde_json::json!({"key": {"$secret": "openai"}, "list": [{"$secret": "other"}, 1]});
        let secrets = serde_json::json!({"openai": "sk-1"});
        fill(&mut value, secrets.as_object().unwrap());
        assert_eq!(value, serde_json::json!({"key": "sk-1", "list": [{"$secret": "other"}, 1]}));
    }
}
