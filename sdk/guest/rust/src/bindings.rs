//! What wit-bindgen makes of the contract: the imports, and the macro that exports an executor.
//!
//! Compiled on wasm only and hidden: `export!` expands in the author's crate and must reach it,
//! nobody else should. The contract travels with this crate as `wit/executor.wit`, the same text
//! as the repository's own (a test compares them), so that a copied SDK builds by itself.

wit_bindgen::generate!({
    path: "wit",
    world: "executor-world",
    pub_export_macro: true,
    default_bindings_module: "lockgate_sdk::bindings",
});

/// The key-value store. Imported only by executors that call it.
pub mod capabilities {
    wit_bindgen::generate!({ path: "wit", world: "capabilities" });
}
