//! The generated messages and services, and the descriptors that reflection shows.
//!
//! In these messages documents are raw bytes: [`crate::docs`] turns them into columns without a struct per document.
//! Decoding is bounded by prost's recursion limit; sizes are bounded by whoever reads the message from the socket.

/// Messages, servers and clients of package `jina`.
#[expect(
    missing_docs,
    non_camel_case_types,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/jina.proto, which documents them"
)]
pub mod jina {
    include!(concat!(env!("OUT_DIR"), "/served/jina.rs"));
}

pub use jina::*;

/// The true schema with documents of DocArray v1.
pub const FILE_DESCRIPTOR_SET_V1: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docarray_v1.bin"));
/// The true schema with documents of DocArray v2.
pub const FILE_DESCRIPTOR_SET_V2: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docarray_v2.bin"));
/// What a reflection service shows. Both versions of DocArray use the same names, so there is one to choose: the
/// newer.
pub const FILE_DESCRIPTOR_SETS: &[&[u8]] = &[FILE_DESCRIPTOR_SET_V2];
