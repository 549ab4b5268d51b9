//! What `#[executor]` implements and the exports call: the manifest, creation and dispatch.
//!
//! A warm call costs one match over the endpoint's name; configuration is parsed once per instance
//! and the manifest is only rendered when the host asks for it.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::column::parse_json;
use crate::{Document, Documents, Error, Kind, Request, Result, host};

/// A transform of document lists; `#[executor]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an executor",
    note = "add `#[executor]` to an `impl {Self}` block that has `#[endpoint(\"/name\")]` methods"
)]
pub trait Executor: Sized {
    /// What the executor says of itself.
    const MANIFEST: Manifest;

    /// Makes one, from the configuration of the deployment.
    ///
    /// # Errors
    /// Those of the `#[init]` method, `invalid_argument` for a configuration that does not parse.
    fn create() -> Result<Self>;

    /// Serves one call.
    ///
    /// # Errors
    /// Those of the endpoint, `unimplemented` when there is none of that name and no `/default`.
    fn call(&mut self, endpoint: &str, documents: &mut Documents, request: &Request) -> Result<()>;
}

/// What an executor says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Manifest {
    /// The executor's name.
    pub name: &'static str,
    /// The version of its source.
    pub version: &'static str,
    /// One paragraph for people.
    pub description: &'static str,
    /// Whether instances keep what calls leave in them, so that calls must not be spread freely.
    pub stateful: bool,
    /// What can be called.
    pub endpoints: &'static [Endpoint],
}

/// One endpoint of a manifest.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The name that clients address, such as `/search`.
    pub name: &'static str,
    /// One paragraph for people.
    pub description: &'static str,
    /// Columns that are read: those named, then those of the typed documents.
    pub reads: (&'static [&'static str], &'static [(&'static str, Kind)]),
    /// Columns that are written: those named, then those of the typed documents.
    pub writes: (&'static [&'static str], &'static [(&'static str, Kind)]),
    /// The JSON Schema of the parameters, where their type derives [`Parameters`].
    pub parameters: Option<&'static str>,
    /// Whether it emits documents while it runs.
    pub streaming: bool,
}

/// Parameters that describe themselves in the manifest. Derive it beside serde's `Deserialize`:
/// `#[derive(Deserialize, Parameters)]`.
pub trait Parameters: DeserializeOwned {
    /// The JSON Schema, as JSON.
    const SCHEMA: &'static str;
}

/// What an endpoint may return: nothing, or the reply as typed documents.
#[diagnostic::on_unimplemented(
    message = "an endpoint cannot return `{Self}`",
    note = "return `Result<()>`, or `Result<Vec<T>>` where `T` derives `Document`"
)]
pub trait IntoReply {
    /// The columns that it writes.
    const COLUMNS: &'static [(&'static str, Kind)];

    /// Writes the reply.
    ///
    /// # Errors
    /// The endpoint's own, or those of [`Documents::write`].
    fn into_reply(self, documents: &mut Documents) -> Result<()>;
}

impl IntoReply for () {
    const COLUMNS: &'static [(&'static str, Kind)] = &[];

    fn into_reply(self, _: &mut Documents) -> Result<()> {
        Ok(())
    }
}

impl<T: Document> IntoReply for Vec<T> {
    const COLUMNS: &'static [(&'static str, Kind)] = T::COLUMNS;

    fn into_reply(self, documents: &mut Documents) -> Result<()> {
        documents.write(self)
    }
}

impl<R: IntoReply, E: Into<Error>> IntoReply for Result<R, E> {
    const COLUMNS: &'static [(&'static str, Kind)] = R::COLUMNS;

    fn into_reply(self, documents: &mut Documents) -> Result<()> {
        self.map_err(Into::into)?.into_reply(documents)
    }
}

/// The configuration of the deployment (`uses_with`) as `T`; an `#[init]` method gets it as its
/// argument.
///
/// # Errors
/// `invalid_argument` when it is no `T`.
pub fn configuration<T: DeserializeOwned>() -> Result<T> {
    parse_json(&host::configuration(), || "the configuration".into())
}

/// One value of the configuration, `None` when it is not set.
///
/// # Errors
/// `invalid_argument` when it is no `T`.
pub fn configured<T: DeserializeOwned>(name: &str) -> Result<Option<T>> {
    host::configured(name)
        .map(|text| parse_json(&text, || format!("the configuration's {name:?}")))
        .transpose()
}

/// The error of a call to an endpoint that does not exist.
#[must_use]
pub fn unknown_endpoint(manifest: &Manifest, endpoint: &str) -> Error {
    let known: Vec<&str> = manifest.endpoints.iter().map(|endpoint| endpoint.name).collect();
    let message = format!("{} has no endpoint {endpoint:?}, it has {}", manifest.name, known.join(", "));
    Error::unimplemented(message)
}

/// Asks whether a type of parameters derives [`Parameters`]: the inherent constant exists only then,
/// and is preferred to the trait's.
#[doc(hidden)]
pub struct Probe<T>(PhantomData<T>);

impl<T: Parameters> Probe<T> {
    pub const SCHEMA: Option<&'static str> = Some(T::SCHEMA);
}

#[doc(hidden)]
pub trait DescribedByDefault {
    const SCHEMA: Option<&'static str> = None;
}

impl<T> DescribedByDefault for Probe<T> {}

/// The manifest as JSON, written by hand: a serialiser would be a fifth of a small component.
#[doc(hidden)]
#[must_use]
pub fn describe<E: Executor>() -> String {
    let manifest = &E::MANIFEST;
    let mut json = String::with_capacity(1024);
    json.push_str("{\"name\":");
    quote(&mut json, manifest.name);
    json.push_str(",\"version\":");
    quote(&mut json, manifest.version);
    json.push_str(",\"description\":");
    quote(&mut json, manifest.description);
    json.push_str(",\"stateful\":");
    json.push_str(if manifest.stateful { "true" } else { "false" });
    json.push_str(",\"endpoints\":[");
    for (index, endpoint) in manifest.endpoints.iter().enumerate() {
        json.push_str(if index == 0 { "{\"name\":" } else { ",{\"name\":" });
        describe_endpoint(&mut json, endpoint);
    }
    json.push_str("]}");
    json
}

/// One call.
#[doc(hidden)]
pub fn run<E: Executor>(executor: &mut E, endpoint: &str) -> Result<()> {
    executor.call(endpoint, &mut Documents::new(), &Request::new())
}

fn describe_endpoint(json: &mut String, endpoint: &Endpoint) {
    quote(json, endpoint.name);
    json.push_str(",\"description\":");
    quote(json, endpoint.description);
    for (key, columns) in [(",\"reads\":[", &endpoint.reads), (",\"writes\":[", &endpoint.writes)] {
        let (named, typed) = columns;
        let typed = typed.iter().map(|(column, _)| column).filter(|column| !named.contains(column));
        json.push_str(key);
        for (index, column) in named.iter().chain(typed).enumerate() {
            if index > 0 {
                json.push(',');
            }
            quote(json, column);
        }
        json.push(']');
    }
    if let Some(schema) = endpoint.parameters {
        json.push_str(",\"parameters\":");
        json.push_str(schema);
    }
    json.push_str(if endpoint.streaming { ",\"streaming\":true}" } else { ",\"streaming\":false}" });
}

/// A text as a JSON string.
fn quote(json: &mut String, text: &str) {
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            // Nothing else below a space means anything in a name or a description.
            '\0'..=' ' => json.push(' '),
            _ => json.push(letter),
        }
    }
    json.push('"');
}
