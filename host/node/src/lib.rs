//! Assembly and lifecycle of one host process: the only place where the gateway meets the runtime.
//!
//! [`Node::deploy`] turns a flow and its component files into instance pools and a plan, and publishes the plan with
//! one pointer swap; [`Node::serve`] runs the gateway and drains it. Tasks are born in one place ([`tasks`]) and die
//! before `serve` reports the end. A deployment that fails leaves the one before it serving.

mod adapters;
mod capsule;
mod certificates;
mod deploy;
mod floating;
mod gathering;
mod hosting;
mod inspect;
mod metrics;
mod node;
mod remote;
mod serving;
mod signals;
mod tasks;

pub use crate::adapters::PoolExecutor;
pub use crate::adapters::draft;
pub use crate::capsule::{Capsule, CapsuleSetting, Ending, Verdict, seal};
pub use crate::deploy::{DeployError, Deployment, FlowSource, Home, Stage, StageEvent};
pub use crate::hosting::{Host, HostOptions};
pub use crate::inspect::{Inspection, Interface};
pub use crate::node::{Node, NodeOptions};
pub use crate::serving::{Ended, ServedPort, Serving};
pub use crate::signals::Signals;
pub use lockgate_gateway::{GatewayOptions, Port};
pub use lockgate_registry::{jwt, oci};
pub use lockgate_runtime::{CompilerCommand, compile_worker, worker_threads};
pub use lockgate_socket::{Certificate, Listener, TlsError};

/// The contract that this host speaks with its guests.
pub const CONTRACT: &str = "lockgate:executor@0.1.2";

#[cfg(test)]
mod tests {
    #[test]
    fn the_contract_is_the_one_in_wit() {
        let wit = include_str!("../../../wit/executor.wit");
        assert!(wit.contains(&format!("package {};", super::CONTRACT)));
    }
}
