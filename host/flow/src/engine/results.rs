//! What executors gave beside documents, on its way to the answer.
//!
//! Nobody but the caller gets it. All that one request collects counts against `written_bytes` of each stage that adds
//! to it. Stages that float give nothing: the answer does not wait for them. Costs nothing where nobody gives any.

use lockgate_domain::{ExecutorName, LimitKind, NamedResults, Problem};

use crate::client::GivenResults;
use crate::plan::StagePlan;

/// What one request has collected so far.
#[derive(Debug, Default)]
pub(super) struct Collected {
    by_stage: Vec<(usize, NamedResults)>,
    bytes: u64,
}

impl Collected {
    /// Adds what the stage at that place of the plan gave.
    pub(super) fn add(
        &mut self,
        place: usize,
        stage: &StagePlan,
        given: GivenResults,
    ) -> Result<(), Problem> {
        let given = given.named(|| format!("{}/rep-0", stage.name));
        if given.is_empty() {
            return Ok(());
        }
        let (bytes, most) = (self.bytes.saturating_add(given.bytes()), stage.limits.written_bytes);
        if bytes > most {
            return Err(too_much(&stage.name, most));
        }
        self.bytes = bytes;
        self.by_stage.push((place, given));
        Ok(())
    }

    /// All of it, in the order of the plan, whichever came first.
    pub(super) fn together(mut self) -> NamedResults {
        self.by_stage.sort_by_key(|(place, _)| *place);
        let mut all = NamedResults::default();
        self.by_stage.into_iter().for_each(|(_, given)| all.extend(given));
        all
    }
}

fn too_much(stage: &ExecutorName, most: u64) -> Problem {
    let message = format!(
        "what executor `{stage}` and those before it gave beside the documents holds more than {most} bytes"
    );
    Problem::limit(LimitKind::WrittenBytes, most, message)
        .with_hint("let executors give less, or raise `written_bytes` under `limits` of the executor")
}
