//! The parts of `lockgate up`: bring a flow up, say what runs, follow its sources.

pub(crate) mod bring_up;
pub(crate) mod ending;
pub(crate) mod listen;
pub(crate) mod summary;
pub(crate) mod watch;
