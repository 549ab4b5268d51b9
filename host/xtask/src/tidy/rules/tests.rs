//! Every rule on a line that breaks it and on one that does not.

use super::*;

fn findings(rule: Rule, path: &str, text: &str) -> usize {
    rule(&SourceFile { path: path.to_owned(), text: text.to_owned() }).len()
}

#[test]
fn each_rule_finds_its_own() {
    let library = "host/flow/src/engine.rs";
    let check = |rule: Rule, path: &str, text: &str, expected: usize| {
        assert_eq!(findings(rule, path, text), expected, "{path}: {text:?}");
    };
    check(header, library, "//! Owns.\n", 0);
    check(header, library, "use std::fmt;\n", 1);
    check(length, library, &"a\n".repeat(MAX_LINES), 0);
    check(length, library, &"a\n".repeat(MAX_LINES + 1), 1);
    check(type_names, library, "pub(crate) struct PluginState {", 1);
    check(type_names, library, "pub enum DocumentKind {", 0);
    check(type_names, library, "pub struct DocKind;", 1);
    check(type_names, library, "// struct Plugin", 0);
    check(bare_allow, library, "    #[allow(dead_code)]", 1);
    check(bare_allow, library, "#[allow(dead_code, reason = \"generated\")]", 0);
    check(bare_allow, library, "#[allow(\n    dead_code,\n    reason = \"generated\",\n)]", 0);
    check(test_attributes, library, "#[ignore]", 1);
    check(test_attributes, library, "#[should_panic(expected = \"x\")]", 1);
    check(prints, library, "println!(\"x\");", 1);
    check(prints, "host/cli/src/main.rs", "println!(\"x\");", 0);
    check(sources_in_messages, library, "#[error(\"no: {source}\")]", 1);
    check(sources_in_messages, library, "#[error(\"no: {0}\")]\nRead(#[from] io::Error),", 1);
    check(sources_in_messages, library, "#[error(\"no: {0}\")]\nName(String),", 0);
    // Written in two halves, because this file is read by the rule as well.
    let nap = concat!("std::thread::sle", "ep(second);");
    check(sleeps, "tests/it/drain.rs", nap, 1);
    check(sleeps, library, nap, 0);
}
