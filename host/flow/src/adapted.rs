//! An executor under a flow's own names: `uses_requests` and `uses_metas`.
//!
//! An endpoint that a flow gives another name is gone under its own, as in Jina; the others stay. What follows from the
//! executor's manifest is kept until the executor has another one, so a swap is seen by the next request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use lockgate_domain::spec::StageMetas;
use lockgate_domain::{EndpointName, Manifest, Problem, StageSpec};

use crate::client::{ExecutorCall, ExecutorClient, ExecutorReply};

/// An executor that is asked under other names.
pub(crate) struct AdaptedExecutor {
    inner: Arc<dyn ExecutorClient>,
    requests: BTreeMap<EndpointName, EndpointName>,
    metas: StageMetas,
    /// Of the manifest that the executor had last.
    adapted: Mutex<Option<Arc<Adapted>>>,
}

struct Adapted {
    of: Arc<Manifest>,
    manifest: Arc<Manifest>,
    /// The executor's own name of each endpoint.
    own: BTreeMap<EndpointName, EndpointName>,
}

/// The executor as the stage wants it called; as it is when the stage has no wishes.
pub(crate) fn adapt(client: Arc<dyn ExecutorClient>, stage: &StageSpec) -> Arc<dyn ExecutorClient> {
    if stage.requests.is_empty() && stage.metas == StageMetas::default() {
        return client;
    }
    Arc::new(AdaptedExecutor {
        inner: client,
        requests: stage.requests.clone(),
        metas: stage.metas.clone(),
        adapted: Mutex::default(),
    })
}

/// What `uses_requests` names that the executor does not have.
pub(crate) fn unknown_endpoints(manifest: &Manifest, stage: &StageSpec) -> Vec<String> {
    unknown_to(manifest, stage, "uses_requests", stage.requests.values())
}

/// What a key of a stage names that the executor does not have. An executor that lists nothing is a draft.
pub(crate) fn unknown_to<'a>(
    manifest: &Manifest,
    stage: &StageSpec,
    key: &str,
    names: impl Iterator<Item = &'a EndpointName>,
) -> Vec<String> {
    let endpoints = &manifest.endpoints;
    let is_known = |name: &EndpointName| endpoints.iter().any(|endpoint| endpoint.name == *name);
    let known: Vec<&str> = endpoints.iter().take(8).map(|endpoint| endpoint.name.as_str()).collect();
    let (executor, known) = (&stage.name, known.join(", "));
    names
        .filter(|name| !endpoints.is_empty() && !is_known(name))
        .map(|name| format!("`{key}` of executor `{executor}` names `{name}`, its component has {known}"))
        .collect()
}

impl AdaptedExecutor {
    fn adapted(&self) -> Arc<Adapted> {
        let current = self.inner.manifest();
        let mut kept = self.adapted.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(adapted) if Arc::ptr_eq(&adapted.of, &current) => adapted.clone(),
            _ => kept.insert(Arc::new(self.make(current))).clone(),
        }
    }

    fn make(&self, of: Arc<Manifest>) -> Adapted {
        let mut manifest = Manifest { endpoints: Vec::with_capacity(of.endpoints.len()), ..(*of).clone() };
        let mut own = BTreeMap::new();
        let is_renamed = |name: &EndpointName| self.requests.values().any(|renamed| renamed == name);
        for endpoint in &of.endpoints {
            // A name that callers see means what the flow says, not what the author said.
            if !is_renamed(&endpoint.name) && !self.requests.contains_key(&endpoint.name) {
                own.insert(endpoint.name.clone(), endpoint.name.clone());
                manifest.endpoints.push(endpoint.clone());
            }
        }
        for (name, renamed) in &self.requests {
            if let Some(endpoint) = of.endpoints.iter().find(|endpoint| endpoint.name == *renamed) {
                own.insert(name.clone(), renamed.clone());
                let mut endpoint = endpoint.clone();
                endpoint.name = name.clone();
                manifest.endpoints.push(endpoint);
            }
        }
        if let Some(name) = &self.metas.name {
            manifest.name.clone_from(name);
        }
        if let Some(description) = &self.metas.description {
            manifest.description.clone_from(description);
        }
        Adapted { of, manifest: Arc::new(manifest), own }
    }
}

impl ExecutorClient for AdaptedExecutor {
    fn manifest(&self) -> Arc<Manifest> {
        self.adapted().manifest.clone()
    }

    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
        let adapted = self.adapted();
        let endpoint = adapted.manifest.resolve(wanted)?;
        adapted.own.get(&endpoint.name).cloned()
    }

    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        self.inner.call(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::ScriptedExecutor;

    fn parse(name: &str) -> EndpointName {
        EndpointName::parse(name).unwrap()
    }

    fn stage(requests: &[(&str, &str)]) -> StageSpec {
        let requests = requests.iter().map(|(name, own)| (parse(name), parse(own))).collect();
        StageSpec { requests, ..StageSpec::new("a".parse().unwrap(), "x.wasm") }
    }

    #[test]
    fn endpoints_answer_to_the_names_of_the_flow() {
        let check = |requests: &[(&str, &str)], wanted: &str, expected: Option<&str>| {
            let inner = Arc::new(ScriptedExecutor::new(&["/index", "/search"], Vec::new()));
            let adapted = adapt(inner, &stage(requests));
            let found = adapted.resolve(&parse(wanted));
            assert_eq!(found, expected.map(parse), "{requests:?} {wanted}");
        };
        check(&[], "/index", Some("/index"));
        check(&[("/foo", "index")], "/foo", Some("/index"));
        check(&[("/foo", "/index")], "/index", None);
        check(&[("/foo", "/index")], "/search", Some("/search"));
        check(&[("/default", "/index")], "/anything", Some("/index"));
        check(&[("/index", "/search"), ("/search", "/index")], "/index", Some("/search"));
        check(&[("/a", "/index"), ("/b", "/index")], "/b", Some("/index"));
        check(&[("/foo", "/none")], "/foo", None);
        check(&[("/index", "/search")], "/search", None);
    }

    #[test]
    fn descriptions_are_those_of_the_flow() {
        let inner = Arc::new(ScriptedExecutor::new(&["/index"], Vec::new()));
        let metas = StageMetas { name: Some("Finder".into()), description: Some("Finds.".into()) };
        let adapted = adapt(inner, &StageSpec { metas, ..stage(&[("/foo", "/index")]) });
        let manifest = adapted.manifest();
        assert_eq!((manifest.name.as_str(), manifest.description.as_str()), ("Finder", "Finds."));
        assert_eq!(manifest.endpoints[0].name, parse("/foo"));
        assert!(Arc::ptr_eq(&manifest, &adapted.manifest()));
    }

    #[test]
    fn unknown_endpoints_are_named() {
        let manifest = ScriptedExecutor::new(&["/index", "/search"], Vec::new()).manifest();
        let faults = unknown_endpoints(&manifest, &stage(&[("/foo", "/idnex"), ("/bar", "/search")]));
        assert_eq!(
            faults,
            ["`uses_requests` of executor `a` names `/idnex`, its component has /index, /search"]
        );
        assert!(unknown_endpoints(&Manifest::default(), &stage(&[("/foo", "/x")])).is_empty());
    }
}
