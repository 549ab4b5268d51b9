//! An executor in several shards: Jina's head, without a process of its own.
//!
//! `uses_before` has the documents first, then one shard gets them or all of them do, then `uses_after` gets what the
//! shards gave, list by list; without it the lists are united by document id in the order of the shards, or stand one
//! behind the other. All of it is one call of one stage: routes know nothing of it, its first failure ends it, and
//! dropping it drops every call in progress. A part that was refused before it saw anything is tried again by itself:
//! trying the whole again would call parts twice that had answered.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, try_join_all};
use lockgate_domain::spec::{Polling, PollingSpec};
use lockgate_domain::{
    DocumentList, EndpointName, ErrorCode, ExecutorName, Limits, Manifest, NamedResults, Problem, StageSpec,
};

use crate::adapted;
use crate::client::{ExecutorCall, ExecutorClient, ExecutorReply, GivenResults};
use crate::join::join;
use crate::stage::retrying;

/// What a sharded executor is made of.
pub struct ShardParts {
    /// Has the documents before the shards do.
    pub before: Option<Arc<dyn ExecutorClient>>,
    /// At least one.
    pub shards: Vec<Arc<dyn ExecutorClient>>,
    /// Gets what all shards gave.
    pub after: Option<Arc<dyn ExecutorClient>>,
}

/// An executor that is several.
pub struct ShardedExecutor {
    name: ExecutorName,
    parts: ShardParts,
    /// As joins name what each shard gave.
    names: Vec<ExecutorName>,
    polling: PollingSpec,
    reduce: bool,
    retries: u32,
    limits: Limits,
    manifest: Arc<Manifest>,
    /// Whose turn it is.
    next: AtomicUsize,
}

impl ShardedExecutor {
    /// Puts the parts of a stage together. [`ErrorCode::InvalidFlow`] if its endpoints have names of the flow and the
    /// component does not know them.
    pub fn new(stage: &StageSpec, parts: ShardParts) -> Result<Self, Problem> {
        let faults = parts.shards.first().map(|shard| adapted::unknown_endpoints(&shard.manifest(), stage));
        if let Some(faults) = faults.filter(|faults| !faults.is_empty()) {
            return Err(Problem::new(ErrorCode::InvalidFlow, faults.join("; ")));
        }
        let shards: Vec<_> = parts.shards.into_iter().map(|shard| adapted::adapt(shard, stage)).collect();
        let parts = ShardParts { shards, ..parts };
        let name_of = |shard: usize| format!("{}-{shard}", stage.name).parse();
        Ok(Self {
            name: stage.name.clone(),
            names: (0..parts.shards.len())
                .map(|shard| name_of(shard).unwrap_or_else(|_| stage.name.clone()))
                .collect(),
            polling: stage.shards.polling.clone(),
            reduce: stage.reduce,
            retries: stage.retries,
            limits: stage.limits,
            manifest: Arc::new(manifest(&parts)),
            parts,
            next: AtomicUsize::new(0),
        })
    }

    /// Calls one part, or passes it by where it has no such endpoint.
    async fn part(&self, part: &dyn ExecutorClient, call: ExecutorCall) -> Result<ExecutorReply, Problem> {
        let Some(endpoint) = part.resolve(&call.endpoint) else {
            return Ok(ExecutorReply { documents: call.documents, results: GivenResults::Nothing, fuel: 0 });
        };
        let call = ExecutorCall { endpoint, ..call };
        retrying(&self.name, self.retries, call, |call| part.call(call)).await
    }

    /// The shards that a request goes to, by number.
    fn polled(&self, endpoint: &EndpointName) -> Vec<usize> {
        let count = self.parts.shards.len();
        match self.polling.of(endpoint) {
            Polling::All => (0..count).collect(),
            Polling::Any => vec![self.next.fetch_add(1, Ordering::Relaxed) % count.max(1)],
        }
    }

    async fn run(&self, mut call: ExecutorCall) -> Result<ExecutorReply, Problem> {
        let (mut fuel, mut results) = (0u64, NamedResults::default());
        if let Some(before) = &self.parts.before {
            let reply = self.part(&**before, ExecutorCall { emit: None, ..call.clone() }).await?;
            fuel = fuel.saturating_add(reply.fuel);
            results.extend(reply.results.named(|| format!("{}/uses_before-0", self.name)));
            call.inputs = crate::join::single(&self.name, &reply.documents);
            call.documents = reply.documents;
        }
        let after = self.parts.after.as_ref().filter(|after| after.resolve(&call.endpoint).is_some());
        let polled = self.polled(&call.endpoint);
        let emit = call.emit.clone().filter(|_| after.is_none());
        let shards = polled.iter().filter_map(|shard| self.parts.shards.get(*shard));
        let calls =
            shards.map(|shard| self.part(&**shard, ExecutorCall { emit: emit.clone(), ..call.clone() }));
        let mut replies = try_join_all(calls).await?;
        fuel = replies.iter().fold(fuel, |fuel, reply| fuel.saturating_add(reply.fuel));
        for (shard, reply) in polled.iter().zip(&mut replies) {
            let given = std::mem::take(&mut reply.results);
            results.extend(given.named(|| format!("{}/shard-{shard}/rep-0", self.name)));
        }
        let lists: Vec<(&ExecutorName, &DocumentList)> = polled
            .iter()
            .filter_map(|shard| self.names.get(*shard))
            .zip(replies.iter().map(|reply| &reply.documents))
            .collect();
        let Some(after) = after else {
            let (documents, _) = join(&lists, self.reduce, &self.limits)?;
            return Ok(ExecutorReply { documents, results: results.into(), fuel });
        };
        let (documents, inputs) = join(&lists, false, &self.limits)?;
        let reply = self.part(&**after, ExecutorCall { documents, inputs, ..call }).await?;
        results.extend(reply.results.named(|| format!("{}/uses_after-0", self.name)));
        let fuel = fuel.saturating_add(reply.fuel);
        Ok(ExecutorReply { documents: reply.documents, results: results.into(), fuel })
    }
}

/// The shards' own, and the endpoints of what stands before and behind them.
fn manifest(parts: &ShardParts) -> Manifest {
    let mut manifest = parts.shards.first().map(|shard| (*shard.manifest()).clone()).unwrap_or_default();
    let mut known: BTreeSet<EndpointName> =
        manifest.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
    for part in [&parts.before, &parts.after].into_iter().flatten() {
        for endpoint in &part.manifest().endpoints {
            if known.insert(endpoint.name.clone()) {
                manifest.endpoints.push(endpoint.clone());
            }
        }
    }
    manifest
}

impl ExecutorClient for ShardedExecutor {
    fn manifest(&self) -> Arc<Manifest> {
        self.manifest.clone()
    }

    /// The endpoint as it was asked for: each part has its own answer to it.
    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
        self.manifest.resolve(wanted).map(|_| wanted.clone())
    }

    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        Box::pin(self.run(call))
    }
}

impl std::fmt::Debug for ShardedExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardedExecutor")
            .field("name", &self.name)
            .field("shards", &self.parts.shards.len())
            .finish_non_exhaustive()
    }
}
