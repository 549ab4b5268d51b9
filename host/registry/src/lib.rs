//! What strangers hand in and own, and the one place that keeps it.

mod validator;

pub use crate::validator::ComponentValidator;
