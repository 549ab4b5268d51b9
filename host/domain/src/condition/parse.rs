//! From what a user wrote to a condition, or to what is wrong with it and where.

use regex_lite::RegexBuilder;
use serde_json::Value;

use super::{Condition, Field, Operand, Operator, Pattern, Test};

/// Largest compiled expression in bytes.
const MAX_COMPILED_BYTES: usize = 16 << 10;
/// Deepest nesting of an expression.
const MAX_NESTING: u32 = 16;
/// Longest name of a field in bytes.
const MAX_FIELD_BYTES: usize = 255;
/// Most values of a list.
const MAX_VALUES: usize = 1024;

const EXAMPLE: &str = "write `field: { $operator: value }`, such as `tags__price: { $lt: 10 }`";

/// What a user wrote: like JSON, with the keys in their order, which says how they go together.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// Anything that is not combined of others.
    Plain(Value),
    /// A list.
    List(Vec<Written>),
    /// Keys and their values.
    Map(Vec<(String, Written)>),
}

impl Written {
    fn value(&self) -> Value {
        match self {
            Written::Plain(value) => value.clone(),
            Written::List(items) => Value::Array(items.iter().map(Self::value).collect()),
            Written::Map(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.clone(), value.value())).collect())
            }
        }
    }
}

/// One step from the condition to the place of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into the value of a key.
    Key(String),
    /// Into an item of a list.
    Item(usize),
}

/// What is wrong with a condition, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    /// The way there; empty for the condition as a whole.
    pub path: Vec<Step>,
    /// One sentence without its place.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Condition {
    /// Reads a condition; `{}` lets every document through.
    pub fn parse(written: &Written) -> Result<Self, ConditionError> {
        match written {
            Written::Map(entries) if entries.is_empty() => Ok(Condition::All(Vec::new())),
            _ => Parser::default().condition(written),
        }
    }
}

#[derive(Default)]
struct Parser {
    path: Vec<Step>,
    tests: usize,
}

impl Parser {
    fn fail<T>(&self, message: impl Into<String>, hint: impl Into<String>) -> Result<T, ConditionError> {
        Err(ConditionError { path: self.path.clone(), message: message.into(), hint: Some(hint.into()) })
    }

    /// Goes one step down.
    fn within<T>(
        &mut self,
        step: Step,
        read: impl FnOnce(&mut Self) -> Result<T, ConditionError>,
    ) -> Result<T, ConditionError> {
        self.path.push(step);
        if self.path.len() > 2 * Condition::MAX_DEPTH {
            return self.fail(
                format!("it is nested deeper than {} levels", Condition::MAX_DEPTH),
                "write it flatter",
            );
        }
        let read = read(self);
        if read.is_ok() {
            self.path.pop();
        }
        read
    }

    /// Keys beside each other must all hold.
    fn condition(&mut self, written: &Written) -> Result<Condition, ConditionError> {
        let Written::Map(map) = written else { return self.fail("it must be a set of keys", EXAMPLE) };
        // DocArray adds what follows to whatever the first key opened: there `$or` with keys behind it means that one of
        // all of them holds. Nobody means that, so nobody gets either.
        if let Some((key, _)) = map.first().filter(|(key, _)| matches!(key.as_str(), "$or" | "$not"))
            && map.len() > 1
        {
            return self.fail(
                format!("`{key}` stands before other keys, which leaves open how they go together"),
                "put them all under `$and`",
            );
        }
        if map.is_empty() {
            return self.fail("it compares nothing", EXAMPLE);
        }
        Ok(one_or_all(self.entries(map)?))
    }

    fn entries(&mut self, map: &[(String, Written)]) -> Result<Vec<Condition>, ConditionError> {
        map.iter()
            .map(|(key, value)| self.within(Step::Key(key.clone()), |parser| parser.entry(key, value)))
            .collect()
    }

    fn entry(&mut self, key: &str, value: &Written) -> Result<Condition, ConditionError> {
        match key {
            "$and" => Ok(Condition::All(self.several(key, value)?)),
            "$or" => Ok(Condition::Any(self.several(key, value)?)),
            "$not" => Ok(Condition::Not(Box::new(one_or_all(self.several(key, value)?)))),
            _ if key.starts_with('$') => {
                if Condition::OPERATORS.contains(&key) {
                    return self.fail(format!("`{key}` compares no field"), EXAMPLE);
                }
                let known = Condition::COMBINATIONS.join(", ");
                self.fail(format!("`{key}` combines nothing"), format!("conditions are combined by {known}"))
            }
            _ => self.field(key, value),
        }
    }

    fn several(&mut self, key: &str, value: &Written) -> Result<Vec<Condition>, ConditionError> {
        match value {
            Written::List(items) if !items.is_empty() => items
                .iter()
                .zip(0..)
                .map(|(item, index)| self.within(Step::Item(index), |parser| parser.condition(item)))
                .collect(),
            Written::Map(map) if !map.is_empty() => self.entries(map),
            _ => self.fail(format!("`{key}` must hold a list of conditions"), EXAMPLE),
        }
    }

    fn field(&mut self, name: &str, value: &Written) -> Result<Condition, ConditionError> {
        let field = match Field::parse(name) {
            Some(field) => field,
            None => return self.fail(format!("`{}` is no field", short(name)), EXAMPLE),
        };
        let Written::Map(operators) = value else {
            return self.fail(format!("`{}` must say how it is compared", short(name)), EXAMPLE);
        };
        if operators.is_empty() {
            return self.fail(format!("`{}` must say how it is compared", short(name)), EXAMPLE);
        }
        let tests = operators.iter().map(|(operator, value)| {
            self.within(Step::Key(operator.clone()), |parser| {
                parser.tests += 1;
                if parser.tests > Condition::MAX_TESTS {
                    let message = format!("it makes more than {} comparisons", Condition::MAX_TESTS);
                    return parser.fail(message, "let an executor mark the documents, and compare the mark");
                }
                let operator = parser.operator(operator, &value.value())?;
                Ok(Condition::Test(Test { field: field.clone(), operator }))
            })
        });
        Ok(one_or_all(tests.collect::<Result<_, _>>()?))
    }

    fn operator(&mut self, operator: &str, value: &Value) -> Result<Operator, ConditionError> {
        Ok(match operator {
            "$eq" => Operator::Equal(self.operand(value)?),
            "$neq" => Operator::NotEqual(self.operand(value)?),
            "$lt" => Operator::Less(self.ordered(operator, value)?),
            "$lte" => Operator::LessOrEqual(self.ordered(operator, value)?),
            "$gt" => Operator::Greater(self.ordered(operator, value)?),
            "$gte" => Operator::GreaterOrEqual(self.ordered(operator, value)?),
            "$in" => Operator::In(self.members(operator, value)?),
            "$nin" => Operator::NotIn(self.members(operator, value)?),
            "$size" => match self.operand(value)? {
                size @ Operand::Field(_) => Operator::Size(size),
                Operand::Value(size) if size.as_f64().is_some_and(|size| size >= 0.0) => {
                    Operator::Size(Operand::Value(size))
                }
                Operand::Value(_) => return self.fail("`$size` must be a number", "such as `$size: 3`"),
            },
            "$exists" => match value {
                Value::Bool(exists) => Operator::Exists(*exists),
                _ => return self.fail("`$exists` must be true or false", "such as `$exists: true`"),
            },
            "$regex" => Operator::Matches(self.pattern(value)?),
            "$and" | "$or" | "$not" => {
                let hint = format!("write `{operator}` above the field, around whole conditions");
                return self.fail(format!("`{operator}` compares nothing"), hint);
            }
            _ => {
                let known = Condition::OPERATORS.join(", ");
                return self
                    .fail(format!("`{}` is no operator", short(operator)), format!("there are {known}"));
            }
        })
    }

    /// A value, or another field in braces.
    fn operand(&mut self, value: &Value) -> Result<Operand, ConditionError> {
        let Value::String(text) = value else { return Ok(Operand::Value(value.clone())) };
        if !text.starts_with('{') {
            return Ok(Operand::Value(value.clone()));
        }
        let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).map(str::trim);
        let is_word = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match name.filter(is_word).and_then(Field::parse) {
            Some(field) => Ok(Operand::Field(field)),
            None => self.fail(
                format!("`{}` is no field in braces", short(text)),
                "a text that starts with a brace names another field, such as `{tags__name}`",
            ),
        }
    }

    fn ordered(&mut self, operator: &str, value: &Value) -> Result<Operand, ConditionError> {
        match self.operand(value)? {
            Operand::Value(Value::Null | Value::Array(_) | Value::Object(_)) => self.fail(
                format!("`{operator}` must be a number or a text"),
                format!("such as `{operator}: 10`"),
            ),
            operand => Ok(operand),
        }
    }

    fn members(&mut self, operator: &str, value: &Value) -> Result<Operand, ConditionError> {
        match self.operand(value)? {
            Operand::Value(Value::Array(values)) if values.len() > MAX_VALUES => self.fail(
                format!("`{operator}` lists {} values, at most {MAX_VALUES} are taken", values.len()),
                "let an executor mark the documents, and compare the mark",
            ),
            Operand::Value(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => self.fail(
                format!("`{operator}` must be a list of values or a text"),
                format!("such as `{operator}: [a, b]`"),
            ),
            operand => Ok(operand),
        }
    }

    fn pattern(&mut self, value: &Value) -> Result<Pattern, ConditionError> {
        let Value::String(text) = value else {
            return self.fail("`$regex` must be a text", "such as `$regex: '^a.*z$'`");
        };
        if text.len() > Condition::MAX_EXPRESSION_BYTES {
            let message = format!(
                "`$regex` has {} bytes, at most {} are taken",
                text.len(),
                Condition::MAX_EXPRESSION_BYTES
            );
            return self.fail(message, "write several, combined by `$or`");
        }
        let built = RegexBuilder::new(text).size_limit(MAX_COMPILED_BYTES).nest_limit(MAX_NESTING).build();
        match built {
            Ok(expression) => Ok(Pattern { text: text.as_str().into(), expression }),
            Err(error) => self.fail(
                format!("`$regex` is no expression that is understood: {error}"),
                "look-around and back-references are not; what it matches is found in linear time",
            ),
        }
    }
}

impl Field {
    fn parse(name: &str) -> Option<Self> {
        let parts: Vec<Box<str>> = name.split("__").map(Into::into).collect();
        let is_fine = name.len() <= MAX_FIELD_BYTES
            && parts.len() <= Condition::MAX_DEPTH
            && parts.iter().all(|part| !part.is_empty());
        is_fine.then_some(Self { parts })
    }
}

fn one_or_all(mut conditions: Vec<Condition>) -> Condition {
    match (conditions.len(), conditions.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            conditions.push(last);
            Condition::All(conditions)
        }
        (_, None) => Condition::All(conditions),
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
