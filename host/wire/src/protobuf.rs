//! Protobuf's wire format, field by field: what the document codecs read and write without a struct in between.
//!
//! The reader never recurses and never allocates; who descends into nested messages counts the depth. Groups are
//! refused: no schema here has any.

mod reader;
mod writer;

pub(crate) use reader::{Malformed, Payload, Reader};
pub(crate) use writer::Writer;
