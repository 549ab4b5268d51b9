//! The runtime as the registry's judge of components.

use lockgate_domain::hosting::ComponentReport;
use lockgate_domain::{ComponentDigest, Problem};
use lockgate_registry::ComponentValidator;
use lockgate_runtime::Runtime;

/// Judges with the runtime that will run what it accepts.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeValidator(pub(crate) Runtime);

impl ComponentValidator for RuntimeValidator {
    fn examine(&self, digest: ComponentDigest, bytes: &[u8]) -> Result<ComponentReport, Problem> {
        let component = self.0.load(bytes)?;
        debug_assert_eq!(component.digest(), digest, "the registry hashes what it hands over");
        Ok(component.report().clone())
    }

    fn engine(&self) -> &str {
        self.0.engine_id()
    }
}
