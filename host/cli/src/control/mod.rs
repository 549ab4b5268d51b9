//! The client's side of the control API: where the host is, who asks, what is sent and what comes back.
//!
//! A command holds one [`Client`] with one connection and asks one thing after the other. Names in paths are types
//! that were parsed, so that no argument can reach into another path; what a host answers is read with bounds, and its
//! texts are tamed before a terminal sees them.

mod arguments;
mod ask;
mod client;
mod credentials;
mod error;
mod files;
mod secret;
pub(crate) mod show;
mod upload;
mod url;

pub(crate) use self::arguments::HostArguments;
pub(crate) use self::ask::Ask;
pub(crate) use self::client::{Client, Listing, parse as parse_reply};
pub(crate) use self::credentials::{Credentials, saved_ca_for, saved_key_for, write_private};
pub(crate) use self::error::ControlError;
pub(crate) use self::files::{
    assignment, bytes as parse_bytes, count as parse_count, merge, read_json, span,
};
pub(crate) use self::secret::read_secret;
pub(crate) use self::upload::{ComponentFile, SIGNATURE_SUFFIX, find_component, upload};
pub(crate) use self::url::HostUrl;

#[cfg(test)]
mod tests;
