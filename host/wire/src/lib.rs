//! What crosses a socket: protobuf, JSON, error bodies, and their conversions to and from the domain.
//!
//! Nothing here opens a socket or decides anything: bytes in, domain values out, and back. Every byte that comes in is
//! a stranger's: decoders bound depth, counts and sizes before they allocate.

pub mod docs;
pub mod envelope;
mod fault;
pub mod grpc;
pub mod json;
pub mod proto;
mod protobuf;

#[cfg(test)]
mod testing;
