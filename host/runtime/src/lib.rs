//! The only crate that sees wasmtime: components, capabilities, limits, instances, pools.
