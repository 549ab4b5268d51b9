//! What can be said about a component without serving it.

use std::sync::Arc;
use std::time::Duration;

use lockgate_domain::{CapabilityKind, ComponentDigest, Manifest};
use lockgate_runtime::Component;

/// A look at a component that this host can run.
#[derive(Debug, Clone)]
pub struct Inspection {
    component: Arc<Component>,
}

/// One interface that a component imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface<'a> {
    /// Full name with version.
    pub name: &'a str,
    /// Whose interface it is: `lockgate` or `wasi`.
    pub owner: &'static str,
    /// Whether the host has it.
    pub is_granted: bool,
    /// The capability that an executor must be granted to use it.
    pub needs: Option<CapabilityKind>,
}

impl Inspection {
    pub(crate) fn new(component: Arc<Component>) -> Self {
        Self { component }
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        self.component.manifest()
    }

    /// SHA-256 of its bytes.
    pub fn digest(&self) -> ComponentDigest {
        self.component.digest()
    }

    /// Bytes of the component.
    pub fn size(&self) -> u64 {
        self.component.size()
    }

    /// How long it took to compile, or to map when it was compiled before.
    pub fn compile_time(&self) -> Duration {
        self.component.compile_time()
    }

    /// Whether the compiled code came from the cache on disk.
    pub fn is_from_cache(&self) -> bool {
        self.component.loaded_from_cache()
    }

    /// Linear memories of one instance.
    pub fn memories(&self) -> u32 {
        self.component.memories()
    }

    /// Tables of one instance.
    pub fn tables(&self) -> u32 {
        self.component.tables()
    }

    /// What it imports, in its own order.
    pub fn imports(&self) -> impl Iterator<Item = Interface<'_>> {
        self.component.imports().iter().map(|import| Interface {
            name: &import.interface,
            owner: import.by.as_str(),
            is_granted: import.granted,
            needs: import.needs,
        })
    }

    /// The names it exports.
    pub fn exports(&self) -> &[String] {
        self.component.exports()
    }
}
