//! A request and its reply as all protocols see them, between the bytes and the flow.

use std::time::SystemTime;

use lockgate_domain::{DocumentList, Parameters, Problem};

/// Which generation of DocArray a caller speaks; the answer is in kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `DocumentArrayProto`: documents with a fixed set of fields
    DocArrayV1,
    /// `DocListProto`: documents with fields of the caller's own schema
    DocArrayV2,
}

/// What a caller sent.
#[derive(Debug, Clone)]
pub struct Request {
    /// The caller's id of the request, as sent.
    pub id: Option<String>,
    /// The endpoint asked for, as sent.
    pub endpoint: Option<String>,
    /// A regular expression that picks executors by the start of their names, as sent.
    pub target_executor: Option<String>,
    /// A JSON object.
    pub parameters: Parameters,
    /// The documents, nested ones included.
    pub documents: DocumentList,
    /// How the documents were written.
    pub dialect: Dialect,
}

/// What is read of a request that is refused before it is decoded: enough to say which one it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// The caller's id of the request, as sent.
    pub id: Option<String>,
    /// The endpoint asked for, as sent.
    pub endpoint: Option<String>,
}

/// What the caller gets.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The id under which the request was served.
    pub request_id: &'a str,
    /// The endpoint that was asked for.
    pub endpoint: &'a str,
    /// The request's parameters, results included.
    pub parameters: &'a Parameters,
    /// Which executors were passed, `gateway` first.
    pub routes: &'a [Route],
    /// The failure that ended the flow, if one did.
    pub failure: Option<&'a Problem>,
    /// The documents after the last stage, or as they were sent to the one that failed.
    pub documents: &'a DocumentList,
    /// How to write the documents.
    pub dialect: Dialect,
}

/// One station of a request.
#[derive(Debug, Clone)]
pub struct Route {
    /// `gateway`, or the executor's name.
    pub executor: String,
    /// When the request arrived there.
    pub start: Option<SystemTime>,
    /// When it left; none if it was passed by.
    pub end: Option<SystemTime>,
    /// Why it failed there, if it did.
    pub failure: Option<Problem>,
}

/// A reply as a client reads it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The id under which the request was served.
    pub request_id: String,
    /// The request's parameters, results included.
    pub parameters: Parameters,
    /// Which executors were passed, `gateway` first.
    pub routes: Vec<Route>,
    /// The failure that ended the flow, if one did.
    pub failure: Option<Problem>,
    /// The documents.
    pub documents: DocumentList,
}
