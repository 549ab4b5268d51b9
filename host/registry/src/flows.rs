//! Flows as a tenant wrote them. Reading the YAML is the caller's; here it is text, and the executors that it refers to.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use lockgate_domain::hosting::{ExecutorReference, StoredFlow};
use lockgate_domain::{ErrorCode, ExecutorName, FlowName, LimitKind, Problem, Scope, TagName, TenantName};

use crate::access::TenantAccess;
use crate::executors;
use crate::page::{self, Page, PageRequest};
use crate::refusal::{Precondition, check_bytes, not_found, over_quota};
use crate::registry::Registry;
use crate::store::{RowKey, Source, StoreError, Tally, table};

/// Longest flow file in bytes.
const MAX_YAML_BYTES: usize = 1 << 20;
/// Executors that one flow refers to at most.
const MAX_REFERENCES: usize = 1024;

impl Registry {
    /// Keeps a flow. `uses` are the executors of the tenant that it refers to: each must be there, and its target too.
    pub fn put_flow(
        &self,
        access: &TenantAccess,
        name: &FlowName,
        yaml: String,
        uses: &[ExecutorReference],
        precondition: Precondition,
    ) -> Result<StoredFlow, Problem> {
        access.require(Scope::Deploy)?;
        self.0.folder.check_room()?;
        check_bytes("a flow", yaml.len(), MAX_YAML_BYTES)?;
        let uses: BTreeSet<String> = uses.iter().map(ToString::to_string).collect();
        if uses.len() > MAX_REFERENCES {
            let message =
                format!("flow {name} refers to {} executors, at most {MAX_REFERENCES} are taken", uses.len());
            return Err(Problem::new(ErrorCode::InvalidFlow, message));
        }
        let (tenant, key, changed_at) = (access.tenant(), RowKey::of(&[access.tenant(), name]), self.now());
        self.0.store.write(|transaction| {
            let quota = table::tenant_row(transaction, tenant)?.settings.quota;
            let before = table::FLOWS.get(transaction, &key)?.map(|flow| flow.etag);
            precondition.check("flow", name, before)?;
            for reference in references(&uses) {
                executors::check_reference(transaction, tenant, &reference)
                    .map_err(|error| in_flow(name, error))?;
            }
            let flow = StoredFlow { name: name.clone(), yaml, changed_at, etag: before.unwrap_or(0) + 1 };
            let grown = table::FLOWS.put(transaction, &key, &flow)?
                + table::FLOW_USES.put(transaction, &key, &uses)?;
            Tally::adjust(transaction, tenant, |tally| {
                tally.flows += u32::from(before.is_none());
                tally.grow(grown);
                if before.is_none() && tally.flows > quota.flows {
                    let message = format!("tenant {tenant} has {} flows, the most it may have", quota.flows);
                    return Err(over_quota(LimitKind::Flows, quota.flows.into(), message));
                }
                tally.check_bytes(tenant, &quota, grown)
            })?;
            Ok(flow)
        })
    }

    /// One flow.
    pub fn flow(&self, access: &TenantAccess, name: &FlowName) -> Result<StoredFlow, Problem> {
        access.require(Scope::Read)?;
        let row =
            self.0.store.read(|source| table::FLOWS.get(source, &RowKey::of(&[access.tenant(), name])))?;
        row.ok_or_else(|| not_found("flow", name))
    }

    /// Flows by name.
    pub fn flows(&self, access: &TenantAccess, request: &PageRequest) -> Result<Page<StoredFlow>, Problem> {
        access.require(Scope::Read)?;
        let under = RowKey::of(&[access.tenant()]);
        self.0
            .store
            .read(|source| page::rows(&table::FLOWS, source, &under, ("flows", request), |row| Ok(Some(row))))
    }

    /// The names of all flows of a tenant.
    pub fn flow_names(&self, access: &TenantAccess) -> Result<Vec<FlowName>, Problem> {
        access.require(Scope::Read)?;
        let names =
            self.0.store.read(|source| table::FLOWS.names(source, &RowKey::of(&[access.tenant()])))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Deletes a flow.
    pub fn delete_flow(
        &self,
        access: &TenantAccess,
        name: &FlowName,
        precondition: Precondition,
    ) -> Result<(), Problem> {
        access.require(Scope::Deploy)?;
        let (tenant, key) = (access.tenant(), RowKey::of(&[access.tenant(), name]));
        self.0.store.write(|transaction| {
            let flow = table::FLOWS.get(transaction, &key)?.ok_or_else(|| not_found("flow", name))?;
            precondition.check("flow", name, Some(flow.etag))?;
            let grown =
                table::FLOWS.remove(transaction, &key)? + table::FLOW_USES.remove(transaction, &key)?;
            Tally::adjust(transaction, tenant, |tally| {
                tally.flows = tally.flows.saturating_sub(1);
                tally.grow(grown);
                Ok(())
            })
        })
    }
}

/// The flows that refer to an executor in a way that `matters`.
pub(crate) fn users(
    source: &impl Source,
    tenant: &TenantName,
    executor: &ExecutorName,
    matters: impl Fn(&ExecutorReference) -> bool,
) -> Result<Vec<String>, StoreError> {
    let mut users = Vec::new();
    table::FLOW_USES.scan(source, &RowKey::of(&[tenant]), None, |flow, uses| {
        if references(&uses).any(|reference| reference.executor == *executor && matters(&reference)) {
            users.push(format!("flow {flow}"));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(users)
}

/// Whether a reference goes through a tag.
pub(crate) fn names_tag(reference: &ExecutorReference, tag: &TagName) -> bool {
    matches!(&reference.target, Some(lockgate_domain::hosting::Target::Tag(named)) if named == tag)
}

fn references(uses: &BTreeSet<String>) -> impl Iterator<Item = ExecutorReference> {
    uses.iter().filter_map(|text| text.parse().ok())
}

fn in_flow(name: &FlowName, error: StoreError) -> StoreError {
    match error {
        StoreError::Refused(problem) => {
            let message = format!("flow {name}: {}", problem.message());
            let hint = problem.hint().unwrap_or("create the executor first").to_owned();
            Problem::new(ErrorCode::InvalidFlow, message).with_hint(hint).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
