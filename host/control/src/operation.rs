//! Every operation of the API as data: who may use it and what the audit log calls it.
//!
//! The guard looks requests up here before any handler sees them. What is not in the table is answered `not_found`, so
//! a handler that somebody forgot to enter is unreachable rather than open.

use http::Method;
use lockgate_domain::Scope;

/// What a caller has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: pages that say nothing of any tenant.
    Nothing,
    /// Anybody who is known.
    Somebody,
    /// The operator of the host.
    Operator,
    /// The operator, on the tenant that the path names.
    OperatorOnTenant,
    /// Somebody with this scope for the tenant that the path names.
    Tenant(Scope),
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// As the router has it: `{…}` is one segment.
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    /// What the audit log calls it; none for what changes nothing.
    pub(crate) action: Option<&'static str>,
}

const fn page(path: &'static str) -> Operation {
    Operation { method: Method::GET, path, needs: Needs::Nothing, action: None }
}

const fn get(path: &'static str, needs: Needs) -> Operation {
    Operation { method: Method::GET, path, needs, action: None }
}

const fn post(path: &'static str, needs: Needs, action: &'static str) -> Operation {
    Operation { method: Method::POST, path, needs, action: Some(action) }
}

const fn put(path: &'static str, needs: Needs, action: &'static str) -> Operation {
    Operation { method: Method::PUT, path, needs, action: Some(action) }
}

const fn delete(path: &'static str, needs: Needs, action: &'static str) -> Operation {
    Operation { method: Method::DELETE, path, needs, action: Some(action) }
}

const READ: Needs = Needs::Tenant(Scope::Read);
const UPLOAD: Needs = Needs::Tenant(Scope::Upload);
const DEPLOY: Needs = Needs::Tenant(Scope::Deploy);
const ADMIN: Needs = Needs::Tenant(Scope::Admin);
const HOST: Needs = Needs::Operator;
const HOST_ON_TENANT: Needs = Needs::OperatorOnTenant;

/// The whole API, in the order of `host/docs/hosting.md`.
pub(crate) const OPERATIONS: &[Operation] = &[
    page("/healthz"),
    page("/readyz"),
    page("/metrics"),
    page("/openapi.json"),
    page("/docs"),
    page("/docs/style.css"),
    page("/docs/page.js"),
    get("/v1/whoami", Needs::Somebody),
    get("/v1/status", HOST),
    get("/v1/audit", HOST),
    get("/v1/keys", HOST),
    post("/v1/keys", HOST, "key.create"),
    delete("/v1/keys/{id}", HOST, "key.revoke"),
    get("/v1/tenants", HOST),
    post("/v1/tenants", HOST, "tenant.create"),
    get("/v1/tenants/{tenant}", READ),
    put("/v1/tenants/{tenant}", HOST_ON_TENANT, "tenant.update"),
    delete("/v1/tenants/{tenant}", HOST_ON_TENANT, "tenant.delete"),
    get("/v1/tenants/{tenant}/keys", ADMIN),
    post("/v1/tenants/{tenant}/keys", ADMIN, "key.create"),
    delete("/v1/tenants/{tenant}/keys/{id}", ADMIN, "key.revoke"),
    get("/v1/tenants/{tenant}/components", READ),
    post("/v1/tenants/{tenant}/components", UPLOAD, "component.upload"),
    get("/v1/tenants/{tenant}/components/{digest}", READ),
    put("/v1/tenants/{tenant}/components/{digest}", UPLOAD, "component.upload"),
    delete("/v1/tenants/{tenant}/components/{digest}", UPLOAD, "component.delete"),
    get("/v1/tenants/{tenant}/components/{digest}/content", READ),
    get("/v1/tenants/{tenant}/signing-keys", ADMIN),
    get("/v1/tenants/{tenant}/signing-keys/{name}", ADMIN),
    put("/v1/tenants/{tenant}/signing-keys/{name}", ADMIN, "signing-key.put"),
    delete("/v1/tenants/{tenant}/signing-keys/{name}", ADMIN, "signing-key.delete"),
    get("/v1/tenants/{tenant}/executors", READ),
    get("/v1/tenants/{tenant}/executors/{executor}", READ),
    delete("/v1/tenants/{tenant}/executors/{executor}", DEPLOY, "executor.delete"),
    get("/v1/tenants/{tenant}/executors/{executor}/revisions", READ),
    post("/v1/tenants/{tenant}/executors/{executor}/revisions", DEPLOY, "revision.create"),
    get("/v1/tenants/{tenant}/executors/{executor}/revisions/{number}", READ),
    post("/v1/tenants/{tenant}/executors/{executor}/revisions/{number}/approve", ADMIN, "revision.approve"),
    post("/v1/tenants/{tenant}/executors/{executor}/revisions/{number}/refuse", ADMIN, "revision.refuse"),
    get("/v1/tenants/{tenant}/executors/{executor}/tags", READ),
    put("/v1/tenants/{tenant}/executors/{executor}/tags/{tag}", DEPLOY, "tag.move"),
    delete("/v1/tenants/{tenant}/executors/{executor}/tags/{tag}", DEPLOY, "tag.delete"),
    post("/v1/tenants/{tenant}/executors/{executor}/rollback", DEPLOY, "tag.rollback"),
    get("/v1/tenants/{tenant}/executors/{executor}/deployment", READ),
    put("/v1/tenants/{tenant}/executors/{executor}/deployment", DEPLOY, "deployment.put"),
    delete("/v1/tenants/{tenant}/executors/{executor}/deployment", DEPLOY, "deployment.delete"),
    get("/v1/tenants/{tenant}/executors/{executor}/status", READ),
    get("/v1/tenants/{tenant}/executors/{executor}/shadow", READ),
    get("/v1/tenants/{tenant}/flows", READ),
    get("/v1/tenants/{tenant}/flows/{flow}", READ),
    put("/v1/tenants/{tenant}/flows/{flow}", DEPLOY, "flow.put"),
    delete("/v1/tenants/{tenant}/flows/{flow}", DEPLOY, "flow.delete"),
    get("/v1/tenants/{tenant}/secrets", DEPLOY),
    put("/v1/tenants/{tenant}/secrets/{name}", DEPLOY, "secret.put"),
    delete("/v1/tenants/{tenant}/secrets/{name}", DEPLOY, "secret.delete"),
    get("/v1/tenants/{tenant}/usage", READ),
    get("/v1/tenants/{tenant}/audit", READ),
    get("/v1/tenants/{tenant}/capsules", READ),
    get("/v1/tenants/{tenant}/capsules/{id}", READ),
];

impl Operation {
    /// The operation behind a method and a path of the router; HEAD is GET.
    pub(crate) fn find(method: &Method, path: &str) -> Option<&'static Self> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        OPERATIONS.iter().find(|operation| operation.method == *method && operation.path == path)
    }

    /// The methods that there are at a path of the router, as the header `allow` has them.
    pub(crate) fn allowed(path: &str) -> String {
        let here = OPERATIONS.iter().filter(|operation| operation.path == path);
        here.map(|operation| operation.method.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The scope as the description of the API shows it.
    pub(crate) fn scope(&self) -> Option<Scope> {
        match self.needs {
            Needs::Nothing | Needs::Somebody => None,
            Needs::Operator | Needs::OperatorOnTenant => Some(Scope::Host),
            Needs::Tenant(scope) => Some(scope),
        }
    }
}
