//! Lockgate beside the real Jina: the same flows, asked the same by the same real clients, answer the same.
//!
//! A case is a row of `tests/jina/cases/*.yml`; the flows are `tests/jina/flows/*.yml`, in which only `uses` differs
//! between the two. Every answer is compared field by field, and a difference that no row states with its reason
//! fails the test; so does a stated one that is not there any more. Python environments are made by the test kit;
//! without Python these tests fail with one line that says what is needed.

mod cases;
mod command;
mod compare;
mod driver;
mod outside;
mod suite;
mod words;

use self::suite::compare_with_jina;

/// The releases of Jina that are compared with, and what a case calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Release {
    /// Its name in cases.
    name: &'static str,
    /// The packages.
    requirements: &'static str,
    /// The generation of its documents.
    generation: &'static str,
}

const RELEASES: [Release; 3] = [
    Release { name: "v1", requirements: "requirements-3.19.1-docarray-0.21.1.txt", generation: "1" },
    Release { name: "v2", requirements: "requirements-3.19.1-docarray-0.34.0.txt", generation: "2" },
    Release { name: "v2-late", requirements: "requirements-3.34.0-docarray-0.41.0.txt", generation: "2" },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_the_first_generation() {
    compare_with_jina(&RELEASES[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_the_second_generation() {
    compare_with_jina(&RELEASES[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_the_second_generation_in_the_latest_jina() {
    compare_with_jina(&RELEASES[2]).await;
}
