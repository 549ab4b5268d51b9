//! What becomes of arguments before anything is sent.

use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Wrapper {
    #[command(flatten)]
    call: CallArguments,
}

fn parse(arguments: &[&str]) -> CallArguments {
    Wrapper::try_parse_from([&["call"], arguments].concat()).unwrap().call
}

#[test]
fn parameters_are_json_or_text() {
    let check = |given: &str, expected: Result<(&str, Value), &str>| {
        let parsed = parse_parameter(given);
        let parsed =
            parsed.as_ref().map(|(name, value)| (name.as_str(), value.clone())).map_err(String::as_str);
        assert_eq!(parsed, expected, "{given}");
    };
    check("top_k=5", Ok(("top_k", 5.into())));
    check("lang=en", Ok(("lang", "en".into())));
    check("on=true", Ok(("on", true.into())));
    check("query=a=b", Ok(("query", "a=b".into())));
    check("empty=", Ok(("empty", "".into())));
    check("none", Err("expected NAME=VALUE, such as top_k=5"));
    check("=5", Err("expected NAME=VALUE with a name, such as top_k=5"));
}

#[test]
fn single_parameters_win_over_the_object() {
    let arguments = parse(&["--params", r#"{"a": 1, "b": 2}"#, "--param", "b=3"]);
    let console = Console::new(crate::args::Color::Never, crate::args::LogLines::Pretty);
    let call = Call { arguments: &arguments, console: &console, total: 0, answered: 0, shown: 0 };
    let request = call.request(DocumentList::default());
    assert_eq!(Value::Object(request.parameters.map().clone()), serde_json::json!({"a": 1, "b": 3}));
}

#[test]
fn batches_keep_their_kind_and_size() {
    let arguments = parse(&["--batch", "2"]);
    let console = Console::new(crate::args::Color::Never, crate::args::LogLines::Pretty);
    let call = Call { arguments: &arguments, console: &console, total: 0, answered: 0, shown: 0 };
    let check = |kinds: &str, expected: &[usize]| {
        let inputs: Vec<Input> = kinds
            .chars()
            .map(|kind| match kind {
                't' => Input::Text("x".into()),
                _ => Input::Json { text: "{}".into(), origin: "x".into() },
            })
            .collect();
        let sizes: Vec<usize> = call.batches(&inputs).iter().map(|batch| batch.len()).collect();
        assert_eq!(sizes, expected, "{kinds}");
    };
    check("", &[0]);
    check("t", &[1]);
    check("ttt", &[2, 1]);
    check("tjj", &[1, 2]);
    check("jjjt", &[2, 1, 1]);
}

#[test]
fn bad_lines_are_told_by_their_place() {
    let check = |text: &str, expected: &str| {
        let contents = [Content::Json { text: text.into(), origin: "a.jsonl, line 3".into() }];
        let report = read_json(&contents).unwrap_err();
        let text = anstream::adapter::strip_str(&report.render()).to_string();
        assert_eq!(text.lines().next(), Some(expected));
    };
    check("{", "error: a.jsonl, line 3: this is not JSON");
    check("[1]", "error: a.jsonl, line 3: a document is a JSON object");
}

#[test]
fn seconds_are_checked() {
    let check = |text: &str, expected: Option<u64>| {
        assert_eq!(parse_seconds(text).ok().map(|d| d.as_millis() as u64), expected, "{text}");
    };
    check("30", Some(30_000));
    check("0.5", Some(500));
    check("0", None);
    check("-1", None);
    check("nan", None);
    check("1e30", None);
    check("x", None);
}
