//! What all connections of one control API share, and how it is put together.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::{Router, middleware};
use bytes::Bytes;
use lockgate_domain::{ErrorCode, Problem, Timestamp};
use lockgate_registry::access::Authenticator;
use lockgate_registry::oci::OciPuller;
use lockgate_registry::{ComponentValidator, Registry};
use lockgate_socket::Listener;
use lockgate_telemetry::page::Page;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;
use crate::guard::{guard, identify, not_found};
use crate::listener::{self, Drained};
use crate::places::TenantPlaces;
use crate::refusal::{RefusalCounts, Result};
use crate::serving::Serving;
use crate::uploads::Uploads;
use crate::{ControlOptions, describe, numbers, routes};

/// Adds numbers that the control API cannot know.
type Source = Arc<dyn Fn(&mut Page) + Send + Sync>;

/// What a control API stands on.
pub struct ControlParts {
    /// What is kept.
    pub registry: Registry,
    /// Who callers are.
    pub authenticator: Authenticator,
    /// What is served.
    pub serving: Arc<dyn Serving>,
    /// Who judges uploads.
    pub validator: Arc<dyn ComponentValidator>,
    /// Who pulls components from OCI registries; none if nothing is pulled.
    pub puller: Option<Arc<OciPuller>>,
}

/// The control API of one host. Clones are the same one.
#[derive(Clone)]
pub struct Control(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) options: ControlOptions,
    pub(crate) registry: Registry,
    pub(crate) authenticator: Authenticator,
    pub(crate) serving: Arc<dyn Serving>,
    pub(crate) validator: Arc<dyn ComponentValidator>,
    pub(crate) puller: Option<Arc<OciPuller>>,
    /// The OpenAPI document.
    pub(crate) description: Bytes,
    /// Places for requests.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) tenant_places: TenantPlaces,
    pub(crate) changes: Changes,
    pub(crate) uploads: Uploads,
    pub(crate) refusals: RefusalCounts,
    pub(crate) started_at: Timestamp,
    metrics: OnceLock<Source>,
    leaving: AtomicBool,
}

impl Control {
    /// A control API over what a registry keeps and something serves.
    pub fn new(parts: ControlParts, options: ControlOptions) -> Self {
        let ControlParts { registry, authenticator, serving, validator, puller } = parts;
        Self(Arc::new(Inner {
            places: Arc::new(Semaphore::new(options.max_concurrent_requests.min(Semaphore::MAX_PERMITS))),
            tenant_places: TenantPlaces::new(options.requests_per_tenant),
            changes: Changes::default(),
            refusals: RefusalCounts::default(),
            uploads: Uploads::new(options.uploads_per_tenant),
            description: describe::openapi().into(),
            started_at: registry.now(),
            metrics: OnceLock::new(),
            leaving: AtomicBool::new(false),
            options,
            registry,
            authenticator,
            serving,
            validator,
            puller,
        }))
    }

    /// Has `source` add its numbers to the page at `/metrics`, each time somebody asks. The first source stands.
    pub fn with_metrics(self, source: Arc<dyn Fn(&mut Page) + Send + Sync>) -> Self {
        self.0.metrics.get_or_init(|| source);
        self
    }

    /// Serves until `shutdown` is cancelled, then drains: requests in progress have `drain_timeout` to finish, and what
    /// is left is cut off. Dropping the future cuts connections off at once; changes in progress go on to their end.
    pub async fn serve(&self, listener: Listener, shutdown: CancellationToken) -> Drained {
        listener::serve(self.clone(), listener, shutdown).await
    }

    /// The API as a service, for a socket of somebody else's. The bounds that belong to connections are then theirs.
    pub fn router(&self) -> Router {
        let (router, _) = routes::all().split_for_parts();
        router
            .route_layer(middleware::from_fn_with_state(self.clone(), guard))
            .fallback(not_found)
            .layer(middleware::from_fn(identify))
            .with_state(self.clone())
    }

    /// Runs what blocks on the disk or computes for long.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Control) -> T + Send + 'static,
    ) -> Result<T> {
        let control = self.clone();
        let fault = |_| Problem::new(ErrorCode::HostFault, "the request ended in a fault of the host");
        Ok(tokio::task::spawn_blocking(move || work(&control)).await.map_err(fault)?)
    }

    /// Runs what may be refused, on a thread that may block.
    pub(crate) async fn registry<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> std::result::Result<T, Problem> + Send + 'static,
    ) -> Result<T> {
        Ok(self.blocking(|control| work(&control.0.registry)).await??)
    }

    /// From now on nothing new is wanted.
    pub(crate) fn stop_being_ready(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether requests are wanted, and if not, why.
    pub(crate) fn readiness(&self) -> std::result::Result<(), Problem> {
        if self.0.leaving.load(Ordering::Relaxed) {
            return Err(Problem::new(ErrorCode::Unavailable, "the control API is draining"));
        }
        self.0.serving.readiness()
    }

    /// The page at `/metrics`.
    pub(crate) fn metrics_page(&self) -> String {
        let mut page = Page::default();
        numbers::add(self, &mut page);
        if let Some(source) = self.0.metrics.get() {
            source(&mut page);
        }
        page.into_text()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("options", &self.0.options).finish_non_exhaustive()
    }
}
