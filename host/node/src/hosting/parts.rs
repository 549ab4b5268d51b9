//! Everything of a host that is made before its sockets are: registry, runtime, and what stands on them.

use std::sync::Arc;

use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{Problem, TenantName};
use lockgate_registry::access::{Authenticator, HostAccess};
use lockgate_registry::jwt::JwtVerifier;
use lockgate_registry::{Registry, RegistryOptions};
use lockgate_runtime::{Runtime, RuntimeOptions};
use tokio_util::sync::CancellationToken;

use super::capsules::CapsuleStore;
use super::clock::Clock;
use super::ground::Ground;
use super::ledger::Ledger;
use super::options::HostOptions;
use super::platform::Platform;
use super::residents::Residents;
use super::shadow::{self, ShadowRunner};
use crate::floating::FloatingTasks;

/// What is made before the sockets are.
pub(crate) struct Parts {
    pub(crate) registry: Registry,
    pub(crate) authenticator: Authenticator,
    pub(crate) platform: Arc<Platform>,
    pub(crate) shadows: ShadowRunner,
}

/// Opens everything that is on the disk. Blocks.
pub(crate) fn open(options: &HostOptions, draining: CancellationToken) -> Result<Parts, Problem> {
    let registry = Registry::open(RegistryOptions {
        max_component_bytes: options.max_component_bytes,
        vault_key_file: options.vault_key_file.clone(),
        ..RegistryOptions::new(&options.data_dir)
    })?;
    let runtime = Runtime::new(RuntimeOptions {
        cache_dir: Some(options.place("compiled")),
        cache_bytes: options.cache_bytes,
        max_instances: options.max_instances,
        max_component_bytes: options.max_component_bytes,
        compiler: options.compiler.clone(),
        ..RuntimeOptions::default()
    })?;
    let tokens = options.tokens.clone().map(JwtVerifier::open).transpose()?;
    let authenticator = Authenticator::new(registry.key_book(), tokens.map(Arc::new));
    if options.dev {
        make_local_tenant(&registry)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (queue, shadows) = shadow::queue(cores);
    let ground = Ground {
        runtime,
        registry: registry.clone(),
        ledger: Ledger::default(),
        clock: Clock::default(),
        residents: Residents::new(options.evict_after, options.max_resident),
        shadows: queue,
        capsules: CapsuleStore::new(options.place("capsules")),
        floating: FloatingTasks::new(),
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
    };
    let platform = Platform::load(Arc::new(ground), draining)?;
    Ok(Parts { registry, authenticator, platform, shadows })
}

/// Development mode serves the tenant `local`, so it has to be there.
fn make_local_tenant(registry: &Registry) -> Result<(), Problem> {
    let local = TenantName::local();
    if registry.tenant(&local).is_some() {
        return Ok(());
    }
    registry.create_tenant(&HostAccess::of_host("dev"), local, TenantSettings::default()).map(drop)
}
