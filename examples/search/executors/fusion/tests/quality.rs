//! What a person would ask of a dozen short texts, and which text must come first: by vectors, by words, and by both.
#![cfg(test)]

use std::path::Path;

use example_search_chunker::Chunker;
use example_search_embedder::Embedder;
use example_search_fusion::Fusion;
use example_search_index::Index;
use example_search_keywords::Keywords;
use lockgate_sdk::prelude::*;
use lockgate_sdk::serde_json::Value;

const QUESTIONS: &[(&str, &str)] = &[
    ("how do I fix a flat tyre", "bicycle.md"),
    ("squealing brakes", "bicycle.md"),
    ("why are there two high tides a day", "tides.md"),
    ("my compost heap smells bad", "garden-compost.md"),
    ("feeding a sourdough starter", "sourdough.md"),
    ("what temperature should I bake bread at?", "sourdough.md"),
    ("winning a rook endgame", "chess-endgames.md"),
    ("recover a lost git commit", "git-undo.md"),
    ("undo the last commit", "git-undo.md"),
    ("can't fall asleep at night", "sleep.md"),
    ("does coffee in the afternoon disturb sleep", "sleep.md"),
    ("ETag and If-None-Match", "http-caching.md"),
    ("how long may a browser cache a response", "http-caching.md"),
    ("which volcanoes explode", "volcanoes.md"),
    ("saving money for emergencies", "budget.md"),
    ("how bees dance", "bees.md"),
    ("limit the time untrusted code may run", "wasm-sandbox.md"),
];

/// Questions with misspelt words, which only vectors understand.
const MISSPELT: &[(&str, &str)] = &[
    ("volcanos eruptoins", "volcanoes.md"),
    ("varoa mites", "bees.md"),
    ("compostign", "garden-compost.md"),
    ("webasembly", "wasm-sandbox.md"),
];

/// The flow of hybrid.yml, stage by stage.
struct Flow {
    host: TestHost,
}

impl Flow {
    fn of(folder: &Path) -> Self {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        names.sort();
        let documents = names.iter().map(|path| {
            let uri = path.file_name().unwrap().to_str().unwrap();
            json!({ "id": uri, "uri": uri, "text": std::fs::read_to_string(path).unwrap(), "mime_type": "text/markdown" })
        });
        let mut flow = Self { host: TestHost::new() };
        let passages = flow.stage::<Chunker>("/index", documents.collect());
        flow.stage::<Keywords>("/index", passages.clone());
        let embedded = flow.stage::<Embedder>("/index", passages);
        flow.stage::<Index>("/index", embedded);
        flow
    }

    fn stage<E: Executor + 'static>(&mut self, endpoint: &str, documents: Value) -> Value {
        self.host.call::<E>(endpoint, documents).unwrap().documents().into()
    }

    fn vectors(&mut self, query: &str) -> Value {
        let embedded = self.stage::<Embedder>("/search", documents![{ "id": "q", "text": query }]);
        self.stage::<Index>("/search", embedded)
    }

    fn words(&mut self, query: &str) -> Value {
        self.stage::<Keywords>("/search", documents![{ "id": "q", "text": query }])
    }

    fn both(&mut self, query: &str) -> Value {
        let (vectors, words) = (self.vectors(query), self.words(query));
        let replies = documents![vectors[0], words[0]];
        TestHost::new()
            .input("index", 1)
            .input("keywords", 1)
            .call::<Fusion>("/search", replies)
            .unwrap()
            .documents()
            .into()
    }
}

fn corpus() -> Flow {
    Flow::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus"))
}

/// The uris of the matches in their order, and a line for each match to read when a test fails.
fn uris(reply: &Value) -> (Vec<String>, String) {
    let matches = reply[0]["matches"].as_array().cloned().unwrap_or_default();
    let uris = matches.iter().map(|found| found["uri"].as_str().unwrap().to_owned()).collect();
    let lines =
        matches.iter().map(|found| format!("\n{} {} {}", found["scores"], found["id"], found["text"]));
    (uris, lines.collect())
}

fn check(kind: &str, questions: &[(&str, &str)], mut ask: impl FnMut(&str) -> Value) {
    let mut wrong = String::new();
    for (question, expected) in questions {
        let (found, lines) = uris(&ask(question));
        if found.first().map(String::as_str) != Some(*expected) {
            wrong.push_str(&format!("\n\n{question}: {expected} is not first{lines}"));
        }
    }
    assert!(wrong.is_empty(), "{kind}{wrong}");
}

#[test]
fn vectors_find_the_text() {
    let mut flow = corpus();
    check("vectors", QUESTIONS, |question| flow.vectors(question));
    check("vectors, misspelt", MISSPELT, |question| flow.vectors(question));
}

#[test]
fn words_find_the_text() {
    let mut flow = corpus();
    check("words", QUESTIONS, |question| flow.words(question));
}

#[test]
fn both_find_the_text() {
    let mut flow = corpus();
    check("both", QUESTIONS, |question| flow.both(question));
    check("both, misspelt", MISSPELT, |question| flow.both(question));
}

#[test]
fn nothing_is_found_for_nothing() {
    let mut flow = corpus();
    for query in ["", "of the and", "?!"] {
        assert_eq!(uris(&flow.both(query)).0, [""; 0], "{query:?}");
    }
}

#[test]
fn passages_say_where_they_stand() {
    let mut flow = corpus();
    let reply = flow.both("puncture inner tube");
    let found = &reply[0]["matches"][0];
    assert_eq!(found["tags"]["heading"], "Looking after a bicycle > A flat tyre");
    assert_eq!(found["tags"]["line"], 10);
    assert!(found["text"].as_str().unwrap().contains("puncture"), "{found}");
}
