//! A host with tenants as one process: what it owns, its tasks, and its end.
//!
//! Starting opens the registry, enters everything that it has and binds both sockets; no component is opened. The end
//! has two steps as on a node with one flow: draining stops accepting and lets requests finish, forcing drops them.
//! Only when both sockets have ended do the background tasks end, and what was metered is written last of all.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use lockgate_control::{Control, ControlOptions, ControlParts};
use lockgate_domain::{ErrorCode, Problem};
use lockgate_gateway::Gateway;
use lockgate_registry::oci::OciPuller;
use lockgate_socket::{Certificate, Listener};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::door::HostDoor;
use super::ground::blocking;
use super::options::HostOptions;
use super::parts::{self, Parts};
use super::platform::Platform;
use super::shadow::{Referee, ShadowRunner};
use super::validator::RuntimeValidator;
use super::{numbers, reexamine};
use crate::certificates::Follower;
use crate::serving::Ended;
use crate::tasks::{TaskKind, Tasks, Turns};

/// How often idle instances and idle code are looked at, and key-value writes are put on the disk.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How often usage is written.
const SETTLE_INTERVAL: Duration = Duration::from_secs(5);

/// A host at work.
pub struct Host {
    data_address: SocketAddr,
    control_address: SocketAddr,
    platform: Arc<Platform>,
    drain: CancellationToken,
    force: CancellationToken,
    ended: CancellationToken,
    tasks: Tasks,
    outcomes: Vec<oneshot::Receiver<Ended>>,
    /// The worst end of a socket so far.
    worst: Ended,
    /// How long what floats beside requests may take when the sockets have ended.
    patience: Duration,
}

impl Host {
    /// Opens the data directory, binds both sockets and serves until the handle ends it.
    pub async fn start(options: HostOptions) -> Result<Self, Problem> {
        check_addresses(&options)?;
        let data = bind(options.data_address, &options.data_certificate, "the data plane").await?;
        let control = bind(options.control_address, &options.control_certificate, "the control API").await?;
        let drain = CancellationToken::new();
        let (opened, draining) = (options.clone(), drain.clone());
        let parts = blocking(move || parts::open(&opened, draining)).await?;
        Self::serve(options, parts, data, control, drain)
    }

    fn serve(
        options: HostOptions,
        parts: Parts,
        (data, data_address): (Listener, SocketAddr),
        (control, control_address): (Listener, SocketAddr),
        drain: CancellationToken,
    ) -> Result<Self, Problem> {
        let Parts { registry, authenticator, platform, shadows } = parts;
        let (force, ended) = (CancellationToken::new(), CancellationToken::new());
        let tasks = Tasks::new(drain.clone());
        let door =
            HostDoor { platform: platform.clone(), authenticator: authenticator.clone(), dev: options.dev };
        let gateway = Gateway::new(options.gateway.clone(), Arc::new(door));
        let has_registries = !options.oci.registries.is_empty();
        let puller = has_registries.then(|| OciPuller::new(options.oci.clone()).map(Arc::new)).transpose()?;
        let api = Control::new(
            ControlParts {
                registry,
                authenticator,
                serving: platform.clone(),
                validator: Arc::new(RuntimeValidator(platform.ground.runtime.clone())),
                puller,
            },
            ControlOptions {
                dev: options.dev,
                max_component_bytes: options.max_component_bytes,
                drain_timeout: options.gateway.drain_timeout,
                ..ControlOptions::default()
            },
        );
        let (numbers, front) = (numbers::source(platform.clone()), gateway.clone());
        let api = api.with_metrics(Arc::new(move |page| {
            front.add_numbers(page);
            numbers(page);
        }));
        let mut host = Self {
            data_address,
            control_address,
            platform,
            drain,
            force,
            ended,
            tasks,
            outcomes: Vec::new(),
            worst: Ended::Drained,
            patience: options.gateway.drain_timeout,
        };
        let drained = host.drain.clone();
        host.surface(
            TaskKind::Gateway,
            async move { gateway.serve(vec![data.into()], drained).await.cut_off },
        );
        let drained = host.drain.clone();
        host.surface(TaskKind::Control, async move { api.serve(control, drained).await.cut_off });
        host.background(shadows);
        let shown = [options.data_certificate, options.control_certificate].into_iter().flatten().collect();
        let follower = Follower::new(shown).map_err(|error| {
            Problem::new(ErrorCode::HostFault, format!("SIGHUP cannot be listened to: {error}"))
        })?;
        host.tasks.spawn(TaskKind::Certificates, follower.follow(host.ended.clone()));
        Ok(host)
    }

    /// Runs one socket until it has drained, or until the end is forced.
    fn surface(&mut self, kind: TaskKind, serving: impl Future<Output = usize> + Send + 'static) {
        let (report, outcome) = oneshot::channel();
        let force = self.force.clone();
        self.outcomes.push(outcome);
        self.tasks.spawn(kind, async move {
            let outcome = tokio::select! {
                biased;
                () = force.cancelled() => Ended::Forced,
                cut_off = serving => if cut_off == 0 { Ended::Drained } else { Ended::CutOff(cut_off) },
            };
            if report.send(outcome).is_err() {
                tracing::debug!("a socket ended after its handle was dropped");
            }
        });
    }

    fn background(&self, shadows: ShadowRunner) {
        let referee: Arc<dyn Referee> = self.platform.clone();
        let referee: Weak<dyn Referee> = Arc::downgrade(&referee);
        self.tasks.spawn(TaskKind::Shadows, shadows.run(referee, self.ended.clone()));
        self.tasks.spawn(TaskKind::Examiner, reexamine::run(self.platform.clone(), self.ended.clone()));
        let platform = self.platform.clone();
        self.every(TaskKind::PoolSweeper, SWEEP_INTERVAL, move || {
            lockgate_runtime::let_go_of_code();
            platform.ground.residents.sweep(platform.ground.clock.now());
            Ok(())
        });
        let platform = self.platform.clone();
        self.every(TaskKind::KeyValues, SWEEP_INTERVAL, move || platform.ground.registry.flush_key_values());
        let platform = self.platform.clone();
        self.every(TaskKind::Ledger, SETTLE_INTERVAL, move || {
            let now = platform.ground.clock.now();
            platform.tenants().iter().for_each(|serving| serving.owner.turn_month(now));
            platform.settle()
        });
    }

    /// Repeats work that may block, until the end.
    fn every(
        &self,
        kind: TaskKind,
        interval: Duration,
        work: impl Fn() -> Result<(), Problem> + Send + Sync + 'static,
    ) {
        let (ended, work) = (self.ended.clone(), Arc::new(work));
        self.tasks.spawn(kind, async move {
            let mut turns = Turns::new(interval, ended);
            while turns.next().await {
                let work = work.clone();
                if let Err(problem) = blocking(move || work()).await {
                    tracing::error!(task = ?kind, %problem, "a task of the host failed and is tried again");
                }
            }
        });
    }

    /// Where calls come in.
    pub fn data_address(&self) -> SocketAddr {
        self.data_address
    }

    /// Where the control API listens.
    pub fn control_address(&self) -> SocketAddr {
        self.control_address
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

    /// Waits for the end, which [`Host::drain`] or [`Host::force`] brings about. Safe to call again when the future was
    /// dropped before.
    pub async fn ended(&mut self) -> Ended {
        while let Some(outcome) = self.outcomes.last_mut() {
            // A socket's task reports unless it panicked; then nothing was drained.
            let outcome = outcome.await.unwrap_or(Ended::Forced);
            self.worst = worse(self.worst, outcome);
            self.outcomes.pop();
        }
        let floating = self.platform.ground.floating.clone();
        let force = self.force.clone();
        tokio::select! {
            biased;
            () = force.cancelled() => floating.stop().await,
            () = floating.settle(self.patience) => {}
        }
        self.ended.cancel();
        self.tasks.ended().await;
        let platform = self.platform.clone();
        let settled = blocking(move || {
            let (settled, flushed) = (platform.settle(), platform.ground.registry.flush_key_values());
            settled.and(flushed)
        })
        .await;
        if let Err(problem) = settled {
            tracing::error!(%problem, "the last usage was not written");
        }
        self.worst
    }
}

impl Drop for Host {
    /// A handle that is dropped leaves no task behind.
    fn drop(&mut self) {
        self.force();
        self.ended.cancel();
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("data_address", &self.data_address)
            .field("control_address", &self.control_address)
            .finish_non_exhaustive()
    }
}

fn worse(a: Ended, b: Ended) -> Ended {
    match (a, b) {
        (Ended::Forced, _) | (_, Ended::Forced) => Ended::Forced,
        (Ended::CutOff(a), Ended::CutOff(b)) => Ended::CutOff(a + b),
        (Ended::CutOff(count), Ended::Drained) | (Ended::Drained, Ended::CutOff(count)) => {
            Ended::CutOff(count)
        }
        (Ended::Drained, Ended::Drained) => Ended::Drained,
    }
}

/// Without keys everybody is the operator, so nobody else may reach the sockets.
fn check_addresses(options: &HostOptions) -> Result<(), Problem> {
    let addresses = [options.data_address, options.control_address];
    match addresses.iter().find(|address| options.dev && !address.ip().is_loopback()) {
        None => Ok(()),
        Some(address) => {
            let message = format!("development mode asks nobody for a key and would listen on {address}");
            Err(Problem::new(ErrorCode::PermissionDenied, message)
                .with_hint("listen on 127.0.0.1, or serve without --dev"))
        }
    }
}

async fn bind(
    address: SocketAddr,
    certificate: &Option<Certificate>,
    what: &str,
) -> Result<(Listener, SocketAddr), Problem> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok::<_, std::io::Error>((Listener::new(listener, certificate.clone()), address))
    };
    bound.await.map_err(|error| {
        Problem::new(ErrorCode::HostFault, format!("{what} cannot listen on {address}: {error}"))
            .with_hint("choose another address, or end the process that has it")
    })
}
