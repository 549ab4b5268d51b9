//! Validates a graph of stages, plans it, runs it.
//!
//! [`yaml`] reads what a user wrote, [`plan`] decides once what can be decided before the first request, [`engine`]
//! walks the plan for each request. Nothing here knows what an executor is made of: it is called through
//! [`client::ExecutorClient`], so this crate needs no wasm and its tests run on scripts.

mod adapted;
pub mod background;
pub mod batching;
pub mod client;
pub mod engine;
mod filter;
mod graph;
mod join;
mod pass;
pub mod plan;
#[cfg(any(test, feature = "scripted"))]
pub mod scripted;
pub mod shards;
mod stage;
pub mod target;
pub mod yaml;
