//! The embedder: passages on `/index` and queries on `/search` get a vector in the column `embedding`.
//!
//! Vectors of passages depend on their own text alone, so they stay right when more is indexed; a query weighs its words
//! by how rare they are in what was indexed so far, and one that was never indexed is taken for the indexed word that it
//! resembles. The count of words is its state, in one bounded table.

mod features;
mod vocabulary;

use example_search_library::Received;
use lockgate_sdk::prelude::*;

use crate::features::Features;
use crate::vocabulary::Vocabulary;

/// Documents whose vectors are written in one host call: few enough for a little memory, enough for a cheap call.
const BLOCK: usize = 512;

/// The configuration (`uses_with`).
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    dimensions: usize,
    max_words: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { dimensions: 2048, max_words: 500_000 }
    }
}

/// Embeds text.
#[derive(Debug)]
pub struct Embedder {
    dimensions: usize,
    vocabulary: Vocabulary,
}

/// Embeds text by hashing words, pairs of words and parts of words; words of a query weigh by how rare they are.
#[executor(name = "embedder", stateful)]
impl Embedder {
    #[init]
    fn new(options: Options) -> Result<Self> {
        let Options { dimensions, max_words } = options;
        ensure!(
            (64..=8192).contains(&dimensions),
            InvalidArgument,
            "dimensions is {dimensions}, it must be 64 to 8192"
        );
        Ok(Self { dimensions, vocabulary: Vocabulary::new(max_words) })
    }

    /// Embeds passages and learns how rare their words are.
    #[endpoint("/index", writes("embedding"))]
    fn index(&mut self, documents: &mut Documents, received: Vec<Received>, request: &Request) -> Result<()> {
        for (block, start) in received.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
            request.check()?;
            let features: Vec<Features> =
                block.iter().map(|passage| Features::count(&passage.counted())).collect();
            self.embed(documents, start, &features, |_| Some(1.0))?;
            for features in &features {
                self.vocabulary.count(features.words());
            }
        }
        debug!("{} words in {} passages", self.vocabulary.len(), self.vocabulary.passages());
        Ok(())
    }

    /// Embeds queries; misspelt words count as the indexed words that they resemble.
    #[endpoint("/search", writes("embedding"))]
    fn search(
        &mut self,
        documents: &mut Documents,
        received: Vec<Received>,
        request: &Request,
    ) -> Result<()> {
        for (block, start) in received.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
            let mut features: Vec<Features> =
                block.iter().map(|query| Features::count(&query.counted())).collect();
            for features in &mut features {
                request.check()?;
                features.correct(|word| match self.vocabulary.worth(word) {
                    None => self.vocabulary.nearest(word),
                    Some(_) => None,
                });
            }
            self.embed(documents, start, &features, |word| self.vocabulary.worth(word))?;
        }
        Ok(())
    }
}

impl Embedder {
    /// Writes the vectors of the documents from row `start` on.
    fn embed(
        &self,
        documents: &mut Documents,
        start: usize,
        features: &[Features],
        weigh: impl Fn(&str) -> Option<f32>,
    ) -> Result<()> {
        let mut matrix = Matrix::zeros(features.len(), self.dimensions);
        for (row, features) in features.iter().enumerate() {
            if let Some(vector) = matrix.get_mut(row) {
                features.write(vector, &weigh);
            }
        }
        documents.column("embedding").rows(start..start + features.len())?.set_matrix(&matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_written_in_blocks() {
        let mut host = TestHost::new().config(json!({ "dimensions": 64 }));
        let documents = documents![{ "text": "a cat" }, { "text": "" }, { "tags": { "heading": "Cats" } }];
        let reply = host.call::<Embedder>("/index", documents).unwrap();
        let vectors: Vec<Vec<f32>> = reply.json("embedding").unwrap();
        let lengths: Vec<f32> =
            vectors.iter().map(|vector| vector.iter().map(|value| value * value).sum()).collect();
        assert!((lengths[0] - 1.0).abs() < 1e-5 && lengths[1] == 0.0 && (lengths[2] - 1.0).abs() < 1e-5);
        assert_eq!(reply.host_calls().iter().filter(|call| call.starts_with("set_")).count(), 1);
        assert!(host.call::<Embedder>("/search", documents![]).unwrap().is_empty());
        let many: Vec<_> = (0..=BLOCK).map(|number| json!({ "text": format!("number {number}") })).collect();
        let reply = host.call::<Embedder>("/index", lockgate_sdk::serde_json::Value::from(many)).unwrap();
        assert_eq!(reply.host_calls().iter().filter(|call| call.starts_with("set_")).count(), 2);
        assert!(reply.column("embedding").iter().all(|vector| !vector.is_null()));
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        let error =
            TestHost::new().config(json!({ "dimensions": 1 })).call::<Embedder>("/index", documents![]);
        assert_eq!(error.unwrap_err().message(), "dimensions is 1, it must be 64 to 8192");
    }
}
