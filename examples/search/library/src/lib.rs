//! What the executors of the search example share: the words of a text, plain text out of Markdown, snippets, and
//! the shelf that holds what was indexed.
//!
//! No endpoint and no scoring here: each executor brings its own. Everything is deterministic, and no map is seeded
//! at random, so equal requests give equal answers in every instance.

mod markup;
mod shelf;
mod snippet;
mod stem;
mod words;

pub use markup::plain;
pub use shelf::{
    Answer, Entry, HEADINGS_JOINED_BY, Match, Received, Score, Shelf, ShelfOptions, best, deletion, limit,
    rounded, status,
};
pub use snippet::snippet;
pub use stem::stem;
pub use words::{Token, tokens};
