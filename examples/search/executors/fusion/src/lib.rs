//! The fusion: joins the replies of several searches, each with the same queries and its own matches.
//!
//! It needs `no_reduce: true`, which gives it the lists of the branches one after the other. `/search` ranks anew; on
//! any other endpoint documents that came by several branches pass once, with the tags of all. No state.

mod ranks;

use std::collections::BTreeMap;

use example_search_library::{Answer, Match, limit};
use lockgate_sdk::prelude::*;
use lockgate_sdk::serde_json::{Map, Value};

use crate::ranks::Fused;

/// The configuration (`uses_with`).
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    k: f64,
    weights: BTreeMap<String, f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { k: 60.0, weights: BTreeMap::new() }
    }
}

/// What a search may ask for.
#[derive(Debug, Default, Deserialize, Parameters)]
#[serde(default)]
struct Asked {
    /// Most matches for each query, 1 to 1000; 5 without it.
    limit: Option<f64>,
}

/// A query as one branch replied to it.
#[derive(Debug, Document)]
struct Replied {
    id: String,
    matches: Vec<Match>,
}

/// A document by its id, with what may differ between branches.
#[derive(Debug, Document)]
struct Tagged {
    id: String,
    tags: Option<Json<Map<String, Value>>>,
}

/// Joins rankings.
#[derive(Debug)]
pub struct Fusion {
    options: Options,
}

/// Joins the rankings of several searches by reciprocal rank fusion.
#[executor(name = "fusion")]
impl Fusion {
    #[init]
    fn new(options: Options) -> Result<Self> {
        ensure!(
            options.k.is_finite() && options.k >= 0.0,
            InvalidArgument,
            "k is {}, it must be 0 or more",
            options.k
        );
        for (name, weight) in &options.weights {
            ensure!(
                weight.is_finite() && *weight >= 0.0,
                InvalidArgument,
                "the weight of {name} is {weight}, it must be 0 or more"
            );
        }
        Ok(Self { options })
    }

    /// Gives each query once, its matches ranked by all branches together.
    #[endpoint("/search")]
    fn search(
        &mut self,
        documents: &mut Documents,
        replied: Vec<Replied>,
        asked: Asked,
        request: &Request,
    ) -> Result<()> {
        let limit = limit(asked.limit)?;
        let branches = branches(replied.len(), request);
        let mut queries = Once::default();
        let mut fused: BTreeMap<usize, Fused> = BTreeMap::new();
        let mut answers: Vec<Answer> = Vec::new();
        answers.resize_with(replied.len(), || Answer { matches: Vec::new() });
        for (row, query) in replied.into_iter().enumerate() {
            let (branch, name) = branches.get(row).map_or((0, ""), |(branch, name)| (*branch, name.as_str()));
            let weight = self.options.weights.get(name).copied().unwrap_or(1.0);
            fused.entry(queries.row(&query.id, branch, row)).or_default().add(
                query.matches,
                self.options.k,
                weight,
            );
        }
        for (row, fused) in fused {
            if let Some(answer) = answers.get_mut(row) {
                answer.matches = fused.best(limit);
            }
        }
        documents.write(answers)?;
        documents.select(queries.rows)
    }

    /// Gives each document once, with the tags of all branches.
    #[endpoint("/default", writes("tags"))]
    fn join(&mut self, documents: &mut Documents, received: Vec<Tagged>, request: &Request) -> Result<()> {
        let branches = branches(received.len(), request);
        let mut once = Once::default();
        let mut tags: Vec<Option<Map<String, Value>>> = vec![None; received.len()];
        for (row, document) in received.into_iter().enumerate() {
            let branch = branches.get(row).map_or(0, |(branch, _)| *branch);
            let first = once.row(&document.id, branch, row);
            if let (Some(place), Some(Json(more))) = (tags.get_mut(first), document.tags) {
                let known = place.get_or_insert_default();
                for (name, value) in more {
                    known.entry(name).or_insert(value);
                }
            }
        }
        documents.set_tags(tags)?;
        documents.select(once.rows)
    }
}

/// Number and name of the branch that each row came by.
fn branches(rows: usize, request: &Request) -> Vec<(usize, String)> {
    let mut branches = vec![(0, String::new()); rows];
    for (branch, input) in request.inputs().into_iter().enumerate() {
        for place in branches.get_mut(input.rows).into_iter().flatten() {
            *place = (branch, input.executor.clone());
        }
    }
    branches
}

/// Which row stands for all that have the same id.
#[derive(Default)]
struct Once {
    rows: Vec<usize>,
    /// By id: its rows in the first branch, and how many of them each later branch has met.
    by_id: BTreeMap<String, (Vec<usize>, BTreeMap<usize, usize>)>,
}

impl Once {
    /// The row that stands for this one. Several documents of one branch may share an id: the first of one branch
    /// is the first of another.
    fn row(&mut self, id: &str, branch: usize, row: usize) -> usize {
        let (rows, met) = self.by_id.entry(id.to_owned()).or_default();
        let place = met.entry(branch).or_default();
        let known = rows.get(*place).copied();
        *place += 1;
        known.unwrap_or_else(|| {
            rows.push(row);
            self.rows.push(row);
            row
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> TestHost {
        TestHost::new().input("index", 2).input("keywords", 2)
    }

    #[test]
    fn each_query_once_with_its_own_matches() {
        let found =
            |id: &str, score: &str| json!({ "id": id, "text": id, "scores": { score: { "value": 0.5 } } });
        let reply = host()
            .call::<Fusion>(
                "/search",
                documents![
                    { "id": "p", "text": "first", "matches": [found("a", "cosine"), found("b", "cosine")] },
                    { "id": "q", "text": "second", "matches": [found("a", "cosine")] },
                    { "id": "p", "text": "first", "matches": [found("b", "bm25")] },
                    { "id": "q", "text": "second" },
                ],
            )
            .unwrap();
        assert_eq!(reply.texts(), ["first", "second"]);
        let matches = reply.column("matches");
        assert_eq!(matches[0][0]["id"], "b");
        assert_eq!(
            matches[0][0]["scores"],
            json!({ "bm25": { "value": 0.5 }, "cosine": { "value": 0.5 }, "rrf": { "value": 0.0325 } })
        );
        assert_eq!(matches[0][1]["id"], "a");
        assert_eq!(matches[1][0]["id"], "a");
        assert_eq!(matches[1][0]["scores"]["rrf"]["value"], 0.0164);
    }

    #[test]
    fn other_documents_pass_once() {
        let reply = host()
            .call::<Fusion>(
                "/delete",
                documents![
                    { "id": "a", "tags": { "index": 1 } },
                    { "id": "a" },
                    { "id": "a", "tags": { "keywords": 2 } },
                    { "id": "b" },
                ],
            )
            .unwrap();
        assert_eq!(
            reply.documents(),
            [
                json!({ "id": "a", "tags": { "index": 1, "keywords": 2 } }),
                json!({ "id": "a" }),
                json!({ "id": "b" })
            ]
        );
    }

    #[test]
    fn weights_are_by_branch() {
        let documents = || documents![{ "id": "p", "matches": [{ "id": "a" }] }, { "id": "p", "matches": [{ "id": "b" }] }];
        let mut host = TestHost::new()
            .input("index", 1)
            .input("keywords", 1)
            .config(json!({ "weights": { "keywords": 2 } }));
        let reply = host.call::<Fusion>("/search", documents()).unwrap();
        assert_eq!(reply.column("matches")[0][0]["id"], "b");
        let wrong =
            TestHost::new().config(json!({ "weights": { "x": -1 } })).call::<Fusion>("/search", documents());
        assert_eq!(wrong.unwrap_err().message(), "the weight of x is -1, it must be 0 or more");
    }
}
