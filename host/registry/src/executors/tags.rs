//! Tags: names that move over revisions and remember where they were.

use lockgate_domain::hosting::{Deployment, RevisionNumber, RevisionState, Tag, Target};
use lockgate_domain::{ExecutorName, Problem, Scope, TagName, TenantName};
use redb::WriteTransaction;

use super::revisions::Moved;
use super::{check_ready, executor_row, revision_row, tag_row};
use crate::access::TenantAccess;
use crate::flows;
use crate::refusal::{Precondition, conflict, in_use};
use crate::registry::Registry;
use crate::store::{RowKey, Source, StoreError, table};

/// Tags of one executor at most.
const MAX_TAGS: usize = 256;

impl Registry {
    /// Points a tag at a revision, which must be one that traffic may reach. Pointing it at where it is changes nothing.
    pub fn put_tag(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        name: &TagName,
        revision: RevisionNumber,
        precondition: Precondition,
    ) -> Result<Tag, Problem> {
        access.require(Scope::Deploy)?;
        let (tenant, now) = (access.tenant(), self.now());
        self.0.store.write(|transaction| {
            executor_row(transaction, tenant, executor)?;
            let found = table::TAGS.get(transaction, &RowKey::of(&[tenant, executor, name]))?;
            precondition.check("tag", format!("{executor}:{name}"), found.as_ref().map(|tag| tag.etag))?;
            check_ready(executor, &revision_row(transaction, tenant, executor, revision)?)?;
            move_to(transaction, tenant, executor, name, (revision, now))
        })
    }

    /// One tag.
    pub fn tag(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        name: &TagName,
    ) -> Result<Tag, Problem> {
        access.require(Scope::Read)?;
        self.0.store.read(|source| tag_row(source, access.tenant(), executor, name))
    }

    /// All tags of an executor.
    pub fn tags(&self, access: &TenantAccess, executor: &ExecutorName) -> Result<Vec<Tag>, Problem> {
        access.require(Scope::Read)?;
        self.0.store.read(|source| {
            executor_row(source, access.tenant(), executor)?;
            table::TAGS.all(source, &RowKey::of(&[access.tenant(), executor]))
        })
    }

    /// Points a tag at where it was before; revisions that were refused meanwhile are passed over.
    pub fn roll_back(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        name: &TagName,
        precondition: Precondition,
    ) -> Result<Tag, Problem> {
        access.require(Scope::Deploy)?;
        let (tenant, now) = (access.tenant(), self.now());
        self.0.store.write(|transaction| {
            executor_row(transaction, tenant, executor)?;
            let tag = tag_row(transaction, tenant, executor, name)?;
            precondition.check("tag", format!("{executor}:{name}"), Some(tag.etag))?;
            let mut before = tag.before.iter();
            for number in before.by_ref() {
                let revision = revision_row(transaction, tenant, executor, *number)?;
                if revision.state == RevisionState::Ready {
                    let before = before.copied().collect();
                    let moved =
                        Tag { revision: *number, before, moved_at: now, etag: tag.etag + 1, ..tag.clone() };
                    table::TAGS.put(transaction, &RowKey::of(&[tenant, executor, name]), &moved)?;
                    return Ok(moved);
                }
            }
            let message = format!("tag {executor}:{name} has nowhere to go back to");
            Err(conflict(message, "set it to a revision by its number").into())
        })
    }

    /// Deletes a tag; one that a deployment or a flow goes through is a conflict.
    pub fn delete_tag(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        name: &TagName,
        precondition: Precondition,
    ) -> Result<(), Problem> {
        access.require(Scope::Deploy)?;
        let tenant = access.tenant();
        self.0.store.write(|transaction| {
            executor_row(transaction, tenant, executor)?;
            let tag = tag_row(transaction, tenant, executor, name)?;
            precondition.check("tag", format!("{executor}:{name}"), Some(tag.etag))?;
            let users = users_of_tag(transaction, tenant, executor, name)?;
            if !users.is_empty() {
                return Err(in_use("tag", format!("{executor}:{name}"), &users).into());
            }
            table::TAGS.remove(transaction, &RowKey::of(&[tenant, executor, name])).map(drop)
        })
    }
}

/// Points a tag at a revision and remembers where it was.
pub(super) fn move_to(
    transaction: &WriteTransaction,
    tenant: &TenantName,
    executor: &ExecutorName,
    name: &TagName,
    (revision, moved_at): Moved,
) -> Result<Tag, StoreError> {
    let key = RowKey::of(&[tenant, executor, name]);
    let tag = match table::TAGS.get(transaction, &key)? {
        Some(tag) if tag.revision == revision => return Ok(tag),
        Some(tag) => {
            let before = std::iter::once(tag.revision).chain(tag.before).take(Tag::REMEMBERED).collect();
            Tag { name: tag.name, revision, before, moved_at, etag: tag.etag + 1 }
        }
        None => {
            if table::TAGS.names(transaction, &RowKey::of(&[tenant, executor]))?.len() >= MAX_TAGS {
                let message = format!("executor {executor} has {MAX_TAGS} tags, no more are kept");
                return Err(conflict(message, "delete tags that nothing uses").into());
            }
            Tag { name: name.clone(), revision, before: Vec::new(), moved_at, etag: 1 }
        }
    };
    table::TAGS.put(transaction, &key, &tag)?;
    Ok(tag)
}

fn users_of_tag(
    source: &impl Source,
    tenant: &TenantName,
    executor: &ExecutorName,
    name: &TagName,
) -> Result<Vec<String>, StoreError> {
    let mut users = Vec::new();
    if let Some(Deployment { spec, .. }) = table::DEPLOYMENTS.get(source, &RowKey::of(&[tenant, executor]))? {
        let canary = spec.canary.as_ref().map(|canary| &canary.target);
        let shadow = spec.shadow.as_ref().map(|shadow| &shadow.target);
        let goes_through = |target: &Target| matches!(target, Target::Tag(tag) if tag == name);
        if std::iter::once(&spec.primary).chain(canary).chain(shadow).any(goes_through) {
            users.push(format!("the deployment of {executor}"));
        }
    }
    users.extend(flows::users(source, tenant, executor, |reference| flows::names_tag(reference, name))?);
    Ok(users)
}
