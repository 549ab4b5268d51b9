//! A host with tenants, as strangers use it: the real `lockgate serve` in a process of its own, over its own sockets.
//!
//! What the design promises about uploads, swaps, density and neighbours, measured end to end: the load generator and
//! the host share the machine's cores, and what is compared was measured in one run.

mod density;
mod host;
mod neighbours;
mod swaps;
mod uploads;

use std::path::Path;

use crate::measure::Row;

/// Measures what the section's name says: `uploads`, `swaps`, `density` or `neighbours`.
pub(crate) fn rows(tokio: &tokio::runtime::Runtime, wasm: &Path, wants: &dyn Fn(&str) -> bool) -> Vec<Row> {
    let component = std::fs::read(wasm).expect("the guest that was built");
    let mut rows = Vec::new();
    tokio.block_on(async {
        if wants("uploads") {
            rows.extend(uploads::rows(&component).await);
        }
        if wants("swaps") {
            rows.extend(swaps::rows(&component).await);
        }
        if wants("density") {
            rows.extend(density::rows(&component).await);
        }
        if wants("neighbours") {
            rows.extend(neighbours::rows(&component).await);
        }
    });
    rows
}
