//! Where an executor's calls go now: one slot per executor, swapped with one store of a pointer.
//!
//! Plans hold slots and are not planned again when traffic moves. A call holds the traffic that it began with, so a
//! swap is seen by the next call and by none in progress, and what no traffic names any more is gone with its last
//! call. A reference with a target (`shout:stable`, `shout@3`) has a slot of its own, which canary and shadow pass by.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use lockgate_domain::{EndpointName, Manifest, Problem, RequestContext};
use lockgate_flow::client::{ExecutorCall, ExecutorClient, ExecutorReply};

use super::choice::{self, Share};
use super::lane::Lane;
use super::shadow::Shadow;
use super::verdict::Effort;

/// Where calls go now.
#[derive(Debug)]
pub(crate) struct ExecutorSlot(ArcSwap<Traffic>);

/// What serves one executor.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    pub(crate) primary: Arc<Lane>,
    pub(crate) canary: Option<(Share, Arc<Lane>)>,
    pub(crate) shadow: Option<Arc<Shadow>>,
}

/// A slot as plans call it.
#[derive(Debug)]
pub(crate) struct HostedExecutor(pub(crate) Arc<ExecutorSlot>);

// === impl ExecutorSlot ===

impl ExecutorSlot {
    pub(crate) fn new(traffic: Traffic) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(traffic)))
    }

    /// What serves now.
    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        self.0.load_full()
    }

    /// Serves this from the next call on.
    pub(crate) fn swap(&self, traffic: Traffic) {
        self.0.store(Arc::new(traffic));
    }
}

// === impl Traffic ===

impl Traffic {
    /// Every lane of it, the shadow's last.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        let canary = self.canary.iter().map(|(_, lane)| lane);
        let shadow = self.shadow.iter().map(|shadow| shadow.lane());
        std::iter::once(&self.primary).chain(canary).chain(shadow)
    }

    fn choose(&self, context: &RequestContext) -> &Arc<Lane> {
        match &self.canary {
            Some((share, canary)) if share.holds(choice::point(canary.executor(), context)) => canary,
            _ => &self.primary,
        }
    }

    async fn call(&self, call: ExecutorCall) -> Result<ExecutorReply, Problem> {
        let lane = self.choose(&call.context);
        // An answer that leaves as it is made is not there to be compared afterwards.
        let shadow = self.shadow.as_ref().filter(|shadow| call.emit.is_none() && shadow.wants(lane.number()));
        let Some(shadow) = shadow else { return lane.call(call).await };
        let copy = call.clone();
        let started = Instant::now();
        let reply = lane.call(call).await?;
        let effort = Effort { fuel: reply.fuel, time: started.elapsed() };
        shadow.offer(copy, &reply, effort);
        Ok(reply)
    }
}

// === impl HostedExecutor ===

impl ExecutorClient for HostedExecutor {
    fn manifest(&self) -> Arc<Manifest> {
        self.0.0.load().primary.manifest().clone()
    }

    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
        self.0.0.load().primary.manifest().resolve(wanted).map(|endpoint| endpoint.name.clone())
    }

    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        let traffic = self.0.traffic();
        Box::pin(async move { traffic.call(call).await })
    }
}
