//! What goes to the machines: a flow file, its components, and the image that carries them.

use lockgate_domain::{ComponentDigest, ErrorCode, FlowSpec, Problem};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Where the flow file is in a container.
pub const FLOW_FILE: &str = "/flow/flow.yml";
/// Port inside a container, whatever the flow says about this machine's.
pub(crate) const PORT: u16 = 8080;
/// Who runs in a container: nobody in particular.
pub(crate) const USER: u32 = 65532;
/// Seconds that requests in progress have when a container ends, and that the container has in all.
pub(crate) const DRAIN_SECONDS: u32 = 25;
pub(crate) const END_SECONDS: u32 = 30;

/// Certificate and key in a container, by the names that Kubernetes gives them.
pub(crate) const CERTIFICATE: [&str; 2] = ["/tls/tls.crt", "/tls/tls.key"];

/// Longest flow file that a ConfigMap takes beside its own fields.
const MAX_FLOW_BYTES: usize = 1_000_000;

/// A flow that is ready to be packed.
#[derive(Debug, Clone)]
pub struct Bundle<'a> {
    /// What the flow says.
    pub spec: &'a FlowSpec,
    /// Its file, in which each `uses` is a component's path in the container.
    pub flow_file: &'a str,
    /// Variables that the file takes from the environment.
    pub variables: &'a [String],
    /// Its components.
    pub components: &'a [BundledComponent],
}

/// A component in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundledComponent {
    /// Its file's name, unique in the bundle.
    pub file: String,
    /// What is in it.
    pub digest: ComponentDigest,
}

impl BundledComponent {
    /// Where it is in a container.
    pub fn path(&self) -> String {
        format!("/flow/components/{}", self.file)
    }
}

/// A rendered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its path in the folder of the export, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl Manifest {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    pub(crate) fn yaml(path: &str, value: &Value) -> Result<Self, Problem> {
        let text = serde_saphyr::to_string(value)
            .map_err(|error| Problem::new(ErrorCode::HostFault, format!("cannot write {path}: {error}")))?;
        Ok(Self::new(path, text))
    }
}

impl Bundle<'_> {
    /// The flow's name as Kubernetes and Compose take it: a DNS label with room for suffixes.
    pub(crate) fn name(&self) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.spec.name.as_str().chars().map(letter).take(45).collect();
        let name = name.trim_matches('-');
        match name.chars().next() {
            Some(first) if first.is_ascii_alphabetic() => name.to_owned(),
            Some(_) => format!("flow-{name}"),
            None => "flow".to_owned(),
        }
    }

    /// The image's name; if none is given, its tag follows from what is in it.
    pub fn image_name(&self, given: Option<&str>) -> String {
        if let Some(given) = given {
            return given.to_owned();
        }
        let mut digests: Vec<String> = self
            .components
            .iter()
            .map(|component| format!("{} {}\n", component.file, component.digest))
            .collect();
        digests.sort();
        format!("lockgate-{}:{}", self.name(), short_digest(digests.concat().as_bytes(), 12))
    }

    /// The Secret that holds the variables.
    pub fn secret_name(&self) -> String {
        format!("{}-env", self.name())
    }

    /// A name for this flow file and no other.
    pub(crate) fn flow_name(&self) -> String {
        format!("{}-flow-{}", self.name(), short_digest(self.flow_file.as_bytes(), 8))
    }

    /// What a container runs.
    pub(crate) fn command(&self) -> Vec<String> {
        let words = ["up", FLOW_FILE, "--host", "0.0.0.0", "--port"];
        let mut command: Vec<String> = words.map(str::to_owned).into();
        command.push(PORT.to_string());
        command
            .extend(["--cache-dir", "/cache", "--log-format", "json", "--drain-timeout"].map(str::to_owned));
        command.push(DRAIN_SECONDS.to_string());
        if self.has_certificate() {
            let [certificate, key] = CERTIFICATE.map(str::to_owned);
            command.extend(["--tls-cert".to_owned(), certificate, "--tls-key".to_owned(), key]);
        }
        command
    }

    /// Whether callers speak TLS with it.
    pub fn has_certificate(&self) -> bool {
        self.spec.gateway.tls.is_some()
    }

    /// The Secret that holds the certificate and its key.
    pub fn certificate_secret_name(&self) -> String {
        format!("{}-tls", self.name())
    }

    /// Whether an executor keeps something that other replicas do not see.
    pub(crate) fn keeps_state(&self) -> bool {
        self.spec.stages.iter().any(|stage| stage.capabilities.key_value.is_some())
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.flow_file.len() <= MAX_FLOW_BYTES {
            return Ok(());
        }
        let message = format!(
            "the flow file has {} bytes, at most {MAX_FLOW_BYTES} go into a ConfigMap",
            self.flow_file.len()
        );
        Err(Problem::new(ErrorCode::InvalidFlow, message)
            .with_hint("give long values in documents, not in the flow"))
    }
}

fn short_digest(bytes: &[u8], digits: usize) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .chars()
        .take(digits)
        .collect()
}

/// The recipe of the image: the command, and the components it serves. Both lie beside it.
pub fn image() -> Manifest {
    let text = format!(
        "# The command and the components; the flow file is mounted. Build it in this folder.\n\
         FROM debian:stable-slim\n\
         COPY --chmod=0755 lockgate /usr/local/bin/lockgate\n\
         COPY components /flow/components\n\
         USER {USER}:{USER}\n\
         EXPOSE {PORT}\n\
         ENTRYPOINT [\"/usr/local/bin/lockgate\"]\n"
    );
    Manifest::new("image/Dockerfile", text)
}
