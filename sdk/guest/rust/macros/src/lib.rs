//! The attributes of the Lockgate Rust SDK.
