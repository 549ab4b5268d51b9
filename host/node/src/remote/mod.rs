//! External executors: other gateways or executors, ours or Jina's, that a flow calls by their addresses.
//!
//! Each address has one task that keeps one HTTP/2 connection to it (`address`): a call never connects, it takes a
//! connection that is there. Of several addresses a call goes to the less busy of two random ones; those that are gone
//! or silent are passed over until they answer again. A call is sent to another address only where the first has not
//! seen it. What the other side may do to us is bounded: how long its answer is, how many documents it has, how long it
//! takes. Fuel is not charged: it is burned elsewhere. A caller that listens gets what an endpoint streams as it comes
//! (`stream`).

mod address;
mod balance;
mod connection;
mod failure;
mod numbers;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use lockgate_domain::spec::ExternalSpec;
use lockgate_domain::{
    DocumentList, EndpointName, ErrorCode, ExecutorName, Limits, Manifest, NamedResults, Parameters, Problem,
};
use lockgate_flow::client::{ExecutorCall, ExecutorClient, ExecutorReply, GivenResults};
use lockgate_socket::{ALPN_HTTP2, ClientTls};
use lockgate_wire::envelope::Request;
use lockgate_wire::grpc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};

use self::address::{Address, Visit};
use self::balance::Choice;
use self::connection::Connection;
use self::failure::{Outcome, in_answer, sort_out};
use self::numbers::Failures;
use self::stream::Streamed;

/// Headers of a request that tell which trace it belongs to.
const TRACE: [&str; 2] = ["traceparent", "tracestate"];

/// An executor elsewhere. Dropping it ends its connections.
pub(crate) struct RemoteExecutor {
    shared: Arc<Shared>,
    addresses: Arc<[Arc<Address>]>,
    failures: Failures,
    /// Keeps the connections.
    _keepers: Mutex<JoinSet<()>>,
}

/// What all addresses of one executor share.
pub(crate) struct Shared {
    name: ExecutorName,
    limits: Limits,
    metadata: MetadataMap,
    tls: Option<ClientTls>,
    manifest: ArcSwap<Manifest>,
    /// Counts what has happened to the addresses: a connection, or a failure to make one.
    news: watch::Sender<u64>,
}

impl RemoteExecutor {
    /// Begins to connect; nothing is known of the other side yet. Runs inside a runtime.
    ///
    /// # Errors
    /// `invalid_flow` for metadata that cannot be sent, or without authorities to trust.
    pub(crate) fn start(name: &ExecutorName, spec: &ExternalSpec, limits: Limits) -> Result<Self, Problem> {
        let tls = spec.addresses.iter().any(|address| address.tls);
        let tls = tls.then(|| ClientTls::new(None, &[ALPN_HTTP2])).transpose().map_err(|error| {
            Problem::new(ErrorCode::InvalidFlow, format!("executor `{name}` cannot speak TLS: {error}"))
        })?;
        let shared = Arc::new(Shared {
            name: name.clone(),
            limits,
            metadata: metadata(name, &spec.metadata)?,
            tls,
            manifest: ArcSwap::default(),
            news: watch::Sender::new(0),
        });
        let addresses: Arc<[Arc<Address>]> =
            spec.addresses.iter().map(|address| Arc::new(Address::new(address))).collect();
        let mut keepers = JoinSet::new();
        for address in addresses.iter() {
            keepers.spawn(address::keep(address.clone(), shared.clone()));
        }
        Ok(Self { shared, addresses, failures: Failures::default(), _keepers: Mutex::new(keepers) })
    }

    /// Waits until one address is connected. `tell` hears why there is none yet, each time that changes.
    ///
    /// # Errors
    /// `unavailable` naming every address, when the time is over.
    pub(crate) async fn ready(
        &self,
        patience: Duration,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<(), Problem> {
        let mut news = self.shared.news.subscribe();
        let mut told = String::new();
        let waiting = async {
            while self.connected() == 0 {
                let trouble = self.trouble();
                if trouble != told {
                    tell(&trouble);
                    told = trouble;
                }
                // The sender is ours, so it is there.
                if news.changed().await.is_err() {
                    return;
                }
            }
        };
        match timeout(patience, waiting).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.unreachable().with_hint(
                "start it first, or correct `host` and `port`; `timeout_ready` says how long the start waits for it",
            )),
        }
    }

    /// Addresses that are connected now.
    pub(crate) fn connected(&self) -> usize {
        self.addresses.iter().filter(|address| address.is_connected()).count()
    }

    /// The addresses, for people.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.addresses.iter().map(|address| address.url().to_owned()).collect()
    }

    /// Why each address that is not connected is not.
    fn trouble(&self) -> String {
        let troubles: Vec<String> = self.addresses.iter().filter_map(|address| address.trouble()).collect();
        troubles.join("; ")
    }

    /// No address can be called. None has seen the request, so another try is safe.
    fn unreachable(&self) -> Problem {
        let (name, trouble) = (&self.shared.name, self.trouble());
        let why = if trouble.is_empty() { "no answer from it yet".to_owned() } else { trouble };
        Problem::new(ErrorCode::Unavailable, format!("external executor `{name}` cannot be reached: {why}"))
            .with_executor(name)
    }

    async fn send(&self, call: &ExecutorCall) -> Result<ExecutorReply, Problem> {
        // Once around: an address that did not take the call may be chosen again when it has a new connection.
        for _ in 0..=self.addresses.len() {
            let choice = match balance::choose(&self.addresses) {
                Some(choice) => choice,
                None => {
                    self.first_connection(call.context.deadline).await.ok_or_else(|| self.unreachable())?
                }
            };
            let Choice { address, connection } = &choice;
            let mut visit = address.enter(call.context.deadline);
            match self.attempt(call, &choice, &mut visit).await {
                Ok(reply) => return Ok(reply),
                Err(Outcome::Unsendable(problem)) => return Err(problem),
                Err(Outcome::Answered(problem)) => {
                    visit.answered();
                    return Err(problem);
                }
                Err(Outcome::Lost(problem)) => {
                    address.renew(connection);
                    return Err(problem);
                }
                Err(Outcome::NotSent(why)) => {
                    visit.answered();
                    tracing::debug!(executor = %self.shared.name, address = address.url(), why, "a call goes to another address");
                    address.renew(connection);
                }
            }
        }
        Err(self.unreachable())
    }

    /// One call at one address: a stream where somebody listens and there is one, else one answer.
    async fn attempt(
        &self,
        call: &ExecutorCall,
        choice: &Choice,
        visit: &mut Visit<'_>,
    ) -> Result<ExecutorReply, Outcome> {
        if let Some(emit) = self.listener(call, &choice.connection) {
            match self.stream(call, emit, choice, visit).await? {
                Streamed::Ended => {
                    let (documents, results) = (DocumentList::default(), GivenResults::Nothing);
                    return Ok(ExecutorReply { documents, results, fuel: 0 });
                }
                Streamed::Unknown => choice.connection.knows_no_streams(),
            }
        }
        let (name, url) = (&self.shared.name, choice.address.url());
        let request = self.encode(call, &choice.connection, grpc::encode_request)?;
        let reply = choice.connection.call(request).await.map_err(|status| sort_out(name, url, &status))?;
        visit.answered();
        let answer = grpc::decode_reply(reply, &self.shared.limits)
            .map_err(|problem| Outcome::Answered(failure::unreadable(name, url, &problem)))?;
        if let Some(problem) = answer.failure {
            return Err(Outcome::Answered(in_answer(name, problem)));
        }
        let results = self.results(&answer.parameters, &choice.address).map_err(Outcome::Answered)?;
        Ok(ExecutorReply { documents: answer.documents, results, fuel: 0 })
    }

    /// While no address has been tried to the end, something may come of it.
    async fn first_connection(&self, deadline: Option<Instant>) -> Option<Choice> {
        let mut news = self.shared.news.subscribe();
        let waiting = async {
            loop {
                if let Some(choice) = balance::choose(&self.addresses) {
                    return Some(choice);
                }
                if self.addresses.iter().all(|address| address.trouble().is_some()) {
                    // A request is a reason to look again before the pause is over.
                    self.addresses.iter().for_each(|address| address.look_again());
                    return None;
                }
                news.changed().await.ok()?;
            }
        };
        match deadline {
            None => waiting.await,
            Some(deadline) => tokio::select! {
                choice = waiting => choice,
                () = sleep_until(deadline.into()) => None,
            },
        }
    }

    fn encode<M>(
        &self,
        call: &ExecutorCall,
        connection: &Connection,
        write: impl FnOnce(&Request) -> Result<M, Problem>,
    ) -> Result<tonic::Request<M>, Outcome> {
        let request = Request {
            id: Some(call.context.id.as_str().to_owned()),
            endpoint: Some(call.endpoint.to_string()),
            target_executor: None,
            parameters: call.parameters.clone(),
            documents: call.documents.clone(),
            dialect: connection.dialect(),
        };
        let message = write(&request).map_err(|problem| {
            let (name, message) = (&self.shared.name, problem.message());
            let message = format!("external executor `{name}` cannot be sent these documents: {message}");
            Outcome::Unsendable(Problem::new(ErrorCode::InvalidRequest, message).with_executor(name))
        })?;
        let mut message = tonic::Request::new(message);
        *message.metadata_mut() = self.shared.metadata.clone();
        for name in TRACE {
            let value = call.context.headers.get(name).and_then(|value| MetadataValue::try_from(value).ok());
            if let Some(value) = value {
                message.metadata_mut().insert(name, value);
            }
        }
        if let Some(deadline) = call.context.deadline {
            message.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        Ok(message)
    }

    /// What its executors gave beside documents, under the names that it gives them.
    fn results(&self, parameters: &Parameters, address: &Address) -> Result<GivenResults, Problem> {
        let Some(given) = parameters.get(Parameters::RESULTS) else { return Ok(GivenResults::Nothing) };
        NamedResults::check(given, self.shared.limits.written_bytes)
            .map(GivenResults::from)
            .map_err(|error| failure::unfit(&self.shared.name, address.url(), error))
    }
}

impl ExecutorClient for RemoteExecutor {
    fn manifest(&self) -> Arc<Manifest> {
        self.shared.manifest.load_full()
    }

    /// The other side applies its own fallback, so it gets the name that the caller used.
    fn resolve(&self, wanted: &EndpointName) -> Option<EndpointName> {
        self.shared.manifest.load().resolve(wanted).map(|_| wanted.clone())
    }

    fn call(&self, call: ExecutorCall) -> BoxFuture<'_, Result<ExecutorReply, Problem>> {
        Box::pin(async move {
            let tally = self.failures.watch(call.context.deadline);
            let result = self.send(&call).await;
            tally.end(&result);
            result
        })
    }
}

impl Shared {
    /// What the other side says it answers to. The manifest stays the same allocation while it says the same.
    fn learn(&self, manifest: Manifest) {
        if **self.manifest.load() != manifest {
            self.manifest.store(Arc::new(manifest));
        }
    }

    fn tell_news(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl std::fmt::Debug for RemoteExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteExecutor")
            .field("name", &self.shared.name)
            .field("addresses", &self.urls())
            .finish_non_exhaustive()
    }
}

/// What goes with every call. Values may be secrets, so no log shows them.
fn metadata(name: &ExecutorName, pairs: &[(String, String)]) -> Result<MetadataMap, Problem> {
    let mut metadata = MetadataMap::new();
    for (key, value) in pairs {
        let parsed = key.parse::<MetadataKey<_>>().ok().zip(MetadataValue::try_from(value.as_str()).ok());
        let Some((parsed, mut value)) = parsed else {
            let message =
                format!("`grpc_metadata` of executor `{name}` has an entry {key:?} that cannot be sent");
            return Err(Problem::new(ErrorCode::InvalidFlow, message)
                .with_hint("names are small letters, digits, `-`, `_` and `.`; values are printable ASCII"));
        };
        value.set_sensitive(true);
        metadata.append(parsed, value);
    }
    Ok(metadata)
}
