//! A revision tried out before traffic may reach it, and again when the engine has changed.
//!
//! One instance (or, for an executor that keeps nothing, one after the other) that is thrown away afterwards. It has its
//! tenant's share, limits and meter, and a key-value store of its own in memory, so that an example changes nothing that
//! traffic sees. Few run at once for one tenant.

use std::sync::Arc;

use lockgate_domain::hosting::{ExampleOutcome, GoldenExample, RevisionSpec};
use lockgate_domain::spec::{InstanceMode, PoolSpec};
use lockgate_domain::{ErrorCode, ExecutorName, Problem};
use lockgate_runtime::{Component, InstancePool, KeyValueStore, KnownComponent, MemoryStore, PoolSetup};
use serde_json::{Map, Value};

use super::golden;
use super::ground::{Ground, Owner, blocking};
use super::secrets;
use crate::adapters::PoolExecutor;

/// Builds an instance, runs all golden examples, and throws it away.
pub(crate) async fn run(
    ground: &Arc<Ground>,
    owner: &Arc<Owner>,
    executor: &ExecutorName,
    spec: &RevisionSpec,
) -> Result<Vec<ExampleOutcome>, Problem> {
    let closed = |_| Problem::new(ErrorCode::Unavailable, "the host is ending");
    let _permit = owner.trials.acquire().await.map_err(closed)?;
    let (component, configuration) = open(ground, owner, spec).await?;
    let manifest = component.manifest();
    let mode = if manifest.stateful { InstanceMode::Reused } else { InstanceMode::Fresh };
    let examples: Vec<GoldenExample> = manifest.examples.iter().chain(&spec.examples).cloned().collect();
    let options = PoolSpec { min: Some(1), max: Some(1), mode: Some(mode), ..PoolSpec::default() };
    let key_value =
        spec.capabilities.key_value.map(|_| Arc::new(MemoryStore::default()) as Arc<dyn KeyValueStore>);
    let setup = PoolSetup {
        limits: spec.limits,
        configuration,
        capabilities: spec.capabilities.clone(),
        key_value,
        egress: owner.egress.clone(),
        share: owner.share.clone(),
        meter: ground.meter(owner, executor),
        ..PoolSetup::new(executor.clone(), component, options.resolve(false, ground.cores))
    };
    // Dropped at the end, the pool closes.
    let pool = PoolExecutor::new(InstancePool::new(&ground.runtime, setup));
    pool.pool().prewarm().await?;
    golden::run(&pool, &owner.name, &spec.limits, &examples).await
}

async fn open(
    ground: &Arc<Ground>,
    owner: &Arc<Owner>,
    spec: &RevisionSpec,
) -> Result<(Arc<Component>, Map<String, Value>), Problem> {
    let (ground, owner, spec) = (ground.clone(), owner.clone(), spec.clone());
    blocking(move || {
        let access = ground.access(&owner.name);
        let stored = ground.registry.component(&access, spec.component)?;
        let path = ground.registry.component_path(&access, spec.component)?;
        let component = ground.runtime.open(&KnownComponent::from(&stored), || std::fs::read(path))?;
        let configuration = secrets::filled(&ground.registry, &access, &spec)?;
        Ok((component, configuration))
    })
    .await
}
