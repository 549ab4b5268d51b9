//! The request around the documents.

use std::fmt;

use lockgate_domain::{DocumentList, Limits, Parameters};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::documents::{DataSeed, Draft, ElementSeed};
use super::scalar::TextSeed;
use crate::envelope::{Dialect, Head, Request};
use crate::fault::{Fault, Result, Step};

pub(super) fn request(body: &[u8], limits: &Limits) -> Result<Request> {
    let body = text(body, "send an object such as {\"data\": [{\"text\": \"hi\"}]}")?;
    let mut documents = Draft::new(limits);
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let envelope = RequestSeed(&mut documents)
        .deserialize(&mut deserializer)
        .and_then(|envelope| deserializer.end().map(|()| envelope));
    let envelope = envelope.map_err(|error| documents.explain(&error))?;
    let header = envelope.header;
    let is_v2 = !documents.has_marks() && header.request_id.is_some() && header.exec_endpoint.is_some();
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Request {
        id: given(header.request_id),
        endpoint: given(envelope.endpoint.or(header.exec_endpoint)),
        target_executor: given(envelope.target_executor.or(header.target_executor)),
        parameters: Parameters::new(envelope.parameters.unwrap_or_default()),
        documents: documents.finish(is_v2)?,
        dialect: if is_v2 { Dialect::DocArrayV2 } else { Dialect::DocArrayV1 },
    })
}

pub(super) fn document(body: &[u8], limits: &Limits) -> Result<(DocumentList, Dialect)> {
    let body = text(body, "send one document, such as {\"text\": \"hi\"}")?;
    let mut documents = Draft::new(limits);
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let read = ElementSeed { draft: &mut documents, depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|_| deserializer.end());
    read.map_err(|error| documents.explain(&error))?;
    let dialect = if documents.has_marks() { Dialect::DocArrayV1 } else { Dialect::DocArrayV2 };
    Ok((documents.finish(dialect == Dialect::DocArrayV2)?, dialect))
}

/// The body as text: checked once as a whole, which is much cheaper than text by text.
fn text<'b>(body: &'b [u8], example: &'static str) -> Result<&'b str> {
    if body.trim_ascii().is_empty() {
        return Err(Fault::with_hint("the body is empty", example));
    }
    std::str::from_utf8(body)
        .map_err(|error| Fault::with_hint(format!("the body is not UTF-8: {error}"), "send blobs as base64"))
}

pub(super) fn head(body: &[u8]) -> Head {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Outline {
        header: Option<Header>,
        #[serde(alias = "execEndpoint", alias = "endpoint")]
        exec_endpoint: Option<String>,
    }

    let outline: Outline = serde_json::from_slice(body).unwrap_or_default();
    let header = outline.header.unwrap_or_default();
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    Head { id: given(header.request_id), endpoint: given(outline.exec_endpoint.or(header.exec_endpoint)) }
}

#[derive(Default)]
struct Envelope {
    header: Header,
    endpoint: Option<String>,
    target_executor: Option<String>,
    parameters: Option<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Header {
    #[serde(alias = "requestId")]
    request_id: Option<String>,
    #[serde(alias = "execEndpoint")]
    exec_endpoint: Option<String>,
    #[serde(alias = "targetExecutor")]
    target_executor: Option<String>,
}

struct RequestSeed<'d>(&'d mut Draft);

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = Envelope;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Envelope, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object such as {\"data\": [{\"text\": \"hi\"}]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        let mut has_data = false;
        while let Some(key) = map.next_key_seed(TextSeed)? {
            if key == "data" && std::mem::replace(&mut has_data, true) {
                return Err(self.0.raise(Fault::new("the request has more than one \"data\"")));
            }
            let value = envelope.keep(self.0, &key, &mut map);
            self.0.leave(value, || Step::Field(key.into_owned()))?;
        }
        Ok(envelope)
    }
}

impl Envelope {
    fn keep<'de, A: MapAccess<'de>>(
        &mut self,
        documents: &mut Draft,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "data" => map.next_value_seed(DataSeed(documents))?,
            "parameters" => self.parameters = map.next_value()?,
            "exec_endpoint" | "execEndpoint" | "endpoint" => self.endpoint = map.next_value()?,
            "target_executor" | "targetExecutor" => self.target_executor = map.next_value()?,
            "header" => self.header = map.next_value::<Option<Header>>()?.unwrap_or_default(),
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}
