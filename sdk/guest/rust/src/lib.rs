//! Write Lockgate executors in Rust: a struct, annotated methods, and tests that run natively.
//!
//! An executor transforms a document list that stays with the host: it reads the columns that it
//! needs, writes the columns that it changes, and pays for nothing else. Three ways to see the
//! documents, from fastest to most comfortable: whole columns ([`Documents`]), a row loop
//! ([`Documents::for_each`]) and typed documents (`#[derive(Document)]`).
//!
//! The crate refuses to expose the bindings: they live behind the private `host` seam, which is
//! the imports of the contract on wasm and an in-memory host ([`testing::TestHost`]) elsewhere.
//! It is bounded by the host: every read copies a column into the guest's own memory limit.
#![doc = ""]
#![doc = include_str!("../README.md")]

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
mod column;
mod document;
mod documents;
mod error;
mod executor;
mod export;
mod field;
mod host;
pub mod http;
pub mod key_value;
mod log;
pub mod metrics;
mod request;
mod rows;
mod tensor;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod texts;

pub use lockgate_sdk_macros::{Document, Parameters, endpoint, executor, init};
pub use serde;
pub use serde_json;

pub use crate::column::{Column, Kind};
pub use crate::document::{Document, Span};
pub use crate::documents::Documents;
pub use crate::error::{Code, Error, Result, ResultExt};
pub use crate::executor::{
    Endpoint, Executor, IntoReply, Manifest, Parameters, configuration, configured, unknown_endpoint,
};
pub use crate::field::{Field, Json};
pub use crate::log::{Level, log};
pub use crate::request::{Input, Request};
pub use crate::rows::DocumentRow;
pub use crate::tensor::{Dtype, Element, Matrix, Tensor};
pub use crate::texts::{TextValue, Texts};

/// What an executor's source usually needs, for `use lockgate_sdk::prelude::*`.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::json;

    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::documents;
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::testing::{Reply, TestHost};
    pub use crate::{
        Code, Document, DocumentRow, Documents, Error, Executor, Json, Matrix, Parameters, Request, Result,
        ResultExt, Tensor, Texts, bail, debug, endpoint, ensure, error, executor, info, init, trace, warn,
    };
    pub use crate::{http, key_value, metrics};
}

/// What the expansion of `#[executor]` and of the derives calls; not for authors.
#[doc(hidden)]
pub mod private {
    pub use crate::document::take;
    pub use crate::executor::{DescribedByDefault, Probe, describe, run};
    #[cfg(target_arch = "wasm32")]
    pub use crate::export::{call, init};
}
