//! Which documents a stage gets: DocArray's query language over the columns of a list.
//!
//! `{ field: { $operator: value } }`, combined by `$and`, `$or` and `$not`. What a user wrote is read into a closed
//! shape with bounds ([`Condition::parse`]), so a condition that is there can be asked of every document. It is asked
//! of strangers' documents and never fails for what they hold: a value that a comparison makes no sense of does not
//! satisfy it. The one exception is a text too long for an expression, which would cost too much.

mod cells;
mod matcher;
mod parse;
#[cfg(test)]
mod tests;

use regex_lite::Regex;
use serde_json::Value;

pub use matcher::{Matcher, TextTooLong};
pub use parse::{ConditionError, Step, Written};

/// What a document must satisfy.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Each of these; nothing at all asks for nothing.
    All(Vec<Condition>),
    /// One of these.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// A comparison.
    Test(Test),
}

/// One comparison of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    field: Field,
    operator: Operator,
}

/// A field, or something inside it: `tags__price`, `chunks__0__text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// At least one.
    parts: Vec<Box<str>>,
}

/// How a field is compared, and with what.
#[derive(Debug, Clone, PartialEq)]
enum Operator {
    Equal(Operand),
    NotEqual(Operand),
    Less(Operand),
    LessOrEqual(Operand),
    Greater(Operand),
    GreaterOrEqual(Operand),
    In(Operand),
    NotIn(Operand),
    Size(Operand),
    Exists(bool),
    Matches(Pattern),
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Value(Value),
    /// `{other_field}`: another field of the same document.
    Field(Field),
}

/// A regular expression that is looked for anywhere in a text.
#[derive(Debug, Clone)]
struct Pattern {
    text: Box<str>,
    expression: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Condition {
    /// Most comparisons of one condition.
    pub const MAX_TESTS: usize = 128;
    /// Deepest nesting.
    pub const MAX_DEPTH: usize = 12;
    /// Longest text, in bytes, that an expression is looked for in.
    pub const MAX_MATCHED_BYTES: usize = 64 << 10;
    /// Longest expression in bytes.
    pub const MAX_EXPRESSION_BYTES: usize = 512;

    /// The operators that compare, and those that combine, as users write them.
    pub const OPERATORS: &'static [&'static str] =
        &["$eq", "$neq", "$lt", "$lte", "$gt", "$gte", "$in", "$nin", "$regex", "$size", "$exists"];
    /// What combines conditions.
    pub const COMBINATIONS: &'static [&'static str] = &["$and", "$or", "$not"];
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.parts.join("__"))
    }
}
