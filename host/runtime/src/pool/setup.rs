//! What a pool is made of: one revision of an executor, on whose account it runs, and what it may reach.

use std::sync::Arc;

use lockgate_domain::spec::PoolOptions;
use lockgate_domain::{Capabilities, ExecutorName, Limits, TenantName};
use serde_json::{Map, Value};

use crate::component::Component;
use crate::egress::EgressAllowance;
use crate::key_value::KeyValueStore;
use crate::meter::{CallMeter, NoMeter};
use crate::share::TenantShare;

/// Everything about a pool that does not change.
#[derive(Clone)]
pub struct PoolSetup {
    /// the executor whose calls it takes
    pub executor: ExecutorName,
    /// what it runs
    pub component: Arc<Component>,
    /// ceilings of one call and one instance
    pub limits: Limits,
    /// how many instances, and how long they live
    pub options: PoolOptions,
    /// what guests read as their configuration, secrets filled in
    pub configuration: Map<String, Value>,
    /// what guests may reach
    pub capabilities: Capabilities,
    /// the store behind `capabilities.key_value`
    pub key_value: Option<Arc<dyn KeyValueStore>>,
    /// bytes of outbound HTTP that are left; shared by all pools of one account
    pub egress: EgressAllowance,
    /// on whose account it computes and holds memory
    pub share: TenantShare,
    /// who is told what its calls used
    pub meter: Arc<dyn CallMeter>,
}

impl PoolSetup {
    /// A pool of the host's owner: nothing granted, nothing metered.
    pub fn new(executor: ExecutorName, component: Arc<Component>, options: PoolOptions) -> Self {
        Self {
            executor,
            component,
            limits: Limits::default(),
            options,
            configuration: Map::new(),
            capabilities: Capabilities::default(),
            key_value: None,
            egress: EgressAllowance::default(),
            share: TenantShare::new(TenantName::local()),
            meter: Arc::new(NoMeter),
        }
    }
}
