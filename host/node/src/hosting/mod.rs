//! A host with tenants: the serving side.
//!
//! Everything that a registry holds becomes traffic here, and everything that the control API asks of traffic is
//! answered here. Pure hearts ([`choice`], [`compare`], [`verdict`], [`quota`], [`golden`]) decide; the rest holds
//! state and carries their decisions out.
#![allow(dead_code, reason = "the parts are landed before what uses them")]

mod choice;
mod clock;
mod compare;
mod golden;
mod ledger;
mod options;
mod quota;
mod verdict;

pub use self::options::HostOptions;
