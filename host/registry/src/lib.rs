//! What strangers hand in and own, and the one place that keeps it.

pub mod access;
pub mod jwt;
pub mod oci;
pub mod signature;
mod validator;
pub mod vault;

pub use crate::validator::ComponentValidator;
