//! What one tenant serves: a table of executors and flows, replaced as a whole by each change.
//!
//! Readers take no lock. An executor that is deployed stands in the table from the start, cold; a reference with a
//! target (`shout@3`) comes in with the first flow or caller that names it, and those that only callers named are
//! forgotten when they are too many. A change builds what is new before it touches the table, so a failure leaves
//! traffic as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lockgate_domain::hosting::{Deployment, ExecutorReference, Revision, ShadowReport, ShadowSpec, Target};
use lockgate_domain::{ErrorCode, ExecutorName, FlowName, Problem, Tenant};
use lockgate_gateway::ServedFlow;
use lockgate_registry::PageRequest;
use parking_lot::Mutex;

use super::choice::Share;
use super::flows::ReadFlow;
use super::ground::{Ground, Owner, blocking};
use super::lane::{Lane, LaneKey, Role};
use super::shadow::Shadow;
use super::table::{FLOW_KEY, PlannedFlow, Served, Table, deployed, executor_key, flow_key};
use super::traffic::{ExecutorSlot, Traffic};

/// One tenant at work.
pub(crate) struct TenantServing {
    ground: Arc<Ground>,
    pub(crate) owner: Arc<Owner>,
    table: ArcSwap<Table>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    /// The last report of each executor that has or had a shadow.
    reports: Mutex<BTreeMap<ExecutorName, ShadowReport>>,
}

/// What a caller means, once it is known to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meant {
    /// The only thing there is, whichever that is at the time.
    Only,
    /// A flow.
    Flow(FlowName),
    /// An executor.
    Executor(ExecutorReference),
}

// === reading ===

impl TenantServing {
    /// The flow of what a caller means.
    pub(crate) fn flow(&self, meant: &Meant) -> Result<Arc<ServedFlow>, Problem> {
        let table = self.table.load();
        match meant {
            Meant::Flow(name) => table.flows.get(name).map(|planned| planned.flow.clone()).ok_or_else(|| {
                table.fault(&flow_key(name)).unwrap_or_else(|| table.unknown(&format!("flow {name}")))
            }),
            Meant::Executor(reference) => match table.executors.get(reference) {
                Some(served) => Ok(served.flow.clone()),
                None => {
                    let fault = table.fault(&executor_key(&reference.executor));
                    if let Some(fault) = fault.filter(|_| reference.target.is_none()) {
                        return Err(fault);
                    }
                    drop(table);
                    self.pin(reference)
                }
            },
            Meant::Only => table.only(),
        }
    }

    /// All its flows.
    pub(crate) fn flows(&self) -> Vec<Arc<ServedFlow>> {
        self.table.load().flows.values().map(|planned| planned.flow.clone()).collect()
    }

    /// A report of what the executor's shadow gave so far, or gave before it was removed.
    pub(crate) fn shadow_report(&self, executor: &ExecutorName) -> Option<ShadowReport> {
        let shadow = self.slot(&deployed(executor)).and_then(|slot| slot.traffic().shadow.clone());
        shadow.map(|shadow| shadow.report()).or_else(|| self.reports.lock().get(executor).cloned())
    }

    /// Every lane of an executor, those of pinned references too; each revision once for each way it is served.
    pub(crate) fn lanes(&self, executor: &ExecutorName) -> Vec<Arc<Lane>> {
        let table = self.table.load();
        let served = table.executors.iter().filter(|(reference, _)| reference.executor == *executor);
        served.flat_map(|(_, served)| served.slot.traffic().lanes().cloned().collect::<Vec<_>>()).collect()
    }

    /// Lanes that are kept warm.
    pub(crate) fn pinned_lanes(&self) -> Vec<Arc<Lane>> {
        let table = self.table.load();
        let lanes = table.executors.values().flat_map(|served| {
            let traffic = served.slot.traffic();
            traffic.lanes().filter(|lane| lane.is_pinned()).cloned().collect::<Vec<_>>()
        });
        lanes.collect()
    }

    /// The slot of a reference that is in the table.
    pub(crate) fn slot(&self, reference: &ExecutorReference) -> Option<Arc<ExecutorSlot>> {
        self.table.load().executors.get(reference).map(|served| served.slot.clone())
    }
}

// === changing ===

impl TenantServing {
    /// Everything that the registry has of a tenant, every executor cold. Blocks on the registry.
    pub(crate) fn load(ground: &Arc<Ground>, tenant: &Tenant) -> Result<Arc<Self>, Problem> {
        let serving = Self {
            ground: ground.clone(),
            owner: Owner::new(ground, tenant)?,
            table: ArcSwap::default(),
            changing: tokio::sync::Mutex::default(),
            reports: Mutex::default(),
        };
        let access = ground.access(&tenant.name);
        let mut table = Table::default();
        let mut request = PageRequest { limit: Some(PageRequest::MOST), cursor: None };
        loop {
            let page = ground.registry.executors(&access, &request)?;
            for deployment in page.items.into_iter().filter_map(|executor| executor.deployment) {
                let name = deployment.executor.clone();
                let served = serving
                    .traffic(&deployment, None)
                    .and_then(|traffic| serving.serve(&deployed(&name), traffic));
                match served {
                    Ok(served) => drop(table.executors.insert(deployed(&name), served)),
                    Err(problem) => serving.cannot_serve(&mut table, executor_key(&name), problem),
                }
            }
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => break,
            }
        }
        for name in ground.registry.flow_names(&access)? {
            if let Err(problem) = serving.load_flow(&mut table, &name) {
                serving.cannot_serve(&mut table, flow_key(&name), problem);
            }
        }
        serving.table.store(Arc::new(table));
        Ok(Arc::new(serving))
    }

    /// Makes traffic follow what the registry has of an executor.
    pub(crate) async fn apply_executor(self: &Arc<Self>, executor: &ExecutorName) -> Result<(), Problem> {
        let _turn = self.changing.lock().await;
        let (serving, name) = (self.clone(), executor.clone());
        let built = blocking(move || serving.rebuild(&name)).await?;
        for (reference, traffic) in &built.fresh {
            let before = self.slot(reference).map(|slot| slot.traffic());
            if let Err(problem) = warm(before.as_deref(), traffic).await {
                return Err(problem.with_executor(executor));
            }
        }
        self.keep_report(executor);
        let served = built.fresh.into_iter().map(|(reference, traffic)| match self.slot(&reference) {
            // The slot stays, and with it every plan that holds it.
            Some(slot) => {
                slot.swap(traffic);
                Ok(None)
            }
            None => self.serve(&reference, traffic).map(|served| Some((reference, served))),
        });
        let served: Vec<_> = served.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        let key = executor_key(executor);
        let is_known = {
            let table = self.table.load();
            served.is_empty() && built.gone.is_empty() && !table.faults.contains_key(&key)
        };
        // A swap of pointers is all that most changes need.
        if !is_known {
            self.table.rcu(|table| {
                let mut table = Table::clone(table);
                built.gone.iter().for_each(|reference| drop(table.executors.remove(reference)));
                table.executors.extend(served.iter().cloned());
                table.faults.remove(&key);
                table
            });
        }
        if !built.gone.is_empty() {
            self.reports.lock().remove(executor);
        }
        self.heal_flows().await;
        Ok(())
    }

    /// Flows that could not be served may be now that an executor is there. Called while `changing` is held.
    async fn heal_flows(self: &Arc<Self>) {
        let broken: Vec<FlowName> = {
            let table = self.table.load();
            table.faults.keys().filter_map(|key| key.strip_prefix(FLOW_KEY)?.parse().ok()).collect()
        };
        for name in broken {
            if let Err(problem) = self.follow_flow(name.clone()).await {
                tracing::debug!(tenant = %self.owner.name, flow = %name, %problem, "still cannot be served");
            }
        }
    }

    /// Makes traffic follow what the registry has of a flow.
    pub(crate) async fn apply_flow(self: &Arc<Self>, name: &FlowName) -> Result<(), Problem> {
        let _turn = self.changing.lock().await;
        self.follow_flow(name.clone()).await
    }

    async fn follow_flow(self: &Arc<Self>, name: FlowName) -> Result<(), Problem> {
        let serving = self.clone();
        blocking(move || {
            let mut table = Table::clone(&serving.table.load());
            let before: Vec<ExecutorReference> = table.executors.keys().cloned().collect();
            match serving.ground.registry.flow(&serving.ground.access(&serving.owner.name), &name) {
                Ok(_) => serving.load_flow(&mut table, &name)?,
                Err(problem) if problem.code() == ErrorCode::NotFound => drop(table.flows.remove(&name)),
                Err(problem) => return Err(problem),
            }
            table.faults.remove(&flow_key(&name));
            // Callers may have pinned references meanwhile: only what belongs to the flow is carried over.
            let replaced = serving.table.rcu(|now| {
                let mut now = Table::clone(now);
                let added = table.executors.iter().filter(|(reference, _)| !before.contains(reference));
                now.executors.extend(added.map(|(reference, served)| (reference.clone(), served.clone())));
                now.flows.clone_from(&table.flows);
                now.faults.clone_from(&table.faults);
                now
            });
            // Nobody comes any more for whom a request of the flow before could wait.
            if let Some(planned) = replaced.flows.get(&name) {
                planned.flow.drain();
            }
            Ok(())
        })
        .await
    }

    fn load_flow(&self, table: &mut Table, name: &FlowName) -> Result<(), Problem> {
        let stored = self.ground.registry.flow(&self.ground.access(&self.owner.name), name)?;
        let read = ReadFlow::parse(name, &stored.yaml)?;
        let uses = read.references();
        for reference in uses.iter().filter(|reference| reference.target.is_some()) {
            if !table.executors.contains_key(reference) {
                let served = self.serve(reference, self.pinned_traffic(reference, None)?)?;
                table.executors.insert(reference.clone(), served);
            }
        }
        let flow = read.plan(self.owner.floating.clone(), |reference| {
            table.executors.get(reference).map(|served| served.slot.clone())
        })?;
        table.flows.insert(name.clone(), Arc::new(PlannedFlow { flow, uses }));
        Ok(())
    }

    fn cannot_serve(&self, table: &mut Table, key: String, problem: Problem) {
        tracing::error!(tenant = %self.owner.name, what = key, %problem, "something deployed cannot be served");
        let message = format!("{key} cannot be served: {problem}");
        let problem = Problem::new(ErrorCode::Unavailable, message);
        table.faults.insert(key, problem);
    }

    /// Serves a reference that a caller named first. Blocks shortly on the registry.
    fn pin(&self, reference: &ExecutorReference) -> Result<Arc<ServedFlow>, Problem> {
        let unknown = || self.table.load().unknown(&format!("executor {reference}"));
        if reference.target.is_none() {
            return Err(unknown());
        }
        let traffic = self.pinned_traffic(reference, None).map_err(|problem| match problem.code() {
            ErrorCode::NotFound => unknown(),
            _ => problem,
        })?;
        let served = self.serve(reference, traffic)?;
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            table.forget_pins();
            table.executors.entry(reference.clone()).or_insert_with(|| served.clone());
            table
        });
        // A tag that was moved between the two steps is followed here; one that is moved later, by the change itself.
        if let Some(slot) = self.slot(reference) {
            let traffic = slot.traffic();
            slot.swap(self.pinned_traffic(reference, Some(&traffic))?);
        }
        self.table.load().executors.get(reference).map(|served| served.flow.clone()).ok_or_else(unknown)
    }

    fn serve(&self, reference: &ExecutorReference, traffic: Traffic) -> Result<Served, Problem> {
        let most = self.owner.quota.settings().limits.wall_time_ms;
        let slot = ExecutorSlot::new(traffic);
        let flow = ReadFlow::of_executor(reference, most)?
            .plan(self.owner.floating.clone(), |_| Some(slot.clone()))?;
        Ok(Served { slot, flow })
    }

    fn keep_report(&self, executor: &ExecutorName) {
        let shadow = self.slot(&deployed(executor)).and_then(|slot| slot.traffic().shadow.clone());
        if let Some(shadow) = shadow {
            self.reports.lock().insert(executor.clone(), shadow.report());
        }
    }
}

// === building traffic ===

/// What a change makes of an executor's references.
struct Rebuilt {
    fresh: Vec<(ExecutorReference, Traffic)>,
    gone: Vec<ExecutorReference>,
}

impl TenantServing {
    /// Traffic of every reference to an executor, by what the registry has. Blocks on it.
    fn rebuild(&self, executor: &ExecutorName) -> Result<Rebuilt, Problem> {
        let table = self.table.load_full();
        let mut rebuilt = Rebuilt { fresh: Vec::new(), gone: Vec::new() };
        let reference = deployed(executor);
        let before = table.executors.get(&reference).map(|served| served.slot.traffic());
        match self.ground.registry.deployment(&self.ground.access(&self.owner.name), executor) {
            Ok(deployment) => {
                rebuilt.fresh.push((reference.clone(), self.traffic(&deployment, before.as_deref())?));
            }
            Err(problem) if problem.code() == ErrorCode::NotFound => rebuilt.gone.push(reference.clone()),
            Err(problem) => return Err(problem),
        }
        let pins =
            table.executors.iter().filter(|(other, _)| other.executor == *executor && **other != reference);
        for (pin, served) in pins {
            match self.pinned_traffic(pin, Some(&served.slot.traffic())) {
                Ok(traffic) => rebuilt.fresh.push((pin.clone(), traffic)),
                Err(_) => rebuilt.gone.push(pin.clone()),
            }
        }
        Ok(rebuilt)
    }

    fn traffic(&self, deployment: &Deployment, before: Option<&Traffic>) -> Result<Traffic, Problem> {
        let spec = &deployment.spec;
        let lane = |target: &Target, role| self.lane(deployment, target, role, before);
        let primary = lane(&spec.primary, Role::Traffic)?;
        let canary = spec.canary.as_ref().map(|canary| {
            lane(&canary.target, Role::Traffic).map(|lane| (Share::percent(canary.percent), lane))
        });
        let shadow = spec.shadow.as_ref().map(|shadow| {
            let lane = lane(&shadow.target, Role::Shadow)?;
            Ok::<_, Problem>(self.shadow(shadow, lane, &primary, before))
        });
        Ok(Traffic { canary: canary.transpose()?, shadow: shadow.transpose()?, primary })
    }

    /// The lane of a target: the one that there is, if it would be the same.
    fn lane(
        &self,
        deployment: &Deployment,
        target: &Target,
        role: Role,
        before: Option<&Traffic>,
    ) -> Result<Arc<Lane>, Problem> {
        let revision = self.ground.revision(&self.owner.name, &deployment.executor, target)?;
        let (scale, capsules) = (deployment.spec.scale, deployment.spec.capsules);
        let key = LaneKey { revision: revision.number, scale, capsules, role };
        self.kept_or_new(&deployment.executor, key, revision, before)
    }

    fn kept_or_new(
        &self,
        executor: &ExecutorName,
        key: LaneKey,
        revision: Revision,
        before: Option<&Traffic>,
    ) -> Result<Arc<Lane>, Problem> {
        let same = |lane: &&Arc<Lane>| *lane.key() == key && lane.is_current();
        match before.and_then(|traffic| traffic.lanes().find(same).cloned()) {
            Some(lane) => Ok(lane),
            None => Lane::new(&self.ground, &self.owner, executor, key, revision),
        }
    }

    /// The shadow that there is, if it compares the same; else one that begins anew.
    fn shadow(
        &self,
        spec: &ShadowSpec,
        lane: Arc<Lane>,
        primary: &Lane,
        before: Option<&Traffic>,
    ) -> Arc<Shadow> {
        let same = |shadow: &&Arc<Shadow>| {
            shadow.spec() == spec && shadow.primary() == primary.number() && Arc::ptr_eq(shadow.lane(), &lane)
        };
        match before.and_then(|traffic| traffic.shadow.as_ref()).filter(same) {
            Some(shadow) => shadow.clone(),
            None => Shadow::new(lane, primary.number(), spec.clone(), self.ground.shadows.clone()),
        }
    }

    /// Traffic of a reference with a target: that revision and nothing else, scaled as usual.
    fn pinned_traffic(
        &self,
        reference: &ExecutorReference,
        before: Option<&Traffic>,
    ) -> Result<Traffic, Problem> {
        let revision = self.ground.pinned(&self.owner.name, reference)?;
        let key = LaneKey::pinned(revision.number);
        let primary = self.kept_or_new(&reference.executor, key, revision, before)?;
        Ok(Traffic { primary, canary: None, shadow: None })
    }
}

/// Brings into memory what has to be there before traffic comes: what is kept warm, and what replaces something warm.
async fn warm(before: Option<&Traffic>, traffic: &Traffic) -> Result<(), Problem> {
    let was_resident = before.is_some_and(|before| before.primary.is_resident());
    let canary = traffic.canary.iter().map(|(_, lane)| lane);
    for lane in std::iter::once(&traffic.primary).chain(canary) {
        if !lane.is_resident() && (lane.is_pinned() || was_resident) {
            lane.prepare().await?;
        }
    }
    Ok(())
}
