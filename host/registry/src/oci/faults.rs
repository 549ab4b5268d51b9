//! What a registry said or did, in words for the tenant that asked.
//!
//! Bodies of answers are a stranger's text: they are cut, and stripped of what could forge a line of a log.

use std::error::Error;

use lockgate_domain::{ErrorCode, Problem};
use oci_client::Reference;
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};

/// Characters of a registry's own words that are repeated.
const MAX_SHOWN: usize = 160;

/// The problem that an error of the client is.
pub(super) fn of(reference: &Reference, error: &OciDistributionError) -> Problem {
    let host = reference.registry();
    let whole = reference.whole();
    match error {
        OciDistributionError::ImageManifestNotFoundError(_)
        | OciDistributionError::ServerError { code: 404, .. } => not_there(host, &whole),
        OciDistributionError::RegistryError { envelope, .. } => {
            let codes: Vec<&OciErrorCode> = envelope.errors.iter().map(|error| &error.code).collect();
            if codes.iter().any(|code| is_missing(code)) {
                not_there(host, &whole)
            } else if codes.iter().any(|code| is_refusal(code)) {
                refused(host, &whole)
            } else {
                strange(host, &whole, &error.to_string())
            }
        }
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_)
        | OciDistributionError::ServerError { code: 401 | 403, .. } => refused(host, &whole),
        OciDistributionError::ServerError { code, .. } if *code >= 500 || *code == 429 => {
            unavailable(host, &format!("it answered with status {code}"))
        }
        OciDistributionError::RequestError(error) if error.is_timeout() => too_slow(reference),
        OciDistributionError::RequestError(error) => unavailable(host, &shown(&chain(error))),
        OciDistributionError::DigestError(error) => mismatch(host, &whole, error),
        OciDistributionError::IoError(error) => {
            match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(digest) => mismatch(host, &whole, digest),
                None => unavailable(host, &format!("the connection broke: {}", shown(&chain(error)))),
            }
        }
        other => strange(host, &whole, &other.to_string()),
    }
}

/// The whole pull took too long, or nothing came for too long.
pub(super) fn too_slow(reference: &Reference) -> Problem {
    unavailable(reference.registry(), "it took too long")
}

/// An error and what caused it.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

/// A stranger's text as it may stand in a message.
pub(super) fn shown(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
    let mut words = plain.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    if words.len() > MAX_SHOWN {
        words.truncate(MAX_SHOWN);
        words.push_str("...");
    }
    words
}

fn is_missing(code: &OciErrorCode) -> bool {
    matches!(
        code,
        OciErrorCode::ManifestUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::BlobUnknown
            | OciErrorCode::NotFound
    )
}

fn is_refusal(code: &OciErrorCode) -> bool {
    matches!(code, OciErrorCode::Unauthorized | OciErrorCode::Denied)
}

fn not_there(host: &str, whole: &str) -> Problem {
    Problem::new(ErrorCode::NotFound, format!("the OCI registry {host} has no {whole}"))
        .with_hint("check the repository and the tag; a tag that is left out means latest")
}

fn refused(host: &str, whole: &str) -> Problem {
    Problem::new(
        ErrorCode::PermissionDenied,
        format!("the OCI registry {host} does not give {whole} to this host"),
    )
    .with_hint("make it public, or ask the operator of this host for credentials")
}

fn unavailable(host: &str, why: &str) -> Problem {
    Problem::new(ErrorCode::Unavailable, format!("the OCI registry {host} cannot be read: {why}"))
        .with_hint("try again later")
}

fn strange(host: &str, whole: &str, why: &str) -> Problem {
    let why = shown(why);
    let message = format!("the OCI registry {host} answers for {whole} with what cannot be used: {why}");
    Problem::new(ErrorCode::InvalidComponent, message)
}

fn mismatch(host: &str, whole: &str, error: &DigestError) -> Problem {
    let why = shown(&error.to_string());
    let message =
        format!("the OCI registry {host} gives other bytes for {whole} than their digest says: {why}");
    Problem::new(ErrorCode::InvalidComponent, message)
}
