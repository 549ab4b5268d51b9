//! The parts of `lockgate call`: what to send, how it travels, how the answer reads.

pub(crate) mod input;
pub(crate) mod marks;
pub(crate) mod media;
pub(crate) mod probe;
pub(crate) mod render;
pub(crate) mod target;
pub(crate) mod transport;
