//! Flows of tenants: their YAML read, what does not belong into it refused, and the plan over slots.
//!
//! A tenant's flow says which executors follow each other and nothing of what an executor is: that is the revision's and
//! the deployment's. A key in the wrong place is refused with the place where it belongs. The host's environment is
//! never read: a stranger wrote the text.

use std::sync::Arc;

use lockgate_domain::hosting::ExecutorReference;
use lockgate_domain::spec::{GatewaySpec, PoolSpec};
use lockgate_domain::{
    Capabilities, ErrorCode, ExecutorName, FlowName, FlowSpec, Limits, Problem, StageSpec,
};
use lockgate_flow::background::Background;
use lockgate_flow::client::ExecutorClient;
use lockgate_flow::plan::ExecutionPlan;
use lockgate_flow::yaml::FlowFile;
use lockgate_gateway::ServedFlow;

use super::traffic::{ExecutorSlot, HostedExecutor};
use crate::adapters;

/// A flow that was understood: what it says, and the executor of each of its stages that has one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReadFlow {
    spec: FlowSpec,
    uses: Vec<(ExecutorName, ExecutorReference)>,
}

impl ReadFlow {
    /// Reads what somebody wrote. All faults at once.
    pub(crate) fn parse(name: &FlowName, yaml: &str) -> Result<Self, Problem> {
        let file = FlowFile::parse(yaml, &|_| None).map_err(|errors| errors.problem())?;
        // The name in the address counts, whatever the file calls itself.
        let spec = FlowSpec { name: name.clone(), ..file.spec };
        let mut faults = gateway_faults(&spec.gateway);
        let mut uses = Vec::with_capacity(spec.stages.len());
        for stage in &spec.stages {
            faults.extend(stage_faults(stage));
            if !stage.has_component() {
                continue;
            }
            match stage.uses.parse::<ExecutorReference>() {
                Ok(reference) => uses.push((stage.name.clone(), reference)),
                Err(error) => faults.push(format!(
                    "`uses` of executor `{}` names no executor of the tenant ({error}); write its name, \
                     NAME:TAG or NAME@REVISION",
                    stage.name
                )),
            }
        }
        if !faults.is_empty() {
            return Err(Problem::new(ErrorCode::InvalidFlow, faults.join("; ")));
        }
        adapters::draft(&spec)?;
        Ok(Self { spec, uses })
    }

    /// The flow that an executor on its own is: one stage. It may take as long as one call of it.
    pub(crate) fn of_executor(reference: &ExecutorReference, wall_time_ms: u64) -> Result<Self, Problem> {
        let name = &reference.executor;
        let yaml = format!("jtype: Flow\nexecutors:\n- name: \"{name}\"\n  uses: \"{reference}\"\n");
        let flow_name = name.as_str().parse();
        let flow_name = flow_name
            .map_err(|error| Problem::new(ErrorCode::HostFault, format!("no flow is called so: {error}")))?;
        let mut flow = Self::parse(&flow_name, &yaml)?;
        flow.spec.timeout_ms = FlowSpec::DEFAULT_TIMEOUT_MS.max(wall_time_ms);
        Ok(flow)
    }

    /// The executors that it names, each once.
    pub(crate) fn references(&self) -> Vec<ExecutorReference> {
        let mut references: Vec<ExecutorReference> =
            self.uses.iter().map(|(_, reference)| reference.clone()).collect();
        references.sort();
        references.dedup();
        references
    }

    /// Plans it over slots; `slot` has the one of each reference, `background` drives what floats.
    pub(crate) fn plan(
        &self,
        background: Arc<dyn Background>,
        slot: impl Fn(&ExecutorReference) -> Option<Arc<ExecutorSlot>>,
    ) -> Result<Arc<ServedFlow>, Problem> {
        let mut clients: Vec<(ExecutorName, Arc<dyn ExecutorClient>)> = Vec::with_capacity(self.uses.len());
        for (stage, reference) in &self.uses {
            let slot = slot(reference).ok_or_else(|| {
                let message =
                    format!("executor {reference}, which flow {} uses, is not served", self.spec.name);
                Problem::new(ErrorCode::Unavailable, message).with_hint("deploy it, or change the flow")
            })?;
            clients.push((stage.clone(), Arc::new(HostedExecutor(slot))));
        }
        let plan = ExecutionPlan::new(&self.spec, clients)?.with_background(background);
        Ok(Arc::new(ServedFlow::new(&self.spec, Arc::new(plan))))
    }
}

/// What belongs to a revision or to a deployment.
fn stage_faults(stage: &StageSpec) -> Vec<String> {
    let keys = [
        ("uses_with", !stage.config.is_empty(), "to the `configuration` of a revision"),
        ("limits", stage.limits != Limits::default(), "to the `limits` of a revision"),
        (
            "capabilities",
            stage.capabilities != Capabilities::default(),
            "to the `capabilities` of a revision",
        ),
        ("replicas", stage.pool.max.is_some(), "to the `scale` of the executor's deployment"),
        // A shard is a pool with a store of its own, and a hosted executor has one.
        (
            "shards",
            stage.shards.count > 1,
            "to a flow file of `lockgate up`: a hosted executor has one store",
        ),
        (
            "instances",
            PoolSpec { max: None, ..stage.pool.clone() } != PoolSpec::default(),
            "to the `scale` of the executor's deployment",
        ),
    ];
    let found = keys.into_iter().filter(|(_, is_there, _)| *is_there);
    let misplaced =
        found.map(|(key, _, home)| format!("`{key}` of executor `{}` belongs {home}", stage.name));
    // An address would lead to whatever the host can reach.
    let external = stage.external.is_some().then(|| {
        format!(
            "`external` of executor `{}` is for flows of the operator: upload the executor to this host",
            stage.name
        )
    });
    misplaced.chain(external).collect()
}

/// What the operator of the host decides.
fn gateway_faults(gateway: &GatewaySpec) -> Vec<String> {
    let usual = GatewaySpec::default();
    let keys = [
        ("host", gateway.host.is_some()),
        ("port", gateway.port.is_some() || !gateway.ports.is_empty()),
        ("cors", gateway.cors),
        ("ssl_certfile", gateway.tls.is_some()),
        ("max_message_bytes", gateway.max_message_bytes != usual.max_message_bytes),
        ("prefetch", gateway.prefetch != usual.prefetch),
        ("max_concurrent_requests", gateway.max_concurrent_requests != usual.max_concurrent_requests),
    ];
    let found = keys.into_iter().filter(|(_, is_there)| *is_there);
    found.map(|(key, _)| format!("`{key}` is decided by the operator of the host: remove it")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_name_executors_and_nothing_that_is_not_theirs() {
        let check = |stages: &str, expected: Result<&[&str], &str>| {
            let yaml = format!("jtype: Flow\n{stages}");
            let flow = ReadFlow::parse(&"search".parse().unwrap(), &yaml);
            let references =
                flow.map(|flow| flow.references().iter().map(ToString::to_string).collect::<Vec<_>>());
            match (references, expected) {
                (Ok(references), Ok(expected)) => assert_eq!(references, expected, "{stages}"),
                (Err(problem), Err(expected)) => assert_eq!(problem.message(), expected, "{stages}"),
                (found, expected) => panic!("{stages}: {found:?}, not {expected:?}"),
            }
        };
        check(
            "executors:\n- {name: a, uses: shout}\n- {name: b, uses: 'shout:stable'}\n- {name: c, uses: shout@3}\n- {name: d, uses: shout}\n",
            Ok(&["shout", "shout@3", "shout:stable"]),
        );
        check(
            "executors:\n- {name: a, uses: ./a.wasm}\n",
            Err(
                "`uses` of executor `a` names no executor of the tenant (\"./a.wasm\" cannot be an executor name: '.' is not allowed in it (use letters, digits, '-' and '_')); write its name, NAME:TAG or NAME@REVISION",
            ),
        );
        check(
            "executors:\n- {name: a, uses: shout, uses_with: {k: 1}, limits: {fuel: 5}, replicas: 2, instances: {mode: fresh}}\n",
            Err(
                "`uses_with` of executor `a` belongs to the `configuration` of a revision; `limits` of executor `a` belongs to the `limits` of a revision; `replicas` of executor `a` belongs to the `scale` of the executor's deployment; `instances` of executor `a` belongs to the `scale` of the executor's deployment",
            ),
        );
        check(
            "executors:\n- {name: a, uses: shout, needs: gateway, when: {tags__n: {$gt: 1}}, uses_requests: {/x: /y}}\n- {name: b, uses: quiet, needs: gateway}\n- {name: log, uses: log, floating: true}\n- {method: needs_all}\n",
            Ok(&["log", "quiet", "shout"]),
        );
        check(
            "executors:\n- {name: a, uses: shout, shards: 2}\n",
            Err(
                "`shards` of executor `a` belongs to a flow file of `lockgate up`: a hosted executor has one store",
            ),
        );
        check(
            "executors:\n- {name: a, external: true, host: 169.254.169.254, port: 80}\n",
            Err("`external` of executor `a` is for flows of the operator: upload the executor to this host"),
        );
        check(
            "with: {port: 80, host: 0.0.0.0}\nexecutors:\n- {name: a, uses: shout}\n",
            Err(
                "`host` is decided by the operator of the host: remove it; `port` is decided by the operator of the host: remove it",
            ),
        );
    }

    #[test]
    fn the_hosts_environment_is_not_read() {
        let yaml = "jtype: Flow\nexecutors:\n- {name: a, uses: '${{ ENV.HOME }}'}\n";
        let problem = ReadFlow::parse(&"search".parse().unwrap(), yaml).unwrap_err();
        assert_eq!(problem.code(), ErrorCode::InvalidFlow);
        assert!(problem.message().contains("HOME") && !problem.message().contains("root"), "{problem:?}");
    }

    #[test]
    fn an_executor_on_its_own_is_a_flow_of_one_stage() {
        for text in ["shout", "shout:stable", "shout@3", "123", "true", "null:null"] {
            let reference: ExecutorReference = text.parse().unwrap();
            let flow = ReadFlow::of_executor(&reference, 90_000).unwrap();
            assert_eq!((flow.references(), flow.spec.timeout_ms), (vec![reference], 90_000));
        }
    }
}
