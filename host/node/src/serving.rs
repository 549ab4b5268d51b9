//! A gateway that serves, and its end in two steps: drain, then force.
//!
//! Draining stops accepting and lets requests in progress finish for as long as the gateway's options say; forcing
//! drops them, which stops their guests. What floats beside requests has as long again. Either way the end is reported
//! only after the last task is gone.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use lockgate_domain::spec::Protocol;
use lockgate_gateway::{Gateway, Port};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::adapters::PoolExecutor;
use crate::certificates::Follower;
use crate::floating::FloatingTasks;
use crate::tasks::{TaskKind, Tasks, Turns};

/// How often idle instances are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What still exists of a kind, in use or about to end.
pub(crate) type Book<T> = Arc<Mutex<Vec<Weak<T>>>>;
/// The pools.
pub(crate) type PoolBook = Book<PoolExecutor>;

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every request in progress was answered.
    Drained,
    /// The drain took too long: so many connections were cut off.
    CutOff(usize),
    /// It was forced.
    Forced,
}

/// A port that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedPort {
    /// Where it listens.
    pub address: SocketAddr,
    /// The only protocol that is served there; none serves all.
    pub protocol: Option<Protocol>,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// A gateway at work.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    ports: Vec<ServedPort>,
    drain: CancellationToken,
    force: CancellationToken,
    tasks: Tasks,
    outcome: oneshot::Receiver<Ended>,
}

impl ServedPort {
    fn of(port: &Port) -> io::Result<Self> {
        let (address, tls) = (port.listener.address()?, port.listener.certificate().is_some());
        Ok(Self { address, protocol: port.protocol, tls })
    }
}

impl Serving {
    pub(crate) fn start(
        gateway: Gateway,
        ports: Vec<Port>,
        pools: PoolBook,
        (floating, patience): (FloatingTasks, Duration),
    ) -> io::Result<Self> {
        let served = ports.iter().map(ServedPort::of).collect::<io::Result<Vec<_>>>()?;
        let first = served.first().ok_or_else(|| io::Error::other("there is no port to serve on"))?;
        let address = first.address;
        let (drain, force) = (CancellationToken::new(), CancellationToken::new());
        let tasks = Tasks::new(drain.clone());
        let (report, outcome) = oneshot::channel();
        let ended = CancellationToken::new();
        tasks.spawn(TaskKind::PoolSweeper, sweep(pools, ended.clone()));
        // Ports of one flow show one certificate.
        let shown = ports.iter().find_map(|port| port.listener.certificate().cloned());
        let follower = Follower::new(shown.into_iter().collect())?;
        tasks.spawn(TaskKind::Certificates, follower.follow(ended.clone()));
        let (gateway_drain, gateway_force) = (drain.clone(), force.clone());
        tasks.spawn(TaskKind::Gateway, async move {
            // Whatever becomes of the gateway, nothing beside it outlives it.
            let _beside = ended.drop_guard();
            let settling = floating.clone();
            let serving = async move {
                let drained = gateway.serve(ports, gateway_drain).await;
                settling.settle(patience).await;
                drained
            };
            let outcome = tokio::select! {
                biased;
                () = gateway_force.cancelled() => Ended::Forced,
                drained = serving => match drained.cut_off {
                    0 => Ended::Drained,
                    cut_off => Ended::CutOff(cut_off),
                },
            };
            floating.stop().await;
            if report.send(outcome).is_err() {
                tracing::debug!("the gateway ended after its handle was dropped");
            }
        });
        Ok(Self { address, ports: served, drain, force, tasks, outcome })
    }

    /// The first of its ports.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, in the order of the flow.
    pub fn ports(&self) -> &[ServedPort] {
        &self.ports
    }

    /// Stops accepting and lets requests in progress finish.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Ends what is still in progress.
    pub fn force(&self) {
        self.drain.cancel();
        self.force.cancel();
    }

    /// Waits for the end, which [`Serving::drain`] or [`Serving::force`] brings about. Safe to call again when the
    /// future was dropped before.
    pub async fn ended(&mut self) -> Ended {
        // The gateway's task reports unless it panicked; then nothing was drained.
        let outcome = (&mut self.outcome).await.unwrap_or(Ended::Forced);
        self.tasks.ended().await;
        outcome
    }
}

impl Drop for Serving {
    /// A handle that is dropped leaves no task behind.
    fn drop(&mut self) {
        self.force();
    }
}

async fn sweep(pools: PoolBook, ended: CancellationToken) {
    let mut turns = Turns::new(SWEEP_INTERVAL, ended);
    while turns.next().await {
        lockgate_runtime::let_go_of_code();
        let now = Instant::now();
        for executor in alive(&pools) {
            executor.pool().sweep(now);
        }
    }
}

/// What exists; forgets the others.
pub(crate) fn alive<T>(book: &Book<T>) -> Vec<Arc<T>> {
    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
    let alive: Vec<_> = book.iter().filter_map(Weak::upgrade).collect();
    book.retain(|one| one.strong_count() > 0);
    alive
}

/// Writes it into the book.
pub(crate) fn enter<T>(book: &Book<T>, one: &Arc<T>) {
    book.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(one));
}
