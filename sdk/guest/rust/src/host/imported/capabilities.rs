//! The imports that need a capability: linked only into executors that reach these functions.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, HeaderError, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme, http_error_code,
};
use wasip2::io::streams::{OutputStream, StreamError};

use crate::bindings::capabilities::lockgate::executor::key_value;
use crate::http::{Parts, Request, Response};
use crate::key_value::StoreError;
use crate::{Code, Error, Result};

/// Bytes asked of a stream at once.
const READ_BYTES: u64 = 64 << 10;

pub(crate) fn store_get(key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    key_value::get(key).map_err(store_error)
}

pub(crate) fn store_set(key: &str, value: &[u8]) -> Result<(), StoreError> {
    key_value::set(key, value).map_err(store_error)
}

pub(crate) fn store_delete(key: &str) -> Result<bool, StoreError> {
    key_value::delete(key).map_err(store_error)
}

pub(crate) fn store_keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, StoreError> {
    key_value::keys(prefix, after, limit).map_err(store_error)
}

fn store_error(error: key_value::Error) -> StoreError {
    match error {
        key_value::Error::Denied => StoreError::Denied,
        key_value::Error::Full => StoreError::Full,
        key_value::Error::Invalid(why) => StoreError::Invalid(why),
        key_value::Error::Failed(why) => StoreError::Failed(why),
    }
}

/// Sends a request and reads the whole answer.
pub(crate) fn http_send(request: &Request, parts: &Parts<'_>) -> Result<Response> {
    let mut headers = request.headers.clone();
    if !request.body.is_empty() {
        headers.push(("content-length".into(), request.body.len().to_string().into_bytes()));
    }
    let fields = Fields::from_list(&headers).map_err(header_error)?;
    let outgoing = OutgoingRequest::new(fields);
    let bad = |what: &str| Error::new(Code::InvalidArgument, format!("the {what} is not valid"));
    outgoing.set_method(&method(&request.method)).map_err(|()| bad("method"))?;
    let scheme = if parts.is_tls { Scheme::Https } else { Scheme::Http };
    outgoing.set_scheme(Some(&scheme)).map_err(|()| bad("scheme"))?;
    outgoing.set_authority(Some(parts.authority)).map_err(|()| bad("host"))?;
    outgoing.set_path_with_query(Some(&parts.path)).map_err(|()| bad("path"))?;
    let body = outgoing.body().map_err(|()| Error::internal("a request without a body"))?;
    let pending = handle(outgoing, options(request)).map_err(failed)?;
    // The body goes on its way while the request does. When the other side does not want it, the answer says why.
    let written = write(body, &request.body);
    let answer = loop {
        match pending.get() {
            Some(answer) => break answer,
            None => pending.subscribe().block(),
        }
    };
    let response = answer.map_err(|()| Error::internal("an answer that was taken twice"))?.map_err(failed)?;
    written.or_else(|error| if response.status() < 300 { Err(error) } else { Ok(()) })?;
    read(&response)
}

fn options(request: &Request) -> Option<RequestOptions> {
    let timeout = u64::try_from(request.timeout?.as_nanos()).ok();
    let options = RequestOptions::new();
    // A host that takes none of them has its own.
    options.set_connect_timeout(timeout).ok();
    options.set_first_byte_timeout(timeout).ok();
    options.set_between_bytes_timeout(timeout).ok();
    Some(options)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<()> {
    let stream = body.write().map_err(|()| Error::internal("a body that was taken twice"))?;
    let sent = pass_on(&stream, bytes);
    drop(stream);
    let finished = OutgoingBody::finish(body, None);
    match sent {
        Ok(()) => finished.map_err(failed),
        // Nobody takes any more: a body of known length has gone as a whole, or the server has answered without reading
        // on. What became of the request stands in the answer.
        Err(StreamError::Closed) => Ok(()),
        Err(error) => Err(broken(error)),
    }
}

fn pass_on(stream: &OutputStream, mut bytes: &[u8]) -> std::result::Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        let Some((now, rest)) = bytes.split_at_checked(room.min(bytes.len())).filter(|_| room > 0) else {
            stream.subscribe().block();
            continue;
        };
        stream.write(now)?;
        bytes = rest;
    }
    stream.blocking_flush()
}

fn read(response: &IncomingResponse) -> Result<Response> {
    let (status, headers) = (response.status(), response.headers().entries());
    let incoming = response.consume().map_err(|()| Error::internal("an answer that was taken twice"))?;
    let stream = incoming.stream().map_err(|()| Error::internal("a body that was taken twice"))?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(bytes) => body.extend_from_slice(&bytes),
            Err(StreamError::Closed) => return Ok(Response { status, headers, body }),
            Err(error) => return Err(broken(error)),
        }
    }
}

fn broken(error: StreamError) -> Error {
    let code = match &error {
        StreamError::LastOperationFailed(error) => http_error_code(error),
        StreamError::Closed => None,
    };
    code.map_or_else(|| Error::new(Code::Unavailable, "the connection was closed"), failed)
}

fn header_error(error: HeaderError) -> Error {
    let why = match error {
        HeaderError::InvalidSyntax => "a header has a name or a value that HTTP does not allow",
        HeaderError::Forbidden => "a header is the host's to set",
        HeaderError::Immutable => "the headers cannot be changed",
    };
    Error::new(Code::InvalidArgument, why)
}

fn failed(code: ErrorCode) -> Error {
    use ErrorCode as E;
    let (code, why) = match code {
        E::HttpRequestDenied => (Code::PermissionDenied, "this host is not granted to the executor"),
        E::DestinationIpProhibited => {
            (Code::PermissionDenied, "the host's address is not public, and private networks are not granted")
        }
        E::ConnectionLimitReached => {
            (Code::ResourceExhausted, "more requests or connections than the executor is granted")
        }
        E::HttpResponseBodySize(_) => {
            (Code::ResourceExhausted, "the answer is longer than the executor is granted")
        }
        E::HttpResponseHeaderSectionSize(_) | E::HttpResponseHeaderSize(_) => {
            (Code::ResourceExhausted, "the answer's headers are too large")
        }
        E::HttpRequestBodySize(_) | E::HttpRequestHeaderSectionSize(_) | E::HttpRequestHeaderSize(_) => {
            (Code::ResourceExhausted, "the request is too large")
        }
        E::DnsTimeout | E::DnsError(_) | E::DestinationNotFound => {
            (Code::Unavailable, "the host's name has no address")
        }
        E::ConnectionTimeout
        | E::ConnectionReadTimeout
        | E::ConnectionWriteTimeout
        | E::HttpResponseTimeout => (Code::DeadlineExceeded, "nothing came in time"),
        E::ConnectionRefused | E::DestinationUnavailable | E::DestinationIpUnroutable => {
            (Code::Unavailable, "the host cannot be reached")
        }
        E::ConnectionTerminated | E::HttpResponseIncomplete => {
            (Code::Unavailable, "the connection ended before the answer did")
        }
        E::TlsCertificateError => (Code::Unavailable, "the host's certificate is not trusted"),
        E::TlsProtocolError | E::TlsAlertReceived(_) => (Code::Unavailable, "the host does not speak TLS"),
        E::HttpRequestMethodInvalid | E::HttpRequestUriInvalid | E::HttpRequestUriTooLong => {
            (Code::InvalidArgument, "the method or the URL is not one that is sent")
        }
        E::InternalError(Some(why)) => return Error::new(Code::ResourceExhausted, why),
        _ => (Code::Unavailable, "the other side does not keep to HTTP"),
    };
    Error::new(code, why)
}
