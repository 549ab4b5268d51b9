//! The keyword index: keeps passages by their words in memory and answers `/search` by BM25.
//!
//! State: one shelf of passages and their postings, bounded by `max_documents` and `max_bytes`; a request that would
//! pass a bound changes nothing.

mod postings;

use std::collections::{BTreeMap, BTreeSet};

use example_search_library::{
    Answer, Entry, Received, Shelf, ShelfOptions, best, deletion, limit, status, tokens,
};
use lockgate_sdk::prelude::*;

use crate::postings::{Postings, Weights};

/// Bytes of the postings of one passage, about.
const POSTINGS_BYTES: usize = 2048;

/// The configuration (`uses_with`).
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// At least this many matches are given, whatever the request's `limit`: what a stage that ranks anew needs.
    candidates: usize,
    k1: f64,
    b: f64,
    max_documents: usize,
    max_bytes: usize,
    snippet_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        let ShelfOptions { max_documents, max_bytes, snippet_bytes } = ShelfOptions::default();
        Self { candidates: 0, k1: 1.2, b: 0.75, max_documents, max_bytes, snippet_bytes }
    }
}

/// What a search may ask for.
#[derive(Debug, Default, Deserialize, Parameters)]
#[serde(default)]
struct Asked {
    /// Most matches for each query, 1 to 1000; 5 without it.
    limit: Option<f64>,
}

/// Keeps words.
#[derive(Debug)]
pub struct Keywords {
    candidates: usize,
    shelf: Shelf,
    postings: Postings,
}

/// Keeps passages by their words in memory and ranks them by BM25.
#[executor(name = "keywords", stateful)]
impl Keywords {
    #[init]
    fn new(options: Options) -> Result<Self> {
        let Options { candidates, k1, b, max_documents, max_bytes, snippet_bytes } = options;
        ensure!((0.0..=10.0).contains(&k1), InvalidArgument, "k1 is {k1}, it must be 0 to 10");
        ensure!((0.0..=1.0).contains(&b), InvalidArgument, "b is {b}, it must be 0 to 1");
        let mut shelf = Shelf::new(ShelfOptions { max_documents, max_bytes, snippet_bytes })?;
        shelf.set_extra(POSTINGS_BYTES);
        Ok(Self { candidates, shelf, postings: Postings::new(Weights { k1, b }) })
    }

    /// Keeps documents; one with an id that is known replaces the one before.
    #[endpoint("/index", writes("text"))]
    fn index(&mut self, documents: &mut Documents, received: Vec<Received>, request: &Request) -> Result<()> {
        if received.is_empty() {
            return Ok(());
        }
        let mut counted = Vec::with_capacity(received.len());
        for (row, document) in received.iter().enumerate() {
            if row % 64 == 0 {
                request.check()?;
            }
            counted.push(words(document));
        }
        let entries: Vec<Entry> = received.into_iter().map(Entry::from).collect();
        self.shelf.make_room(&entries)?;
        documents.set_texts(vec![None::<String>; entries.len()])?;
        for (entry, words) in entries.into_iter().zip(&counted) {
            for id in self.shelf.replaced_by(&entry) {
                self.take(&id);
            }
            self.postings.add(self.shelf.put(entry), words);
        }
        Ok(())
    }

    /// Fills `matches` with the documents that hold words of the query, best first, scored by BM25.
    #[endpoint("/search")]
    fn search(&mut self, queries: Vec<Received>, asked: Asked, request: &Request) -> Result<Vec<Answer>> {
        let limit = limit(asked.limit)?;
        let mut answers = Vec::with_capacity(queries.len());
        for query in &queries {
            request.check()?;
            let text = query.text.as_deref().unwrap_or_default();
            let stems: BTreeSet<String> = tokens(text).into_iter().map(|token| token.stem).collect();
            let hits = best(self.postings.rank(stems.iter().map(String::as_str)), limit.max(self.candidates));
            answers.push(self.shelf.answer(text, "bm25", &hits));
        }
        Ok(answers)
    }

    /// Deletes documents by id, and all passages of documents by id or uri; says how many in `tags`.
    #[endpoint("/delete", writes("tags"))]
    fn delete(&mut self, documents: &mut Documents, named: Vec<Received>) -> Result<()> {
        let ids: Vec<Vec<String>> = named.iter().map(|document| self.shelf.named_by(document)).collect();
        deletion(documents, "keywords", &ids.iter().map(Vec::len).collect::<Vec<_>>())?;
        for id in ids.iter().flatten() {
            self.take(id);
        }
        Ok(())
    }

    /// Says in `tags` how many documents there are, and how many there may be.
    #[endpoint("/status", writes("tags"))]
    fn status(&mut self, documents: &mut Documents) -> Result<()> {
        status(documents, "keywords", &self.shelf, json!({ "words": self.postings.words() }))
    }
}

impl Keywords {
    fn take(&mut self, id: &str) {
        if let Some(slot) = self.shelf.take(id) {
            self.postings.remove(slot);
        }
    }
}

/// The words of a passage and of the headings above it, with how often each counts.
fn words(document: &Received) -> BTreeMap<String, f32> {
    let mut words = BTreeMap::new();
    for (text, count) in document.counted() {
        for token in tokens(&text) {
            *words.entry(token.stem).or_default() += count;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use lockgate_sdk::serde_json::Value;

    use super::*;

    fn indexed() -> TestHost {
        let mut host = TestHost::new().config(json!({ "max_documents": 3 }));
        let documents = documents![
            { "id": "a#1", "text": "Cats sleep in baskets.", "uri": "a.md", "tags": { "parts": 2 } },
            { "id": "a#2", "text": "Dogs sleep on carpets.", "tags": { "parts": 2, "heading": "Basket" } },
            { "id": "b", "text": "Fish never sleep." },
        ];
        assert_eq!(host.call::<Keywords>("/index", documents).unwrap().texts(), ["", "", ""]);
        host
    }

    fn found(host: &mut TestHost, query: &str) -> Vec<String> {
        let reply = host.call::<Keywords>("/search", documents![{ "text": query }]).unwrap();
        let matches =
            reply.documents()[0].get("matches").and_then(Value::as_array).cloned().unwrap_or_default();
        matches.iter().map(|found| found["id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn words_find_their_passages() {
        let mut host = indexed();
        assert_eq!(found(&mut host, "Where does a cat sleep?"), ["a#1", "b", "a#2"]);
        assert_eq!(found(&mut host, "the basket"), ["a#2", "a#1"]);
        assert_eq!(found(&mut host, "of the"), [""; 0]);
        assert_eq!(found(&mut host, "elephants"), [""; 0]);
        let reply = host.call::<Keywords>("/search", documents![{ "text": "fish" }]).unwrap();
        let score = reply.documents()[0]["matches"][0]["scores"]["bm25"]["value"].as_f64().unwrap();
        assert!(score > 0.9, "{score}");
    }

    #[test]
    fn replacing_and_deleting() {
        let mut host = indexed();
        let again = documents![{ "id": "a#1", "text": "Hamsters.", "tags": { "parts": 1 } }];
        host.call::<Keywords>("/index", again).unwrap();
        assert_eq!(found(&mut host, "cats dogs hamster"), ["a#1"]);
        host.call::<Keywords>("/delete", documents![{ "id": "a" }]).unwrap();
        assert_eq!(found(&mut host, "cats dogs hamster sleep"), ["b"]);
        let status = host.call::<Keywords>("/status", documents![{ "id": "s" }]).unwrap().tags();
        assert_eq!(status[0]["keywords"]["documents"], 1);
        let full = documents![{ "text": "1" }, { "text": "2" }, { "text": "3" }];
        assert_eq!(host.call::<Keywords>("/index", full).unwrap_err().code(), Code::ResourceExhausted);
    }
}
