//! Who calls, in the name of which tenant, and what is meant: the gateway's door of a host with tenants.
//!
//! The credential says whose tenant it is, `authorise` of the registry whether that tenant may be called, the table of
//! the tenant what is there. Another tenant's flow is not looked for, so it cannot be told from one that nobody has.
//! Every message asks again: whether the credential still holds, whether the tenant is still there, and its quotas.

use std::sync::Arc;

use lockgate_domain::hosting::ExecutorReference;
use lockgate_domain::{ErrorCode, FlowName, Problem, Scope, TenantName};
use lockgate_gateway::{Door, Knock, ServedFlow, Visit, Visitor, Wanted};
use lockgate_registry::access::{Authenticator, Credential, Identity};

use super::platform::Platform;
use super::tenant::{Meant, TenantServing};

/// Characters of a name that a refusal repeats.
const SHOWN: usize = 80;

/// The door of a host with tenants.
pub(crate) struct HostDoor {
    pub(crate) platform: Arc<Platform>,
    pub(crate) authenticator: Authenticator,
    /// Whether a caller without a credential is let in, to the tenant `local`.
    pub(crate) dev: bool,
}

/// A caller of one tenant, and what it means.
struct TenantVisitor {
    platform: Arc<Platform>,
    authenticator: Authenticator,
    identity: Identity,
    tenant: TenantName,
    meant: Meant,
}

impl HostDoor {
    fn who(&self, knock: &Knock<'_>) -> Result<Identity, Problem> {
        match knock.credential.secret()?.map(Credential::parse).transpose()? {
            Some(credential) => {
                self.authenticator.authenticate(&credential, self.platform.ground.clock.now())
            }
            None if self.dev => Ok(Identity::local()),
            None => {
                Err(Problem::new(ErrorCode::Unauthenticated, "the request says nothing about who sends it")
                    .with_hint(
                        "send an API key of your tenant: `authorization: Bearer KEY` or `x-api-key: KEY`",
                    ))
            }
        }
    }

    fn tenant(&self, identity: &Identity) -> Result<TenantName, Problem> {
        match &identity.principal.tenant {
            Some(tenant) => Ok(tenant.clone()),
            None if self.dev => Ok(TenantName::local()),
            None => {
                let message = format!("{} belongs to the host and to no tenant", identity.principal.name);
                Err(Problem::new(ErrorCode::PermissionDenied, message)
                    .with_hint("make a key of a tenant with the scope `call`"))
            }
        }
    }
}

impl Door for HostDoor {
    fn identify(&self, knock: &Knock<'_>) -> Result<Arc<dyn Visitor>, Problem> {
        let identity = self.who(knock)?;
        let tenant = self.tenant(&identity)?;
        let platform = self.platform.clone();
        platform.ground.registry.authorise(&identity.principal, Scope::Call, tenant.as_str())?;
        let meant = meant(knock.wanted)?;
        let authenticator = self.authenticator.clone();
        let visitor = TenantVisitor { platform, authenticator, identity, tenant, meant };
        visitor.flow()?;
        Ok(Arc::new(visitor))
    }

    fn readiness(&self) -> Result<(), Problem> {
        self.platform.is_ready()
    }

    fn drain(&self) {
        let tenants = self.platform.tenants();
        tenants.iter().flat_map(|tenant| tenant.flows()).for_each(|flow| flow.drain());
    }
}

impl TenantVisitor {
    fn serving(&self) -> Result<Arc<TenantServing>, Problem> {
        self.platform.tenant(&self.tenant).ok_or_else(|| {
            Problem::new(ErrorCode::NotFound, format!("there is no tenant {:?}", self.tenant.as_str()))
        })
    }
}

impl Visitor for TenantVisitor {
    fn flow(&self) -> Result<Arc<ServedFlow>, Problem> {
        self.serving()?.flow(&self.meant)
    }

    fn enter(&self) -> Result<Visit, Problem> {
        let now = self.platform.ground.clock.now();
        self.authenticator.still_holds(&self.identity, now)?;
        let serving = self.serving()?;
        let guard = serving.owner.quota.enter(now)?;
        let flow = serving.flow(&self.meant)?;
        Ok(Visit { tenant: self.tenant.clone(), flow, guard: Some(Box::new(guard)) })
    }
}

/// What a caller wrote, as a name. A text that no name can be is told apart from a name that nobody has by its words
/// only.
fn meant(wanted: Wanted<'_>) -> Result<Meant, Problem> {
    let no_name = |what: &str, text: &str, error: &dyn std::fmt::Display| {
        let shown: String = text.chars().take(SHOWN).collect();
        Problem::new(ErrorCode::NotFound, format!("there is no {what} {shown:?}"))
            .with_hint(error.to_string())
    };
    match wanted {
        Wanted::Any => Ok(Meant::Only),
        Wanted::Flow(text) => {
            text.parse::<FlowName>().map(Meant::Flow).map_err(|error| no_name("flow", text, &error))
        }
        Wanted::Executor(text) => text
            .parse::<ExecutorReference>()
            .map(Meant::Executor)
            .map_err(|error| no_name("executor", text, &error)),
    }
}
