//! The functions of `wasi:http` whose answers differ from run to run, with a journal: whether a response is there and
//! what it is, its trailers, why a body broke off, and whether a request's body was sent.
//!
//! The bytes of bodies pass through the streams of [`io`](super::super::io). In a replay no request leaves: the
//! response is made of the journal's head and an empty body, which nobody reads because its bytes are in the journal.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Empty};
use serde::{Deserialize, Serialize};
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, HostOutgoingBody as _};
use wasmtime_wasi_http::p2::body::{HostFutureTrailers, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostIncomingResponse};
use wasmtime_wasi_http::{Error, FieldMap, WasiHttpView};

use super::super::Host;
use super::super::offer::WASI_VERSION;
use crate::journal::{Blob, answered};
use crate::state::InstanceState;

/// Fields as a journal has them.
type Fields = Vec<(String, Blob)>;

/// What a future gave.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Got {
    Pending,
    Taken,
    Response { status: u16, fields: Fields },
    Trailers(Option<Fields>),
    Failed(Code),
}

/// An error of HTTP as a journal has it: the variant's name and what it carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Code {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
}

type Future = Resource<HostFutureIncomingResponse>;
type Trailers = Resource<HostFutureTrailers>;
/// Pending, taken already, or a response.
type Response = Option<Result<Result<Resource<HostIncomingResponse>, ErrorCode>, ()>>;
type TrailersAnswer = Option<Result<Result<Option<Resource<FieldMap>>, ErrorCode>, ()>>;

pub(in super::super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(&format!("wasi:http/types@{WASI_VERSION}"))?;
    types
        .func_wrap("[method]future-incoming-response.get", |mut store: Host<'_>, (future,): (Future,)| {
            Ok((response(&mut store, future)?,))
        })?;
    types.func_wrap("[method]future-trailers.get", |mut store: Host<'_>, (future,): (Trailers,)| {
        Ok((trailers(&mut store, future)?,))
    })?;
    type Finish = (Resource<HostOutgoingBody>, Option<Resource<FieldMap>>);
    types.func_wrap("[static]outgoing-body.finish", |mut store: Host<'_>, (body, trailers): Finish| {
        let call = "outgoing-body.finish";
        if let Some(told) = store.data_mut().journal.next::<Option<Code>>(call, &[])? {
            store.data_mut().http().finish(body, trailers).ok();
            return Ok((told.map_or(Ok(()), |code| Err(code.into())),));
        }
        let done = store.data_mut().http().finish(body, trailers);
        let done: Result<(), ErrorCode> = match done {
            Ok(()) => Ok(()),
            Err(error) => Err(error.downcast()?),
        };
        store.data_mut().journal.note(call, &[], &done.as_ref().err().map(Code::from));
        Ok((done,))
    })?;
    // The original knows only errors of its own kind, and a body that is too long has ours.
    types.func_wrap("http-error-code", |mut store: Host<'_>, (error,): (Resource<wasmtime::Error>,)| {
        let code: Option<Code> = answered!(store, "http-error-code", &[], {
            let found = store.data_mut().table().get(&error);
            found.map(|error| error.downcast_ref::<Error>().and_then(code_of).as_ref().map(Code::from))
        });
        Ok((code.map(ErrorCode::from),))
    })
}

fn response(store: &mut Host<'_>, future: Future) -> wasmtime::Result<Response> {
    let call = "future-incoming-response.get";
    let Some(told) = store.data_mut().journal.next::<Got>(call, &[])? else {
        let response = types::HostFutureIncomingResponse::get(&mut store.data_mut().http(), future)?;
        let got = match &response {
            None => Got::Pending,
            Some(Err(())) => Got::Taken,
            Some(Ok(Err(code))) => Got::Failed(code.into()),
            Some(Ok(Ok(response))) => {
                let head = store.data_mut().table().get(response)?;
                Got::Response { status: head.status, fields: listed(&head.headers) }
            }
        };
        store.data_mut().journal.note(call, &[], &got);
        return Ok(response);
    };
    let ready = match told {
        Got::Response { status, fields } => Ok((status, mapped(fields))),
        Got::Failed(code) => Err(Error::from(ErrorCode::from(code))),
        Got::Taken => return Ok(Some(Err(()))),
        Got::Pending | Got::Trailers(_) => return Ok(None),
    };
    let ready = ready.map(|(status, fields)| {
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let mut response = http::Response::new(body);
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        *response.headers_mut() = fields;
        (response, wasmtime_wasi::runtime::spawn(async {}))
    });
    *store.data_mut().table().get_mut(&future)? = HostFutureIncomingResponse::Ready(ready);
    types::HostFutureIncomingResponse::get(&mut store.data_mut().http(), future)
}

fn trailers(store: &mut Host<'_>, future: Trailers) -> wasmtime::Result<TrailersAnswer> {
    let call = "future-trailers.get";
    let Some(told) = store.data_mut().journal.next::<Got>(call, &[])? else {
        let trailers = types::HostFutureTrailers::get(&mut store.data_mut().http(), future)?;
        let got = match &trailers {
            None => Got::Pending,
            Some(Err(())) => Got::Taken,
            Some(Ok(Err(code))) => Got::Failed(code.into()),
            Some(Ok(Ok(None))) => Got::Trailers(None),
            Some(Ok(Ok(Some(fields)))) => Got::Trailers(Some(listed(store.data_mut().table().get(fields)?))),
        };
        store.data_mut().journal.note(call, &[], &got);
        return Ok(trailers);
    };
    let done = match told {
        Got::Trailers(fields) => Ok(fields.map(mapped)),
        Got::Failed(code) => Err(Error::from(ErrorCode::from(code))),
        Got::Taken => return Ok(Some(Err(()))),
        Got::Pending | Got::Response { .. } => return Ok(None),
    };
    *store.data_mut().table().get_mut(&future)? = HostFutureTrailers::Done(done);
    types::HostFutureTrailers::get(&mut store.data_mut().http(), future)
}

fn listed(fields: &HeaderMap) -> Fields {
    fields.iter().map(|(name, value)| (name.as_str().to_owned(), Blob(value.as_bytes().to_vec()))).collect()
}

/// The fields of a journal; what is no field there is left out, as HTTP itself would.
fn mapped(fields: Fields) -> HeaderMap {
    let fields = fields.into_iter().filter_map(|(name, Blob(value))| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name, value);
    }
    map
}

/// What a guest is told about a body that broke off.
fn code_of(error: &Error) -> Option<ErrorCode> {
    match error {
        Error::HttpResponseIncomplete => Some(ErrorCode::HttpResponseIncomplete),
        Error::HttpResponseBodySize(size) => Some(ErrorCode::HttpResponseBodySize(*size)),
        Error::ConnectionReadTimeout => Some(ErrorCode::ConnectionReadTimeout),
        Error::InternalError(words) => Some(ErrorCode::InternalError(words.clone())),
        _ => None,
    }
}

/// Both directions of [`Code`], variant by variant.
macro_rules! codes {
    (plain: $($plain:ident)*; text: $($text:ident)*; long: $($long:ident)*; short: $($short:ident)*;
     sized: $($sized:ident)*;) => {
        impl From<&ErrorCode> for Code {
            fn from(code: &ErrorCode) -> Self {
                let code_of = |name: &str, text: Option<String>, number: Option<u64>| {
                    Code { name: name.to_owned(), text, number }
                };
                match code {
                    $(ErrorCode::$plain => code_of(stringify!($plain), None, None),)*
                    $(ErrorCode::$text(text) => code_of(stringify!($text), text.clone(), None),)*
                    $(ErrorCode::$long(number) => code_of(stringify!($long), None, *number),)*
                    $(ErrorCode::$short(number) => code_of(stringify!($short), None, number.map(u64::from)),)*
                    $(ErrorCode::$sized(size) => code_of(
                        stringify!($sized), size.field_name.clone(), size.field_size.map(u64::from)
                    ),)*
                    ErrorCode::HttpRequestHeaderSize(size) => {
                        let name = if size.is_some() { "HttpRequestHeaderSize" } else { "HttpRequestHeaderSize0" };
                        let size = size.as_ref();
                        let text = size.and_then(|size| size.field_name.clone());
                        code_of(name, text, size.and_then(|size| size.field_size).map(u64::from))
                    }
                    ErrorCode::DnsError(dns) => {
                        code_of("DnsError", dns.rcode.clone(), dns.info_code.map(u64::from))
                    }
                    ErrorCode::TlsAlertReceived(alert) => code_of(
                        "TlsAlertReceived", alert.alert_message.clone(), alert.alert_id.map(u64::from)
                    ),
                }
            }
        }

        impl From<Code> for ErrorCode {
            fn from(Code { name, text, number }: Code) -> Self {
                let short = number.and_then(|number| u32::try_from(number).ok());
                let sized = |text: Option<String>| types::FieldSizePayload { field_name: text, field_size: short };
                match name.as_str() {
                    $(stringify!($plain) => ErrorCode::$plain,)*
                    $(stringify!($text) => ErrorCode::$text(text),)*
                    $(stringify!($long) => ErrorCode::$long(number),)*
                    $(stringify!($short) => ErrorCode::$short(short),)*
                    $(stringify!($sized) => ErrorCode::$sized(sized(text)),)*
                    "HttpRequestHeaderSize" => ErrorCode::HttpRequestHeaderSize(Some(sized(text))),
                    "HttpRequestHeaderSize0" => ErrorCode::HttpRequestHeaderSize(None),
                    "DnsError" => ErrorCode::DnsError(types::DnsErrorPayload {
                        rcode: text,
                        info_code: number.and_then(|number| u16::try_from(number).ok()),
                    }),
                    "TlsAlertReceived" => ErrorCode::TlsAlertReceived(types::TlsAlertReceivedPayload {
                        alert_id: number.and_then(|number| u8::try_from(number).ok()),
                        alert_message: text,
                    }),
                    _ => ErrorCode::HttpProtocolError,
                }
            }
        }

        #[cfg(test)]
        fn all() -> Vec<ErrorCode> {
            let size = || types::FieldSizePayload { field_name: Some("x".into()), field_size: Some(7) };
            vec![
                $(ErrorCode::$plain,)*
                $(ErrorCode::$text(Some("words".into())), ErrorCode::$text(None),)*
                $(ErrorCode::$long(Some(u64::MAX)), ErrorCode::$long(None),)*
                $(ErrorCode::$short(Some(9)), ErrorCode::$short(None),)*
                $(ErrorCode::$sized(size()),)*
                ErrorCode::HttpRequestHeaderSize(Some(size())),
                ErrorCode::HttpRequestHeaderSize(None),
                ErrorCode::DnsError(types::DnsErrorPayload { rcode: Some("r".into()), info_code: Some(3) }),
                ErrorCode::TlsAlertReceived(types::TlsAlertReceivedPayload {
                    alert_id: Some(1), alert_message: None,
                }),
            ]
        }
    };
}

codes! {
    plain: DnsTimeout DestinationNotFound DestinationUnavailable DestinationIpProhibited DestinationIpUnroutable
        ConnectionRefused ConnectionTerminated ConnectionTimeout ConnectionReadTimeout ConnectionWriteTimeout
        ConnectionLimitReached TlsProtocolError TlsCertificateError HttpRequestDenied HttpRequestLengthRequired
        HttpRequestMethodInvalid HttpRequestUriInvalid HttpRequestUriTooLong HttpResponseIncomplete
        HttpResponseTimeout HttpUpgradeFailed HttpProtocolError LoopDetected ConfigurationError;
    text: HttpResponseTransferCoding HttpResponseContentCoding InternalError;
    long: HttpRequestBodySize HttpResponseBodySize;
    short: HttpRequestHeaderSectionSize HttpRequestTrailerSectionSize HttpResponseHeaderSectionSize
        HttpResponseTrailerSectionSize;
    sized: HttpRequestTrailerSize HttpResponseHeaderSize HttpResponseTrailerSize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_comes_back_as_it_was() {
        assert_eq!(all().len(), 49);
        for code in all() {
            let text = serde_json::to_string(&Code::from(&code)).unwrap();
            let back = ErrorCode::from(serde_json::from_str::<Code>(&text).unwrap());
            assert_eq!(format!("{back:?}"), format!("{code:?}"));
        }
    }
}
