//! What one executor may use: ceilings for one call and one instance.
//!
//! Every value is finite: there is no "unlimited", because a tenant's executor without a ceiling is the whole host's.

use serde::{Deserialize, Serialize};

/// Ceilings of one executor. All apply at once; the first that is passed ends the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Fuel of one call; about one unit per wasm instruction, plus a price per host call. `init` has the same.
    pub fuel: u64,
    /// Wall time of one call in milliseconds, waiting in host calls included.
    pub wall_time_ms: u64,
    /// Linear memory of one instance in bytes, all its memories together.
    pub memory_bytes: u64,
    /// Elements of one table.
    pub table_elements: u32,
    /// Core wasm instances in one component instance.
    pub core_instances: u32,
    /// Bytes a guest may hand to the host in one host call.
    pub host_call_bytes: u64,
    /// Bytes one call may write into the document list, and hold in unfinished writes.
    pub written_bytes: u64,
    /// Documents in one list, nested ones included.
    pub documents: u32,
    /// Columns of one document list.
    pub columns: u32,
    /// Bytes of one log line; the rest is cut.
    pub log_line_bytes: u32,
    /// Log lines of one call; the rest is dropped and counted.
    pub log_lines: u32,
}

impl Limits {
    /// Deepest nesting of documents (chunks of chunks ...): a bound of the host, not of an executor, because
    /// serialisers recurse.
    pub const NESTING: u32 = 32;

    /// Names of the fields, for messages about unknown keys.
    pub const FIELDS: &'static [&'static str] = &[
        "fuel",
        "wall_time_ms",
        "memory_bytes",
        "table_elements",
        "core_instances",
        "host_call_bytes",
        "written_bytes",
        "documents",
        "columns",
        "log_line_bytes",
        "log_lines",
    ];
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 10_000_000_000,
            wall_time_ms: 30_000,
            memory_bytes: 256 << 20,
            table_elements: 100_000,
            core_instances: 32,
            host_call_bytes: 64 << 20,
            written_bytes: 256 << 20,
            documents: 1 << 18,
            columns: 256,
            log_line_bytes: 8 << 10,
            log_lines: 256,
        }
    }
}
