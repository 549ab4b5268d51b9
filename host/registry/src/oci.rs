//! Components from OCI registries, in the wasm artefact format that `wkg` and Spin write: one layer, which is the component.
//!
//! Only registries that the operator named are asked, with the operator's credentials: a tenant chooses what is pulled
//! from them and nothing else. A manifest is a stranger's text as well: addresses in it are never followed, sizes in it
//! are only believed if they are too large, and the bytes are compared with their digest as they come. Bounded by [`MAX_REFERENCE_BYTES`], the
//! caller's `max_bytes` and [`OciOptions::time_limit`].

mod faults;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use lockgate_domain::{ErrorCode, LimitKind, Problem};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Longest reference in bytes.
pub const MAX_REFERENCE_BYTES: usize = 512;
/// Layers of one manifest at most.
const MAX_LAYERS: usize = 128;
/// Media types of a layer that is a component: today's, and the one before.
const WASM_LAYERS: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
/// How long a registry may take to be reached, and between two pieces of an answer.
const CONNECT_TIME: Duration = Duration::from_secs(10);
const PIECE_TIME: Duration = Duration::from_secs(30);

/// From where components may be pulled.
#[derive(Debug, Clone, Default)]
pub struct OciOptions {
    /// The registries; none means that nothing is pulled.
    pub registries: Vec<OciRegistry>,
    /// How long one pull may take; none means ten minutes.
    pub time_limit: Option<Duration>,
}

/// One registry that the operator trusts.
#[derive(Clone)]
pub struct OciRegistry {
    /// Its name as it stands in references: `ghcr.io`, `localhost:5000`.
    pub host: String,
    /// Whether it speaks HTTP without TLS.
    pub plain_http: bool,
    /// Credentials of the operator. Whatever they open, every tenant of this host may pull.
    pub credentials: Option<OciCredentials>,
    /// Certificates in PEM that count as roots, besides the system's.
    pub roots_pem: Option<Vec<u8>>,
}

/// A name and a password or access token.
#[derive(Clone)]
pub struct OciCredentials {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Zeroizing<String>,
}

/// Pulls components.
pub struct OciPuller {
    registries: BTreeMap<String, RegistryAuth>,
    client: Client,
    time_limit: Duration,
}

/// A component on its way.
pub struct OciPull {
    /// What was asked for, with the digest of the manifest that was found: pulling this gives the same bytes.
    pub resolved: String,
    /// Bytes that the manifest announces.
    pub announced: u64,
    reference: Reference,
    pieces: BoxStream<'static, Result<Bytes, std::io::Error>>,
    left: u64,
    max_bytes: u64,
    deadline: Instant,
}

// === impl OciPuller ===

impl OciPuller {
    /// Prepares connections; opens none.
    pub fn new(options: OciOptions) -> Result<Self, Problem> {
        let mut registries = BTreeMap::new();
        let mut plain = Vec::new();
        let mut roots = Vec::new();
        for registry in options.registries {
            let host = check_host(&registry.host)?;
            if registry.plain_http {
                plain.push(host.clone());
            }
            roots.extend(
                registry.roots_pem.map(|data| Certificate { encoding: CertificateEncoding::Pem, data }),
            );
            let auth = registry.credentials.map_or(RegistryAuth::Anonymous, |credentials| {
                RegistryAuth::Basic(credentials.name, credentials.password.as_str().to_owned())
            });
            if registries.insert(host, auth).is_some() {
                let host = &registry.host;
                return Err(invalid(format!("the OCI registry {host:?} is named twice")));
            }
        }
        install_tls();
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(plain),
            extra_root_certificates: roots,
            platform_resolver: None,
            read_timeout: Some(PIECE_TIME),
            connect_timeout: Some(CONNECT_TIME),
            user_agent: concat!("lockgate/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| {
            let why = faults::shown(&faults::chain(&error));
            Problem::new(
                ErrorCode::HostFault,
                format!("components cannot be pulled from OCI registries: {why}"),
            )
        })?;
        let time_limit = options.time_limit.unwrap_or(Duration::from_secs(600));
        Ok(Self { registries, client, time_limit })
    }

    /// Finds a component of at most `max_bytes` and starts to read it.
    pub async fn pull(&self, reference: &str, max_bytes: u64) -> Result<OciPull, Problem> {
        let reference = parse(reference)?;
        let auth = self.registries.get(reference.registry()).ok_or_else(|| self.not_allowed(&reference))?;
        let deadline = Instant::now() + self.time_limit;
        let found = async {
            let manifest = self.client.pull_manifest(&reference, auth).await;
            let (manifest, manifest_digest) = manifest.map_err(|error| faults::of(&reference, &error))?;
            let layer = component_layer(&reference, &manifest)?;
            let announced = u64::try_from(layer.size).unwrap_or(0);
            if announced > max_bytes {
                return Err(too_large(&reference, max_bytes));
            }
            // The digest alone: a descriptor may carry addresses of its own, which the client would ask.
            let layer = OciDescriptor { digest: layer.digest.clone(), ..OciDescriptor::default() };
            let blob = self.client.pull_blob_stream(&reference, &layer).await;
            let blob = blob.map_err(|error| faults::of(&reference, &error))?;
            if blob.content_length.is_some_and(|length| length > max_bytes) {
                return Err(too_large(&reference, max_bytes));
            }
            let resolved = reference.clone_with_digest(manifest_digest).whole();
            Ok((resolved, announced, blob.stream))
        };
        let found = tokio::time::timeout_at(deadline, found).await;
        let (resolved, announced, pieces) = found.map_err(|_| faults::too_slow(&reference))??;
        Ok(OciPull { resolved, announced, reference, pieces, left: max_bytes, max_bytes, deadline })
    }

    fn not_allowed(&self, reference: &Reference) -> Problem {
        let host = reference.registry();
        let message = format!("components are not pulled from the OCI registry {host:?}");
        let allowed: Vec<&str> = self.registries.keys().map(String::as_str).collect();
        Problem::new(ErrorCode::PermissionDenied, message).with_hint(match allowed.as_slice() {
            [] => "the operator of this host has allowed no OCI registry; upload the file itself".to_owned(),
            allowed => format!("the operator of this host allows: {}", allowed.join(", ")),
        })
    }
}

impl fmt::Debug for OciPuller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.registries.keys()).finish()
    }
}

impl fmt::Debug for OciRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OciRegistry({})", self.host)
    }
}

impl fmt::Debug for OciCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OciCredentials({})", self.name)
    }
}

// === impl OciPull ===

impl OciPull {
    /// The next piece; none at the end, and only if all pieces together have the digest that the manifest names. Until
    /// then nothing of it may be believed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let piece = tokio::time::timeout_at(self.deadline, self.pieces.next()).await;
        match piece.map_err(|_| faults::too_slow(&self.reference))? {
            None => Ok(None),
            Some(Err(error)) => Err(faults::of(&self.reference, &error.into())),
            Some(Ok(bytes)) => {
                let left = self.left.checked_sub(bytes.len() as u64);
                self.left = left.ok_or_else(|| too_large(&self.reference, self.max_bytes))?;
                Ok(Some(bytes))
            }
        }
    }

    /// The pieces as a stream; it ends with the first error.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, Problem>> {
        futures_util::stream::try_unfold(self, async |mut pull| {
            Ok(pull.next().await?.map(|bytes| (bytes, pull)))
        })
        .boxed()
    }
}

impl fmt::Debug for OciPull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OciPull({})", self.resolved)
    }
}

/// What a reference says, before any registry is asked.
fn parse(text: &str) -> Result<Reference, Problem> {
    if text.len() > MAX_REFERENCE_BYTES {
        let len = text.len();
        let message = format!("an OCI reference has at most {MAX_REFERENCE_BYTES} bytes, this one has {len}");
        return Err(invalid(message));
    }
    Reference::try_from(text).map_err(|error| {
        invalid(format!("{text:?} is no OCI reference: {error}"))
            .with_hint("write HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:DIGEST")
    })
}

fn check_host(host: &str) -> Result<String, Problem> {
    let probe = format!("{host}/a/b:c");
    match Reference::try_from(probe.as_str()) {
        Ok(reference) if reference.registry() == host && reference.repository() == "a/b" => {
            Ok(host.to_owned())
        }
        Ok(_) | Err(_) => {
            let host: String = host.chars().take(80).collect();
            Err(invalid(format!("{host:?} is no host of an OCI registry"))
                .with_hint("write a name such as ghcr.io or localhost:5000"))
        }
    }
}

/// The one layer of a manifest that is a component.
fn component_layer<'a>(
    reference: &Reference,
    manifest: &'a OciManifest,
) -> Result<&'a OciDescriptor, Problem> {
    let manifest: &OciImageManifest = match manifest {
        OciManifest::Image(manifest) => manifest,
        OciManifest::ImageIndex(_) => {
            let message = format!("{} is an index of several artefacts, not one component", shown(reference));
            return Err(not_a_component(message).with_hint(
                "name the manifest of the component by its digest: HOST/REPOSITORY@sha256:DIGEST",
            ));
        }
    };
    if manifest.layers.len() > MAX_LAYERS {
        let count = manifest.layers.len();
        let message = format!("{} has {count} layers; at most {MAX_LAYERS} are looked at", shown(reference));
        return Err(not_a_component(message));
    }
    let mut components =
        manifest.layers.iter().filter(|layer| WASM_LAYERS.contains(&layer.media_type.as_str()));
    match (components.next(), components.next()) {
        (Some(layer), None) => Ok(layer),
        (Some(_), Some(_)) => Err(not_a_component(format!("{} has several wasm layers", shown(reference)))
            .with_hint("an artefact of one component has one: wkg oci push REFERENCE FILE")),
        (None, _) => {
            let media_type = faults::shown(&manifest.config.media_type);
            let message = format!("{} holds no wasm component (its kind is {media_type})", shown(reference));
            Err(not_a_component(message)
                .with_hint("push the component as a wasm artefact: wkg oci push REFERENCE FILE"))
        }
    }
}

/// TLS has one provider for the process; whoever comes first installs it.
fn install_tls() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // It fails only if somebody else was faster, and then there is one.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

fn shown(reference: &Reference) -> String {
    format!("the OCI artefact {}", reference.whole())
}

fn invalid(message: String) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, message)
}

fn not_a_component(message: String) -> Problem {
    Problem::new(ErrorCode::InvalidComponent, message)
}

fn too_large(reference: &Reference, max_bytes: u64) -> Problem {
    let message = format!("{} is larger than {max_bytes} bytes", shown(reference));
    Problem::request_limit(LimitKind::RequestBytes, max_bytes, message)
}

#[cfg(test)]
mod tests;
