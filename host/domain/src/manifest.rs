//! What a component says about itself: the JSON that its `describe` returns.
//!
//! The text comes from a stranger. It is parsed into this closed shape with bounds on size and counts; whatever else
//! it holds is ignored, so that newer guests run on older hosts.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hosting::GoldenExample;
use crate::ids::EndpointName;

/// Self-description of a component.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// The author's name for the executor.
    #[serde(default)]
    pub name: String,
    /// The author's version.
    #[serde(default)]
    pub version: String,
    /// One paragraph.
    #[serde(default)]
    pub description: String,
    /// Whether an instance keeps something between calls that later calls need (an index in memory, say). Such an
    /// executor runs as one instance that is reused and never expires, unless the flow says otherwise.
    #[serde(default)]
    pub stateful: bool,
    /// What it answers to.
    pub endpoints: Vec<EndpointManifest>,
    /// Input and expected output that its author ships with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<GoldenExample>,
}

/// One endpoint of a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointManifest {
    /// Such as `/index`; `/default` serves what no other endpoint does.
    pub name: EndpointName,
    /// One paragraph.
    #[serde(default)]
    pub description: String,
    /// Columns it reads; informational.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Columns it writes; informational.
    #[serde(default)]
    pub writes: Vec<String>,
    /// JSON Schema of its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// Whether it emits documents before it returns.
    #[serde(default)]
    pub streaming: bool,
}

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Too many bytes.
    #[error("the manifest has {len} bytes, at most {limit} are read", limit = Manifest::MAX_BYTES)]
    TooLong {
        /// bytes given
        len: usize,
    },
    /// Not the JSON that the contract asks for.
    #[error("the manifest is not what the contract asks for: {reason}")]
    Malformed {
        /// the parser's words
        reason: String,
    },
    /// Too many endpoints.
    #[error("the manifest lists {count} endpoints, at most {limit} are taken", limit = Manifest::MAX_ENDPOINTS)]
    TooManyEndpoints {
        /// endpoints given
        count: usize,
    },
    /// Too many examples.
    #[error("the manifest holds {count} examples, at most {limit} are run", limit = Manifest::MAX_EXAMPLES)]
    TooManyExamples {
        /// examples given
        count: usize,
    },
    /// The same endpoint twice.
    #[error("the manifest lists endpoint {0} twice")]
    DuplicateEndpoint(EndpointName),
}

impl Manifest {
    /// Longest manifest in bytes.
    pub const MAX_BYTES: usize = 256 << 10;
    /// Most endpoints.
    pub const MAX_ENDPOINTS: usize = 256;
    /// Most examples.
    pub const MAX_EXAMPLES: usize = 64;

    /// Reads what `describe` returned.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > Self::MAX_BYTES {
            return Err(ManifestError::TooLong { len: text.len() });
        }
        let manifest: Self = serde_json::from_str(text)
            .map_err(|error| ManifestError::Malformed { reason: error.to_string() })?;
        if manifest.endpoints.len() > Self::MAX_ENDPOINTS {
            return Err(ManifestError::TooManyEndpoints { count: manifest.endpoints.len() });
        }
        if manifest.examples.len() > Self::MAX_EXAMPLES {
            return Err(ManifestError::TooManyExamples { count: manifest.examples.len() });
        }
        for (index, endpoint) in manifest.endpoints.iter().enumerate() {
            if manifest.endpoints.iter().take(index).any(|earlier| earlier.name == endpoint.name) {
                return Err(ManifestError::DuplicateEndpoint(endpoint.name.clone()));
            }
        }
        Ok(manifest)
    }

    /// The endpoint that serves a request for `wanted`: itself, else the fallback, else none (the documents pass
    /// through unchanged).
    pub fn resolve(&self, wanted: &EndpointName) -> Option<&EndpointManifest> {
        let find = |name: &str| self.endpoints.iter().find(|endpoint| endpoint.name.as_str() == name);
        find(wanted.as_str()).or_else(|| find(EndpointName::FALLBACK))
    }
}
