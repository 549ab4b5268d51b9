//! Requests over one HTTP/1.1 connection that is kept, and answers read with a bound.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, ETAG, HOST, HeaderValue, USER_AGENT};
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use lockgate_domain::TenantName;
use lockgate_socket::ALPN_HTTP1;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::control::ask::{Ask, Body};
use crate::control::{ControlError, HostUrl};
use crate::failure::Report;
use crate::tls;

/// Largest answer that is read into memory.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Time to reach the host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most items of one page.
const PAGE: usize = 500;

/// A caller of one control API.
pub(crate) struct Client {
    url: HostUrl,
    ca: Option<PathBuf>,
    key: Option<String>,
    tenant: Option<TenantName>,
    link: Option<Link>,
}

struct Link {
    sender: SendRequest<Body>,
    /// Drives the connection, and ends with it.
    _driver: JoinSet<()>,
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its entity tag.
    pub(crate) etag: Option<String>,
    body: Bytes,
}

/// The items of a list, as far as they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The items as the API gives them.
    pub(crate) items: Vec<Value>,
    /// Where the list goes on, if it does.
    pub(crate) next: Option<String>,
}

impl Client {
    /// A caller; nothing is sent yet.
    pub(crate) fn new(url: HostUrl, key: Option<String>, tenant: Option<TenantName>) -> Self {
        Self { url, ca: None, key, tenant, link: None }
    }

    /// Trusts whom this file names, and nobody else.
    #[must_use]
    pub(crate) fn trusting(mut self, ca: Option<PathBuf>) -> Self {
        self.ca = ca;
        self
    }

    /// Where it asks.
    pub(crate) fn url(&self) -> &HostUrl {
        &self.url
    }

    /// The tenant that is meant: the one that was named, else the key's own.
    pub(crate) async fn tenant(&mut self) -> Result<TenantName, ControlError> {
        if let Some(tenant) = &self.tenant {
            return Ok(tenant.clone());
        }
        let whoami = self.send(Ask::get("/v1/whoami")).await?.value()?;
        let tenant = match (whoami.get("tenant").and_then(Value::as_str), whoami.get("principal")) {
            (Some(tenant), _) => tenant.parse().map_err(|error| unreadable(&error))?,
            // In development mode everybody is the operator, and what they have is the local tenant's.
            (None, Some(principal)) if principal == "local" => TenantName::local(),
            (None, _) => {
                return Err(Report::new("it is not clear whose things are meant: the key belongs to the host itself")
                    .hint("name the tenant with --tenant NAME or LOCKGATE_TENANT; 'lockgate tenant list' shows them")
                    .into());
            }
        };
        self.tenant = Some(tenant.clone());
        Ok(tenant)
    }

    /// The path of something of the tenant, such as `/executors`.
    pub(crate) async fn path(&mut self, rest: &str) -> Result<String, ControlError> {
        Ok(format!("/v1/tenants/{}{rest}", self.tenant().await?))
    }

    /// Asks, and waits for a good answer.
    pub(crate) async fn send(&mut self, ask: Ask) -> Result<Reply, ControlError> {
        let url = self.url.clone();
        let response = self.open(ask).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| lost(&url, error.as_ref()))?.to_bytes();
        let etag = head.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        Ok(Reply { etag, body })
    }

    /// Asks, and waits for the head of a good answer.
    pub(crate) async fn open(&mut self, ask: Ask) -> Result<Response<Incoming>, ControlError> {
        let patience = ask.patience;
        let response = match tokio::time::timeout(patience, self.exchange(ask)).await {
            Ok(response) => response?,
            Err(_) => return Err(Report::new(format!("{} did not answer in time", self.url)).into()),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| lost(&self.url, error.as_ref()))?.to_bytes();
        Err(ControlError::refused(&self.url, status, &body, self.key.is_some()))
    }

    /// All items of a list, page by page, but at most `most`.
    pub(crate) async fn list(&mut self, ask: impl Fn() -> Ask, most: usize) -> Result<Listing, ControlError> {
        let mut listing = Listing::default();
        loop {
            let room = most.saturating_sub(listing.items.len());
            let mut page = ask().query("limit", &room.min(PAGE).to_string());
            if let Some(cursor) = &listing.next {
                page = page.query("cursor", cursor);
            }
            let page = self.send(page).await?.value()?;
            let before = listing.next.take();
            listing.next = page.get("next").and_then(Value::as_str).map(str::to_owned);
            listing.items.extend(page.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
            if listing.items.len() >= most || listing.next.is_none() {
                listing.items.truncate(most);
                return Ok(listing);
            }
            if listing.next == before {
                return Err(Report::new(format!("{} gives the same page again and again", self.url)).into());
            }
        }
    }

    async fn exchange(&mut self, ask: Ask) -> Result<Response<Incoming>, ControlError> {
        let is_repeatable = ask.is_repeatable;
        let again = is_repeatable.then(|| (ask.method.clone(), ask.path.clone(), ask.headers.clone()));
        let was_open = self.link.is_some();
        let request = self.build(ask)?;
        match (self.write(request).await, again) {
            (Ok(response), _) => Ok(response),
            // The host may close an idle connection at any time; what only reads is asked once more on a new one.
            (Err(_), Some((method, path, headers))) if was_open => {
                let request = self.build(Ask { method, path, headers, ..Ask::get("") })?;
                self.write(request).await
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn write(&mut self, request: Request<Body>) -> Result<Response<Incoming>, ControlError> {
        let mut link = match self.link.take() {
            Some(link) if !link.sender.is_closed() => link,
            Some(_) | None => self.connect().await?,
        };
        link.sender.ready().await.map_err(|error| lost(&self.url, &error))?;
        let response = link.sender.send_request(request).await.map_err(|error| lost(&self.url, &error))?;
        // An answer that came before the request was read is the last on its connection.
        let is_last = response.headers().get(CONNECTION).is_some_and(|value| value.as_bytes() == b"close");
        self.link = (!is_last).then_some(link);
        Ok(response)
    }

    fn build(&self, ask: Ask) -> Result<Request<Body>, ControlError> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(format!("{}{}", self.url.prefix, ask.path))
            .header(HOST, &self.url.authority)
            .header(USER_AGENT, concat!("lockgate/", env!("CARGO_PKG_VERSION")));
        if let Some(key) = &self.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
                .map_err(|_| Report::new("the key has characters that no key has").hint("is it complete?"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        request
            .body(ask.body)
            .map_err(|error| Report::new(format!("cannot ask {}", self.url)).because(&error).into())
    }

    async fn connect(&self) -> Result<Link, ControlError> {
        let secure = self.url.tls.then(|| tls::client(self.ca.as_deref(), ALPN_HTTP1)).transpose()?;
        let connecting = async {
            let stream = tls::connect(&self.url.authority, secure.as_ref()).await;
            let stream =
                stream.map_err(|error| tls::hinted(unreachable(&self.url).because(&error), &error))?;
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| unreachable(&self.url).because(&error))?;
            let mut driver = JoinSet::new();
            driver.spawn(async move {
                // A broken connection shows in the request that is under way.
                drop(connection.await);
            });
            Ok(Link { sender, _driver: driver })
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .unwrap_or_else(|_| Err(unreachable(&self.url)))
            .map_err(|report| {
                report
                    .hint("is the host up? 'lockgate serve' says where its control API is; --url names another one")
                    .into()
            })
    }
}

impl Reply {
    /// The body as JSON; an empty one is null.
    pub(crate) fn value(&self) -> Result<Value, ControlError> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| unreadable(&error))
    }

    /// The body as it came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.body
    }
}

impl Listing {
    /// The items as what they are.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<Vec<T>, ControlError> {
        self.items.iter().map(parse).collect()
    }

    /// The list as the API gives it.
    pub(crate) fn to_json(&self) -> Value {
        serde_json::json!({ "items": self.items, "next": self.next })
    }
}

/// A part of an answer as what it is.
pub(crate) fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, ControlError> {
    T::deserialize(value).map_err(|error| unreadable(&error))
}

fn unreadable(error: &(dyn Error + 'static)) -> ControlError {
    Report::new("the host's answer cannot be read")
        .because(error)
        .hint("is it a lockgate host of the same version? 'lockgate whoami' shows its version")
        .into()
}

fn unreachable(url: &HostUrl) -> Report {
    Report::new(format!("cannot reach {url}"))
}

fn lost(url: &HostUrl, error: &(dyn Error + 'static)) -> ControlError {
    Report::new(format!("the connection to {url} broke off")).because(error).into()
}
