//! One instance in its store: built, called, and thrown away when it must not be entered again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_domain::document::Overlay;
use lockgate_domain::{DocumentList, FuelBudget, Problem, Results, Usage};
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance as Guest, Lift, TypedFunc};
use wasmtime::{Store, UpdateDeadline};

use crate::component::Linked;
use crate::failure::{Allowance, DeadlinePassed, Failure, InvocationError, deadline};
use crate::host::GuestError;
use crate::invocation::{Invocation, InvocationReply};
use crate::journal::Journal;
use crate::limiter::after;
use crate::meter::Bill;
use crate::slots::Slot;
use crate::state::{Call, InstanceState, Setting, Standing};

/// Fuel after which a computing guest gives its thread to others; fewer cost speed.
pub(crate) const YIELD_FUEL: u64 = 1_000_000;
/// Resource handles of one store.
const MAX_HANDLES: usize = 10_000;

type CallFunc = TypedFunc<(Arc<str>,), (Result<(), GuestError>,)>;
type InitFunc = TypedFunc<(), (Result<(), GuestError>,)>;

/// A live instance. The order of fields is the order of dropping: the slot returns when the store is gone.
pub(crate) struct Instance {
    store: Store<InstanceState>,
    call: CallFunc,
    calls: u64,
    last_granted: u64,
    /// Whether the guest may be entered again: false from the moment it is entered until it has returned.
    sound: bool,
    _slot: Slot,
}

/// What a recorded or replayed building is given, and what it gives back.
#[derive(Debug, Default)]
pub(crate) struct Traced {
    pub(crate) journal: Journal,
    /// Less fuel than the limits say: where a recording ended.
    pub(crate) most_fuel: Option<u64>,
    /// Another end than the limits say.
    pub(crate) until: Option<Instant>,
    /// Fuel that starting and `init` burned.
    pub(crate) fuel: u64,
}

impl Instance {
    /// Instantiates and runs `init`; `traced` has its journal back when this fails.
    pub(crate) async fn build(
        linked: &Linked,
        setting: Arc<Setting>,
        slot: Slot,
        traced: &mut Traced,
    ) -> Result<Self, Problem> {
        let (mut store, allowance) = new_store(linked, &setting)?;
        store.data_mut().set_journal(std::mem::take(&mut traced.journal));
        let fuel = traced.most_fuel.map_or(allowance.fuel, |most| most.clamp(1, allowance.fuel));
        if let Some(until) = traced.until {
            store.data_mut().deadline = until;
        }
        if let Err(error) = store.set_fuel(fuel) {
            return Err(with_setting(
                Failure::of(&error, &setting.limits, &allowance),
                &setting,
                "its store",
            ));
        }
        let allowance = Allowance { fuel, ..allowance };
        let built = Self::start(linked, &setting, &mut store, allowance).await;
        traced.fuel = fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        match built {
            Ok(call) => Ok(Self { store, call, calls: 0, last_granted: 0, sound: true, _slot: slot }),
            Err(problem) => {
                traced.journal = std::mem::take(&mut store.data_mut().journal);
                Err(problem)
            }
        }
    }

    /// Instantiates the guest in its store and runs `init`.
    async fn start(
        linked: &Linked,
        setting: &Arc<Setting>,
        store: &mut Store<InstanceState>,
        allowance: Allowance,
    ) -> Result<CallFunc, Problem> {
        let bill = setting.standing.meter.open(Instant::now(), Usage::default);
        let building = Building { store: &mut *store, granted: allowance.fuel, bill };
        let guest = instantiate(building.store, linked, allowance).await?;
        let init: InitFunc = typed(building.store, &guest, &linked.init)?;
        let call: CallFunc = typed(building.store, &guest, &linked.call)?;
        let until = building.store.data().deadline;
        let done = within(setting, until, init.call_async(&mut *building.store, ())).await;
        let answer = sort(building.store, done, &allowance);
        drop(building);
        store.data().log.finish();
        match answer.map_err(|failure| with_setting(failure, setting, "init"))? {
            (Ok(()),) => Ok(call),
            (Err(error),) => Err(with_setting(Failure::plain(returned(error)), setting, "init")),
        }
    }

    /// Instantiates and asks what the component is; the instance is dropped. Says how long instantiating took, too.
    pub(crate) async fn describe(
        linked: &Linked,
        setting: Arc<Setting>,
        slot: Slot,
    ) -> Result<(String, Duration), Problem> {
        let (mut store, allowance) = new_store(linked, &setting)?;
        let started = Instant::now();
        let guest = instantiate(&mut store, linked, allowance).await?;
        let instantiated = started.elapsed();
        let describe: TypedFunc<(), (String,)> = typed(&mut store, &guest, &linked.describe)?;
        // Typed here so that a wrong signature is found when the component is loaded.
        let _: InitFunc = typed(&mut store, &guest, &linked.init)?;
        let _: CallFunc = typed(&mut store, &guest, &linked.call)?;
        let until = store.data().deadline;
        let done = within(&setting, until, describe.call_async(&mut store, ())).await;
        let answer = sort(&store, done, &allowance);
        store.data().log.finish();
        drop(store);
        drop(slot);
        let (text,) = answer.map_err(|failure| with_setting(failure, &setting, "describe"))?;
        Ok((text, instantiated))
    }

    /// Calls the guest. Whatever becomes of the future, unburned fuel goes back to the request.
    pub(crate) fn invoke(
        &mut self,
        endpoint: Arc<str>,
        invocation: Invocation,
        now: Instant,
    ) -> impl Future<Output = Result<InvocationReply, Problem>> {
        let own = after(now, self.store.data().setting.limits.wall_time_ms);
        self.run(endpoint, invocation, now, own)
    }

    /// The same for a replay, whose time is not that of the limits.
    pub(crate) async fn replay(
        &mut self,
        endpoint: Arc<str>,
        invocation: Invocation,
        until: Option<Instant>,
    ) -> Result<InvocationReply, Problem> {
        let now = Instant::now();
        self.run(endpoint, invocation, now, until.unwrap_or(now)).await
    }

    async fn run(
        &mut self,
        endpoint: Arc<str>,
        invocation: Invocation,
        now: Instant,
        own: Instant,
    ) -> Result<InvocationReply, Problem> {
        let setting = self.store.data().setting.clone();
        let digest = setting.digest;
        let problem = |failure: Failure| failure.problem(setting.executor.as_ref(), digest);
        let limits = &setting.limits;
        let until = invocation.context.deadline.map_or(own, |deadline| deadline.min(own));
        let budget = invocation.context.fuel.clone();
        let granted = budget.take(limits.fuel);
        let allowance =
            Allowance { fuel: granted, flow_fuel: Some(budget.total()), request_deadline: until < own };
        if granted == 0 {
            let error = InvocationError::FlowFuel { total: budget.total() };
            return Err(problem(Failure::plain(error)));
        }
        let bill = setting.standing.meter.open(now, || Usage {
            requests: 1,
            failures: 1,
            documents: u64::from(invocation.documents.len()),
            bytes_in: invocation.documents.bytes(),
            ..Usage::default()
        });
        self.last_granted = granted;
        let mut running = Running { instance: self, budget, granted, bill };
        let called = running.call(&setting, endpoint, invocation, until).await;
        let ended = running.end(called, &allowance);
        let fuel = running.burned();
        drop(running);
        ended.map(|(documents, results)| InvocationReply { documents, results, fuel }).map_err(problem)
    }

    /// The journal, which ends here.
    pub(crate) fn take_journal(&mut self) -> Journal {
        let journal = std::mem::take(&mut self.store.data_mut().journal);
        self.store.data_mut().set_journal(Journal::Off);
        journal
    }

    /// Fuel that the last call burned of what it was granted.
    pub(crate) fn burned(&self) -> u64 {
        self.last_granted.saturating_sub(self.store.get_fuel().unwrap_or(0))
    }

    /// Fuel that the last call was granted.
    pub(crate) fn granted(&self) -> u64 {
        self.last_granted
    }

    /// Whether it may take another call.
    pub(crate) fn is_sound(&self) -> bool {
        self.sound
    }

    /// Calls taken.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Bytes of linear memory.
    pub(crate) fn memory(&self) -> u64 {
        self.store.data().limiter.memory_used()
    }
}

/// An instance that is being built: settles the bill when it is there, or never will be.
struct Building<'a> {
    store: &'a mut Store<InstanceState>,
    granted: u64,
    bill: Option<Bill>,
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        if let Some(bill) = self.bill.take() {
            let burned = self.granted.saturating_sub(self.store.get_fuel().unwrap_or(0));
            bill.close(burned, self.store.data().outbound.take_spent());
        }
    }
}

/// A call in progress: settles fuel and bill when it ends or is dropped.
struct Running<'a> {
    instance: &'a mut Instance,
    budget: FuelBudget,
    granted: u64,
    bill: Option<Bill>,
}

impl Running<'_> {
    async fn call(
        &mut self,
        setting: &Setting,
        endpoint: Arc<str>,
        invocation: Invocation,
        until: Instant,
    ) -> Option<wasmtime::Result<(Result<(), GuestError>,)>> {
        let Invocation { documents, parameters, inputs, context, emit, .. } = invocation;
        let Instance { store, call, calls, sound, .. } = &mut *self.instance;
        let state = store.data_mut();
        state.log.begin(Some(context.id.clone()));
        let documents = Overlay::new(documents, &setting.limits);
        state.call = Some(Call { documents, parameters, inputs, context, emit });
        state.deadline = until;
        state.outbound.begin();
        store.set_epoch_deadline(1);
        if let Err(error) = store.set_fuel(self.granted) {
            return Some(Err(error));
        }
        *sound = false;
        *calls += 1;
        within(setting, until, call.call_async(&mut *store, (endpoint,))).await
    }

    /// The documents of a call that ended well, and what was given beside them.
    fn end(
        &mut self,
        called: Option<wasmtime::Result<(Result<(), GuestError>,)>>,
        allowance: &Allowance,
    ) -> Result<(DocumentList, Option<Box<Results>>), Failure> {
        let answer = sort(&self.instance.store, called, allowance);
        self.instance.sound = answer.is_ok();
        let call = self.instance.store.data_mut().call.take();
        let (answer,) = answer?;
        answer.map_err(|error| Failure::plain(returned(error)))?;
        let Some(mut call) = call else {
            let what = "the call ended without its documents".into();
            return Err(Failure::plain(InvocationError::Contract { what }));
        };
        let results = call.documents.take_results();
        let documents = call.documents.commit();
        let documents = documents.map_err(|error| Failure::plain(InvocationError::Commit(error)))?;
        if let Some(bill) = &mut self.bill {
            let beside = results.as_ref().map_or(0, |results| results.bytes());
            bill.succeeded(documents.bytes().saturating_add(beside));
        }
        Ok((documents, results))
    }

    fn burned(&self) -> u64 {
        self.granted.saturating_sub(self.instance.store.get_fuel().unwrap_or(0))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let burned = self.burned();
        self.budget.give_back(self.granted.saturating_sub(burned));
        self.instance.store.data().log.finish();
        if let Some(bill) = self.bill.take() {
            bill.close(burned, self.instance.store.data().outbound.take_spent());
        }
    }
}

// === building ===

fn new_store(linked: &Linked, setting: &Arc<Setting>) -> Result<(Store<InstanceState>, Allowance), Problem> {
    let limits = &setting.limits;
    let until = after(Instant::now(), limits.wall_time_ms);
    let mut store = Store::new(linked.pre.engine(), InstanceState::new(setting.clone(), until));
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(usize::try_from(limits.host_call_bytes).unwrap_or(usize::MAX));
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        if store.data().deadline <= Instant::now() {
            Err(DeadlinePassed.into())
        } else {
            Ok(UpdateDeadline::Yield(1))
        }
    });
    let allowance = Allowance { fuel: limits.fuel, flow_fuel: None, request_deadline: false };
    let fuel = store.fuel_async_yield_interval(Some(YIELD_FUEL)).and_then(|()| store.set_fuel(limits.fuel));
    match fuel {
        Ok(()) => Ok((store, allowance)),
        Err(error) => Err(with_setting(Failure::of(&error, limits, &allowance), setting, "its store")),
    }
}

async fn instantiate(
    store: &mut Store<InstanceState>,
    linked: &Linked,
    allowance: Allowance,
) -> Result<Guest, Problem> {
    let until = store.data().deadline;
    let setting = store.data().setting.clone();
    let guest = within(&setting, until, linked.pre.instantiate_async(&mut *store)).await;
    sort(store, guest, &allowance).map_err(|failure| {
        store.data().log.finish();
        with_setting(failure, &setting, "starting")
    })
}

fn typed<P, R>(
    store: &mut Store<InstanceState>,
    guest: &Guest,
    index: &ComponentExportIndex,
) -> Result<TypedFunc<P, R>, Problem>
where
    P: ComponentNamedList + wasmtime::component::Lower,
    R: ComponentNamedList + Lift,
{
    guest.get_typed_func(&mut *store, index).map_err(|error| {
        let message =
            format!("the component's executor interface has the wrong types: {}", error.root_cause());
        Problem::new(lockgate_domain::ErrorCode::InvalidComponent, message)
            .with_digest(store.data().setting.digest)
            .with_hint("rebuild it with the SDK of this host's version")
    })
}

// === endings ===

fn returned(error: GuestError) -> InvocationError {
    InvocationError::Returned { grpc: error.code.into(), message: error.message, details: error.details }
}

/// Turns the ways a call can end into an answer or a failure.
fn sort<T>(
    store: &Store<InstanceState>,
    ended: Option<wasmtime::Result<T>>,
    allowance: &Allowance,
) -> Result<T, Failure> {
    let state = store.data();
    let mut failure = match ended {
        Some(Ok(answer)) => return Ok(answer),
        Some(Err(error)) => Failure::of(&error, &state.setting.limits, allowance),
        None => Failure::plain(deadline(&state.setting.limits, allowance)),
    };
    failure.last_words = state.log.last_words();
    Err(failure)
}

/// The problem of an instance that could not be built; `phase` says in which step.
fn with_setting(failure: Failure, setting: &Setting, phase: &str) -> Problem {
    let problem = failure.problem(setting.executor.as_ref(), setting.digest);
    tracing::debug!(digest = %setting.digest, phase, %problem, "no instance");
    problem
}

/// The future's output, or none if the deadline comes first. Each poll of it is a slice on the tenant's account.
fn within<F: Future>(
    setting: &Setting,
    until: Instant,
    future: F,
) -> impl Future<Output = Option<F::Output>> {
    let Standing { share, commons, .. } = &setting.standing;
    commons.scheduler.within(share, until, future)
}
