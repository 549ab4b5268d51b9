//! Options that are keys of a flow file: `--uses-with size=128` is `uses_with: {size: 128}`.
//!
//! The tables say which ones there are and how each is written; what a value may be is the flow file's affair, which
//! complains in its own words. Values are read as JSON where they are a number, a switch, a list or an object.

use std::marker::PhantomData;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value};

/// How an option is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// `--name encoder`
    Value,
    /// `--protocol grpc http`
    Values,
    /// `--cors`
    Nothing,
    /// `--uses-with size=128 model:small`, or one JSON object
    Pairs,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyOption {
    name: &'static str,
    takes: Takes,
    value: &'static str,
    help: &'static str,
}

const fn option(name: &'static str, takes: Takes, value: &'static str, help: &'static str) -> KeyOption {
    KeyOption { name, takes, value, help }
}

/// Which options a command has.
pub(crate) trait Vocabulary {
    /// In the order of the help.
    const OPTIONS: &'static [&'static [KeyOption]];
}

/// Keys of an executor.
const EXECUTOR: &[KeyOption] = &[
    option("name", Takes::Value, "NAME", "What it is called [default: executor]"),
    option("uses-with", Takes::Pairs, "KEY=JSON", "Its configuration; or one JSON object"),
    option("uses-requests", Takes::Pairs, "ENDPOINT=NAME", "Endpoints under other names"),
    option("uses-dynamic-batching", Takes::Pairs, "JSON", "Batching of requests, by endpoint"),
    option("replicas", Takes::Value, "COUNT", "Most instances at once"),
    option("shards", Takes::Value, "COUNT", "Parts that each hold some of the documents"),
    option("polling", Takes::Value, "ANY|ALL|JSON", "Which shards a request goes to"),
    option("timeout-send", Takes::Value, "MS", "Longest time of one call"),
    option("retries", Takes::Value, "COUNT", "Further tries where no executor has seen the request"),
];

/// Keys of the port.
const GATEWAY: &[KeyOption] = &[
    option("protocol", Takes::Values, "PROTOCOL", "grpc, http and websocket are served in any case"),
    option("prefetch", Takes::Value, "COUNT", "Requests of one stream that are worked on at once"),
    option("title", Takes::Value, "TEXT", "Title of the API's description"),
    option("description", Takes::Value, "TEXT", "Its text"),
    option("cors", Takes::Nothing, "", "Let pages of any origin call it"),
    option("ssl-certfile", Takes::Value, "FILE", "Certificate of the port"),
    option("ssl-keyfile", Takes::Value, "FILE", "Its private key"),
];

/// What a gateway stands in front of.
const GRAPH: &[KeyOption] = &[
    option(
        "deployments-addresses",
        Takes::Value,
        "JSON",
        "The executors: {\"encoder\": [\"10.0.0.7:8080\"]}",
    ),
    option("graph-description", Takes::Value, "JSON", "Who needs whom; without it one after the other"),
    option("graph-conditions", Takes::Value, "JSON", "Which documents an executor takes, by its name"),
    option("deployments-metadata", Takes::Value, "JSON", "gRPC metadata for an executor, by its name"),
    option("deployments-no-reduce", Takes::Value, "JSON", "Executors whose inputs are not joined"),
    option("timeout-send", Takes::Value, "MS", "Longest time of one call"),
    option("retries", Takes::Value, "COUNT", "Further tries where no executor has seen the request"),
    option("name", Takes::Value, "NAME", "What the flow is called"),
];

/// `lockgate deployment` and `lockgate executor`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExecutorWords;

/// `lockgate gateway`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GatewayWords;

impl Vocabulary for ExecutorWords {
    const OPTIONS: &'static [&'static [KeyOption]] = &[EXECUTOR, GATEWAY];
}

impl Vocabulary for GatewayWords {
    const OPTIONS: &'static [&'static [KeyOption]] = &[GRAPH, GATEWAY];
}

/// The options that were typed, as keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyArguments<V> {
    keys: Map<String, Value>,
    vocabulary: PhantomData<V>,
}

impl<V> KeyArguments<V> {
    /// The keys.
    pub(crate) fn keys(&self) -> &Map<String, Value> {
        &self.keys
    }

    /// The first option that was typed.
    pub(crate) fn first(&self) -> Option<String> {
        self.keys.keys().next().map(|key| format!("--{}", key.replace('_', "-")))
    }
}

fn options<V: Vocabulary>() -> impl Iterator<Item = &'static KeyOption> {
    V::OPTIONS.iter().copied().flatten()
}

impl<V: Vocabulary> Args for KeyArguments<V> {
    fn augment_args(command: Command) -> Command {
        options::<V>().fold(command, |command, option| command.arg(argument(option)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<V: Vocabulary> FromArgMatches for KeyArguments<V> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut keys = Map::new();
        for option in options::<V>() {
            if let Some(value) = read(option, matches)? {
                keys.insert(option.name.replace('-', "_"), value);
            }
        }
        Ok(Self { keys, vocabulary: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.keys.extend(Self::from_arg_matches(matches)?.keys);
        Ok(())
    }
}

fn argument(option: &KeyOption) -> Arg {
    let argument = Arg::new(option.name).long(option.name).help(option.help);
    match option.takes {
        Takes::Nothing => argument.action(ArgAction::SetTrue),
        Takes::Value => argument.value_name(option.value).allow_negative_numbers(true),
        Takes::Values | Takes::Pairs => {
            argument.value_name(option.value).num_args(1..).action(ArgAction::Append)
        }
    }
}

fn read(option: &KeyOption, matches: &ArgMatches) -> Result<Option<Value>, clap::Error> {
    if option.takes == Takes::Nothing {
        return Ok(matches.get_flag(option.name).then_some(Value::Bool(true)));
    }
    let Some(words) = matches.get_many::<String>(option.name) else { return Ok(None) };
    let mut words: Vec<&str> = words.map(String::as_str).collect();
    Ok(match option.takes {
        Takes::Nothing => None,
        Takes::Value => words.pop().map(value),
        Takes::Values => Some(words.into_iter().map(value).collect()),
        Takes::Pairs => {
            let mut pairs = Map::new();
            for word in words {
                pairs.extend(parse_pairs(word).ok_or_else(|| bad_pair(option, word))?);
            }
            Some(Value::Object(pairs))
        }
    })
}

fn bad_pair(option: &KeyOption, word: &str) -> clap::Error {
    let message = format!("--{}: expected KEY=VALUE or a JSON object, not {word:?}\n", option.name);
    clap::Error::raw(clap::error::ErrorKind::ValueValidation, message)
}

/// `key=value`, `key:value` or a JSON object.
fn parse_pairs(word: &str) -> Option<Map<String, Value>> {
    if word.trim_start().starts_with('{') {
        return serde_json::from_str(word).ok();
    }
    let (key, text) = word.split_once(['=', ':'])?;
    let key = key.trim();
    (!key.is_empty()).then(|| Map::from_iter([(key.to_owned(), value(text.trim_start()))]))
}

/// JSON where it says more than its text.
fn value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_))) => value,
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        keys: KeyArguments<ExecutorWords>,
    }

    #[test]
    fn options_become_keys() {
        let check = |line: &str, expected: Value| {
            let parsed = Wrapper::try_parse_from(std::iter::once("x").chain(line.split_whitespace()));
            assert_eq!(Value::Object(parsed.unwrap().keys.keys().clone()), expected, "{line}");
        };
        check("", json!({}));
        check("--name encoder --replicas 3 --cors", json!({"name": "encoder", "replicas": 3, "cors": true}));
        check("--timeout-send -1", json!({"timeout_send": -1}));
        check("--protocol grpc http", json!({"protocol": ["grpc", "http"]}));
        check("--protocol grpc --protocol http", json!({"protocol": ["grpc", "http"]}));
        check(
            "--uses-with size=128 model:small suffix=\"0\"",
            json!({"uses_with": {"size": 128, "model": "small", "suffix": "\"0\""}}),
        );
        check("--uses-with {\"a\":[1]} --uses-with b=null", json!({"uses_with": {"a": [1], "b": "null"}}));
        check("--polling {\"/search\":\"ALL\"}", json!({"polling": {"/search": "ALL"}}));
        for bad in ["--uses-with size", "--uses-with {", "--replicas", "--name"] {
            assert!(Wrapper::try_parse_from(["x"].into_iter().chain(bad.split(' '))).is_err(), "{bad}");
        }
        let typed = Wrapper::try_parse_from(["x", "--timeout-send", "5"]).unwrap();
        assert_eq!(typed.keys.first().as_deref(), Some("--timeout-send"));
    }
}
