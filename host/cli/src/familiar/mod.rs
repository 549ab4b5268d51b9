//! What users of Jina type.
//!
//! [`keys`] turns options into keys of a flow file, so that an option means what its key means; [`foreign`] says of what
//! Jina has and this does not why, and what to type instead; [`typed`] takes the few words that mean something else by
//! the customs of this command.

pub(crate) mod foreign;
pub(crate) mod keys;
pub(crate) mod typed;
