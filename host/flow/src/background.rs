//! Who drives what no caller waits for.
//!
//! The engine spawns nothing. It asks for a place before it calls anybody, so a request whose floating stages nobody has
//! room for is refused whole and may come again; and what it hands over ends by itself, by the request's own deadline at
//! the latest.

use std::any::Any;

use futures_util::future::BoxFuture;
use lockgate_domain::Problem;

/// A place for one request's floating stages. Dropping it makes room for another.
pub type Place = Box<dyn Any + Send>;

/// Drives floating stages of requests after their answers.
pub trait Background: Send + Sync {
    /// A place for stages that begin with documents of so many bytes, or a refusal with a time to come back.
    fn admit(&self, bytes: u64) -> Result<Place, Problem>;

    /// Drives the work to its end, or drops it when the process ends. The place is held until then.
    fn drive(&self, place: Place, work: BoxFuture<'static, ()>);
}
