//! What the instances of one pool may reach, and whether that covers what the component imports.

use std::fmt;
use std::sync::Arc;

use lockgate_domain::{Capabilities, CapabilityKind, ClockGrant, ErrorCode, Problem, RandomGrant};

use crate::component::Import;
use crate::egress::EgressAllowance;
use crate::host::HttpAccess;
use crate::key_value::KeyValueStore;
use crate::log::escape;

/// Grants as the host functions ask for them. Nothing by default.
#[derive(Clone, Default)]
pub(crate) struct Grants {
    pub(crate) http: Option<Arc<HttpAccess>>,
    pub(crate) key_value: Option<GrantedStore>,
    pub(crate) clock: ClockGrant,
    pub(crate) random: RandomGrant,
}

/// A key-value store and how much may be in it.
#[derive(Clone)]
pub(crate) struct GrantedStore {
    pub(crate) store: Arc<dyn KeyValueStore>,
    pub(crate) bytes: u64,
}

impl Grants {
    pub(crate) fn new(
        capabilities: &Capabilities,
        key_value: Option<Arc<dyn KeyValueStore>>,
        egress: &EgressAllowance,
    ) -> Self {
        let http = capabilities.http.clone().map(|grant| Arc::new(HttpAccess::new(grant, egress.clone())));
        let key_value = capabilities.key_value.zip(key_value);
        let key_value = key_value.map(|(grant, store)| GrantedStore { store, bytes: grant.bytes });
        Self { http, key_value, clock: capabilities.clock, random: capabilities.random }
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { http, key_value, clock, random } = self;
        f.debug_struct("Grants")
            .field("http", http)
            .field("key_value", &key_value.as_ref().map(|granted| granted.bytes))
            .field("clock", clock)
            .field("random", random)
            .finish()
    }
}

/// Whether the grants cover what the imports need; else a problem that shows what to write.
pub(crate) fn check(imports: &[Import], capabilities: &Capabilities) -> Result<(), Problem> {
    let missing = imports.iter().find_map(|import| {
        let kind = import.needs.filter(|kind| !capabilities.grants(*kind))?;
        Some((import, kind))
    });
    match missing {
        None => Ok(()),
        Some((import, kind)) => Err(denied(&import.interface, kind)),
    }
}

fn denied(interface: &str, kind: CapabilityKind) -> Problem {
    let message = format!(
        "the component imports {}, which needs the capability {}",
        escape(interface, 128),
        kind.as_str()
    );
    let hint = match kind {
        CapabilityKind::Http => {
            "grant it: in a flow file `capabilities: { http: { hosts: [api.example.org] } }` under the executor, in a \
             revision `\"capabilities\": {\"http\": {\"hosts\": [\"api.example.org\"]}}`; a JavaScript component imports \
             it by default: build it with `disableFeatures: ['http', 'fetch-event']`, or with the QuickJS backend of jco"
        }
        CapabilityKind::KeyValue => {
            "grant it: in a flow file `capabilities: { key_value: { bytes: 1MiB } }` under the executor, in a revision \
             `\"capabilities\": {\"key_value\": {\"bytes\": 1048576}}`"
        }
        CapabilityKind::Secrets => "grant it: in a revision `\"capabilities\": {\"secrets\": [\"NAME\"]}`",
    };
    Problem::new(ErrorCode::CapabilityDenied, message).with_hint(hint)
}
