//! `target_executor`: which executors of a flow a request is meant for.
//!
//! As in Jina the pattern is a regular expression that must match from the start of the name, not the whole of it. The
//! text is a caller's: it is bounded in length, nesting and compiled size, and matching takes linear time.

use lockgate_domain::{ErrorCode, ExecutorName, Problem};
use regex_lite::{Error, Regex, RegexBuilder};

/// A caller's choice of executors.
#[derive(Debug, Clone)]
pub struct TargetPattern(Pattern);

#[derive(Debug, Clone)]
enum Pattern {
    /// Most patterns are plain names: no expression to compile.
    Prefix(Box<str>),
    Expression(Regex),
}

impl TargetPattern {
    /// Longest pattern in bytes.
    pub const MAX_BYTES: usize = 256;
    /// Largest compiled expression in bytes.
    const MAX_COMPILED_BYTES: usize = 64 << 10;
    const MAX_NESTING: u32 = 16;

    /// Takes what a caller wrote. [`ErrorCode::InvalidRequest`] when it is too long or no expression.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > Self::MAX_BYTES {
            let message =
                format!("target_executor has {} bytes, at most {} are taken", text.len(), Self::MAX_BYTES);
            return Err(Problem::new(ErrorCode::InvalidRequest, message));
        }
        if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
            return Ok(Self(Pattern::Prefix(text.into())));
        }
        // Compiled once on its own: `a)|(b` is no expression, but would be one inside the anchored group.
        compile(text).and_then(|_| compile(&format!("^(?:{text})"))).map_or_else(
            |error| {
                let message = format!("target_executor {text:?} is not a regular expression: {error}");
                Err(Problem::new(ErrorCode::InvalidRequest, message)
                    .with_hint("write an executor's name, or an expression such as `encoder|indexer`"))
            },
            |expression| Ok(Self(Pattern::Expression(expression))),
        )
    }

    /// Whether the request is meant for this executor.
    pub fn matches(&self, name: &ExecutorName) -> bool {
        match &self.0 {
            Pattern::Prefix(prefix) => name.as_str().starts_with(&**prefix),
            Pattern::Expression(expression) => expression.is_match(name.as_str()),
        }
    }
}

fn compile(text: &str) -> Result<Regex, Error> {
    RegexBuilder::new(text)
        .size_limit(TargetPattern::MAX_COMPILED_BYTES)
        .nest_limit(TargetPattern::MAX_NESTING)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_from_the_start() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let pattern = TargetPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(&name.parse().unwrap()), expected, "{pattern:?} {name}");
        };
        check("enc", "encoder", true);
        check("coder", "encoder", false);
        check("encoder", "enc", false);
        check("a|b", "b1", true);
        check("a|b", "cb", false);
        check("^enc.*r$", "encoder", true);
        check(".*coder", "encoder", true);
        check("", "anything", true);
    }

    #[test]
    fn hostile_patterns_are_refused() {
        let check = |pattern: &str, expected: &str| {
            let problem = TargetPattern::parse(pattern).unwrap_err();
            assert_eq!(problem.code(), ErrorCode::InvalidRequest);
            assert!(problem.message().contains(expected), "{}", problem.message());
        };
        check(&"a".repeat(257), "target_executor has 257 bytes, at most 256 are taken");
        check("(", "is not a regular expression");
        check("x)|(y", "is not a regular expression");
        check("((a{500}){500}){500}", "is not a regular expression");
        check(&"(".repeat(100), "is not a regular expression");
    }
}
