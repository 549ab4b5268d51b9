//! What the words of the command line are held to.

use super::*;
use clap::CommandFactory;

#[test]
fn the_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_has_help_with_examples() {
    for command in Arguments::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(examples.contains("lockgate "), "{} has no examples", command.get_name());
        assert!(command.get_about().is_some(), "{} has no description", command.get_name());
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            assert!(
                argument.get_help().is_some(),
                "{} --{} has no help",
                command.get_name(),
                argument.get_id()
            );
        }
    }
}

#[test]
fn help_reads_well() {
    let mut command = Arguments::command().term_width(110);
    command.build();
    insta::assert_snapshot!("help", command.render_help().to_string());
    for name in ["up", "call", "build", "inspect", "check"] {
        let help = command.find_subcommand_mut(name).unwrap().render_help().to_string();
        insta::assert_snapshot!(format!("help_{name}"), help);
    }
}

#[test]
fn arguments_are_parsed() {
    let check = |line: &str, fits: bool| {
        let parsed = Arguments::try_parse_from(line.split(' '));
        assert_eq!(parsed.is_ok(), fits, "{line}: {parsed:?}");
    };
    check("lockgate up flow.yml", true);
    check("lockgate up flow.yml --port 0 --watch --json --drain-timeout 5", true);
    check("lockgate up", false);
    check("lockgate up flow.yml --port 99999", false);
    check("lockgate call --endpoint /x --text a --text b", true);
    check("lockgate call http://localhost:1 --json --dir . --glob **/*.md", true);
    check("lockgate call --glob *.md", false);
    check("lockgate call --no-documents --text a", false);
    check("lockgate call --batch 0", false);
    check("lockgate call ftp://x", false);
    check("lockgate build a b -o out/", true);
    check("lockgate build", false);
    check("lockgate inspect a.wasm --json", true);
    check("lockgate check flow.yml --build", true);
    check("lockgate version --json", true);
    check("lockgate completions zsh", true);
    check("lockgate completions tcl", false);
    check("lockgate --log-format json --color never version", true);
    check("lockgate unknown", false);
}
