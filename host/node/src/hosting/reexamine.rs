//! What a start leaves to the background: warming what is kept warm; and, after the engine has changed, everything again.
//!
//! Components that another engine examined are examined again, and the examples of their revisions run again: one at a
//! time, in the background, while traffic is served: what has not been looked at yet is compiled again by its
//! first call, from the same bytes. Nothing is taken out of traffic here: what fails stands in the revision's outcomes,
//! in the audit under `host:engine` and in the log, and a person decides.

use std::sync::Arc;

use lockgate_domain::hosting::{ExampleOutcome, Revision, RevisionState};
use lockgate_domain::{ComponentDigest, ExecutorName, Problem, RequestId, TenantName};
use lockgate_registry::access::TenantAccess;
use lockgate_registry::{AuditDraft, ComponentValidator as _, Examined, PageRequest};
use tokio_util::sync::CancellationToken;

use super::ground::{Ground, blocking};
use super::platform::Platform;
use super::trial;
use super::validator::RuntimeValidator;

/// Examines everything that another engine examined, until `ended` is cancelled.
pub(crate) async fn run(platform: Arc<Platform>, ended: CancellationToken) {
    tokio::select! {
        biased;
        () = ended.cancelled() => {}
        () = async {
            warm_all(&platform).await;
            examine_all(&platform).await;
        } => {}
    }
}

/// Builds the instances that `scale.min` and stateful executors keep. One that does not come up is tried again by its
/// first call.
async fn warm_all(platform: &Arc<Platform>) {
    for lane in platform.tenants().iter().flat_map(|serving| serving.pinned_lanes()) {
        if let Err(problem) = lane.prepare().await {
            tracing::warn!(tenant = %lane.owner().name, executor = %lane.executor(), %problem, "not warm after the start");
        }
    }
}

async fn examine_all(platform: &Arc<Platform>) {
    let ground = platform.ground.clone();
    let outdated = {
        let ground = ground.clone();
        blocking(move || ground.registry.outdated_components(ground.runtime.engine_id())).await
    };
    let outdated = outdated.unwrap_or_else(|problem| {
        tracing::error!(%problem, "components cannot be examined again");
        Vec::new()
    });
    for (tenant, digest) in outdated {
        if let Err(problem) = examine(&ground, &tenant, digest).await {
            tracing::error!(%digest, %problem, "a component does not pass under this engine");
            audit(&ground, &tenant, "component.examine", digest.to_string(), Some(&problem)).await;
        }
    }
    for serving in platform.tenants() {
        let tenant = serving.owner.name.clone();
        let revisions = {
            let (ground, tenant) = (ground.clone(), tenant.clone());
            blocking(move || outdated_revisions(&ground, &tenant)).await
        };
        match revisions {
            Ok(revisions) => {
                for (executor, revision) in revisions {
                    try_again(platform, &tenant, &executor, &revision).await;
                }
            }
            Err(problem) => tracing::error!(%tenant, %problem, "revisions cannot be examined again"),
        }
    }
}

async fn examine(ground: &Arc<Ground>, tenant: &TenantName, digest: ComponentDigest) -> Result<(), Problem> {
    let (ground, tenant) = (ground.clone(), tenant.clone());
    blocking(move || {
        let path = ground.registry.component_path(&access(&tenant), digest)?;
        let bytes = std::fs::read(&path).map_err(|error| {
            let message = format!("component {digest} cannot be read: {error}");
            Problem::new(lockgate_domain::ErrorCode::HostFault, message)
        })?;
        let report = RuntimeValidator(ground.runtime.clone()).examine(digest, &bytes)?;
        ground.registry.put_report(digest, &report)
    })
    .await
}

/// The revisions whose examples ran under another engine. Blocks on the registry.
fn outdated_revisions(
    ground: &Ground,
    tenant: &TenantName,
) -> Result<Vec<(ExecutorName, Revision)>, Problem> {
    let (access, engine) = (access(tenant), ground.runtime.engine_id());
    let mut outdated = Vec::new();
    for executor in ground.registry.executor_names(&access)? {
        let mut request = PageRequest { limit: Some(PageRequest::MOST), cursor: None };
        loop {
            let page = ground.registry.revisions(&access, &executor, &request)?;
            let is_outdated = |revision: &Revision| {
                revision.examined_with != engine && !matches!(revision.state, RevisionState::Refused { .. })
            };
            let found = page.items.into_iter().filter(is_outdated);
            outdated.extend(found.map(|revision| (executor.clone(), revision)));
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => break,
            }
        }
    }
    Ok(outdated)
}

async fn try_again(
    platform: &Arc<Platform>,
    tenant: &TenantName,
    executor: &ExecutorName,
    revision: &Revision,
) {
    let Some(serving) = platform.tenant(tenant) else { return };
    let ground = &platform.ground;
    let object = format!("{executor}@{}", revision.number);
    let outcomes = match trial::run(ground, &serving.owner, executor, &revision.spec).await {
        Ok(outcomes) => outcomes,
        Err(problem) => {
            tracing::error!(%tenant, revision = object, %problem, "a revision does not start under this engine");
            return audit(ground, tenant, "revision.examine", object, Some(&problem)).await;
        }
    };
    let differs = outcomes.iter().find_map(|outcome| outcome.difference.clone());
    if let Some(difference) = &differs {
        tracing::error!(%tenant, revision = object, difference, "a golden example differs under this engine");
    }
    let written = put_outcomes(ground, tenant, executor, revision, outcomes).await;
    let problem = differs.map(|difference| Problem::new(lockgate_domain::ErrorCode::Conflict, difference));
    audit(ground, tenant, "revision.examine", object, written.err().or(problem).as_ref()).await;
}

async fn put_outcomes(
    ground: &Arc<Ground>,
    tenant: &TenantName,
    executor: &ExecutorName,
    revision: &Revision,
    outcomes: Vec<ExampleOutcome>,
) -> Result<(), Problem> {
    let (ground, tenant, executor, number) =
        (ground.clone(), tenant.clone(), executor.clone(), revision.number);
    blocking(move || {
        let engine = ground.runtime.engine_id().to_owned();
        let examined = Examined { outcomes, engine };
        ground.registry.put_examples(&access(&tenant), &executor, number, examined).map(drop)
    })
    .await
}

async fn audit(
    ground: &Arc<Ground>,
    tenant: &TenantName,
    action: &str,
    object: String,
    problem: Option<&Problem>,
) {
    let draft = AuditDraft {
        principal: access(tenant).principal().name.clone(),
        tenant: Some(tenant.clone()),
        action: action.to_owned(),
        object,
        error: problem.map(|problem| problem.code().as_str().to_owned()),
        request_id: RequestId::fresh().as_str().to_owned(),
    };
    let ground = ground.clone();
    if let Err(problem) = blocking(move || ground.registry.audit(draft)).await {
        tracing::error!(%problem, "an entry of the audit was not written");
    }
}

fn access(tenant: &TenantName) -> TenantAccess {
    TenantAccess::of_host(tenant.clone(), "engine")
}
