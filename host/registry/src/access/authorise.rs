//! The one place that decides what a principal may do.
//!
//! The order matters: first whose tenant it is, then the scope, then whether the tenant exists. So a caller learns about
//! its own tenant only, and a key of the host without the scope learns about none.

use lockgate_domain::{ErrorCode, Principal, Problem, Scope, Tenant, TenantName};

/// Proof that a principal may do something with a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantAccess {
    tenant: TenantName,
    principal: Principal,
    granted: Scope,
}

/// Proof that a principal is the operator of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAccess {
    principal: Principal,
}

/// What the registry knows about a tenant's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantStanding {
    /// There is no such tenant.
    Unknown,
    /// It may do what its keys may.
    Active,
    /// It may only look.
    Suspended,
}

/// Decides whether a principal may do things of a scope with the tenant of that name. `standing` looks the name up.
pub fn authorise(
    principal: &Principal,
    wanted: Scope,
    asked: &str,
    standing: impl FnOnce(&TenantName) -> Result<TenantStanding, Problem>,
) -> Result<TenantAccess, Problem> {
    let tenant: TenantName =
        asked.parse().map_err(|error| Problem::new(ErrorCode::InvalidRequest, format!("{error}")))?;
    if principal.tenant.as_ref().is_some_and(|own| *own != tenant) {
        return Err(no_such_tenant(&tenant));
    }
    if wanted == Scope::Host || !principal.may(wanted) {
        return Err(lacks(principal, wanted));
    }
    let is_operator = principal.tenant.is_none() && principal.may(Scope::Host);
    match standing(&tenant)? {
        TenantStanding::Unknown => return Err(no_such_tenant(&tenant)),
        TenantStanding::Suspended if !may_while_suspended(wanted, is_operator) => {
            let message =
                format!("tenant {tenant:?} is suspended: its things can be looked at, not used or changed");
            return Err(
                Problem::new(ErrorCode::PermissionDenied, message).with_hint("ask the operator of the host")
            );
        }
        TenantStanding::Suspended | TenantStanding::Active => {}
    }
    Ok(TenantAccess { tenant, principal: principal.clone(), granted: wanted })
}

/// Decides whether a principal is the operator of the host.
pub fn authorise_host(principal: &Principal) -> Result<HostAccess, Problem> {
    if principal.tenant.is_none() && principal.may(Scope::Host) {
        return Ok(HostAccess { principal: principal.clone() });
    }
    Err(lacks(principal, Scope::Host))
}

// === impl TenantAccess ===

impl TenantAccess {
    /// For what the host does by itself: serving after a start, examining again, metering. `work` names it in the audit.
    /// Never to be used with a tenant's name that came from a caller.
    pub fn of_host(tenant: TenantName, work: &'static str) -> Self {
        Self { tenant, principal: of_host(work), granted: Scope::Host }
    }

    /// Whose things.
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// Who does it.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// For the functions of the registry: whether this access was given for such things.
    pub fn require(&self, wanted: Scope) -> Result<(), Problem> {
        if self.granted.covers(wanted) { Ok(()) } else { Err(lacks(&self.principal, wanted)) }
    }
}

// === impl HostAccess ===

impl HostAccess {
    /// For what the host does by itself, such as making its first key. `work` names it in the audit.
    pub fn of_host(work: &'static str) -> Self {
        Self { principal: of_host(work) }
    }

    /// Who does it.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

// === impl TenantStanding ===

impl From<Option<&Tenant>> for TenantStanding {
    fn from(tenant: Option<&Tenant>) -> Self {
        match tenant {
            None => Self::Unknown,
            Some(tenant) if tenant.settings.suspended => Self::Suspended,
            Some(_) => Self::Active,
        }
    }
}

fn of_host(work: &'static str) -> Principal {
    Principal { name: format!("host:{work}"), ..Principal::local() }
}

/// Nobody runs code of a suspended tenant; only the operator may still change what is there.
fn may_while_suspended(wanted: Scope, is_operator: bool) -> bool {
    match wanted {
        Scope::Read => true,
        Scope::Call => false,
        Scope::Upload | Scope::Deploy | Scope::Admin | Scope::Host => is_operator,
    }
}

/// Also for a tenant that exists and is not the caller's.
fn no_such_tenant(tenant: &TenantName) -> Problem {
    Problem::new(ErrorCode::NotFound, format!("there is no tenant {tenant:?}"))
}

fn lacks(principal: &Principal, wanted: Scope) -> Problem {
    let has: Vec<&str> = principal.scopes.iter().map(|scope| scope.as_str()).collect();
    let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
    let message = format!("{} lacks the scope {wanted} (it has: {has})", principal.name);
    Problem::new(ErrorCode::PermissionDenied, message).with_hint("use a key with that scope")
}
