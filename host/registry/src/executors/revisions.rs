//! Revisions: made once, numbered for ever, approved or refused.

use std::collections::BTreeSet;

use lockgate_domain::capability::CapabilityDiff;
use lockgate_domain::hosting::{
    Deployment, DeploymentSpec, ExampleOutcome, Revision, RevisionNumber, RevisionSpec, RevisionState,
    StoredComponent, Tag, Target,
};
use lockgate_domain::tenancy::Approval;
use lockgate_domain::{
    Capabilities, ExecutorName, LimitKind, Problem, Scope, SecretName, TagName, TenantName, Timestamp,
};
use redb::WriteTransaction;

use super::{executor_row, numbers, revision_row, tags};
use crate::access::TenantAccess;
use crate::flows;
use crate::page::{self, Page, PageRequest};
use crate::refusal::{Precondition, check_bytes, conflict, in_use, invalid, not_found, over_quota};
use crate::registry::Registry;
use crate::rules::{self, Circumstances};
use crate::store::table::{ExecutorRow, component_key, revision_key};
use crate::store::{RowKey, Source, StoreError, Tally, table};

/// Bytes that a revision counts for beside its own JSON: its keys in the tables.
pub(super) const ROW_BYTES: i64 = 256;
/// Longest reason of a refusal, and longest difference of an example.
const MAX_REASON_BYTES: usize = 4 << 10;
/// Outcomes of one revision: its own examples and those of its component's manifest.
const MAX_OUTCOMES: usize = rules::MAX_EXAMPLES + lockgate_domain::Manifest::MAX_EXAMPLES;

/// What happens together with a new revision.
#[derive(Debug, Clone, Default)]
pub struct RevisionOptions {
    /// The tag that moves to it, if traffic may reach it.
    pub tag: Option<TagName>,
    /// Whether the executor is deployed in the usual way if it is not deployed yet.
    pub deploy: bool,
    /// What the tag is expected to be at.
    pub precondition: Precondition,
}

/// A new revision and what became of tag and deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct CreatedRevision {
    /// The revision.
    pub revision: Revision,
    /// What it is granted against the revision that the tag pointed at.
    pub diff: CapabilityDiff,
    /// The tag, if one was named and it moved.
    pub tag: Option<Tag>,
    /// The executor's deployment, if there is one now.
    pub deployment: Option<Deployment>,
}

impl Registry {
    /// Judges a revision as [`Registry::create_revision`] would and writes nothing: what it would be, unnumbered by
    /// others meanwhile.
    pub fn check_revision(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        spec: &RevisionSpec,
        options: &RevisionOptions,
    ) -> Result<(Revision, CapabilityDiff), Problem> {
        access.require(Scope::Deploy)?;
        let (tenant, draft) = (access.tenant(), self.draft(access, spec.clone()));
        self.0.store.read(|source| {
            let judged = judge(source, tenant, executor, draft, options)?;
            Ok((judged.revision, judged.diff))
        })
    }

    /// Makes a revision; the executor too, if it is the first. The revision is `Ready`, or awaits approval where the
    /// tenant requires one and it is granted more than the revision that the tag points at.
    pub fn create_revision(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        spec: RevisionSpec,
        examined: Examined,
        options: &RevisionOptions,
    ) -> Result<CreatedRevision, Problem> {
        access.require(Scope::Deploy)?;
        self.0.folder.check_room()?;
        let (tenant, mut draft) = (access.tenant(), self.draft(access, spec));
        let examined = examined.cut();
        draft.examples = examined.outcomes;
        draft.examined_with = examined.engine;
        self.0.store.write(|transaction| {
            let judged = judge(transaction, tenant, executor, draft, options)?;
            if judged.before.is_none() {
                // Whatever a call of a deleted executor of this name wrote after its end.
                self.0.key_values.clear(tenant, executor)?;
            }
            keep(transaction, tenant, executor, &judged)?;
            let Judged { revision, diff, .. } = judged;
            let is_ready = revision.state == RevisionState::Ready;
            let tag = match &options.tag {
                Some(tag) if is_ready => Some(tags::move_to(
                    transaction,
                    tenant,
                    executor,
                    tag,
                    (revision.number, revision.created_at),
                )?),
                _ => None,
            };
            let deployment = begin_deployment(transaction, tenant, executor, &revision, options)?;
            Ok(CreatedRevision { revision, diff, tag, deployment })
        })
    }

    /// One revision.
    pub fn revision(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        number: RevisionNumber,
    ) -> Result<Revision, Problem> {
        access.require(Scope::Read)?;
        self.0.store.read(|source| revision_row(source, access.tenant(), executor, number))
    }

    /// Revisions, the newest first.
    pub fn revisions(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        request: &PageRequest,
    ) -> Result<Page<Revision>, Problem> {
        access.require(Scope::Read)?;
        let under = RowKey::of(&[access.tenant(), executor]);
        let before = request.position("revisions", &under)?;
        let mut page = page::PageBuilder::new(request);
        self.0.store.read(|source| {
            executor_row(source, access.tenant(), executor)?;
            table::REVISIONS
                .scan_back(source, &under, before.as_deref(), |position, row| Ok(page.push(position, row)))
        })?;
        Ok(page.finish("revisions", &under))
    }

    /// Lets traffic reach a revision that awaited it.
    pub fn approve_revision(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        number: RevisionNumber,
    ) -> Result<Revision, Problem> {
        access.require(Scope::Admin)?;
        self.change_revision(access, executor, number, |_, revision| match &revision.state {
            RevisionState::Ready | RevisionState::AwaitsApproval { .. } => {
                revision.state = RevisionState::Ready;
                Ok(())
            }
            RevisionState::Refused { reason } => Err(conflict(
                format!("revision {executor}@{number} was refused: {reason}"),
                "make another revision",
            )
            .into()),
        })
    }

    /// Keeps traffic from a revision for ever. One that a deployment sends traffic to, or a flow names, is a conflict; a
    /// shadow may be refused.
    pub fn refuse_revision(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        number: RevisionNumber,
        reason: &str,
    ) -> Result<Revision, Problem> {
        access.require(Scope::Deploy)?;
        check_bytes("the reason", reason.len(), MAX_REASON_BYTES)?;
        let tenant = access.tenant();
        self.change_revision(access, executor, number, |transaction, revision| {
            let users = users_of_revision(transaction, tenant, executor, number)?;
            if !users.is_empty() {
                return Err(in_use("revision", format!("{executor}@{number}"), &users).into());
            }
            if !matches!(revision.state, RevisionState::Refused { .. }) {
                revision.state = RevisionState::Refused { reason: reason.to_owned() };
            }
            Ok(())
        })
    }

    /// Writes down what a revision's examples gave under another engine.
    pub fn put_examples(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        number: RevisionNumber,
        examined: Examined,
    ) -> Result<Revision, Problem> {
        access.require(Scope::Deploy)?;
        let examined = examined.cut();
        self.change_revision(access, executor, number, |_, revision| {
            revision.examples = examined.outcomes;
            revision.examined_with = examined.engine;
            Ok(())
        })
    }

    fn draft(&self, access: &TenantAccess, spec: RevisionSpec) -> Revision {
        Revision {
            number: RevisionNumber::FIRST,
            spec,
            created_at: self.now(),
            created_by: access.principal().name.clone(),
            state: RevisionState::Ready,
            examples: Vec::new(),
            examined_with: String::new(),
        }
    }

    fn change_revision(
        &self,
        access: &TenantAccess,
        executor: &ExecutorName,
        number: RevisionNumber,
        change: impl FnOnce(&WriteTransaction, &mut Revision) -> Result<(), StoreError>,
    ) -> Result<Revision, Problem> {
        let tenant = access.tenant();
        self.0.store.write(|transaction| {
            let mut revision = revision_row(transaction, tenant, executor, number)?;
            change(transaction, &mut revision)?;
            let key = revision_key(tenant, executor, number);
            let grown = table::REVISIONS.put(transaction, &key, &revision)?;
            Tally::adjust(transaction, tenant, |tally| {
                tally.grow(grown);
                Ok(())
            })?;
            Ok(revision)
        })
    }
}

/// What a revision's golden examples gave, and under which engine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Examined {
    /// One for each example, in order.
    pub outcomes: Vec<ExampleOutcome>,
    /// The engine.
    pub engine: String,
}

impl Examined {
    /// Differences are words of a stranger's code: cut, so that a revision stays small.
    fn cut(mut self) -> Self {
        self.outcomes.truncate(MAX_OUTCOMES);
        for difference in self.outcomes.iter_mut().filter_map(|outcome| outcome.difference.as_mut()) {
            difference.truncate(difference.floor_char_boundary(MAX_REASON_BYTES));
        }
        self
    }
}

/// A revision that may be kept.
struct Judged {
    revision: Revision,
    diff: CapabilityDiff,
    before: Option<ExecutorRow>,
    quota: lockgate_domain::Quota,
}

/// Numbers a draft and decides whether it may be kept and whether it must be approved.
fn judge(
    source: &impl Source,
    tenant: &TenantName,
    executor: &ExecutorName,
    draft: Revision,
    options: &RevisionOptions,
) -> Result<Judged, StoreError> {
    if *executor == ExecutorName::gateway() {
        return Err(
            invalid("no executor can be called gateway", "the name stands for the request itself").into()
        );
    }
    let settings = table::tenant_row(source, tenant)?.settings;
    let component = component_row(source, tenant, &draft.spec)?;
    let secrets = secret_names(source, tenant)?;
    let circumstances = Circumstances { settings: &settings, component: &component, secrets: &secrets };
    rules::check_revision(&draft.spec, &circumstances)?;
    let before = table::EXECUTORS.get(source, &RowKey::of(&[tenant, executor]))?;
    let number = match &before {
        Some(row) if row.newest.get() == u32::MAX => {
            return Err(
                conflict(format!("executor {executor} has no numbers left"), "use another name").into()
            );
        }
        Some(row) => row.newest.next(),
        None => numbers::first(source, tenant, executor)?,
    };
    let diff = diff_against_tag(source, tenant, executor, &draft.spec.capabilities, options)?;
    let must_wait = settings.approval == Approval::Required && !diff.added.is_empty();
    let state =
        if must_wait { RevisionState::AwaitsApproval { added: diff.added.clone() } } else { draft.state };
    Ok(Judged { revision: Revision { number, state, ..draft }, diff, before, quota: settings.quota })
}

fn component_row(
    source: &impl Source,
    tenant: &TenantName,
    spec: &RevisionSpec,
) -> Result<StoredComponent, StoreError> {
    let row = table::COMPONENTS.get(source, &component_key(tenant, spec.component))?;
    let missing =
        || not_found("component", spec.component).with_digest(spec.component).with_hint("upload it first");
    row.ok_or_else(|| missing().into())
}

fn secret_names(source: &impl Source, tenant: &TenantName) -> Result<BTreeSet<SecretName>, StoreError> {
    let names = table::SECRETS.names(source, &RowKey::of(&[tenant]))?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// What is granted against the revision that the tag (`latest` if none is named) points at; against nothing if it is not
/// there.
fn diff_against_tag(
    source: &impl Source,
    tenant: &TenantName,
    executor: &ExecutorName,
    now: &Capabilities,
    options: &RevisionOptions,
) -> Result<CapabilityDiff, StoreError> {
    let name = options.tag.clone().unwrap_or_else(TagName::latest);
    let tag = table::TAGS.get(source, &RowKey::of(&[tenant, executor, &name]))?;
    options.precondition.check("tag", format!("{executor}:{name}"), tag.as_ref().map(|tag| tag.etag))?;
    let before = match tag {
        Some(tag) => revision_row(source, tenant, executor, tag.revision)?.spec.capabilities,
        None => Capabilities::default(),
    };
    Ok(CapabilityDiff::between(&before, now))
}

fn keep(
    transaction: &WriteTransaction,
    tenant: &TenantName,
    executor: &ExecutorName,
    judged: &Judged,
) -> Result<(), StoreError> {
    let (revision, quota) = (&judged.revision, &judged.quota);
    let number = table::padded(revision.number);
    let grown = ROW_BYTES
        + table::REVISIONS.put(transaction, &revision_key(tenant, executor, revision.number), revision)?;
    let digest = revision.spec.component.hex();
    table::USES.put(transaction, &RowKey::of(&[tenant, &digest, executor, &number]), &())?;
    let row = ExecutorRow {
        name: executor.clone(),
        created_at: judged.before.as_ref().map_or(revision.created_at, |row| row.created_at),
        newest: revision.number,
    };
    table::EXECUTORS.put(transaction, &RowKey::of(&[tenant, executor]), &row)?;
    Tally::adjust(transaction, tenant, |tally| {
        if judged.before.is_none() {
            tally.executors += 1;
            if tally.executors > quota.executors {
                let most = quota.executors;
                let message = format!("tenant {tenant} has {most} executors, the most it may have");
                return Err(over_quota(LimitKind::Executors, most.into(), message));
            }
        }
        tally.grow(grown);
        tally.check_bytes(tenant, quota, grown)
    })
}

fn begin_deployment(
    transaction: &WriteTransaction,
    tenant: &TenantName,
    executor: &ExecutorName,
    revision: &Revision,
    options: &RevisionOptions,
) -> Result<Option<Deployment>, StoreError> {
    let key = RowKey::of(&[tenant, executor]);
    let found = table::DEPLOYMENTS.get(transaction, &key)?;
    if found.is_some() || !options.deploy || revision.state != RevisionState::Ready {
        return Ok(found);
    }
    let primary = options.tag.clone().map_or(Target::Revision(revision.number), Target::Tag);
    let spec = DeploymentSpec { primary, ..DeploymentSpec::default() };
    let deployment =
        Deployment { executor: executor.clone(), spec, changed_at: revision.created_at, etag: 1 };
    table::DEPLOYMENTS.put(transaction, &key, &deployment)?;
    Ok(Some(deployment))
}

/// What sends traffic to a revision: a deployment's primary or canary, or a flow that names it. A shadow does not count.
fn users_of_revision(
    source: &impl Source,
    tenant: &TenantName,
    executor: &ExecutorName,
    number: RevisionNumber,
) -> Result<Vec<String>, StoreError> {
    let tags = table::TAGS.all(source, &RowKey::of(&[tenant, executor]))?;
    let means_it = |target: &Target| match target {
        Target::Revision(named) => *named == number,
        Target::Tag(name) => tags.iter().any(|tag| tag.name == *name && tag.revision == number),
    };
    let mut users = Vec::new();
    if let Some(Deployment { spec, .. }) = table::DEPLOYMENTS.get(source, &RowKey::of(&[tenant, executor]))? {
        let canary = spec.canary.as_ref().map(|canary| &canary.target);
        if std::iter::once(&spec.primary).chain(canary).any(means_it) {
            users.push(format!("the deployment of {executor}"));
        }
    }
    let by_flow = |reference: &lockgate_domain::hosting::ExecutorReference| {
        reference.target.as_ref().is_some_and(means_it)
    };
    users.extend(flows::users(source, tenant, executor, by_flow)?);
    Ok(users)
}

/// The moment of a change beside the revision it is about.
pub(super) type Moved = (RevisionNumber, Timestamp);
