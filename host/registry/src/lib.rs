//! What strangers hand in and own, and the one place that keeps it.

pub mod access;
pub mod jwt;
mod validator;

pub use crate::validator::ComponentValidator;
