//! Carries out what a shadow was judged to be: the primary moves to it, or it is refused and goes.
//!
//! The registry is changed like by anybody else, with the entity tags that were read, so a person who changed the
//! deployment meanwhile wins. Both outcomes stand in the audit under `host:shadow`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lockgate_control::Change;
use lockgate_domain::hosting::{Deployment, DeploymentSpec, RevisionNumber, ShadowVerdict, Target};
use lockgate_domain::{ErrorCode, ExecutorName, Problem, RequestId, TenantName};
use lockgate_registry::access::TenantAccess;
use lockgate_registry::{AuditDraft, Precondition, Registry};

use super::ground::blocking;
use super::platform::Platform;
use super::shadow::{Referee, Shadow};

impl Referee for Platform {
    fn decide(self: Arc<Self>, shadow: Arc<Shadow>, verdict: ShadowVerdict) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let lane = shadow.lane();
            let (tenant, executor) = (lane.owner().name.clone(), lane.executor().clone());
            let ruling = Ruling {
                registry: self.ground.registry.clone(),
                tenant: tenant.clone(),
                executor: executor.clone(),
                shadow: lane.number(),
                verdict,
            };
            let carried_out = blocking(move || ruling.carry_out()).await;
            let applied = match carried_out {
                Ok(()) => self.apply_change(&tenant, Change::Executor(executor.clone())).await,
                Err(problem) => Err(problem),
            };
            if let Err(problem) = applied {
                tracing::error!(%tenant, %executor, %problem, "the verdict about a shadow was not carried out");
            }
        })
    }
}

struct Ruling {
    registry: Registry,
    tenant: TenantName,
    executor: ExecutorName,
    shadow: RevisionNumber,
    verdict: ShadowVerdict,
}

impl Ruling {
    fn carry_out(&self) -> Result<(), Problem> {
        let access = TenantAccess::of_host(self.tenant.clone(), "shadow");
        let (action, done) = match &self.verdict {
            ShadowVerdict::Within => ("shadow.promote", self.promote(&access)),
            ShadowVerdict::Outside { reasons } => ("shadow.refuse", self.refuse(&access, reasons)),
            ShadowVerdict::Comparing => return Ok(()),
        };
        let audited = self.registry.audit(AuditDraft {
            principal: access.principal().name.clone(),
            tenant: Some(self.tenant.clone()),
            action: action.to_owned(),
            object: format!("{}@{}", self.executor, self.shadow),
            error: done.as_ref().err().map(|problem| problem.code().as_str().to_owned()),
            request_id: RequestId::fresh().as_str().to_owned(),
        });
        done.and(audited)
    }

    /// First the shadow goes, then the primary moves: a kill in between leaves the primary where it was.
    fn promote(&self, access: &TenantAccess) -> Result<(), Problem> {
        let deployment = self.without_shadow(access, |spec| {
            if matches!(spec.primary, Target::Revision(_)) {
                spec.primary = Target::Revision(self.shadow);
            }
        })?;
        match &deployment.spec.primary {
            Target::Revision(_) => Ok(()),
            Target::Tag(tag) => {
                let etag = self.registry.tag(access, &self.executor, tag)?.etag;
                let unless_moved = Precondition::Match(etag);
                self.registry.put_tag(access, &self.executor, tag, self.shadow, unless_moved).map(drop)
            }
        }
    }

    fn refuse(&self, access: &TenantAccess, reasons: &[String]) -> Result<(), Problem> {
        self.without_shadow(access, |_| {})?;
        let reason = format!("as a shadow it was outside of the bounds: {}", reasons.join("; "));
        self.registry.refuse_revision(access, &self.executor, self.shadow, &reason).map(drop)
    }

    /// The deployment without the shadow that was judged; another one that is there by now is none of our affair.
    fn without_shadow(
        &self,
        access: &TenantAccess,
        change: impl FnOnce(&mut DeploymentSpec),
    ) -> Result<Deployment, Problem> {
        let deployment = self.registry.deployment(access, &self.executor)?;
        let mut spec = deployment.spec;
        let target = spec.shadow.take().map(|shadow| shadow.target);
        let is_ours = match &target {
            Some(target) => self.registry.resolve(access, &self.executor, target)?.number == self.shadow,
            None => false,
        };
        if !is_ours {
            let message = format!("revision {}@{} is the shadow no longer", self.executor, self.shadow);
            return Err(Problem::new(ErrorCode::Conflict, message));
        }
        change(&mut spec);
        self.registry.put_deployment(access, &self.executor, spec, Precondition::Match(deployment.etag))
    }
}
