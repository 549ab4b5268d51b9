//! Revisions: judged, tried out, made, served; approved or refused.
//!
//! A revision is made in four steps, each of which can refuse it: the registry's rules, an instance that comes up and
//! answers its golden examples, one transaction with tag and deployment, and traffic that follows. If the last one fails,
//! tag and deployment go back to where they were, so that what is written is what is served.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use lockgate_domain::capability::CapabilityDiff;
use lockgate_domain::hosting::{
    ComponentReport, Deployment, ExampleOutcome, GoldenExample, Revision, RevisionSpec, RevisionState, Tag,
};
use lockgate_domain::{Capabilities, ComponentDigest, ErrorCode, ExecutorName, Limits, Problem, TagName};
use lockgate_registry::access::TenantAccess;
use lockgate_registry::{CreatedRevision, Examined, Precondition, Registry, RevisionOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ConditionHeaders, created, named};
use crate::Control;
use crate::extract::{
    Asked, At, Caller, Condition, Input, Listing, Number, OptionalInput, PageQuery, Tenancy,
};
use crate::refusal::Result;
use crate::serving::Change;

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(list_revisions, create_revision))
        .routes(routes!(show_revision))
        .routes(routes!(approve_revision))
        .routes(routes!(refuse_revision))
}

/// A revision that is to be: a `RevisionSpec`, and what happens together with it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRevision {
    /// The component.
    component: ComponentDigest,
    /// What the guest reads as its configuration. A value `{"$secret": "NAME"}` is replaced by the secret when an
    /// instance starts; the capabilities must name it.
    #[serde(default)]
    #[schema(value_type = Object)]
    configuration: Map<String, Value>,
    /// Ceilings of one call and one instance.
    #[serde(default)]
    limits: Limits,
    /// What it may reach.
    #[serde(default)]
    capabilities: Capabilities,
    /// Input and expected output, run before traffic reaches the revision.
    #[serde(default)]
    examples: Vec<GoldenExample>,
    /// One line for people.
    #[serde(default)]
    note: String,
    /// The tag that moves to it; `latest` if it is left out, none if it is null.
    #[serde(default = "latest")]
    #[schema(default = "latest")]
    tag: Option<TagName>,
    /// Whether the executor is deployed in the usual way if it is not deployed yet.
    #[serde(default = "yes")]
    #[schema(default = true)]
    deploy: bool,
    /// Whether it is only judged and tried out, and nothing is written.
    #[serde(default)]
    dry_run: bool,
}

fn latest() -> Option<TagName> {
    Some(TagName::latest())
}

fn yes() -> bool {
    true
}

/// A new revision, and what became of tag and deployment.
#[derive(Debug, Serialize, ToSchema)]
struct RevisionAnswer {
    /// The revision; of a dry run, what it would be.
    revision: Revision,
    /// What it is granted against the revision that the tag pointed at.
    diff: CapabilityDiff,
    /// The tag, if it moved.
    tag: Option<Tag>,
    /// The executor's deployment, if there is one now.
    deployment: Option<Deployment>,
    /// Fuel that its golden examples burned together.
    fuel: u64,
    /// Whether nothing was written.
    dry_run: bool,
    /// What was found out about the component; in a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<ComponentReport>,
}

/// Why a revision is refused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Refusing {
    /// The reason, for whoever made it.
    reason: String,
}

/// An executor's revisions, the newest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/executors/{executor}/revisions", tag = "executors", params(PageQuery),
    responses((status = 200, description = "Some of them.", body = Listing<Revision>)))]
async fn list_revisions(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Listing<Revision>>> {
    let request = page.request()?;
    Ok(Json(control.registry(move |registry| registry.revisions(&access, &executor, &request)).await?.into()))
}

/// Makes a revision, moves a tag to it and serves it; the executor too, if it is the first.
///
/// `If-Match` and `If-None-Match` are about the tag.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/executors/{executor}/revisions", tag = "executors",
    params(ConditionHeaders), request_body = NewRevision, responses(
        (status = 200, description = "What a dry run found.", body = RevisionAnswer),
        (status = 201, description = "It is there, and served if nothing awaits approval.", body = RevisionAnswer),
    ))]
async fn create_revision(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
    Condition(precondition): Condition,
    Input(new): Input<NewRevision>,
) -> Result<Response> {
    let (spec, options, dry_run) = new.split(precondition);
    let making = Making { access, executor, options };
    let (revision, diff, report) = making.judge(&control, &spec).await?;
    let outcomes = making.try_out(&control, &spec).await?;
    let fuel = outcomes.iter().fold(0_u64, |sum, outcome| sum.saturating_add(outcome.fuel));
    let engine = control.0.validator.engine().to_owned();
    let tenant = making.access.tenant().clone();
    if dry_run {
        let revision = Revision { examples: outcomes, examined_with: engine, ..revision };
        let object = format!("{} (dry run)", making.executor);
        let answer = RevisionAnswer {
            revision,
            diff,
            tag: None,
            deployment: None,
            fuel,
            dry_run,
            report: Some(report),
        };
        return Ok(named(object, Json(answer)));
    }
    let path = format!("/v1/tenants/{tenant}/executors/{}/revisions", making.executor);
    let made = making.make(&control, spec, Examined { outcomes, engine }).await?;
    let CreatedRevision { revision, diff, tag, deployment } = made;
    let object = format!("{}@{}", making.executor, revision.number);
    let path = format!("{path}/{}", revision.number);
    let answer = RevisionAnswer { revision, diff, tag, deployment, fuel, dry_run, report: None };
    Ok(created(&path, object, Json(answer)))
}

/// One revision.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/executors/{executor}/revisions/{number}", tag = "executors",
    responses((status = 200, description = "The revision.", body = Revision)))]
async fn show_revision(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
    At(Number(number)): At<Number>,
) -> Result<Json<Revision>> {
    Ok(Json(control.registry(move |registry| registry.revision(&access, &executor, number)).await?))
}

/// Lets traffic reach a revision that awaits approval. No tag moves by itself.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/executors/{executor}/revisions/{number}/approve", tag = "executors",
    responses((status = 200, description = "The revision.", body = Revision)))]
async fn approve_revision(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    At(executor): At<ExecutorName>,
    At(Number(number)): At<Number>,
) -> Result<Json<Revision>> {
    Ok(Json(control.registry(move |registry| registry.approve_revision(&access, &executor, number)).await?))
}

/// Keeps traffic from a revision for ever; one that gets traffic now is a conflict.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/executors/{executor}/revisions/{number}/refuse", tag = "executors",
    request_body = Option<Refusing>, responses((status = 200, description = "The revision.", body = Revision)))]
async fn refuse_revision(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Caller(principal): Caller,
    At(executor): At<ExecutorName>,
    At(Number(number)): At<Number>,
    OptionalInput(refusing): OptionalInput<Refusing>,
) -> Result<Json<Revision>> {
    let (tenant, of) = (access.tenant().clone(), executor.clone());
    let why = if refusing.reason.is_empty() { "no reason given" } else { refusing.reason.as_str() };
    let reason = format!("{why} (by {})", principal.name);
    let refused =
        control.registry(move |registry| registry.refuse_revision(&access, &of, number, &reason)).await?;
    // A shadow may have run it.
    control.follow(&tenant, Change::Executor(executor)).await?;
    Ok(Json(refused))
}

impl NewRevision {
    fn split(self, precondition: Precondition) -> (RevisionSpec, RevisionOptions, bool) {
        let Self { component, configuration, limits, capabilities, examples, note, tag, deploy, dry_run } =
            self;
        let spec = RevisionSpec { component, configuration, limits, capabilities, examples, note };
        (spec, RevisionOptions { tag, deploy, precondition }, dry_run)
    }
}

/// A revision on its way.
#[derive(Debug, Clone)]
struct Making {
    access: TenantAccess,
    executor: ExecutorName,
    options: RevisionOptions,
}

impl Making {
    /// By the registry's rules.
    async fn judge(
        &self,
        control: &Control,
        spec: &RevisionSpec,
    ) -> Result<(Revision, CapabilityDiff, ComponentReport)> {
        let (making, spec) = (self.clone(), spec.clone());
        control
            .registry(move |registry| {
                let Making { access, executor, options } = &making;
                let (revision, diff) = registry.check_revision(access, executor, &spec, options)?;
                Ok((revision, diff, registry.component(access, spec.component)?.report))
            })
            .await
    }

    /// In an instance. An example that differs refuses the revision.
    async fn try_out(&self, control: &Control, spec: &RevisionSpec) -> Result<Vec<ExampleOutcome>> {
        let outcomes = control.0.serving.try_out(self.access.tenant(), &self.executor, spec).await?;
        let Some((index, failed)) =
            outcomes.iter().enumerate().find(|(_, outcome)| outcome.difference.is_some())
        else {
            return Ok(outcomes);
        };
        let difference = failed.difference.as_deref().unwrap_or_default();
        let message = format!("golden example {} ({}) differs: {difference}", index + 1, failed.endpoint);
        Err(Problem::new(ErrorCode::Conflict, message)
            .with_executor(&self.executor)
            .with_digest(spec.component)
            .with_details(json!({ "examples": outcomes }))
            .with_hint("mend the component or the example; nothing was changed")
            .into())
    }

    /// In the registry, then in traffic; back again if traffic does not follow.
    async fn make(
        &self,
        control: &Control,
        spec: RevisionSpec,
        examined: Examined,
    ) -> Result<CreatedRevision> {
        let making = self.clone();
        let made = control
            .registry(move |registry| {
                let Making { access, executor, options } = &making;
                registry.create_revision(access, executor, spec, examined, options)
            })
            .await?;
        if made.revision.state != RevisionState::Ready {
            return Ok(made);
        }
        let (making, undone) = (self.clone(), made.clone());
        let change = Change::Executor(self.executor.clone());
        control
            .follow_or_undo(self.access.tenant(), change, move |registry| making.take_back(registry, &undone))
            .await?;
        Ok(made)
    }

    /// The revision stays: its number is used, and nothing leads to it.
    fn take_back(&self, registry: &Registry, made: &CreatedRevision) -> std::result::Result<(), Problem> {
        let Self { access, executor, .. } = self;
        let began = |deployment: &&Deployment| {
            deployment.etag == 1 && deployment.changed_at == made.revision.created_at
        };
        if made.deployment.as_ref().filter(began).is_some() {
            registry.delete_deployment(access, executor, Precondition::Match(1))?;
        }
        let Some(tag) = &made.tag else { return Ok(()) };
        let unchanged = Precondition::Match(tag.etag);
        if tag.before.is_empty() {
            return registry.delete_tag(access, executor, &tag.name, unchanged);
        }
        registry.roll_back(access, executor, &tag.name, unchanged).map(drop)
    }
}
