//! Who judges an uploaded component: the consumer's trait. The runtime does it in a host, a script in tests.

use lockgate_domain::hosting::ComponentReport;
use lockgate_domain::{ComponentDigest, Problem};

/// Judges components of strangers.
pub trait ComponentValidator: Send + Sync {
    /// Checks, compiles and asks the component what it is. Blocks for as long as that takes. `digest` is the SHA-256 of
    /// `bytes`.
    fn examine(&self, digest: ComponentDigest, bytes: &[u8]) -> Result<ComponentReport, Problem>;

    /// The engine that compiles: a report of another engine is out of date.
    fn engine(&self) -> &str;
}
