//! The index: keeps passages and their vectors in memory and answers `/search` with the nearest ones.
//!
//! State: one shelf of passages and their vectors, bounded by `max_documents` and `max_bytes`; a request that
//! would pass a bound changes nothing. Replies carry no embeddings: they are what the index is for, and nobody reads
//! them.

mod vectors;

use example_search_library::{Answer, Entry, Received, Shelf, ShelfOptions, best, deletion, limit, status};
use lockgate_sdk::prelude::*;

use crate::vectors::{Vectors, unit};

/// Documents whose vectors are read in one host call: few enough for a little memory, enough for a cheap call.
const BLOCK: usize = 512;

/// The configuration (`uses_with`).
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// At least this many matches are given, whatever the request's `limit`: what a stage that ranks anew needs.
    candidates: usize,
    max_documents: usize,
    max_bytes: usize,
    snippet_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        let ShelfOptions { max_documents, max_bytes, snippet_bytes } = ShelfOptions::default();
        Self { candidates: 0, max_documents, max_bytes, snippet_bytes }
    }
}

/// What a search may ask for.
#[derive(Debug, Default, Deserialize, Parameters)]
#[serde(default)]
struct Asked {
    /// Most matches for each query, 1 to 1000; 5 without it.
    limit: Option<f64>,
    /// Matches have a cosine above this, from -1 to 1; 0.05 without it.
    min_score: Option<f64>,
}

/// Keeps vectors.
#[derive(Debug)]
pub struct Index {
    candidates: usize,
    shelf: Shelf,
    vectors: Vectors,
}

/// Keeps passages with their embeddings in memory and finds those nearest to a query by cosine, exactly.
#[executor(name = "index", stateful)]
impl Index {
    #[init]
    fn new(options: Options) -> Result<Self> {
        let Options { candidates, max_documents, max_bytes, snippet_bytes } = options;
        let shelf = Shelf::new(ShelfOptions { max_documents, max_bytes, snippet_bytes })?;
        Ok(Self { candidates, shelf, vectors: Vectors::default() })
    }

    /// Keeps documents; one with an id that is known replaces the one before.
    #[endpoint("/index", reads("embedding"), writes("text", "embedding"))]
    fn index(&mut self, documents: &mut Documents, received: Vec<Received>) -> Result<()> {
        if received.is_empty() {
            return Ok(());
        }
        let vectors = self.embeddings(documents, received.len())?;
        let entries: Vec<Entry> = received.into_iter().map(Entry::from).collect();
        self.shelf.set_extra(vectors.first().map_or(0, |vector| size_of_val(vector.as_slice())));
        self.shelf.make_room(&entries)?;
        receipt(documents)?;
        for (entry, vector) in entries.into_iter().zip(vectors) {
            for id in self.shelf.replaced_by(&entry) {
                self.take(&id);
            }
            self.vectors.put(self.shelf.put(entry), vector);
        }
        Ok(())
    }

    /// Fills `matches` with the nearest documents, best first, scored by cosine.
    #[endpoint("/search", reads("embedding"), writes("embedding"))]
    fn search(
        &mut self,
        documents: &mut Documents,
        queries: Vec<Received>,
        asked: Asked,
        request: &Request,
    ) -> Result<Vec<Answer>> {
        let limit = limit(asked.limit)?.max(self.candidates);
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let vectors = self.embeddings(documents, queries.len())?;
        documents.column("embedding").set_tensors(vec![None; queries.len()])?;
        let mut answers = Vec::with_capacity(queries.len());
        for (query, vector) in queries.iter().zip(&vectors) {
            request.check()?;
            let near = self.vectors.near(vector, asked.min_score.unwrap_or(0.05));
            answers.push(self.shelf.answer(
                query.text.as_deref().unwrap_or_default(),
                "cosine",
                &best(near, limit),
            ));
        }
        Ok(answers)
    }

    /// Deletes documents by id, and all passages of documents by id or uri; says how many in `tags`.
    #[endpoint("/delete", writes("tags"))]
    fn delete(&mut self, documents: &mut Documents, named: Vec<Received>) -> Result<()> {
        let ids: Vec<Vec<String>> = named.iter().map(|document| self.shelf.named_by(document)).collect();
        deletion(documents, "index", &ids.iter().map(Vec::len).collect::<Vec<_>>())?;
        for id in ids.iter().flatten() {
            self.take(id);
        }
        Ok(())
    }

    /// Says in `tags` how many documents there are, and how many there may be.
    #[endpoint("/status", writes("tags"))]
    fn status(&mut self, documents: &mut Documents) -> Result<()> {
        status(documents, "index", &self.shelf, json!({ "dimensions": self.vectors.width() }))
    }
}

impl Index {
    fn take(&mut self, id: &str) {
        if let Some(slot) = self.shelf.take(id) {
            self.vectors.remove(slot);
        }
    }

    /// The embeddings of the request at length 1, all of the width of those before.
    fn embeddings(&self, documents: &Documents, count: usize) -> Result<Vec<Vec<f32>>> {
        let column = documents.column("embedding");
        let mut width = self.vectors.width();
        let mut vectors = Vec::with_capacity(count);
        for start in (0..count).step_by(BLOCK) {
            let block = column.rows(start..count.min(start + BLOCK))?.matrix();
            let block = block.context(
                "every document needs an embedding of one length; is there an embedder before this stage?",
            )?;
            let given = block.width();
            ensure!(given > 0, InvalidArgument, "the embeddings have no values");
            ensure!(
                width == 0 || given == width,
                InvalidArgument,
                "the embeddings have {given} dimensions, those before {width}"
            );
            width = given;
            for vector in block.iter() {
                let row = vectors.len();
                let unit = unit(vector).map_err(|_| {
                    Error::invalid_argument(format!("the embedding of document {row} is not finite"))
                })?;
                vectors.push(unit);
            }
        }
        Ok(vectors)
    }
}

/// The reply to `/index`: which documents were kept, without what they contain.
fn receipt(documents: &mut Documents) -> Result<()> {
    let count = documents.len();
    documents.column("embedding").set_tensors(vec![None; count])?;
    documents.set_texts(vec![None::<String>; count])
}

#[cfg(test)]
mod tests {
    use lockgate_sdk::serde_json::Value;

    use super::*;

    fn indexed(configuration: Value) -> TestHost {
        let mut host = TestHost::new().config(configuration);
        let documents = documents![
            { "id": "x#1", "text": "east", "uri": "x.md", "embedding": [2.0, 0.0], "tags": { "parts": 2, "line": 1 } },
            { "id": "x#2", "text": "north", "uri": "x.md", "embedding": [0.0, 2.0], "tags": { "parts": 2, "line": 9 } },
            { "id": "y", "text": "north-east", "embedding": [3.0, 4.0] },
        ];
        let reply = host.call::<Index>("/index", documents).unwrap();
        assert_eq!(
            reply.documents()[0],
            json!({ "id": "x#1", "uri": "x.md", "tags": { "parts": 2, "line": 1 } })
        );
        host
    }

    fn found(host: &mut TestHost, embedding: [f32; 2]) -> Vec<String> {
        let reply =
            host.call::<Index>("/search", documents![{ "text": "q", "embedding": embedding }]).unwrap();
        let matches =
            reply.documents()[0].get("matches").and_then(Value::as_array).cloned().unwrap_or_default();
        matches.iter().map(|found| found["id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_nearest_come_first_with_their_scores() {
        let mut host = indexed(json!({}));
        let reply =
            host.call::<Index>("/search", documents![{ "id": "q", "embedding": [5.0, 0.0] }]).unwrap();
        assert_eq!(
            reply.documents(),
            [json!({ "id": "q", "matches": [
                { "id": "x#1", "text": "east", "uri": "x.md", "tags": { "parts": 2, "line": 1 },
                    "scores": { "cosine": { "value": 1.0 } } },
                { "id": "y", "text": "north-east", "tags": {}, "scores": { "cosine": { "value": 0.6 } } },
            ] })]
        );
        host.set_parameters(json!({ "limit": 1 }));
        assert_eq!(found(&mut host, [1.0, 1.0]), ["y"]);
        assert_eq!(found(&mut indexed(json!({ "candidates": 3 })), [1.0, 1.0]), ["y", "x#1", "x#2"]);
    }

    #[test]
    fn indexing_again_replaces() {
        let mut host = indexed(json!({ "max_documents": 3 }));
        let again =
            documents![{ "id": "x#1", "text": "south", "embedding": [0.0, -1.0], "tags": { "parts": 1 } }];
        host.call::<Index>("/index", again).unwrap();
        assert_eq!(found(&mut host, [0.0, -1.0]), ["x#1"]);
        assert_eq!(found(&mut host, [0.0, 1.0]), ["y"]);
    }

    #[test]
    fn deleting_and_counting() {
        let mut host = indexed(json!({}));
        let reply =
            host.call::<Index>("/delete", documents![{ "uri": "x" }, { "id": "y" }, { "id": "z" }]).unwrap();
        let deleted = |count| json!({ "index": { "deleted": count } });
        assert_eq!(reply.tags(), [deleted(2), deleted(1), deleted(0)]);
        assert_eq!(found(&mut host, [1.0, 1.0]), [""; 0]);
        let status = host.call::<Index>("/status", documents![]).unwrap().tags();
        assert_eq!(status[0]["index"]["documents"], 0);
        assert_eq!(status[0]["index"]["dimensions"], 2);
    }

    #[test]
    fn what_cannot_be_indexed_says_why() {
        fn check(host: &mut TestHost, endpoint: &str, documents: Value, expected: &str) {
            let error = host.call::<Index>(endpoint, documents).unwrap_err();
            assert!(format!("{error:?}").contains(expected), "{error:?}");
        }
        let mut host = indexed(json!({ "max_documents": 3 }));
        check(&mut host, "/index", documents![{ "text": "x" }], "is there an embedder before this stage?");
        check(&mut host, "/index", documents![{ "embedding": [1.0] }], "have 1 dimensions, those before 2");
        check(
            &mut host,
            "/index",
            documents![{ "embedding": [1.0, 2.0] }],
            "resource_exhausted: 4 documents would pass max_documents 3",
        );
        host.set_parameters(json!({ "limit": 0 }));
        check(
            &mut host,
            "/search",
            documents![{ "embedding": [1.0, 2.0] }],
            "limit is 0, it must be a whole number",
        );
    }
}
