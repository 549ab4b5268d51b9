//! A host with tenants: the serving side.
//!
//! Everything that a registry holds becomes traffic here, and everything that the control API asks of traffic is
//! answered here. Pure hearts ([`choice`], [`compare`], [`verdict`], [`quota`], [`golden`]) decide; the rest holds
//! state and carries their decisions out.

mod capsules;
mod choice;
mod clock;
mod compare;
mod door;
mod flows;
mod golden;
mod ground;
mod host;
mod lane;
mod ledger;
mod numbers;
mod options;
mod parts;
mod platform;
mod quota;
mod reexamine;
mod referee;
mod residents;
mod secrets;
mod shadow;
mod table;
mod tenant;
mod traffic;
mod trial;
mod validator;
mod verdict;

pub use self::host::Host;
pub use self::options::HostOptions;

#[cfg(test)]
mod tests;
