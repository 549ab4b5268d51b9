//! What tenants upload and deploy: components, executors with revisions and tags, deployments, flows.
//!
//! `*Spec` is what somebody asks for, the type without it what the registry keeps. All of them are the control API's
//! JSON as well. Which of them may be changed is decided in the registry: components and revisions never are.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::capability::{Capabilities, CapabilityKind};
use crate::ids::{ComponentDigest, EndpointName, ExecutorName, FlowName, NameError, SigningKeyName, TagName};
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::spec::InstanceMode;
use crate::timestamp::Timestamp;

// === components ===

/// A component that a tenant keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StoredComponent {
    /// SHA-256 of its bytes.
    pub digest: ComponentDigest,
    /// Bytes.
    pub size: u64,
    /// When it was uploaded first.
    pub uploaded_at: Timestamp,
    /// The principal that uploaded it first.
    pub uploaded_by: String,
    /// The OCI reference it was pulled from, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulled_from: Option<String>,
    /// The tenant's key that signed it, if a valid signature came with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<SigningKeyName>,
    /// What was found out at the door.
    pub report: ComponentReport,
}

/// What a host finds out about a component before anybody may use it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ComponentReport {
    /// What it says about itself.
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub manifest: Manifest,
    /// The interfaces it imports, in its own order.
    pub imports: Vec<ImportReport>,
    /// The names it exports.
    pub exports: Vec<String>,
    /// Milliseconds that compiling took; none if the machine code was there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compile_ms: Option<f64>,
    /// Peak memory of the compiling process in bytes; none if it was not compiled apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compile_memory_bytes: Option<u64>,
    /// Bytes of machine code.
    pub code_bytes: u64,
    /// Microseconds of instantiating it for its `describe`.
    pub instantiate_us: f64,
    /// The engine that compiled it; another one compiles and examines again.
    pub engine: String,
}

impl ComponentReport {
    /// The capabilities that its imports ask for, each once.
    pub fn needs(&self) -> std::collections::BTreeSet<CapabilityKind> {
        self.imports.iter().filter_map(|import| import.needs).collect()
    }
}

/// One imported interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ImportReport {
    /// Full name with version.
    pub interface: String,
    /// Whose interface it is: `lockgate` or `wasi`.
    pub owner: String,
    /// The capability without which a revision that uses it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs: Option<CapabilityKind>,
}

// === revisions and tags ===

/// Number of a revision: 1, 2, 3 ... within its executor, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = u32, minimum = 1))]
pub struct RevisionNumber(pub NonZeroU32);

impl RevisionNumber {
    /// The first one.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for RevisionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RevisionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What somebody wants to run: one atomic unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RevisionSpec {
    /// The component.
    pub component: ComponentDigest,
    /// What the guest reads as its configuration. A value `{"$secret": "NAME"}` is replaced by the secret when an
    /// instance starts; the capabilities must name it.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub configuration: Map<String, Value>,
    /// Ceilings of one call and one instance.
    #[serde(default)]
    pub limits: Limits,
    /// What it may reach.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Input and expected output, run before traffic reaches the revision and whenever the engine changes. Those of the
    /// component's own manifest come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<GoldenExample>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// An immutable revision of an executor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Revision {
    /// Its number.
    pub number: RevisionNumber,
    /// What it is.
    pub spec: RevisionSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// The principal that made it.
    pub created_by: String,
    /// Whether traffic may reach it.
    pub state: RevisionState,
    /// What its golden examples gave when they ran last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<ExampleOutcome>,
    /// The engine under which they ran.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub examined_with: String,
}

/// Whether traffic may reach a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RevisionState {
    /// It may.
    Ready,
    /// Somebody has to approve what it is granted first.
    AwaitsApproval {
        /// what it is granted beyond the revision before
        added: Vec<String>,
    },
    /// It never will.
    Refused {
        /// why, and by whom
        reason: String,
    },
}

/// Input of an endpoint and what must come out, in the JSON of the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GoldenExample {
    /// Such as `/search`.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub endpoint: EndpointName,
    /// The request's parameters.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub parameters: Map<String, Value>,
    /// The request's documents.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<Object>))]
    pub data: Vec<Value>,
    /// The expected documents, in order. Only the fields that stand here are compared; numbers within `tolerance`.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<Object>))]
    pub expect: Vec<Value>,
    /// Largest difference of two numbers that count as equal.
    #[serde(default)]
    pub tolerance: f64,
}

/// What one golden example gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ExampleOutcome {
    /// The endpoint that was called.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub endpoint: EndpointName,
    /// Fuel that it burned.
    pub fuel: u64,
    /// Where the answer differs first, or why there is none; none if all is as expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

/// Where a tag points, and where it pointed before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Tag {
    /// Its name.
    pub name: TagName,
    /// The revision.
    pub revision: RevisionNumber,
    /// Revisions before, the latest first; rolling back goes to the first of them.
    pub before: Vec<RevisionNumber>,
    /// When it was moved last.
    pub moved_at: Timestamp,
    /// Number of its moves; the entity tag of the API.
    pub etag: u64,
}

impl Tag {
    /// How many revisions before are remembered.
    pub const REMEMBERED: usize = 32;
}

/// An executor as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Executor {
    /// Its name.
    pub name: ExecutorName,
    /// When its first revision was made.
    pub created_at: Timestamp,
    /// Its newest revision.
    pub newest: RevisionNumber,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// How it is deployed, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
}

/// A revision, named by its number (`@3`) or by a tag (`stable`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// Always this one.
    Revision(RevisionNumber),
    /// Whatever the tag points at.
    Tag(TagName),
}

#[cfg(feature = "schema")]
impl utoipa::PartialSchema for Target {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

#[cfg(feature = "schema")]
impl utoipa::ToSchema for Target {}

impl Default for Target {
    fn default() -> Self {
        Self::Tag(TagName::latest())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Revision(number) => write!(f, "@{number}"),
            Target::Tag(tag) => tag.fmt(f),
        }
    }
}

/// The text names no revision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// After `@` there is no number.
    #[error("{0:?} is no revision; write @ and its number, such as @3")]
    NotANumber(String),
    /// It is no tag.
    #[error(transparent)]
    NotATag(#[from] NameError),
}

impl FromStr for Target {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text.strip_prefix('@') {
            Some(number) => number
                .parse()
                .map(|number| Self::Revision(RevisionNumber(number)))
                .map_err(|_| TargetError::NotANumber(text.chars().take(40).collect())),
            None => Ok(Self::Tag(text.parse()?)),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;
    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}

/// An executor of the same tenant and which revision of it: `shout`, `shout:stable` or `shout@3`. Without a revision
/// the executor's deployment decides, canary and shadow included.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutorReference {
    /// The executor.
    pub executor: ExecutorName,
    /// The revision; none leaves it to the deployment.
    pub target: Option<Target>,
}

impl FromStr for ExecutorReference {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(at) = text.find('@') {
            let (name, number) = text.split_at(at);
            return Ok(Self { executor: name.parse()?, target: Some(number.parse()?) });
        }
        match text.split_once(':') {
            Some((name, tag)) => {
                Ok(Self { executor: name.parse()?, target: Some(Target::Tag(tag.parse()?)) })
            }
            None => Ok(Self { executor: text.parse()?, target: None }),
        }
    }
}

impl fmt::Display for ExecutorReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            None => self.executor.fmt(f),
            Some(Target::Tag(tag)) => write!(f, "{}:{tag}", self.executor),
            Some(Target::Revision(number)) => write!(f, "{}@{number}", self.executor),
        }
    }
}

// === deployments ===

/// How an executor is deployed, as somebody asked for it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeploymentSpec {
    /// Where traffic goes.
    pub primary: Target,
    /// A part of it goes to another revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// A part of it also runs on another revision, whose answers are compared and thrown away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowSpec>,
    /// How many instances, and how long they live.
    pub scale: Scale,
    /// Which requests are kept for replay.
    pub capsules: CapsulePolicy,
}

/// A deployment as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Deployment {
    /// The executor.
    pub executor: ExecutorName,
    /// What was asked for.
    pub spec: DeploymentSpec,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// Number of its changes; the entity tag of the API.
    pub etag: u64,
}

/// A part of the traffic on another revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Canary {
    /// The other revision.
    pub target: Target,
    /// Its part in percent, 0 to 100.
    pub percent: f64,
}

/// A part of the traffic on another revision as well, to compare.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ShadowSpec {
    /// The other revision.
    pub target: Target,
    /// The part in percent, 0 to 100.
    pub percent: f64,
    /// Requests that must have been compared before anything is decided.
    #[serde(default = "ShadowSpec::usual_requests")]
    pub decide_after: u64,
    /// What counts as the same.
    #[serde(default)]
    pub accept: ShadowBounds,
    /// What to do once enough was compared.
    #[serde(default)]
    pub decision: ShadowDecision,
}

impl ShadowSpec {
    fn usual_requests() -> u64 {
        1000
    }
}

/// How far a shadow's answers may be from those that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ShadowBounds {
    /// Part of the requests whose answers may differ, 0 to 1.
    pub differing_requests: f64,
    /// Cosine distance of two embeddings that count as equal.
    pub embedding_distance: f64,
    /// Fuel over the primary's fuel, on average.
    pub fuel_ratio: f64,
    /// Time over the primary's time, on average.
    pub latency_ratio: f64,
}

impl Default for ShadowBounds {
    fn default() -> Self {
        Self { differing_requests: 0.0, embedding_distance: 1e-3, fuel_ratio: 1.5, latency_ratio: 2.0 }
    }
}

/// What to do once enough was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ShadowDecision {
    /// Nothing: a person reads the report.
    #[default]
    Report,
    /// Within the bounds the primary tag moves to the revision; outside the revision is refused.
    PromoteOrRefuse,
}

/// What was compared so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ShadowReport {
    /// The revision that answered callers.
    pub primary: RevisionNumber,
    /// The revision that ran beside it.
    pub shadow: RevisionNumber,
    /// Requests compared.
    pub requests: u64,
    /// Requests that were to be compared and were not, because the host was busy.
    pub skipped: u64,
    /// Documents compared.
    pub documents: u64,
    /// Requests with any difference beyond the bounds.
    pub differing_requests: u64,
    /// Requests that the shadow failed and the primary answered.
    pub failed_requests: u64,
    /// Documents whose text differs.
    pub text_differences: u64,
    /// Documents whose tags differ.
    pub tag_differences: u64,
    /// Documents whose other fields differ.
    pub other_differences: u64,
    /// Largest cosine distance of two embeddings.
    pub max_embedding_distance: f64,
    /// The shadow's fuel over the primary's, on average.
    pub fuel_ratio: f64,
    /// The shadow's time over the primary's, on average.
    pub latency_ratio: f64,
    /// Some differences in words, the first ones found.
    pub samples: Vec<String>,
    /// What was decided, if anything.
    pub verdict: ShadowVerdict,
}

/// What became of a shadow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ShadowVerdict {
    /// Still comparing.
    #[default]
    Comparing,
    /// Enough was compared, all within the bounds.
    Within,
    /// Enough was compared, and this is outside.
    Outside {
        /// the bounds that were passed, in words
        reasons: Vec<String>,
    },
}

/// How many instances an executor has, and how long they live. What is left out follows from the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Scale {
    /// Instances kept even when idle; 0 unless it is stateful.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Most instances at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Whether an instance serves one call or many; fresh unless it is stateful.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<InstanceMode>,
    /// Requests that may wait for an instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Milliseconds after which an idle instance above `min` is retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// Calls after which an instance is retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u64>,
}

/// Which requests are kept as replay capsules. An executor that keeps any runs each call in a fresh instance, because
/// only then the capsule holds everything that the outcome depends on.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CapsulePolicy {
    /// Requests that the executor fails.
    pub failures: bool,
    /// This part of all others in percent, 0 to 100.
    pub sample_percent: f64,
}

impl CapsulePolicy {
    /// Whether any request is kept.
    pub fn keeps_any(&self) -> bool {
        self.failures || self.sample_percent > 0.0
    }
}

// === flows ===

/// A flow that a tenant serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StoredFlow {
    /// Its name.
    pub name: FlowName,
    /// The YAML that somebody wrote; `uses` names executors of the tenant: `shout`, `shout:stable` or `shout@3`.
    pub yaml: String,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// Number of its changes; the entity tag of the API.
    pub etag: u64,
}
