//! What the tests of this crate share: a registry in a folder of its own, a clock that stands still, a scripted validator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use lockgate_domain::capability::CapabilityKind;
use lockgate_domain::hosting::{ComponentReport, ImportReport, RevisionSpec};
use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{ComponentDigest, ErrorCode, ExecutorName, Problem, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::access::{HostAccess, TenantAccess};
use crate::{
    Arrival, ComponentValidator, CreatedRevision, Examined, Registry, RegistryOptions, RevisionOptions,
    UploadTerms,
};

/// A registry with the tenants `acme` and `other`.
pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) registry: Registry,
    pub(crate) time: Arc<AtomicU64>,
}

pub(crate) const START_MS: u64 = 1_795_709_724_500;

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let time = Arc::new(AtomicU64::new(START_MS));
        let registry = Registry::open(options(&folder, &time)).unwrap();
        for name in ["acme", "other"] {
            registry.create_tenant(&host(), name.parse().unwrap(), TenantSettings::default()).unwrap();
        }
        Self { folder, registry, time }
    }

    /// Ends the registry and opens it again; `between` may damage what is on the disk.
    pub(crate) fn reopen(self, between: impl FnOnce(&std::path::Path)) -> Self {
        let Self { folder, registry, time } = self;
        drop(registry);
        between(folder.path());
        let registry = Registry::open(options(&folder, &time)).unwrap();
        Self { folder, registry, time }
    }

    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut TenantSettings)) {
        let name = "acme".parse().unwrap();
        let mut settings = self.registry.tenant(&name).unwrap().settings.clone();
        change(&mut settings);
        self.registry.put_tenant(&host(), &name, settings, crate::Precondition::Any).unwrap();
    }

    pub(crate) fn upload(
        &self,
        access: &TenantAccess,
        bytes: &[u8],
    ) -> Result<(ComponentDigest, Arrival), Problem> {
        let (component, arrival) =
            self.upload_with(access, bytes, &UploadTerms::default(), &Script::default())?;
        Ok((component, arrival))
    }

    pub(crate) fn upload_with(
        &self,
        access: &TenantAccess,
        bytes: &[u8],
        terms: &UploadTerms,
        script: &Script,
    ) -> Result<(ComponentDigest, Arrival), Problem> {
        let mut upload = self.registry.begin_upload(access)?;
        for chunk in bytes.chunks(7) {
            upload.write(chunk)?;
        }
        let (component, arrival) = upload.finish(terms, script)?;
        Ok((component.digest, arrival))
    }

    /// A revision of a component of one word, tagged and deployed as usual.
    pub(crate) fn publish(&self, executor: &str, word: &str) -> CreatedRevision {
        let (component, _) = self.upload(&acme(), word.as_bytes()).unwrap();
        self.create(executor, spec(component), &usual()).unwrap()
    }

    pub(crate) fn create(
        &self,
        executor: &str,
        spec: RevisionSpec,
        options: &RevisionOptions,
    ) -> Result<CreatedRevision, Problem> {
        let name: ExecutorName = executor.parse().unwrap();
        self.registry.create_revision(&acme(), &name, spec, Examined::default(), options)
    }
}

/// Says what its first word tells it to: `bad` is refused, `http` needs outbound HTTP.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) examined: AtomicUsize,
    pub(crate) engine: Option<&'static str>,
}

impl ComponentValidator for Script {
    fn examine(&self, digest: ComponentDigest, bytes: &[u8]) -> Result<ComponentReport, Problem> {
        assert_eq!(digest_of(bytes), digest);
        self.examined.fetch_add(1, Ordering::SeqCst);
        let text = String::from_utf8_lossy(bytes);
        if text.starts_with("bad") {
            return Err(Problem::new(ErrorCode::InvalidComponent, "it is bad"));
        }
        if text.starts_with("busy") {
            return Err(Problem::new(ErrorCode::Overloaded, "too many compilations"));
        }
        let import = ImportReport {
            interface: "wasi:http/outgoing-handler@0.2.0".into(),
            owner: "wasi".into(),
            needs: Some(CapabilityKind::Http),
        };
        let imports = if text.starts_with("http") { vec![import] } else { vec![] };
        Ok(ComponentReport { imports, engine: self.engine().into(), ..ComponentReport::default() })
    }

    fn engine(&self) -> &str {
        self.engine.unwrap_or("engine 1")
    }
}

pub(crate) fn options(folder: &tempfile::TempDir, time: &Arc<AtomicU64>) -> RegistryOptions {
    let time = Arc::clone(time);
    RegistryOptions {
        max_component_bytes: 1000,
        audit_entries: 5,
        clock: Arc::new(move || Timestamp::from_millis(time.load(Ordering::SeqCst))),
        ..RegistryOptions::new(folder.path().join("data"))
    }
}

pub(crate) fn host() -> HostAccess {
    HostAccess::of_host("test")
}

pub(crate) fn acme() -> TenantAccess {
    TenantAccess::of_host("acme".parse().unwrap(), "test")
}

pub(crate) fn other() -> TenantAccess {
    TenantAccess::of_host("other".parse().unwrap(), "test")
}

pub(crate) fn spec(component: ComponentDigest) -> RevisionSpec {
    serde_json::from_value(serde_json::json!({ "component": component })).unwrap()
}

pub(crate) fn usual() -> RevisionOptions {
    RevisionOptions { tag: Some("latest".parse().unwrap()), deploy: true, ..RevisionOptions::default() }
}

pub(crate) fn digest_of(bytes: &[u8]) -> ComponentDigest {
    ComponentDigest::from_sha256(Sha256::digest(bytes).into())
}

/// The code and the sentence of a refusal.
pub(crate) fn told<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
    let problem = result.unwrap_err();
    format!("{}: {}", problem.code().as_str(), problem.message())
}
