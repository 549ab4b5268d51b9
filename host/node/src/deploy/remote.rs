//! The external executors of a deployment: connections begin first and are waited for last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockgate_domain::spec::{ComponentRole, ExternalSpec};
use lockgate_domain::{ExecutorName, FlowSpec, Limits, StageSpec};
use lockgate_flow::client::ExecutorClient as _;

use super::{DeployError, Home, Pools, Stage, StageEvent};
use crate::node::Node;
use crate::remote::RemoteExecutor;
use crate::serving;

pub(super) type Remotes = BTreeMap<ExecutorName, (ExternalSpec, Limits, Arc<RemoteExecutor>)>;

fn external(flow: &FlowSpec) -> impl Iterator<Item = (&StageSpec, &ExternalSpec)> {
    flow.stages.iter().filter_map(|stage| Some((stage, stage.external.as_ref()?)))
}

/// Those of the deployment before, where nothing has changed, and new ones that begin to connect.
pub(super) fn begin(node: &Node, flow: &FlowSpec, current: &Pools) -> Result<Remotes, DeployError> {
    let mut remotes = Remotes::new();
    for (stage, spec) in external(flow) {
        let kept = current.remotes.get(&stage.name);
        let kept = kept.filter(|(known, limits, _)| known == spec && *limits == stage.limits);
        let remote = match kept {
            Some((_, _, remote)) => remote.clone(),
            None => {
                let started = RemoteExecutor::start(&stage.name, spec, stage.limits);
                let started =
                    Arc::new(started.map_err(|problem| DeployError::Unreachable {
                        stage: stage.name.clone(),
                        problem,
                    })?);
                serving::enter(node.remote_book(), &started);
                started
            }
        };
        remotes.insert(stage.name.clone(), (spec.clone(), stage.limits, remote));
    }
    Ok(remotes)
}

/// Waits until each of them can be called.
pub(super) async fn finish(
    flow: &FlowSpec,
    remotes: &Remotes,
    current: &Pools,
    tell: &(dyn Fn(StageEvent<'_>) + Sync),
) -> Result<Vec<Stage>, DeployError> {
    let mut stages = Vec::new();
    for (stage, spec) in external(flow) {
        let Some((_, _, remote)) = remotes.get(&stage.name) else { continue };
        let name = &stage.name;
        tell(StageEvent::Connecting(name));
        let patience = Duration::from_millis(spec.ready_timeout_ms);
        remote
            .ready(patience, &|why| tell(StageEvent::Waiting { name, why }))
            .await
            .map_err(|problem| DeployError::Unreachable { stage: name.clone(), problem })?;
        let (connected, addresses) = (remote.connected(), remote.urls());
        tell(StageEvent::Connected { name, connected, addresses: addresses.len() });
        let before = current.remotes.get(name);
        stages.push(Stage {
            name: name.clone(),
            role: ComponentRole::Main,
            shards: 1,
            needs: stage.needs.clone(),
            home: Home::Elsewhere { addresses, connected },
            manifest: (*remote.manifest()).clone(),
            limits: stage.limits,
            is_kept: before.is_some_and(|(_, _, before)| Arc::ptr_eq(before, remote)),
        });
    }
    Ok(stages)
}
