//! What the words of the command line are held to.

use super::*;
use clap::CommandFactory;

#[test]
fn the_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_has_help_with_examples() {
    let whole = Arguments::command();
    let (mut commands, mut names) = (vec![&whole], Vec::new());
    while let Some(parent) = commands.pop() {
        commands.extend(parent.get_subcommands());
        names.extend(parent.get_subcommands().filter(|command| !command.is_hide_set()));
    }
    assert!(names.len() > 50, "nested commands are not seen");
    for command in names {
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(examples.contains("lockgate "), "{} has no examples", command.get_name());
        // What a terminal wraps cannot be typed as it stands.
        let long = examples.lines().find(|line| line.starts_with("  ") && line.chars().count() > 84);
        assert_eq!(long, None, "an example of {} is too long", command.get_name());
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
    let mut texts = Vec::new();
    let is_shown = |command: &clap::Command| !command.is_hide_set() && command.get_name() != "help";
    for noun in command.get_subcommands_mut().filter(|noun| is_shown(noun)) {
        let mut text = noun.render_help().to_string();
        for verb in noun.get_subcommands_mut().filter(|verb| is_shown(verb)) {
            let help = verb.render_help();
            text.push_str(&format!("\n=== {} ===\n{help}", verb.get_name()));
        }
        texts.push((noun.get_name().to_owned(), text));
    }
    for (name, text) in texts {
        insta::assert_snapshot!(format!("help_{name}"), text);
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
    check("lockgate serve --data d --dev --listen 127.0.0.1:0", true);
    check("lockgate serve", false);
    check("lockgate serve --data d --jwt-issuer a", false);
    check("lockgate new shout --language rust --path here", true);
    check("lockgate new shout --language cobol", false);
    check("lockgate new ../shout", false);
    check(
        "lockgate tenant create acme --weight 20 --fuel-per-second 4G --memory 1GiB --approval required",
        true,
    );
    check("lockgate tenant create acme --memory lots", false);
    check("lockgate tenant create acme --weight 0", false);
    check("lockgate tenant create a/b", false);
    check("lockgate tenant --url http://127.0.0.1:1 list --json", true);
    check("lockgate tenant list --url https://x --ca ca.pem", true);
    check("lockgate tenant list --url ftp://x", false);
    check("lockgate call https://x --ca ca.pem --text a", true);
    check("lockgate up flow.yml --tls-cert a.pem --tls-key b.pem", true);
    check("lockgate up flow.yml --tls-cert a.pem", false);
    check("lockgate serve --data d --tls-key b.pem", false);
    check("lockgate serve --data d --control-tls-cert a.pem --control-tls-key b.pem", true);
    check("lockgate tenant", false);
    check("lockgate key create --scopes upload,call --expires 30d --label ci", true);
    check("lockgate key create", false);
    check("lockgate key create --scopes everything", false);
    check("lockgate key create --scopes call --expires 30", false);
    check("lockgate key revoke 7f3a", true);
    check("lockgate component upload a.wasm", true);
    check("lockgate component download 3f9a -o a.wasm", true);
    check("lockgate publish . --executor shout --config a=1 --config b.json --dry-run", true);
    check("lockgate publish .", false);
    check("lockgate revision show shout@3", true);
    check("lockgate revision show shout@x", false);
    check("lockgate tag set shout:stable @3", true);
    check("lockgate rollback shout --tag stable", true);
    check("lockgate deploy shout --canary @4=5 --min 0 --max 4 --mode fresh", true);
    check("lockgate deploy shout --canary @4", false);
    check("lockgate deploy shout --canary @4=5 --no-canary", false);
    check("lockgate deploy shout --capture-failures --capture-percent 1.5", true);
    check("lockgate deploy shout --capture-failures false", true);
    check("lockgate flow apply flow.yml --name search", true);
    check("lockgate secret set openai", true);
    check("lockgate secret set openai --value x", false);
    check("lockgate sign a.wasm --key a.pem", true);
    check("lockgate sign --key a.pem", false);
    check("lockgate sign --key a.pem --generate", true);
    check("lockgate usage --from 2026-11-01 --to 2026-12-01 --csv", true);
    check("lockgate usage --csv --json", false);
    check("lockgate audit --of-host --limit 5", true);
    check("lockgate capsule download ../x", false);
    check("lockgate call --executor shout:stable --key k --text a", true);
    check("lockgate call --executor shout --flow search", false);
}
