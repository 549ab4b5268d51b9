//! Executors: revisions that never change, tags that move over them, and the deployment that says where traffic goes.
//!
//! Whatever changes together is one transaction: a revision, the tag that moves to it and the deployment that it begins.

mod deployments;
mod numbers;
mod revisions;
mod tags;

use std::ops::ControlFlow;

use lockgate_domain::hosting::{
    Executor, ExecutorReference, Revision, RevisionNumber, RevisionState, Tag, Target,
};
use lockgate_domain::{ExecutorName, Problem, Scope, TenantName};

pub use self::revisions::{CreatedRevision, Examined, RevisionOptions};

use crate::access::TenantAccess;
use crate::flows;
use crate::page::{self, Page, PageRequest};
use crate::refusal::{conflict, in_use, not_found};
use crate::registry::{Registry, swept_later};
use crate::store::table::{ExecutorRow, revision_key};
use crate::store::{RowKey, Source, StoreError, Tally, table};

impl Registry {
    /// Executors by name, with their tags and deployments.
    pub fn executors(&self, access: &TenantAccess, request: &PageRequest) -> Result<Page<Executor>, Problem> {
        access.require(Scope::Read)?;
        let under = RowKey::of(&[access.tenant()]);
        self.0.store.read(|source| {
            page::rows(&table::EXECUTORS, source, &under, ("executors", request), |row| {
                whole(source, access.tenant(), row).map(Some)
            })
        })
    }

    /// The names of all executors of a tenant.
    pub fn executor_names(&self, access: &TenantAccess) -> Result<Vec<ExecutorName>, Problem> {
        access.require(Scope::Read)?;
        let names =
            self.0.store.read(|source| table::EXECUTORS.names(source, &RowKey::of(&[access.tenant()])))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// One executor with its tags and its deployment.
    pub fn executor(&self, access: &TenantAccess, name: &ExecutorName) -> Result<Executor, Problem> {
        access.require(Scope::Read)?;
        self.0.store.read(|source| {
            let row = executor_row(source, access.tenant(), name)?;
            whole(source, access.tenant(), row)
        })
    }

    /// Deletes an executor with its revisions, tags, deployment and key-value store. Its numbers are not used again.
    pub fn delete_executor(&self, access: &TenantAccess, name: &ExecutorName) -> Result<(), Problem> {
        access.require(Scope::Deploy)?;
        let tenant = access.tenant();
        self.0.store.write(|transaction| {
            let row = executor_row(transaction, tenant, name)?;
            let users = flows::users(transaction, tenant, name, |_| true)?;
            if !users.is_empty() {
                return Err(in_use("executor", name, &users).into());
            }
            let (key, mut freed) = (RowKey::of(&[tenant, name]), 0);
            let mut uses = Vec::new();
            table::REVISIONS.scan(transaction, &key, None, |number, revision| {
                uses.push(RowKey::of(&[tenant, &revision.spec.component.hex(), name, &number]));
                Ok(ControlFlow::Continue(()))
            })?;
            for use_of in uses {
                table::USES.remove(transaction, &use_of)?;
                freed -= revisions::ROW_BYTES;
            }
            freed += table::REVISIONS.remove_below(transaction, &key)?;
            table::TAGS.remove_below(transaction, &key)?;
            table::DEPLOYMENTS.remove(transaction, &key)?;
            table::EXECUTORS.remove(transaction, &key)?;
            numbers::retire(transaction, tenant, name, row.newest)?;
            Tally::adjust(transaction, tenant, |tally| {
                tally.executors = tally.executors.saturating_sub(1);
                tally.grow(freed);
                Ok(())
            })
        })?;
        swept_later(self.forget_key_values_unless_there(tenant, name));
        Ok(())
    }

    /// The revision that a target means now; one that traffic may not reach is a conflict.
    pub fn resolve(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        target: &Target,
    ) -> Result<Revision, Problem> {
        self.0.store.read(|source| resolve_ready(source, access.tenant(), executor, target))
    }
}

/// The executor's row, else the problem that there is none.
pub(crate) fn executor_row(
    source: &impl Source,
    tenant: &TenantName,
    name: &ExecutorName,
) -> Result<ExecutorRow, StoreError> {
    let row = table::EXECUTORS.get(source, &RowKey::of(&[tenant, name]))?;
    row.ok_or_else(|| not_found("executor", name).into())
}

/// One revision, else the problem that there is none.
pub(crate) fn revision_row(
    source: &impl Source,
    tenant: &TenantName,
    executor: &ExecutorName,
    number: RevisionNumber,
) -> Result<Revision, StoreError> {
    let row = table::REVISIONS.get(source, &revision_key(tenant, executor, number))?;
    row.ok_or_else(|| not_found("revision", format!("{executor}@{number}")).into())
}

/// One tag, else the problem that there is none.
pub(crate) fn tag_row(
    source: &impl Source,
    tenant: &TenantName,
    executor: &ExecutorName,
    tag: &lockgate_domain::TagName,
) -> Result<Tag, StoreError> {
    let row = table::TAGS.get(source, &RowKey::of(&[tenant, executor, tag]))?;
    row.ok_or_else(|| not_found("tag", format!("{executor}:{tag}")).into())
}

/// The revision that a target means, if traffic may reach it.
pub(crate) fn resolve_ready(
    source: &impl Source,
    tenant: &TenantName,
    executor: &ExecutorName,
    target: &Target,
) -> Result<Revision, StoreError> {
    executor_row(source, tenant, executor)?;
    let number = match target {
        Target::Revision(number) => *number,
        Target::Tag(tag) => tag_row(source, tenant, executor, tag)?.revision,
    };
    let revision = revision_row(source, tenant, executor, number)?;
    check_ready(executor, &revision)?;
    Ok(revision)
}

/// Refuses a revision that traffic may not reach.
pub(crate) fn check_ready(executor: &ExecutorName, revision: &Revision) -> Result<(), Problem> {
    let name = format!("{executor}@{}", revision.number);
    match &revision.state {
        RevisionState::Ready => Ok(()),
        RevisionState::AwaitsApproval { added } => Err(conflict(
            format!("revision {name} awaits approval of: {}", added.join(", ")),
            "an admin of the tenant has to approve it first",
        )),
        RevisionState::Refused { reason } => {
            Err(conflict(format!("revision {name} was refused: {reason}"), "make another revision"))
        }
    }
}

/// Whether a flow may refer to that: the executor is there, and so is its target or its deployment.
pub(crate) fn check_reference(
    source: &impl Source,
    tenant: &TenantName,
    reference: &ExecutorReference,
) -> Result<(), StoreError> {
    let executor = &reference.executor;
    if let Some(target) = &reference.target {
        return resolve_ready(source, tenant, executor, target).map(drop);
    }
    executor_row(source, tenant, executor)?;
    if table::DEPLOYMENTS.get(source, &RowKey::of(&[tenant, executor]))?.is_none() {
        let hint =
            format!("deploy it: PUT …/executors/{executor}/deployment; or name a revision: {executor}@1");
        return Err(conflict(format!("executor {executor} is not deployed"), hint).into());
    }
    Ok(())
}

fn whole(source: &impl Source, tenant: &TenantName, row: ExecutorRow) -> Result<Executor, StoreError> {
    let key = RowKey::of(&[tenant, &row.name]);
    Ok(Executor {
        tags: table::TAGS.all(source, &key)?,
        deployment: table::DEPLOYMENTS.get(source, &key)?,
        name: row.name,
        created_at: row.created_at,
        newest: row.newest,
    })
}

#[cfg(test)]
mod tests;
