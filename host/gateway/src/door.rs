//! Who calls, and which flow is meant: what the gateway asks before it works for anybody.
//!
//! The gateway reads credentials and names off a request and understands neither. It shows them to its [`Door`], once
//! per request and once per stream, and gets a [`Visitor`]; every message then begins with [`Visitor::enter`]. There
//! are two doors: [`OpenDoor`] lets everybody to the flow of the host's owner, the node's own knows tenants.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use lockgate_domain::{ErrorCode, FlowName, Problem, TenantName};

use crate::routes::{Routes, ServedFlow};

/// Longest piece of a caller's text that is shown in a message, in characters.
const SHOWN: usize = 80;

/// Decides who comes in.
pub trait Door: Send + Sync {
    /// Says who it is and what is meant: once per request, once per stream. It comes before anything is read that costs
    /// something, so it has to be cheap for callers who are nobody: no slow hash, no lock that work waits for.
    ///
    /// What is another tenant's is refused exactly like what does not exist.
    fn identify(&self, knock: &Knock<'_>) -> Result<Arc<dyn Visitor>, Problem>;

    /// Whether new traffic is wanted, and if not, why.
    fn readiness(&self) -> Result<(), Problem>;

    /// The gateway drains: no request waits for others to come any more. Without flows that batch there is nothing to
    /// do.
    fn drain(&self) {}
}

/// A caller that was let in, and the flow that it means.
pub trait Visitor: Send + Sync {
    /// The flow, to describe it; no quota is used.
    fn flow(&self) -> Result<Arc<ServedFlow>, Problem>;

    /// Begins one message: the credential still holds, no quota is used up. Of its refusals, `quota_exceeded` is about
    /// this message; after any other a stream ends.
    fn enter(&self) -> Result<Visit, Problem>;
}

/// One message that was let in.
pub struct Visit {
    /// On whose behalf it is worked on.
    pub tenant: TenantName,
    /// Where it goes.
    pub flow: Arc<ServedFlow>,
    /// Held until the reply has left.
    pub guard: Option<Box<dyn Send>>,
}

/// What a request shows at the door.
#[derive(Debug, Clone, Copy)]
pub struct Knock<'a> {
    /// Who it says it is.
    pub credential: Credential<'a>,
    /// What it wants.
    pub wanted: Wanted<'a>,
    /// Where it comes from.
    pub peer: IpAddr,
}

/// What a request asks for, as it was written: these are not names yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Whatever there is, if there is one thing.
    Any,
    /// The flow of this name.
    Flow(&'a str),
    /// An executor on its own, perhaps one revision of it: `shout`, `shout:stable`, `shout@3`.
    Executor(&'a str),
}

/// Credentials as they were sent. They are shown to the door and to nobody else: not to executors, not to the log.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Credential<'a> {
    /// The header `authorization`.
    pub authorization: Option<&'a str>,
    /// The header `x-api-key`, or the key of a browser's WebSocket.
    pub api_key: Option<&'a str>,
}

impl<'a> Credential<'a> {
    /// The one secret that was sent: an API key or a token, whichever way it came.
    ///
    /// # Errors
    /// `unauthenticated` for a scheme other than `Bearer`, `invalid_request` for two different secrets: whose request
    /// it is must not depend on which of them is looked at first.
    pub fn secret(&self) -> Result<Option<&'a str>, Problem> {
        let Some(authorization) = self.authorization else { return Ok(self.api_key) };
        let token = authorization.split_once(' ').and_then(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
        });
        match (token, self.api_key) {
            (Some(token), None) => Ok(Some(token)),
            (Some(token), Some(key)) if token == key => Ok(Some(token)),
            (_, Some(_)) => Err(Problem::new(
                ErrorCode::InvalidRequest,
                "the headers authorization and x-api-key hold two different credentials",
            )
            .with_hint("send one of them")),
            (None, None) => Err(Problem::new(
                ErrorCode::Unauthenticated,
                "header authorization is not of the form Bearer KEY",
            )
            .with_hint("send `authorization: Bearer KEY` or `x-api-key: KEY`")),
        }
    }
}

impl fmt::Debug for Credential<'_> {
    /// Which of them were sent, never what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("authorization", &self.authorization.map(|_| "..."))
            .field("api_key", &self.api_key.map(|_| "..."))
            .finish()
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit")
            .field("tenant", &self.tenant)
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for dyn Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

impl fmt::Debug for dyn Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Visitor")
    }
}

// === impl OpenDoor ===

/// Lets everybody to whatever the routes hold at the moment of each message.
#[derive(Debug, Clone)]
pub struct OpenDoor {
    routes: Routes,
    /// What nearly every caller becomes, so that nothing is allocated for it.
    anybody: Arc<dyn Visitor>,
    tenant: TenantName,
}

/// Somebody who means the flow there is, or the one of this name.
struct Anybody {
    routes: Routes,
    wanted: Option<FlowName>,
    tenant: TenantName,
}

impl OpenDoor {
    /// The door to these routes.
    pub fn new(routes: Routes) -> Self {
        let tenant = TenantName::local();
        let anybody = Arc::new(Anybody { routes: routes.clone(), wanted: None, tenant: tenant.clone() });
        Self { routes, anybody, tenant }
    }

    fn unknown(&self, what: &str, name: &str) -> Problem {
        let shown: String = name.chars().take(SHOWN).collect();
        let problem = Problem::new(ErrorCode::NotFound, format!("there is no {what} {shown:?} here"));
        match self.routes.resolve() {
            Ok(flow) => {
                problem.with_hint(format!("leave the name out: flow {} is all that is served", flow.name))
            }
            Err(_) => problem,
        }
    }
}

impl Door for OpenDoor {
    fn identify(&self, knock: &Knock<'_>) -> Result<Arc<dyn Visitor>, Problem> {
        match knock.wanted {
            Wanted::Any => Ok(self.anybody.clone()),
            Wanted::Flow(name) => match name.parse().ok().filter(|name| self.routes.get(name).is_some()) {
                Some(name) => Ok(Arc::new(Anybody {
                    routes: self.routes.clone(),
                    wanted: Some(name),
                    tenant: self.tenant.clone(),
                })),
                None => Err(self.unknown("flow", name)),
            },
            Wanted::Executor(name) => Err(self.unknown("deployed executor", name)),
        }
    }

    fn readiness(&self) -> Result<(), Problem> {
        self.routes.resolve().map(|_| ())
    }

    fn drain(&self) {
        self.routes.flows().iter().for_each(|flow| flow.drain());
    }
}

impl Visitor for Anybody {
    fn flow(&self) -> Result<Arc<ServedFlow>, Problem> {
        let Some(name) = &self.wanted else { return self.routes.resolve() };
        self.routes.get(name).ok_or_else(|| {
            Problem::new(ErrorCode::NotFound, format!("flow {name} is not served any longer"))
                .with_hint("ask again without its name")
        })
    }

    fn enter(&self) -> Result<Visit, Problem> {
        Ok(Visit { tenant: self.tenant.clone(), flow: self.flow()?, guard: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_secret_or_none() {
        let check = |authorization, api_key, expected: Result<Option<&str>, ErrorCode>| {
            let credential = Credential { authorization, api_key };
            assert_eq!(credential.secret().map_err(|problem| problem.code()), expected, "{credential:?}");
            assert!(!format!("{credential:?}").contains("lg_"), "{credential:?}");
        };
        check(None, None, Ok(None));
        check(None, Some("lg_a"), Ok(Some("lg_a")));
        check(Some("Bearer lg_a"), None, Ok(Some("lg_a")));
        check(Some("bearer  lg_a "), None, Ok(Some("lg_a")));
        check(Some("Bearer lg_a"), Some("lg_a"), Ok(Some("lg_a")));
        check(Some("Bearer lg_a"), Some("lg_b"), Err(ErrorCode::InvalidRequest));
        check(Some("Basic lg_a"), Some("lg_a"), Err(ErrorCode::InvalidRequest));
        check(Some("Basic lg_a"), None, Err(ErrorCode::Unauthenticated));
        check(Some("Bearer "), None, Err(ErrorCode::Unauthenticated));
        check(Some("lg_a"), None, Err(ErrorCode::Unauthenticated));
    }
}
