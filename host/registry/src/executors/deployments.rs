//! Deployments: where an executor's traffic goes and how many instances there are.

use lockgate_domain::hosting::{Deployment, DeploymentSpec, ShadowBounds};
use lockgate_domain::{ExecutorName, Problem, Scope};

use super::{executor_row, resolve_ready};
use crate::access::TenantAccess;
use crate::flows;
use crate::refusal::{Precondition, in_use, invalid, not_found};
use crate::registry::Registry;
use crate::store::{RowKey, table};

/// Instances of one revision at most.
const MAX_INSTANCES: u32 = 10_000;
/// Calls that may wait for an instance at most.
const MAX_QUEUE: u32 = 100_000;

impl Registry {
    /// Deploys an executor, or changes how it is deployed. All targets must be revisions that traffic may reach.
    pub fn put_deployment(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        spec: DeploymentSpec,
        precondition: Precondition,
    ) -> Result<Deployment, Problem> {
        access.require(Scope::Deploy)?;
        check_deployment(&spec)?;
        let (tenant, changed_at) = (access.tenant(), self.now());
        self.0.store.write(|transaction| {
            executor_row(transaction, tenant, executor)?;
            let key = RowKey::of(&[tenant, executor]);
            let before = table::DEPLOYMENTS.get(transaction, &key)?.map(|deployment| deployment.etag);
            precondition.check("deployment", executor, before)?;
            let canary = spec.canary.as_ref().map(|canary| &canary.target);
            let shadow = spec.shadow.as_ref().map(|shadow| &shadow.target);
            for target in std::iter::once(&spec.primary).chain(canary).chain(shadow) {
                resolve_ready(transaction, tenant, executor, target)?;
            }
            let etag = before.unwrap_or(0) + 1;
            let deployment = Deployment { executor: executor.clone(), spec, changed_at, etag };
            table::DEPLOYMENTS.put(transaction, &key, &deployment)?;
            Ok(deployment)
        })
    }

    /// How an executor is deployed.
    pub fn deployment(&self, access: &TenantAccess, executor: &ExecutorName) -> Result<Deployment, Problem> {
        access.require(Scope::Read)?;
        self.0.store.read(|source| {
            executor_row(source, access.tenant(), executor)?;
            let row = table::DEPLOYMENTS.get(source, &RowKey::of(&[access.tenant(), executor]))?;
            row.ok_or_else(|| not_found("deployment of", executor).into())
        })
    }

    /// Takes an executor out of service; one that a flow uses by its deployment is a conflict.
    pub fn delete_deployment(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        precondition: Precondition,
    ) -> Result<(), Problem> {
        access.require(Scope::Deploy)?;
        let (tenant, key) = (access.tenant(), RowKey::of(&[access.tenant(), executor]));
        self.0.store.write(|transaction| {
            executor_row(transaction, tenant, executor)?;
            let found = table::DEPLOYMENTS.get(transaction, &key)?;
            let found = found.ok_or_else(|| not_found("deployment of", executor))?;
            precondition.check("deployment", executor, Some(found.etag))?;
            let users = flows::users(transaction, tenant, executor, |reference| reference.target.is_none())?;
            if !users.is_empty() {
                return Err(in_use("the deployment of", executor, &users).into());
            }
            table::DEPLOYMENTS.remove(transaction, &key).map(drop)
        })
    }
}

/// What can be said about a deployment without looking at anything else.
fn check_deployment(spec: &DeploymentSpec) -> Result<(), Problem> {
    let DeploymentSpec { primary: _, canary, shadow, scale, capsules } = spec;
    check_percent("capsules.sample_percent", capsules.sample_percent)?;
    if let Some(canary) = canary {
        check_percent("canary.percent", canary.percent)?;
    }
    if let Some(shadow) = shadow {
        check_percent("shadow.percent", shadow.percent)?;
        let ShadowBounds { differing_requests, embedding_distance, fuel_ratio, latency_ratio } =
            shadow.accept;
        for (field, value) in [
            ("differing_requests", differing_requests),
            ("embedding_distance", embedding_distance),
            ("fuel_ratio", fuel_ratio),
            ("latency_ratio", latency_ratio),
        ] {
            if !value.is_finite() || value < 0.0 {
                let message = format!("shadow.accept.{field} of {value} is no bound");
                return Err(invalid(message, "a bound is a number that is not negative"));
            }
        }
    }
    let most = scale.max.unwrap_or(MAX_INSTANCES);
    if most == 0 || most > MAX_INSTANCES {
        return Err(invalid(
            format!("scale.max of {most} is not possible"),
            format!("choose 1 to {MAX_INSTANCES}"),
        ));
    }
    if let Some(least) = scale.min.filter(|least| *least > most) {
        return Err(invalid(
            format!("scale.min of {least} is over scale.max, {most}"),
            "choose min up to max",
        ));
    }
    if let Some(queue) = scale.queue.filter(|queue| *queue > MAX_QUEUE) {
        return Err(invalid(
            format!("scale.queue of {queue} is not possible"),
            format!("choose 0 to {MAX_QUEUE}"),
        ));
    }
    Ok(())
}

fn check_percent(field: &str, percent: f64) -> Result<(), Problem> {
    if percent.is_finite() && (0.0..=100.0).contains(&percent) {
        return Ok(());
    }
    Err(invalid(format!("{field} of {percent} is no part"), "choose 0 to 100"))
}
